// kill -9 in the middle of work, again and again. What was acknowledged must be there, what was not may be there whole
// or not at all, and the file must be sound: before the server has touched it again, and after.
//
// DIONE_CRASH_SEED repeats a run's choices (the timing of threads and disks it cannot repeat), DIONE_CRASH_ROUNDS sets
// the number of rounds.
import assert from 'node:assert/strict';
import { cp, mkdir, readdir, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { ok, startServer, tempDir, until } from '../lib/server.mjs';
import { contentOf, followImport, md5, put } from '../lib/transfer.mjs';

const seed = Number(process.env.DIONE_CRASH_SEED ?? Math.floor(Math.random() * 2 ** 31));
const rounds = Number(process.env.DIONE_CRASH_ROUNDS ?? 50);
assert.ok(Number.isSafeInteger(seed) && rounds > 0, 'DIONE_CRASH_SEED and DIONE_CRASH_ROUNDS are numbers');

/** A small generator of numbers in [0, n): the same ones for the same seed. */
function randomFrom(start) {
  let state = start >>> 0;
  return (n) => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) % n;
  };
}

/** Looks at a copy of a database's files as the crash left them: recovery by another SQLite must find it sound. */
async function examine(server, id, scratch, look) {
  const copy = join(scratch, 'copy');
  await mkdir(copy);
  try {
    for (const suffix of ['', '-wal']) {
      const from = join(server.data, 'd1', id, `db.sqlite${suffix}`);
      if (existsSync(from)) await cp(from, join(copy, `db.sqlite${suffix}`));
    }
    const file = new DatabaseSync(join(copy, 'db.sqlite'));
    try {
      assert.equal(file.prepare('PRAGMA integrity_check').get().integrity_check, 'ok', 'the file the crash left is sound');
      return look(file);
    } finally { file.close(); }
  } finally { await rm(copy, { recursive: true }); }
}

/** Requests of a server that may die under them: the answer, or undefined when it did. */
const unlessDead = (server, promise) => promise.catch((error) => {
  if (server.dying) return undefined;
  throw error;
});

async function killed(server) {
  server.dying = true;
  await server.kill9();
}

async function comeBack(server, times) {
  server.dying = false;
  const start = performance.now();
  await server.start();
  times.push(performance.now() - start);
}

function report(t, times) {
  const sorted = times.toSorted((a, b) => a - b);
  t.diagnostic(`seed ${seed}, ${times.length} rounds; ready after a crash: median ${sorted[sorted.length >> 1].toFixed(0)} ms, ` +
    `longest ${sorted.at(-1).toFixed(0)} ms`);
}

