// The binding protocol on the wire, as workerd speaks it, and env.DB on the real workerd over both ways to the server.
// (What each call of env.DB answers is compared with Cloudflare's runtime in tests/differential.)
import assert from 'node:assert/strict';
import { cpSync, existsSync, readdirSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { ok, refused, scope, startServer, tempDir, until } from '../lib/server.mjs';
import { bindingSocket, fixture, startWorkerd } from '../lib/workerd.mjs';

const SESSION = 'x-cf-d1-session-commit-token';
const BOOKMARK = /^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$/;

const file = scope();
let server;
let socket;
let id;
before(async () => {
  socket = await bindingSocket(file);
  server = await startServer(file, { env: socket.env });
  id = await server.fresh("CREATE TABLE t (a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES (1, 'x'), (2, x'00ff')");
});

const ask = (path, json, { headers, database = id, ...rest } = {}) =>
  server.request('POST', path, { json, headers: { 'x-d1-database-id': database, ...headers }, ...rest });

/** The results of a request that must succeed, without their meta. */
async function results(path, json, options) {
  const answer = await ask(path, json, options);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.headers.get('content-type'), 'application/json');
  for (const one of answer.body) assert.ok(one.success === true && typeof one.meta.duration === 'number', answer.text);
  return answer.body.map((one) => one.results);
}

/** The text of a request that must fail, which is one object for the whole of it. */
async function failure(path, json, options) {
  const answer = await ask(path, json, options);
  assert.deepEqual(Object.keys(answer.body), ['success', 'error'], answer.text);
  assert.equal(answer.body.success, false);
  return answer.body.error;
}

const arrays = [{ columns: ['a', 'b'], rows: [[1, 'x'], [2, [0, 255]]] }];
const objects = [[{ a: 1, b: 'x' }, { a: 2, b: [0, 255] }]];
const select = { sql: 'SELECT * FROM t ORDER BY a' };

test('each results format has its shape, and unknown ones get objects', async () => {
  assert.deepEqual(await results('/query?resultsFormat=ROWS_AND_COLUMNS', select), arrays);
  for (const query of ['?resultsFormat=ARRAY_OF_OBJECTS', '?resultsFormat=NONE', '?resultsFormat=other', '?resultsFormat=', '', '?x=1&resultsFormat=NONE']) {
    for (const path of ['/query', '/execute']) assert.deepEqual(await results(path + query, select), objects, path + query);
  }
  assert.deepEqual(await results('/execute?resultsFormat=NONE', { sql: 'UPDATE t SET b = b WHERE 0' }), [[]]);
});

test('an array gives a result each; params may be there, null or missing', async () => {
  assert.deepEqual(await results('/query', [{ sql: 'SELECT ? AS v', params: [1] }, { sql: 'SELECT 2 AS v', params: [] }, { sql: 'SELECT 3 AS v', params: null }, { sql: 'SELECT 4 AS v' }]),
    [[{ v: 1 }], [{ v: 2 }], [{ v: 3 }], [{ v: 4 }]]);
});

test('a text of several statements gives one result, whose meta is about all', async () => {
  const { body: [one, ...more] } = await ask('/query', { sql: 'CREATE TABLE s (n); INSERT INTO s VALUES (1), (2); INSERT INTO s VALUES (3); SELECT n FROM s WHERE n > 1', params: [] });
  assert.deepEqual(more, []);
  assert.deepEqual(one.results, [{ n: 2 }, { n: 3 }]);
  assert.equal(one.meta.changes, 3);
  assert.equal(one.meta.changed_db, true);
  assert.equal(one.meta.last_row_id, 3);
  assert.equal(await failure('/query', { sql: 'SELECT ?; SELECT 1', params: [1] }), 'When executing multiple SQL statements in a single call, only the last statement can have parameters.');
});

