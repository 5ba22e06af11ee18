// Real Dione servers for tests: started on a free port in a folder of their own, spoken to over HTTP, stopped or
// killed, started again on the same data. A test that fails says what the server wrote to its standard error.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { rm, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';

export const repo = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
export const binary = resolve(process.env.DIONE_BIN ?? join(repo, 'build/dione'));

// How long a condition may take before the test gives up on it. Far beyond anything a healthy server needs, so that
// a slow or busy machine never turns a test red.
const PATIENCE_MS = 60_000;

// A test run that is cut short leaves neither processes nor folders behind.
const living = new Set();
const folders = new Set();
process.on('exit', () => {
  for (const child of living) child.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

const endings = new WeakMap();

/**
 * Does `action` when `owner` ends: a test context, or a scope(). Last in, first out, which node:test's own hooks are
 * not: a server must be gone before its folder is.
 */
export function atEnd(owner, action) {
  let stack = endings.get(owner);
  if (!stack) {
    endings.set(owner, stack = []);
    owner.after(async () => {
      const errors = [];
      while (stack.length > 0) await (async () => stack.pop()())().catch((error) => errors.push(error));
      if (errors.length > 0) throw errors[0];
    });
  }
  stack.push(action);
}

/**
 * An owner that ends with the file or suite where it is made. Made in the open, not in a hook: what a hook registers
 * ends with the hook.
 */
export function scope() {
  let end = () => {};
  after(() => end());
  return { after: (action) => { end = action; } };
}

export async function tempDir(owner, prefix = 'dione-test-') {
  const path = await mkdtemp(join(tmpdir(), prefix));
  folders.add(path);
  atEnd(owner, async () => {
    await rm(path, { recursive: true, force: true });
    folders.delete(path);
  });
  return path;
}

/** Asks again until `probe` gives something truthy, and returns that. `what` names the condition in the failure. */
export async function until(what, probe) {
  const giveUp = Date.now() + PATIENCE_MS;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > giveUp) assert.fail(`gave up waiting until ${what}`);
    await new Promise((wake) => setTimeout(wake, 5));
  }
}

/** Turns an endless wait into a failure that says what was awaited. */
export async function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new assert.AssertionError({ message: `gave up waiting for ${what}` })), PATIENCE_MS);
  });
  try { return await Promise.race([promise, late]); } finally { clearTimeout(timer); }
}

/** The result of an answer that must be a success. */
export function ok(answer) {
  assert.ok(answer.status === 200 && answer.body?.success === true,
    `expected a success, got HTTP ${answer.status}: ${answer.text.slice(0, 2000)}`);
  assert.deepEqual(answer.body.errors, [], 'a success carries no errors');
  return answer.body.result;
}

/** Asserts that an answer refuses with this status (or one of them), code and message; returns the message. */
export function refused(answer, status, code, message = /./) {
  const got = `HTTP ${answer.status}: ${answer.text.slice(0, 2000)}`;
  assert.ok([status].flat().includes(answer.status), `expected HTTP ${status}, got ${got}`);
  assert.equal(answer.body?.success, false, `expected an error envelope, got ${got}`);
  assert.ok(Array.isArray(answer.body.errors) && answer.body.errors.length > 0, `no errors listed in ${got}`);
  assert.ok([code].flat().includes(answer.body.errors[0].code), `expected code ${code}, got ${got}`);
  if (message instanceof RegExp) assert.match(answer.body.errors[0].message, message);
  else assert.equal(answer.body.errors[0].message, message);
  assert.ok(Array.isArray(answer.body.messages), 'messages is an array on errors too');
  return answer.body.errors[0].message;
}

let unique = 0;
export const uniqueName = (prefix = 'db') => `${prefix}-${process.pid.toString(36)}-${(unique += 1)}`;

export class Server {
  constructor({ data, token, args = [], env = {}, command }) {
    Object.assign(this, { data, token, args, env, command });
    this.listen = '127.0.0.1:0';
    this.stderr = '';
    this.stdout = '';
  }

  /** Starts the program and resolves with its exit, `{code, signal}`, or with `ready`, whichever comes first. */
  async launch() {
    const line = [binary, 'serve', '--data', this.data, '--listen', this.listen, ...this.args];
    const [file, ...args] = this.command ? this.command(line) : line;
    const env = { ...process.env, ...this.env };
    if (this.token) env.DIONE_TOKEN = this.token; else delete env.DIONE_TOKEN;
    this.stderr = this.stdout = '';
    const child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    living.add(child);
    this.exited = new Promise((settle) => {
      child.on('error', (error) => settle({ code: null, signal: null, error }));
      child.on('close', (code, signal) => settle({ code, signal }));
    }).then((exit) => { living.delete(child); return exit; });
    child.stderr.setEncoding('utf8').on('data', (text) => { this.stderr = (this.stderr + text).slice(-100_000); });
    const ready = new Promise((settle) => {
      child.stdout.setEncoding('utf8').on('data', (text) => {
        this.stdout += text;
        const match = /^ready (http:\/\/\S+)\n/m.exec(this.stdout);
        if (match) settle({ ready: match[1] });
      });
    });
    return within('the ready line or the exit of the server', Promise.race([ready, this.exited]));
  }

