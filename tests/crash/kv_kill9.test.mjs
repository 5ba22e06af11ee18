// kill -9 under KV load, again and again: what was acknowledged is there, what was under way is there whole or not at all,
// counters have every addition that was acknowledged, and versions never come twice.
//
// DIONE_CRASH_SEED repeats a run's choices, DIONE_CRASH_ROUNDS sets the number of rounds.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { ok, startServer, tempDir, until } from '../lib/server.mjs';
import { Namespace, patterned } from '../lib/kv.mjs';

const seed = Number(process.env.DIONE_CRASH_SEED ?? Math.floor(Math.random() * 2 ** 31));
const rounds = Number(process.env.DIONE_CRASH_ROUNDS ?? 20);
assert.ok(Number.isSafeInteger(seed) && rounds > 0, 'DIONE_CRASH_SEED and DIONE_CRASH_ROUNDS are numbers');

function randomFrom(start) {
  let state = start >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/** The files as the crash left them, looked at by another SQLite. */
async function examine(server, id, scratch) {
  const copy = join(scratch, 'copy');
  await mkdir(copy);
  for (const suffix of ['', '-wal']) {
    const from = join(server.data, 'kv', id, `db.sqlite${suffix}`);
    if (existsSync(from)) await cp(from, join(copy, `db.sqlite${suffix}`));
  }
  const file = new DatabaseSync(join(copy, 'db.sqlite'));
  try {
    assert.equal(file.prepare('PRAGMA integrity_check').get().integrity_check, 'ok');
    const lost = file.prepare('SELECT count(*) AS n FROM parts WHERE id / 256 NOT IN (SELECT parts FROM entries WHERE parts IS NOT NULL)').get().n;
    assert.equal(lost, 0, 'no piece of a value is left behind');
  } finally {
    file.close();
    await rm(copy, { recursive: true });
  }
}

test(`kill -9 under KV load loses nothing acknowledged in ${rounds} rounds`, async (t) => {
  t.diagnostic(`DIONE_CRASH_SEED=${seed}`);
  const random = randomFrom(seed);
  const server = await startServer(t);
  const scratch = await tempDir(t);
  const ns = await Namespace.make(server);
  const unlessDead = (promise) => promise.catch((error) => { if (server.dying) return undefined; throw error; });
  // A key's owner writes it alone. `known` is what was acknowledged, `maybe` what was sent after that, if anything.
  const writers = Array.from({ length: 8 }, (_, w) => ({ w, keys: new Map(), count: 0, added: 0, sent: 0 }));
  let done = 0;
  let highest = 0n;

  async function write(writer) {
    while (!server.dying) {
      const name = `w${writer.w}/k${random(10)}`;
      const state = writer.keys.get(name) ?? { known: null };
      writer.keys.set(name, state);
      const size = random(12) === 0 ? 66_000 + random(200_000) : random(300);
      state.maybe = random(6) === 0 ? null : Buffer.concat([Buffer.from(`${name} ${done} `), patterned(size, random(1000))]);
      const answer = await unlessDead(state.maybe ? ns.key('PUT', name, { body: state.maybe }) : ns.key('DELETE', name));
      if (!answer) return;
      ok(answer);
      state.known = state.maybe;
      delete state.maybe;
      if (state.known) {
        const version = BigInt(JSON.parse(answer.headers.get('etag')));
        if (version > highest) highest = version;
      }
      done += 1;
      writer.sent += 1;
      const counted = await unlessDead(ns.ask('POST', `/values/count-${writer.w}/increment`, { json: { by: 1 } }));
      if (!counted) return;
      ok(counted);
      writer.added += 1;
    }
  }

  const same = (a, b) => (a === null || b === null ? a === b : a.equals(b));
  for (let round = 0; round < rounds; round += 1) {
    const goal = done + 20 + random(300);
    const working = Promise.all(writers.map(write));
    let failure;
    working.catch((error) => { failure = error; });
    await until('enough is written', () => { if (failure) throw failure; return done >= goal; });
    server.dying = true;
    await server.kill9();
    await working;
    await examine(server, ns.id, scratch);
    server.dying = false;
    await server.start();
    for (const writer of writers) {
      for (const [name, state] of writer.keys) {
        const found = await ns.get(name);
        const is = (value) => value !== undefined && same(found, value);
        assert.ok(is(state.known) || is(state.maybe), `round ${round}: ${name} holds neither what was acknowledged nor what was under way`);
        state.known = found;
        delete state.maybe;
      }
      const count = Number((await ns.text(`count-${writer.w}`)) ?? 0);
      assert.ok(count >= writer.added && count <= writer.sent, `round ${round}: ${writer.added} to ${writer.sent} were added, ${count} are there`);
      writer.added = writer.sent = count;
    }
    const version = BigInt(JSON.parse(await ns.put('probe', `${round}`)));
    assert.ok(version > highest, 'versions go on growing');
    highest = version;
  }
  assert.deepEqual((await readdir(join(server.data, 'tmp'))), [], 'no temporary file stays');
  t.diagnostic(`${done} writes acknowledged`);
  await server.stop();
});