test('a failed batch is one failure and leaves nothing', async () => {
  const error = await failure('/query', [{ sql: 'INSERT INTO t VALUES (50, 1)' }, { sql: 'INSERT INTO t VALUES (1, 1)' }]);
  assert.equal(error, 'UNIQUE constraint failed: t.a: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_PRIMARYKEY)');
  assert.deepEqual(await results('/query', { sql: 'SELECT count(*) AS n FROM t WHERE a = 50' }), [[{ n: 0 }]]);
});

test('bodies that are no statements are refused', async () => {
  for (const [body, text] of [['', /not valid JSON/], ['{"sql":', /not valid JSON/], ['1', /objects with sql/], ['"SELECT 1"', /objects with sql/], ['[1]', /objects with sql/], ['{}', /sql must be a string/],
    ['{"sql":1}', /sql must be a string/], ['{"sql":"SELECT 1","params":{}}', /params must be an array/], ['{"sql":"SELECT ?","params":[{}]}', /parameter 1 is an object/], ['[]', /No SQL statements detected/]]) {
    const answer = await ask('/query', undefined, { body });
    assert.equal(answer.body?.success, false, body);
    assert.match(answer.body.error, text, body);
    assert.equal(answer.status, 400);
  }
});

test('dump is refused as production does, and other paths are not known', async () => {
  const dump = await ask('/dump', undefined, { body: '' });
  assert.equal(dump.status, 404);
  assert.match(dump.body.error, /export/);
  for (const path of ['/', '/raw', '/query/x', `/accounts/local/d1/database/${id}/query`]) assert.match(await failure(path, select), /Could not route/, path);
  assert.match((await server.request('GET', '/query', { headers: { 'x-d1-database-id': id } })).body.error, /[Mm]ethod/);
});

test('a token reaches what it may, over the binding as well', async () => {
  const make = async (options) => ok(await server.account('POST', '/dione/tokens', { json: { name: 'binding', ...options } })).token;
  const other = await server.fresh();
  const reader = await make({ database: id, scope: 'read' });
  const writer = await make({ database: id, scope: 'write' });
  assert.deepEqual(await results('/query', { sql: 'SELECT 1 AS v' }, { token: reader }), [[{ v: 1 }]]);
  assert.match(await failure('/query', { sql: 'INSERT INTO t VALUES (60, 1)' }, { token: reader }), /may not write/);
  assert.match(await failure('/query', [{ sql: 'SELECT 1' }, { sql: 'DELETE FROM t' }], { token: reader }), /may not write/);
  assert.match(await failure('/query', select, { token: reader, database: other }), /may not read/);
  assert.deepEqual(await results('/query', { sql: 'INSERT INTO t VALUES (60, 1) RETURNING a' }, { token: writer }), [[{ a: 60 }]]);
  await results('/query', { sql: 'DELETE FROM t WHERE a = 60' });
  assert.match(await failure('/query', select, { token: null }), /Authentication error/);
  assert.match(await failure('/query', select, { token: 'x'.repeat(43) }), /Authentication error/);
});

test('a database that is not there is said so in the words of the binding', async () => {
  for (const database of ['00000000-0000-0000-0000-000000000000', 'nope', '']) assert.match(await failure('/query', select, { database }), /could not be found/);
  const gone = await server.fresh('CREATE TABLE t (a)');
  ok(await server.database(gone, 'DELETE'));
  assert.match(await failure('/query', select, { database: gone }), /could not be found/);
});

const session = async (constraint, json = { sql: 'SELECT 1' }, options) => {
  const answer = await ask('/query', json, { headers: { [SESSION]: constraint }, ...options });
  return { ...answer, bookmark: answer.headers.get(SESSION) };
};