  async start() {
    assert.ok(existsSync(binary), `${binary} is not there: build it first, or name another one in DIONE_BIN`);
    const first = await this.launch();
    if (!first.ready) {
      assert.fail(`the server did not come up (exit code ${first.code}, signal ${first.signal}` +
        `${first.error ? `, ${first.error.message}` : ''}), its stderr:\n${this.stderr}`);
    }
    this.url = first.ready;
    return this;
  }

  get running() { return living.has(this.child); }

  /** SIGTERM: drains and leaves with 0. */
  async stop() {
    if (!this.running) return;
    this.child.kill('SIGTERM');
    const exit = await within('the server to leave after SIGTERM', this.exited);
    assert.deepEqual(exit, { code: 0, signal: null }, `SIGTERM must end in exit code 0; stderr:\n${this.stderr}`);
  }

  async kill9() {
    this.child.kill('SIGKILL');
    await within('the death of the server', this.exited);
  }

  async restart() {
    await this.stop();
    return this.start();
  }

  /**
   * One request. `path` is relative to the server's root. `token: null` sends no credentials; `json` is serialised,
   * `body` is sent as it is. Gives `{status, headers, text, body}`, `body` being the parsed JSON if it is JSON.
   */
  async request(method, path, { json, body = json === undefined ? undefined : JSON.stringify(json), headers = {},
    token = this.token, signal, ...rest } = {}) {
    let response;
    try {
      response = await fetch(new URL(path, this.url), {
        method, body, signal, ...rest,
        headers: {
          ...(token ? { authorization: `Bearer ${token}` } : {}),
          ...(json === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
      });
    } catch (error) {
      if (!this.running && !this.dying) error.message += `; the server is gone, its stderr:\n${this.stderr}`;
      throw error;
    }
    const text = await response.text();
    let parsed;
    try { parsed = JSON.parse(text); } catch { /* not JSON: the text speaks for itself */ }
    return { status: response.status, headers: response.headers, text, body: parsed };
  }

  /** A request below the account: `server.account('GET', '/d1/database')`. */
  account(method, path, options) { return this.request(method, `/accounts/local${path}`, options); }

  /** A request on one database: `server.database(id, 'POST', '/query', {json})`. */
  database(id, method, path = '', options) {
    return this.account(method, `/d1/database/${encodeURIComponent(id)}${path}`, options);
  }

  async create(name = uniqueName()) {
    return ok(await this.account('POST', '/d1/database', { json: { name } }));
  }

  /** The id of a new database, with some SQL run in it. */
  async fresh(sql) {
    const { uuid } = await this.create();
    if (sql) await this.query(uuid, sql);
    return uuid;
  }

  tryQuery(id, sql, params, options) {
    return this.database(id, 'POST', '/query', { json: params === undefined ? { sql } : { sql, params }, ...options });
  }

  /** Results, one entry per statement; the query must succeed. */
  async query(id, sql, params, options) { return ok(await this.tryQuery(id, sql, params, options)); }

  tryBatch(id, batch, options) { return this.database(id, 'POST', '/query', { json: { batch }, ...options }); }

  async batch(id, batch, options) { return ok(await this.tryBatch(id, batch, options)); }

  /** Rows of the last statement, as objects. */
  async rows(id, sql, params, options) { return (await this.query(id, sql, params, options)).at(-1).results; }

  /** The first column of the first row. */
  async value(id, sql, params, options) {
    const rows = await this.rows(id, sql, params, options);
    assert.equal(rows.length, 1, `expected one row from ${sql}`);
    return Object.values(rows[0])[0];
  }

  async bookmark(id) {
    return ok(await this.database(id, 'GET', '/time_travel/bookmark?')).bookmark;
  }

  /** The life sign every test of abuse ends with. */
  async assertAlive() {
    assert.ok(this.running, `the server died; its stderr:\n${this.stderr}`);
    assert.equal((await this.request('GET', '/health', { token: null })).status, 200);
  }
}

/**
 * A server that lives as long as `owner`, see atEnd.
 * Options: data, token (null: let the server make one), args, env, command (wraps the command line).
 */
export async function startServer(owner, options = {}) {
  const server = await makeServer(owner, options);
  return server.start();
}

/** The same, not started. */
export async function makeServer(owner, options = {}) {
  const data = options.data ?? join(await tempDir(owner), 'data');
  const token = options.token === null ? undefined : options.token ?? randomBytes(24).toString('hex');
  const server = new Server({ ...options, data, token });
  atEnd(owner, async () => {
    if (!server.running) return;
    server.child.kill('SIGKILL');
    await server.exited;
  });
  return server;
}

/** Runs a program to its end: `{code, stdout, stderr}`. */
export async function run(file, args, { input, env, cwd } = {}) {
  const child = spawn(file, args, { env: env ?? process.env, cwd, stdio: ['pipe', 'pipe', 'pipe'] });
  living.add(child);
  const out = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) child[name].setEncoding('utf8').on('data', (text) => { out[name] += text; });
  child.stdin.on('error', () => {});  // the program may leave without reading its input
  child.stdin.end(input ?? '');
  try {
    const [code, signal] = await within(`the end of ${file} ${args.join(' ')}`, once(child, 'close'));
    return { code: code ?? signal, ...out };
  } finally {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    living.delete(child);
  }
}

let serveHelp;
/** Whether `dione serve` has an option: some tests shorten limits through one. */
export async function serveHas(option) {
  serveHelp ??= run(binary, ['serve', '--help']);
  return (await serveHelp).stdout.includes(option);
}
