// Reads that share a request (src/workers/js/d1.js, POST /reads): every one gets its own answer, whatever happens to the
// others.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { scope, startServer, until } from '../lib/server.mjs';
import { bindingSocket, startWorkerd } from '../lib/workerd.mjs';

const file = scope();
let server;
let socket;
let id;
before(async () => {
  socket = await bindingSocket(file);
  server = await startServer(file, { env: socket.env });
  id = await server.fresh('CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)');
  await server.query(id, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO item SELECT i, 'item ' || i FROM n");
});

const reads = async (json, options) => (await server.request('POST', '/reads', { json, headers: { 'x-d1-database-id': id }, ...options }));

test('each entry is answered for itself, in order', async () => {
  const { status, body } = await reads([{ sql: 'SELECT name FROM item WHERE id = ?', params: [7] }, { sql: 'SELECT 1 AS a, 2 AS a' }]);
  assert.equal(status, 200);
  assert.deepEqual(body.map(({ success, results }) => [success, results]), [
    [true, { columns: ['name'], rows: [['item 7']] }], [true, { columns: ['a', 'a'], rows: [[1, 2]] }]]);
  assert.equal(body[0].meta.rows_read, 1);
});

test('what fails, writes or takes long is left to be asked alone, and harms no other', async () => {
  const odd = ['SELECT nope', 'SELECT', '', 'INSERT INTO item VALUES (5000, 1)', "SELECT 1; INSERT INTO item VALUES (5001, 'x')", 'PRAGMA foreign_keys = OFF', 'SELECT changes()', 'SELECT zeroblob(2000000)',
    'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT count(*) FROM n', 'SELECT ?'];
  const { body } = await reads(odd.flatMap((sql) => [{ sql, params: [] }, { sql: 'SELECT name FROM item WHERE id = 1', params: [] }]));
  for (const [i, sql] of odd.entries()) {
    assert.deepEqual(body[2 * i], { success: false }, sql);
    assert.deepEqual(body[2 * i + 1].results.rows, [['item 1']], `beside ${sql}`);
  }
  assert.equal(await server.value(id, 'SELECT count(*) FROM item WHERE id >= 5000'), 0);
});

test('a request of very many reads holds nobody up: the rest is left to be asked again', async () => {
  const one = { sql: 'SELECT count(*) FROM item WHERE name LIKE ?', params: ['%9%'] };
  const { body } = await reads(Array(10_000).fill(one));
  assert.equal(body.length, 10_000);
  assert.deepEqual(body.at(-1), { success: false });
  const large = await reads(Array(40).fill({ sql: 'SELECT zeroblob(20000)', params: [] }));
  assert.ok(large.text.length < 2 << 20, `${large.text.length} bytes`);
  assert.deepEqual(large.body.at(-1), { success: false });
  const tooLarge = await reads(Array(20_000).fill(one));
  assert.equal(tooLarge.status, 413);
});

test('a database that is not open yet is left to the ordinary way', async () => {
  const cold = await server.fresh('CREATE TABLE t (a)');
  await server.restart();
  const answer = await reads([{ sql: 'SELECT * FROM t' }], { headers: { 'x-d1-database-id': cold } });
  assert.deepEqual(answer.body, [{ success: false }]);
});

test('bodies and tokens are checked as for other requests', async () => {
  assert.equal((await reads([{ sql: 'SELECT 1' }], { token: null })).status, 401);
  assert.match((await reads(undefined, { body: '{' })).body.error, /not valid JSON/);
  assert.match((await reads([{ sql: 1 }])).body.error, /sql must be a string/);
  assert.deepEqual((await reads([])).body, []);
});

const worker = `
const slow = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) SELECT count(*) AS n FROM n';
export default {
  async fetch(request, env) {
    const url = new URL(request.url), key = Number(url.searchParams.get('key'));
    try {
      switch (url.pathname) {
        case '/one': return new Response(await env.DB.prepare('SELECT name FROM item WHERE id = ?').bind(key).first('name'));
        case '/many': return Response.json(await Promise.all(Array.from({ length: 40 }, (_, i) => env.DB.prepare('SELECT id FROM item WHERE id = ?').bind(key + i).first('id'))));
        case '/slow': return new Response(String(await env.DB.prepare('SELECT * FROM (' + slow + ')').bind(key).first('n')));
        case '/wrong': await env.DB.prepare('SELECT nope, ?1').bind(key).all(); return new Response('no error');
        case '/write': return Response.json(await env.DB.prepare('UPDATE counter SET n = n + 1 RETURNING n').first('n'));
        case '/own': {
          const n = await env.DB.prepare('UPDATE counter SET n = n + 1 RETURNING n').first('n');
          const seen = await env.DB.prepare('SELECT n FROM counter').first('n');
          return new Response(seen >= n ? 'fresh' : 'stale');
        }
      }
    } catch (e) { return new Response(e.message, { status: 500 }); }
  },
};`;

const get = async (url) => (await fetch(url)).text();

for (const [date, what] of [['2026-01-01', 'shared'], ['2024-01-01', 'each for itself, by the date of the Worker']]) {
  test(`many requests at once get their own answers: ${what}`, async (t) => {
    const { url, ...running } = await startWorkerd(t, { server, modules: { 'main.js': worker }, socket: socket.path(), d1: { DB: id }, ownApi: true, date });
    await server.query(id, 'CREATE TABLE IF NOT EXISTS counter (n INTEGER); DELETE FROM counter; INSERT INTO counter VALUES (0)');
    for (let round = 0; round < 5; round++) {
      const mixed = Array.from({ length: 120 }, (_, i) => (async () => {
        const key = round * 120 + i + 1;
        switch (i % 6) {
          case 0: return assert.match(await get(`${url}/wrong?key=${key}`), /^D1_ERROR: no such column: nope at offset 7/);
          case 1: return assert.deepEqual(JSON.parse(await get(`${url}/many?key=${key}`)), Array.from({ length: 40 }, (_, k) => key + k));
          case 2: return assert.equal(await get(`${url}/own`), 'fresh');
          default: return assert.equal(await get(`${url}/one?key=${key}`), `item ${key}`);
        }
      })());
      await Promise.all(mixed);
    }
    assert.equal(await server.value(id, 'SELECT n FROM counter'), 100);
    assert.doesNotMatch(running.stderr ?? '', /different request/);
  });
}

test('requests that go away leave the others their answers', async (t) => {
  const { url } = await startWorkerd(t, { server, modules: { 'main.js': worker }, socket: socket.path(), d1: { DB: id }, ownApi: true });
  for (let round = 0; round < 10; round++) {
    const leave = new AbortController();
    const going = Array.from({ length: 30 }, (_, i) => fetch(`${url}/many?key=${i + 1}`, { signal: leave.signal }).catch(() => {}));
    const staying = Array.from({ length: 30 }, (_, i) => get(`${url}/one?key=${i + 1}`));
    await get(`${url}/one?key=1`);
    leave.abort();
    assert.deepEqual(await Promise.all(staying), Array.from({ length: 30 }, (_, i) => `item ${i + 1}`));
    await Promise.all(going);
  }
});

test('quick reads do not wait for slow ones', async (t) => {
  const { url } = await startWorkerd(t, { server, modules: { 'main.js': worker }, socket: socket.path(), d1: { DB: id }, ownApi: true });
  let slowDone = 0;
  const slow = Array.from({ length: 4 }, () => get(`${url}/slow?key=500000`).then((n) => { slowDone += 1; return n; }));
  for (let i = 0; i < 5; i++) assert.deepEqual(await Promise.all([1, 2, 3].map((key) => get(`${url}/one?key=${key}`))), ['item 1', 'item 2', 'item 3']);
  assert.ok(slowDone < 4, 'the quick ones came first');
  assert.deepEqual(await Promise.all(slow), Array(4).fill('500000'));
});

test('a server that goes and comes back is noticed by every read', async (t) => {
  const place = await bindingSocket(t);
  const own = await startServer(t, { env: place.env });
  const database = await own.fresh('CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO item VALUES (1, \'item 1\')');
  own.listen = new URL(own.url).host;
  const { url } = await startWorkerd(t, { server: own, modules: { 'main.js': worker }, d1: { DB: database }, ownApi: true });
  const ask = () => Promise.all(Array.from({ length: 30 }, () => fetch(`${url}/one?key=1`).then(async (r) => [r.status, await r.text()])));
  assert.deepEqual(await ask(), Array(30).fill([200, 'item 1']));
  await own.stop();
  for (const [status] of await ask()) assert.equal(status, 500);
  await own.start();
  await until('all is well again', async () => (await ask()).every(([status, text]) => status === 200 && text === 'item 1'));
});