test('a session gets the bookmark of what it saw, and other requests none', async () => {
  assert.equal((await ask('/query', select)).headers.get(SESSION), null);
  let last = '';
  for (const constraint of ['first-unconstrained', 'first-primary', ' first-primary ']) {
    const { bookmark } = await session(constraint);
    assert.match(bookmark, BOOKMARK);
    assert.equal(bookmark, await server.bookmark(id), 'the same name as over REST');
    last = bookmark;
  }
  assert.equal((await session(last)).bookmark, last, 'reading does not move it');
  for (let i = 0; i < 20; i++) {
    const { bookmark } = await session(last, { sql: 'UPDATE t SET b = ? WHERE a = 1', params: [i] });
    assert.ok(bookmark > last && bookmark.localeCompare(last) > 0);
    assert.deepEqual((await session(bookmark, { sql: 'SELECT b FROM t WHERE a = 1' })).body[0].results, [{ b: i }]);
    last = bookmark;
  }
  assert.equal((await session(last, { sql: 'SELECT nope' })).bookmark, null, 'a failure has seen nothing');
});

test('a bookmark of before a restart still counts, on a database that is not open yet', async (t) => {
  const own = await startServer(t);
  const database = await own.fresh('CREATE TABLE t (a); INSERT INTO t VALUES (1)');
  const bookmark = await own.bookmark(database);
  await own.restart();
  const answer = await own.request('POST', '/query', { json: { sql: 'SELECT a FROM t' }, headers: { 'x-d1-database-id': database, [SESSION]: bookmark } });
  assert.deepEqual(answer.body[0].results, [{ a: 1 }]);
  assert.equal(answer.headers.get(SESSION), bookmark);
});

test('text that is no bookmark of this database is answered from the current state', async () => {
  for (const constraint of ['zzzz', 'first', '00000085-0000024c-00004c6d-8e61117bf38d7adb71b934ebbf891683', 'ffffffff-ffffffff-ffffffff-ffffffffffffffffffffffffffffffff', 'x'.repeat(5000)]) {
    const { body, bookmark } = await session(constraint);
    assert.deepEqual(body[0].results, [{ 1: 1 }], constraint);
    assert.equal(bookmark, await server.bookmark(id));
  }
});

test('a bookmark that the database has lost is waited for, then refused; it is served once it is reached', async (t) => {
  const own = await startServer(t);
  const database = await own.fresh('CREATE TABLE t (a)');
  await own.stop();
  const older = join(await tempDir(t), 'older');
  cpSync(own.data, older, { recursive: true });
  await own.start();
  for (let i = 0; i < 3; i++) await own.query(database, 'INSERT INTO t VALUES (?)', [i]);
  const bookmark = await own.bookmark(database);
  await own.stop();

  const back = await startServer(t, { data: older, token: own.token });
  const read = () => back.request('POST', '/query', { json: { sql: 'SELECT count(*) AS n FROM t' }, headers: { 'x-d1-database-id': database, [SESSION]: bookmark } });
  const late = await read();
  assert.equal(late.body.success, false, late.text);
  assert.match(late.body.error, /bookmark.*has not reached/);
  const waiting = read();
  for (let i = 0; i < 3; i++) await back.query(database, 'INSERT INTO t VALUES (?)', [i]);
  assert.deepEqual((await waiting).body[0].results, [{ n: 3 }]);
});

test('many clients at once, over one connection each: every write counts once', async () => {
  await results('/execute', { sql: 'CREATE TABLE counter (n INTEGER); INSERT INTO counter VALUES (0)' });
  await Promise.all(Array.from({ length: 200 }, (_, i) => results(i % 2 ? '/query' : '/execute', { sql: 'UPDATE counter SET n = n + 1' })));
  assert.deepEqual(await results('/query', { sql: 'SELECT n FROM counter' }), [[{ n: 200 }]]);
});

