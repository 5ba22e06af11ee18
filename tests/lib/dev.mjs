// `dione dev` running in a project's folder: started on a free port, read along, stopped with Ctrl-C as people do.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { atEnd, binary, run, until, within } from './server.mjs';

class Dev {
  constructor(folder, env) {
    Object.assign(this, { folder, env, stdout: '', stderr: '' });
  }

  start(args) {
    this.child = spawn(binary, ['dev', '--port', '0', ...args], { cwd: this.folder, env: this.env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const name of ['stdout', 'stderr']) this.child[name].setEncoding('utf8').on('data', (text) => { this[name] += text; });
    this.exited = once(this.child, 'close').then(([code, signal]) => ({ code, signal }));
    return this;
  }

  get said() { return `\nstdout:\n${this.stdout}\nstderr:\n${this.stderr}`; }
  get running() { return this.child.exitCode === null && this.child.signalCode === null; }

  /** Waits until one of its streams shows `pattern` behind `from` characters; returns the match. */
  async shows(pattern, { stream = 'stdout', from = 0 } = {}) {
    return until(`dione dev shows ${pattern} on ${stream}`, () => {
      const match = pattern.exec(this[stream].slice(from));
      if (!match && !this.running) assert.fail(`dione dev ended without ${pattern}:${this.said}`);
      return match;
    });
  }

  async ready() {
    [, this.url] = await this.shows(/^Ready on (http:\/\/\S+)$/m);
    return this;
  }

  /** One request: `{status, text, headers, body}`; body is the parsed JSON if it is JSON. */
  async get(path, options) {
    const response = await fetch(new URL(path, this.url), options);
    const text = await response.text();
    let body;
    try { body = JSON.parse(text); } catch { /* not JSON */ }
    return { status: response.status, headers: response.headers, text, body };
  }

  post(path, json) { return this.get(path, { method: 'POST', body: JSON.stringify(json), headers: { 'content-type': 'application/json' } }); }

  /** Another command of ours in the same folder; it must succeed. */
  async dione(...args) {
    const done = await run(binary, args, { cwd: this.folder, env: this.env });
    assert.equal(done.code, 0, `dione ${args.join(' ')} failed with ${done.code}:\n${done.stdout}\n${done.stderr}`);
    return done.stdout;
  }

  /** Ctrl-C: it tidies up and ends with 0. */
  async stop() {
    if (!this.running) return;
    this.child.kill('SIGINT');
    assert.deepEqual(await within('the end of dione dev', this.exited), { code: 0, signal: null }, this.said);
  }
}

function makeDev(owner, folder, env = {}) {
  const clean = { ...process.env, HOME: folder, NO_COLOR: '1' };
  for (const name of ['DIONE_URL', 'DIONE_TOKEN', 'DIONE_DATA', 'CLOUDFLARE_ENV', 'NODE_ENV']) delete clean[name];
  const dev = new Dev(folder, { ...clean, ...env });
  atEnd(owner, async () => {
    if (!dev.child || !dev.running) return;
    dev.child.kill('SIGKILL');
    await dev.exited;
  });
  return dev;
}

/** Runs `dione dev` in `folder` until `owner` ends. */
export const startDev = (owner, folder, { args = [], env } = {}) => makeDev(owner, folder, env).start(args).ready();

/** Runs it where it is expected to end by itself: `{code, stdout, stderr}`. */
export async function failingDev(owner, folder, { args = [], env } = {}) {
  const dev = makeDev(owner, folder, env).start(args);
  const { code } = await within('the end of dione dev', dev.exited);
  return { code, stdout: dev.stdout, stderr: dev.stderr };
}
