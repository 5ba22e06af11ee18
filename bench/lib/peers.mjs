// The sides of the comparison. Each gives `query(body)` for set-up and checks, and `measure(workload, how)` for a run;
// HTTP peers are all driven by the same load generator with the same bodies.
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { bodyOf, itemInserts, schema } from './workloads.mjs';
import { Server, build, dioneBinary, repo, run } from './measure.mjs';

const load = join(build, 'bench/load');
const inprocess = join(build, 'bench/inprocess');
export const token = randomBytes(24).toString('hex');

/** The environment of a child: nothing of the caller's Dione or Cloudflare set-up reaches it. */
export function cleanEnv(more = {}) {
  const kept = Object.entries(process.env).filter(([name]) => !/^(DIONE|CLOUDFLARE|WRANGLER|NODE)_/.test(name));
  return { ...Object.fromEntries(kept), ...more };
}

let files = 0;
/** One run of the load generator; `port` is the server's own unless another is named. */
export async function runLoad(scratch, server, requests, { connections, seconds, warmup, redis = false }, port = server.port) {
  const args = [...(redis ? ['--redis'] : []), '--port', port, '--connections', connections, '--seconds', seconds, '--warmup', warmup];
  for (const pid of server.pids) args.push('--pid', pid);
  for (const { name, text, keys = [1, 1], weight = 1, expect, minBody = 0 } of requests) {
    const folder = join(scratch, `request-${(files += 1)}`);
    mkdirSync(folder);
    writeFileSync(join(folder, name), text);
    args.push('--request', join(folder, name), '--keys', keys.join('-'), '--weight', weight, '--min-body', minBody);
    if (expect) args.push('--expect', expect);
  }
  server.resetPeak();
  const { stdout, stderr, code } = await run(load, args.map(String), { mayFail: true });
  if (code !== 0) throw new Error(`load on ${server.url}: ${stderr || JSON.parse(stdout).first_error}`);
  return { ...JSON.parse(stdout), peak_kb: server.peakKb };
}

class HttpPeer {
  constructor(name, scratch, server, path) { Object.assign(this, { name, scratch, server, path }); }

  head(path = this.path) {
    return `POST ${path} HTTP/1.1\nhost: 127.0.0.1\nauthorization: Bearer ${token}\ncontent-type: application/json\n\n`;
  }

  async query(body, path = this.path) {
    const answer = await fetch(this.server.url + path, {
      method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body),
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    });
    const parsed = await answer.json();
    if (!answer.ok || !parsed.success) throw new Error(`${this.name}: ${JSON.stringify(parsed).slice(0, 500)}`);
    return parsed.result;
  }

  async rows(sql) { return (await this.query({ sql })).at(-1).results; }

  async fill(rows) {
    for (const sql of schema) await this.query({ sql });
    for (const sql of itemInserts(rows)) await this.query({ sql });
  }

  async measure(workload, how) {
    if (workload.before) await this.query({ sql: workload.before });
    const requests = workload.requests.map((request) => ({ ...request, text: this.head() + bodyOf(request) }));
    const result = await runLoad(this.scratch, this.server, requests, how);
    if (workload.check) {
      const n = Object.values((await this.rows(workload.check.sql))[0])[0];
      if (!workload.check.holds(n, result.requests)) throw new Error(`${this.name}: ${workload.check.sql} gave ${n}`);
    }
    return result;
  }

  stop() { return this.server.stop(); }
}

export async function startDioneServer(folder, options = []) {
  return new Server().start(dioneBinary, ['serve', '--data', folder, '--listen', '127.0.0.1:0', ...options],
    { env: cleanEnv({ DIONE_TOKEN: token }) });
}

const account = '/client/v4/accounts/local';
const databases = `${account}/d1/database`;
export const databasePath = (uuid, action) => `${databases}/${uuid}/${action}`;

export async function createDatabase(peer, name) {
  const { uuid } = await peer.query({ name }, databases);
  return uuid;
}

/** Dione with an empty database; `call` reaches the rest of its API. */
class DionePeer extends HttpPeer {
  async call(method, path, body) {
    const headers = { authorization: `Bearer ${token}` };
    const answer = await fetch(this.server.url + account + path, { method, body, headers });
    const parsed = await answer.json();
    if (!parsed.success) throw new Error(`${method} ${path}: ${JSON.stringify(parsed).slice(0, 500)}`);
    return parsed.result;
  }
}

export async function startDione(scratch, name = 'bench', options) {
  const server = await startDioneServer(join(scratch, `dione-${name}`), options);
  const peer = new DionePeer('dione', scratch, server, null);
  peer.uuid = await createDatabase(peer, name);
  peer.path = databasePath(peer.uuid, 'query');
  return peer;
}

/** The do-nothing answer of a Dione server. */
export function healthOf(dione) {
  const text = 'GET /health HTTP/1.1\nhost: 127.0.0.1\n';
  const requests = [{ name: 'health', text }];
  return { name: '/health', measure: (workload, how) => runLoad(dione.scratch, dione.server, requests, how) };
}

export async function startFastify(scratch) {
  const script = join(repo, 'bench/peers/fastify.mjs');
  const args = ['--no-warnings', script, join(scratch, 'fastify.db'), '0', token];
  const server = await new Server().start(process.execPath, args, { env: cleanEnv({ NODE_ENV: 'production' }) });
  return new HttpPeer('fastify', scratch, server, '/query');
}

export async function startMiniflare(scratch, name = 'bench') {
  const script = join(repo, 'bench/peers/miniflare.mjs');
  const folder = join(scratch, `miniflare-${name}`);
  const server = await new Server().start(process.execPath, ['--no-warnings', script, folder, '0'],
    { env: cleanEnv() });
  return new HttpPeer('miniflare', scratch, server, '/query');
}

export function openInProcess(scratch) {
  const path = join(scratch, 'inprocess.db');
  // Open all the time: the last one to close a database deletes its WAL, and commits that grow a new one are slower.
  const db = new DatabaseSync(path);
  return {
    name: 'in-process',
    only: 1, // one thread asks: there is no second connection
    async fill(rows) {
      for (const sql of ['PRAGMA journal_mode = WAL', 'BEGIN', ...schema, ...itemInserts(rows), 'COMMIT']) db.exec(sql);
    },
    async measure(workload, { seconds, warmup }) {
      if (workload.before) db.exec(workload.before);
      const args = ['--db', path, '--seconds', seconds, '--warmup', warmup];
      for (const { sql, params, keys, rows = 0, times = 1, weight = 1 } of workload.requests) {
        args.push('--sql', sql, '--keys', keys.join('-'), '--rows', rows, '--times', times, '--weight', weight);
        for (const value of params) args.push('--bind', value);
      }
      return JSON.parse((await run(inprocess, args.map(String))).stdout);
    },
    async stop() { db.close(); },
  };
}
