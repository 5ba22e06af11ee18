// Bindings through a Worker: the same Worker deployed to Dione and run by miniflare, and a Worker that says hello deployed
// beside it. The last is what workerd and the way to it cost alone: nothing behind a binding can be quicker.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { runLoad, startDione, startMiniflare } from './peers.mjs';
import { median, progress, repo, run } from './measure.mjs';
import { ROWS } from './workloads.mjs';

const KEYS = 1000;

/** What is asked; every answer is looked into. */
export const requests = {
  point: { title: 'env.DB point read', path: '/point?key={key}', keys: [1, ROWS], expect: '"id":{key},' },
  update: { title: 'env.DB durable update', path: '/update?key={key}&seq={seq}', keys: [1, ROWS], expect: '"changes":1,' },
  batch: { title: 'env.DB batch of 10 inserts', path: '/batch?key={key}', keys: [1, ROWS], expect: '"results":10' },
  kvGet: { title: 'env.KV get', path: '/kv-get?key={key}', keys: [1, KEYS], expect: '"key":{key},' },
  kvPut: { title: 'env.KV put', path: '/kv-put?key={key}&seq={seq}', keys: [1, KEYS], expect: 'put' },
};
const greeting = { path: '/', expect: 'hello' };

/** Uploads a module as a Worker, as wrangler does. */
async function deploy(dione, name, text, bindings) {
  const form = new FormData();
  form.append('metadata', JSON.stringify({ main_module: 'worker.mjs', compatibility_date: '2026-01-01', bindings }));
  form.append('worker.mjs', new File([text], 'worker.mjs', { type: 'application/javascript+module' }));
  await dione.call('PUT', `/workers/scripts/${name}`, form);
}

/** A Worker as something to measure: the processes of `server`, the address where it answers, its host name there. */
class WorkerPeer {
  constructor(name, scratch, server, url, host) { Object.assign(this, { name, scratch, server, url, host }); }

  async get(path) {
    // fetch() does not let a program choose the host.
    const { stdout } = await run('curl', ['-sS', '--fail-with-body', '-H', `host: ${this.host}`, this.url + path]);
    return stdout;
  }

  measure({ path, keys, expect }, how) {
    const text = `GET ${path} HTTP/1.1\nhost: ${this.host}\n`;
    return runLoad(this.scratch, this.server, [{ name: 'request', text, keys, expect }], how, new URL(this.url).port);
  }
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

/** Dione with both Workers, filled. */
async function startOnDione(scratch, script) {
  const port = await freePort();
  const dione = await startDione(scratch, 'workers', ['--workers-listen', `127.0.0.1:${port}`]);
  await dione.fill();
  const kv = await dione.call('POST', '/storage/kv/namespaces', JSON.stringify({ title: 'bench' }));
  await deploy(dione, 'bench', script, [{ type: 'd1', name: 'DB', id: dione.uuid }, { type: 'kv_namespace', name: 'KV', namespace_id: kv.id }]);
  await deploy(dione, 'hello', "export default { fetch: () => new Response('hello') };", []);
  const peer = (name, host) => new WorkerPeer(name, scratch, dione.server, `http://127.0.0.1:${port}`, host);
  return { dione, worker: peer('dione', 'bench.localhost'), hello: peer('hello-world', 'hello.localhost') };
}

async function startOnMiniflare(scratch) {
  const miniflare = await startMiniflare(scratch, 'workers');
  await miniflare.fill();
  return new WorkerPeer('miniflare', scratch, miniflare.server, miniflare.server.url, '127.0.0.1');
}

export async function bindings(scratch, { runs, seconds, warmup, quick }) {
  const script = readFileSync(join(repo, 'bench/peers/worker.mjs'), 'utf8');
  const { dione, worker, hello } = await startOnDione(scratch, script);
  const miniflare = await startOnMiniflare(scratch);
  for (const peer of [worker, miniflare]) await peer.get(`/kv-fill?key=${KEYS}`);
  const measured = {};
  for (const [name, request] of Object.entries(requests)) {
    measured[name] = [];
    for (const connections of quick ? [32] : [1, 32, 64]) {
      const side = [worker, miniflare, hello];
      const results = Object.fromEntries(side.map((peer) => [peer.name, []]));
      const what = (peer) => (peer === hello ? greeting : request);
      for (const peer of side) await peer.measure(what(peer), { connections, seconds: 0.5, warmup: 0 }); // does not count
      for (let i = 0; i < runs; i += 1)
        for (let k = 0; k < side.length; k += 1) { // the first place rotates
          const peer = side[(i + k) % side.length];
          results[peer.name].push(await peer.measure(what(peer), { connections, seconds, warmup }));
        }
      measured[name].push({ connections, results });
      progress(`  ${name}, ${connections} connections: ` + side.map((peer) =>
        `${peer.name} ${Math.round(median(results[peer.name].map(({ rate }) => rate)))}/s`).join(', '));
    }
  }
  await dione.stop();
  await miniflare.server.stop();
  return measured;
}
