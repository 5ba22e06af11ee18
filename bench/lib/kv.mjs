// KV over HTTP against Redis: the same keys and values, the same connections, one command in flight on each, driven by the
// same load generator. Redis answers GET from memory; for SET it runs with appendfsync always, so that on both sides an
// answer means that the disk has it.
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { once } from 'node:events';
import { Server, progress, run } from './measure.mjs';
import { runLoad, startDioneServer, token } from './peers.mjs';

/** Redis serves with one thread; so does this one, and the load generator has the other of two cores to itself. */
export const ONE_LOOP = 'dione, one loop';
const KEYS = 10_000;
const VALUE = 'v'.repeat(100);

export const kvWorkloads = {
  get: { title: 'KV get of a random key, 100-byte values', peer: 'redis' },
  put: { title: 'KV durable put of a random key, 100-byte values', peer: 'redis, appendfsync always', extra: [64] },
};

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  return port;
}

/** A Redis server is a Server whose readiness is that it answers. */
class Redis extends Server {
  async startOn(folder, args) {
    mkdirSync(folder);
    const port = await freePort();
    // Server waits for a line "ready URL"; redis-server says it in words of its own.
    const line = `redis-server --port ${port} --bind 127.0.0.1 --dir "$1" --save "" ${args} & child=$!
      trap 'kill $child; wait $child; exit 0' TERM
      until redis-cli -p ${port} ping >/dev/null 2>&1; do kill -0 $child || exit 1; sleep 0.02; done
      echo "ready http://127.0.0.1:${port}"
      wait $child`;
    return this.start('bash', ['-c', line, 'redis', folder]);
  }
}

/** Sends commands in one go and waits for as many +OK. */
async function fillRedis(port) {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  let text = '';
  for (let key = 1; key <= KEYS; key += 1) {
    const words = ['SET', `key-${key}`, VALUE + key];
    text += `*3\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`;
  }
  socket.write(text);
  let missing = KEYS * '+OK\r\n'.length;
  for await (const part of socket) {
    missing -= part.length;
    if (missing <= 0) break;
  }
  socket.destroy();
}

async function startRedis(scratch, name, folder, args) {
  const server = await new Redis().startOn(join(scratch, folder), args);
  await fillRedis(server.port);
  const requests = {
    get: [{ name: 'get', text: 'GET key-{key}\n', keys: [1, KEYS], expect: `${VALUE}`, minBody: VALUE.length }],
    put: [{ name: 'set', text: `SET key-{key} ${VALUE}{seq}\n`, keys: [1, KEYS], expect: '+OK' }],
  };
  return { name, server, measure: (workload, how) => runLoad(scratch, server, requests[workload], { ...how, redis: true }) };
}

async function startDione(scratch, name = 'dione', options = []) {
  const server = await startDioneServer(join(scratch, `dione-kv-${randomBytes(2).toString('hex')}`), options);
  const path = '/client/v4/accounts/local/storage/kv/namespaces';
  const ask = async (method, at, json) => {
    const answer = await fetch(server.url + at, { method, body: JSON.stringify(json), headers: { authorization: `Bearer ${token}` } });
    const parsed = await answer.json();
    if (!parsed.success) throw new Error(`dione: ${JSON.stringify(parsed)}`);
    return parsed.result;
  };
  const { id } = await ask('POST', path, { title: 'bench' });
  const entries = Array.from({ length: KEYS }, (_, i) => ({ key: `key-${i + 1}`, value: VALUE + (i + 1) }));
  await ask('PUT', `${path}/${id}/bulk`, entries);
  const head = (method) => `${method} ${path}/${id}/values/key-{key} HTTP/1.1\nhost: 127.0.0.1\nauthorization: Bearer ${token}\n`;
  const requests = {
    get: [{ name: 'get', text: head('GET'), keys: [1, KEYS], expect: VALUE, minBody: VALUE.length }],
    put: [{ name: 'put', text: `${head('PUT')}\n${VALUE}{seq}`, keys: [1, KEYS], expect: '"success":true' }],
  };
  return { name, server, measure: (workload, how) => runLoad(scratch, server, requests[workload], how) };
}

/** Cells as those of a workload: { get: [{ connections, results: { dione: [...], redis: [...] } }], put: ... } */
export async function keyValue(scratch, how) {
  const { stdout } = await run('redis-server', ['--version']);
  const dione = await startDione(scratch);
  const oneLoop = await startDione(scratch, ONE_LOOP, ['--threads', '1']);
  const memory = await startRedis(scratch, kvWorkloads.get.peer, 'redis', '--appendonly no');
  const durable = await startRedis(scratch, kvWorkloads.put.peer, 'redis-durable', '--appendonly yes --appendfsync always');
  const measured = { version: /v=(\S+)/.exec(stdout)[1], cells: {} };
  for (const [name, workload] of Object.entries(kvWorkloads)) {
    const sides = name === 'get' ? [dione, oneLoop, memory] : [dione, durable];
    const counts = how.chosen ? how.connections : [...new Set([...how.connections, ...(workload.extra ?? [])])].sort((x, y) => x - y);
    for (const side of sides) await side.measure(name, { connections: 32, seconds: 0.5, warmup: 0 });
    measured.cells[name] = [];
    for (const connections of counts) {
      const results = Object.fromEntries(sides.map((side) => [side.name, []]));
      for (let i = 0; i < how.runs; i += 1) {
        for (let k = 0; k < sides.length; k += 1) { // the first place rotates
          const side = sides[(i + k) % sides.length];
          results[side.name].push(await side.measure(name, { connections, seconds: how.seconds, warmup: how.warmup }));
        }
      }
      progress(`  kv ${name}, ${connections} connections`);
      measured.cells[name].push({ connections, results });
    }
  }
  for (const side of [dione, oneLoop, memory, durable]) await side.server.stop();
  return measured;
}