test('the Unix socket serves the same, in a folder that is only ours', async () => {
  const text = await new Promise((settle, fail) => {
    const sent = request({ socketPath: socket.path(), method: 'POST', path: '/query?resultsFormat=ROWS_AND_COLUMNS', headers: { 'x-d1-database-id': id, authorization: `Bearer ${server.token}` } }, (answer) => {
      let body = '';
      answer.setEncoding('utf8').on('data', (part) => { body += part; }).on('end', () => settle(body));
    });
    sent.on('error', fail);
    sent.end(JSON.stringify({ sql: 'SELECT 1 AS a' }));
  });
  assert.deepEqual(JSON.parse(text)[0].results, { columns: ['a'], rows: [[1]] });
  assert.equal(statSync(join(socket.path(), '..')).mode & 0o777, 0o700);
});

test('the folder of the socket goes with its server, and that of a killed one with the next start', async (t) => {
  const place = await bindingSocket(t);
  const own = await startServer(t, { env: place.env });
  const folder = place.env.XDG_RUNTIME_DIR;
  assert.ok(existsSync(place.path()));
  await own.kill9();
  assert.equal(readdirSync(folder).length, 1, 'a killed server leaves it');
  await own.start();
  assert.equal(readdirSync(folder).length, 1, 'and the next one takes its place');
  await own.stop();
  assert.deepEqual(readdirSync(folder), []);
});

const summary = `
export default {
  async fetch(request, env) {
    const insert = await env.DB.prepare('INSERT INTO w (v) VALUES (?) RETURNING id').bind(new Uint8Array([1, 2])).first('id');
    const [one, two] = await env.DB.batch([env.DB.prepare('SELECT v FROM w WHERE id = ?').bind(insert), env.DB.prepare('SELECT 2 AS two')]);
    const session = env.DB.withSession('first-primary');
    await session.prepare('SELECT 1').run();
    const error = await env.DB.prepare('SELECT nope').all().catch((e) => e.message);
    return Response.json({ v: one.results[0].v, two: two.results, bookmark: session.getBookmark(), error });
  },
};`;

for (const way of ['tcp', 'unix']) {
  test(`env.DB on the real workerd, over ${way}`, async (t) => {
    const database = await server.fresh('CREATE TABLE w (id INTEGER PRIMARY KEY, v)');
    const worker = await startWorkerd(t, { server, modules: { 'main.js': summary }, socket: way === 'unix' ? socket.path() : undefined, d1: { DB: database } });
    const answer = await (await fetch(worker.url)).json();
    assert.deepEqual(answer.v, [1, 2]);
    assert.deepEqual(answer.two, [{ two: 2 }]);
    assert.match(answer.bookmark, BOOKMARK);
    assert.equal(answer.error, 'D1_ERROR: no such column: nope at offset 7: SQLITE_ERROR');
  });
}

test('the whole script of the comparison runs without a failure of the server', async (t) => {
  const worker = await startWorkerd(t, { server, modules: await fixture('d1.js'), socket: socket.path(), d1: { DB: await server.fresh() } });
  const cases = await (await fetch(worker.url)).json();
  assert.ok(Object.keys(cases).length > 300);
  for (const [name, { error }] of Object.entries(cases))
    assert.doesNotMatch(JSON.stringify(error ?? ''), /Network connection lost|Failed to parse|internal error/, name);
  await server.assertAlive();
});

test('a Worker whose token is revoked hears why', async (t) => {
  const made = ok(await server.account('POST', '/dione/tokens', { json: { name: 'to go', database: id, scope: 'read' } }));
  const worker = await startWorkerd(t, { server, token: made.token, d1: { DB: id }, modules: { 'main.js': `
    export default { async fetch(request, env) {
      return new Response(await env.DB.prepare('SELECT 1 AS a').first('a').catch((e) => e.message));
    } };` } });
  assert.equal(await (await fetch(worker.url)).text(), '1');
  ok(await server.account('DELETE', `/dione/tokens/${made.id}`));
  assert.match(await until('the token is gone', async () => {
    const text = await (await fetch(worker.url)).text();
    return text === '1' ? undefined : text;
  }), /^D1_ERROR: Authentication error/);
  refused(await server.request('GET', '/user/tokens/verify', { token: made.token }), 401, 1000);
});