describe('kill -9', () => {
  test(`of a server under write load loses no acknowledged write in ${rounds} rounds`, async (t) => {
    t.diagnostic(`DIONE_CRASH_SEED=${seed}`);
    const random = randomFrom(seed);
    const server = await startServer(t);
    const scratch = await tempDir(t);
    const times = [];
    const databases = [];
    for (let d = 0; d < 3; d += 1) {
      databases.push({ d, id: await server.fresh(`CREATE TABLE w (writer INTEGER, seq INTEGER, part INTEGER, size INTEGER, filler TEXT, PRIMARY KEY (writer, seq, part));
        CREATE INDEX w_part ON w (part, filler); CREATE TABLE last (writer INTEGER PRIMARY KEY, seq INTEGER)`), bookmark: '' });
    }
    // Four connections each. A writer's sequence goes on over the rounds; `sent` is the one whose answer is unknown.
    const writers = databases.flatMap((database) => [0, 1, 2, 3].map((w) => ({ database, w, acked: -1, sent: -1, done: new Map() })));
    let total = 0;

    async function write(writer) {
      const { database, w } = writer;
      while (!server.dying) {
        const seq = Math.max(writer.sent, writer.acked) + 1;
        const size = 1 + random(6);
        const batch = Array.from({ length: size }, (_, part) => ({ sql: 'INSERT INTO w VALUES (?, ?, ?, ?, ?)',
          params: [w, seq, part, size, 'f'.repeat(random(random(20) === 0 ? 20_000 : 300))] }));
        batch.push({ sql: 'INSERT INTO last VALUES (?1, ?2) ON CONFLICT DO UPDATE SET seq = ?2', params: [w, seq] });
        writer.sent = seq;
        const answer = await unlessDead(server, server.tryBatch(database.id, batch));
        if (!answer) return;
        ok(answer);
        writer.acked = seq;
        writer.done.set(seq, size);
        total += 1;
      }
    }

    /** What the rows say against what was acknowledged. `rows`: writer, seq, how many parts, how many there should be. */
    function check(database, rows, last, when) {
      for (const writer of writers.filter((one) => one.database === database)) {
        const found = new Map(rows.filter((row) => row.writer === writer.w).map((row) => [row.seq, row]));
        for (const [seq, size] of writer.done) assert.equal(found.get(seq)?.n, size, `${when}: acknowledged write ${seq} of writer ${writer.w} in database ${database.d}`);
        for (const [seq, { n, size }] of found) {
          assert.equal(n, size, `${when}: write ${seq} of writer ${writer.w} is there in part`);
          assert.ok(writer.done.has(seq) || seq === writer.sent, `${when}: write ${seq} of writer ${writer.w} was never sent`);
        }
        assert.equal(last.find((row) => row.writer === writer.w)?.seq ?? -1, Math.max(-1, ...found.keys()), `${when}: both tables of writer ${writer.w} agree`);
        writer.found = found;
      }
    }
    const COUNT = 'SELECT writer, seq, count(*) AS n, max(size) AS size FROM w GROUP BY writer, seq';

    for (let round = 0; round < rounds; round += 1) {
      const goal = total + 1 + random(300);
      const working = writers.map(write);
      const watching = Promise.all(databases.map(async (database) => {
        const answer = await unlessDead(server, server.database(database.id, 'GET', '/time_travel/bookmark?'));
        if (answer) database.bookmark = ok(answer).bookmark;
      }));
      const broken = Promise.all([...working, watching]);
      let failure;
      broken.catch((error) => { failure = error; });
      await until('enough writes are acknowledged', () => { if (failure) throw failure; return total >= goal; });
      await killed(server);
      await broken;

      for (const database of databases) {
        await examine(server, database.id, scratch, (file) => check(database, file.prepare(COUNT).all(), file.prepare('SELECT * FROM last').all(), `round ${round}, in the file`));
      }
      await comeBack(server, times);
      for (const database of databases) {
        check(database, await server.rows(database.id, COUNT), await server.rows(database.id, 'SELECT * FROM last'), `round ${round}, after the restart`);
        const bookmark = await server.bookmark(database.id);
        assert.ok(bookmark >= database.bookmark, `round ${round}: the bookmark went back from ${database.bookmark} to ${bookmark}`);
        database.bookmark = bookmark;
        assert.deepEqual(await server.rows(database.id, 'PRAGMA quick_check'), [{ quick_check: 'ok' }]);
      }
      // What was under way has now been decided: from here on it counts as done, or its number is used again.
      for (const writer of writers) {
        if (writer.found.has(writer.sent)) { writer.acked = writer.sent; writer.done.set(writer.sent, writer.found.get(writer.sent).n); }
        writer.sent = writer.acked;
      }
    }
    await server.restart();
    for (const database of databases) check(database, await server.rows(database.id, COUNT), await server.rows(database.id, 'SELECT * FROM last'), 'after an orderly restart');
    t.diagnostic(`${total} batches acknowledged`);
    report(t, times);
    await server.stop();
  });

  test('in the middle of an import leaves the old state or the new one', async (t) => {
    t.diagnostic(`DIONE_CRASH_SEED=${seed}`);
    const random = randomFrom(seed + 1);
    const server = await startServer(t);
    const scratch = await tempDir(t);
    const times = [];
    const id = await server.fresh("CREATE TABLE old (a); INSERT INTO old VALUES ('old'); CREATE TABLE t (g INTEGER, i INTEGER, a TEXT)");
    const outcomes = { before: 0, after: 0 };
    const size = 30_000;
    for (let round = 0; round < 15; round += 1) {
      const before = await contentOf(server, id);
      const statements = Array.from({ length: size / 100 }, (_, s) =>
        `INSERT INTO t VALUES ${Array.from({ length: 100 }, (__, i) => `(${round}, ${s * 100 + i}, '${'x'.repeat(100)}')`).join(',')};`);
      const sql = `DELETE FROM t;\nUPDATE old SET a = 'round ${round}';\n${statements.join('\n')}\nCREATE TABLE round_${round} (a);\n`;
      let acknowledged = false;
      const importing = (async () => {
        const call = (json) => server.database(id, 'POST', '/import', { json });
        const etag = md5(sql);
        const init = ok(await call({ action: 'init', etag }));
        assert.equal((await put(init.upload_url, sql)).status, 200);
        const status = await followImport(server, id, ok(await call({ action: 'ingest', filename: init.filename, etag })));
        assert.equal(status.status, 'complete', JSON.stringify(status));
        acknowledged = true;
      })();
      let failure;
      const ended = importing.catch((error) => { if (!server.dying) failure = error; });
      // The clock of this test: questions that the server answers meanwhile. Some rounds let the import finish.
      const patience = random(8) === 0 ? Infinity : random(400);
      for (let asked = 0; asked < patience && !acknowledged && !failure; asked += 1) await server.request('GET', '/health');
      await killed(server);
      await ended;
      if (failure) throw failure;

      const state = (rows) => (rows.filter((row) => row.g === round).length > 0 ? 'after' : 'before');
      const GROUPS = 'SELECT g, count(*) AS n, count(DISTINCT i) AS d FROM t GROUP BY g';
      const inFile = await examine(server, id, scratch, (file) => state(file.prepare(GROUPS).all()));
      await comeBack(server, times);
      const rows = await server.rows(id, GROUPS);
      const now = state(rows);
      assert.equal(now, inFile, 'the restart neither adds nor takes away');
      if (acknowledged) assert.equal(now, 'after', 'a completed import is there');
      if (now === 'after') {
        assert.deepEqual(rows, [{ g: round, n: size, d: size }], 'the new rows, all of them and no others');
        assert.deepEqual(await server.rows(id, 'SELECT a FROM old'), [{ a: `round ${round}` }]);
        assert.equal(await server.value(id, "SELECT count(*) FROM sqlite_master WHERE name = ?", [`round_${round}`]), 1);
      } else {
        assert.deepEqual(await contentOf(server, id), before, 'everything is as before the import');
      }
      outcomes[now] += 1;
      await server.query(id, "INSERT INTO old VALUES ('writable'); DELETE FROM old WHERE a = 'writable'");
    }
    t.diagnostic(`${outcomes.before} times the old state, ${outcomes.after} times the new one`);
    report(t, times);
  });

  test('while databases are created and deleted leaves each one there or gone', async (t) => {
    t.diagnostic(`DIONE_CRASH_SEED=${seed}`);
    const random = randomFrom(seed + 2);
    const server = await startServer(t);
    const times = [];
    const known = new Map();  // name -> 'there' | 'gone' | 'creating' | 'deleting'
    const ids = new Map();
    let next = 0;
    let done = 0;

    async function work() {
      while (!server.dying) {
        const there = [...known].filter(([, state]) => state === 'there').map(([name]) => name);
        if (there.length > 3 && random(2) === 0) {
          const name = there[random(there.length)];
          known.set(name, 'deleting');
          const answer = await unlessDead(server, server.database(ids.get(name), 'DELETE'));
          if (!answer) return;
          ok(answer);
          known.set(name, 'gone');
        } else {
          const name = `db-${next += 1}`;
          known.set(name, 'creating');
          const answer = await unlessDead(server, server.account('POST', '/d1/database', { json: { name } }));
          if (!answer) return;
          ids.set(name, ok(answer).uuid);
          known.set(name, 'there');
          const filled = await unlessDead(server, server.tryQuery(ids.get(name), 'CREATE TABLE mine (name); INSERT INTO mine VALUES (?)', [name]));
          // Another worker may have deleted it already.
          if (!filled) return;
        }
        done += 1;
      }
    }

    for (let round = 0; round < 20; round += 1) {
      const goal = done + 1 + random(30);
      const broken = Promise.all([work(), work(), work()]);
      let failure;
      broken.catch((error) => { failure = error; });
      await until('enough databases came and went', () => { if (failure) throw failure; return done >= goal; });
      await killed(server);
      await broken;
      await comeBack(server, times);

      const listed = ok(await server.account('GET', '/d1/database?per_page=1000'));
      const names = listed.map(({ name }) => name);
      assert.equal(new Set(names).size, names.length, 'every name once');
      for (const [name, state] of known) {
        if (state === 'there') assert.ok(names.includes(name), `round ${round}: ${name} was created`);
        if (state === 'gone') assert.ok(!names.includes(name), `round ${round}: ${name} was deleted`);
      }
      for (const { name, uuid } of listed) {
        const [{ results }] = await server.query(uuid, 'SELECT count(*) AS n FROM sqlite_master');
        if (results[0].n > 0) assert.deepEqual(await server.rows(uuid, 'SELECT name FROM mine'), [{ name }], 'a database is itself');
        ids.set(name, uuid);
        known.set(name, 'there');
      }
      for (const [name, state] of known) {
        if (names.includes(name)) continue;
        known.set(name, 'gone');
        if (state === 'gone' || random(3) > 0) continue;
        ids.set(name, (await server.create(name)).uuid);  // the name of what was half made is free
        known.set(name, 'there');
      }
      await until('no folder is left of what is gone', async () => {
        const folders = (await readdir(join(server.data, 'd1'))).sort();
        const wanted = [...known].filter(([, state]) => state === 'there').map(([name]) => ids.get(name)).sort();
        return wanted.every((id) => folders.includes(id)) && folders.filter((folder) => !wanted.includes(folder)).length === 0;
      });
    }
    t.diagnostic(`${done} databases came or went`);
    report(t, times);
    await server.stop();
  });
});
