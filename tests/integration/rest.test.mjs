// The REST API as a client with nothing but HTTP sees it: envelope, credentials, databases, queries, bookmarks,
// GraphQL. Every shape here is one that wrangler, the SDK or somebody's script relies on.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { atEnd, ok, refused, scope, startServer, uniqueName, until } from '../lib/server.mjs';

const file = scope();
let server;
before(async () => { server = await startServer(file); });

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const NOBODY = '00000000-0000-4000-8000-000000000000';

describe('envelope and routes', () => {
  test('health answers without a token', async () => {
    const answer = await server.request('GET', '/health', { token: null });
    assert.equal(answer.status, 200);
  });

  test('a success is a full envelope of JSON', async () => {
    const answer = await server.account('GET', '/d1/database');
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get('content-type'), /^application\/json/);
    assert.deepEqual(Object.keys(answer.body).sort(), ['errors', 'messages', 'result', 'result_info', 'success']);
    assert.deepEqual([answer.body.success, answer.body.errors, answer.body.messages], [true, [], []]);
  });

  test('the routes are there with and without /client/v4', async () => {
    const id = await server.fresh('CREATE TABLE t (a)');
    for (const path of ['/user/tokens/verify', '/user', '/accounts', '/memberships', `/accounts/local/d1/database/${id}`,
      `/accounts/local/d1/database/${NOBODY}`]) {
      const [bare, prefixed] = [await server.request('GET', path), await server.request('GET', `/client/v4${path}`)];
      assert.equal(prefixed.status, bare.status, path);
      assert.deepEqual(prefixed.body, bare.body, path);
    }
    const answer = await server.request('POST', `/client/v4/accounts/local/d1/database/${id}/query`,
      { json: { sql: 'SELECT 7 AS seven' } });
    assert.deepEqual(ok(answer)[0].results, [{ seven: 7 }]);
  });

  test('a route that does not exist is 404 with an envelope', async () => {
    for (const path of ['/', '/nothing', '/client/v4', '/client/v4/nothing', '/accounts/local/nothing', '/accounts/local/d1',
      '/accounts/local/d1/databases', '/client/v4/client/v4/accounts']) {
      refused(await server.request('GET', path), 404, 7003);
    }
  });

  test('a method that a route does not have is refused', async () => {
    const { uuid } = await server.create();
    for (const [method, path] of [['DELETE', '/accounts'], ['GET', `/accounts/local/d1/database/${uuid}/query`],
      ['PUT', '/accounts/local/d1/database']]) {
      const answer = await server.request(method, path);
      assert.ok([404, 405].includes(answer.status), `${method} ${path}: HTTP ${answer.status}`);
      assert.equal(answer.body?.success, false);
    }
  });

  test('an account that is not ours is refused with 7403', async () => {
    refused(await server.request('GET', '/accounts/0123456789abcdef0123456789abcdef/d1/database'), 403, 7403);
  });

  test('a body needs no content type, and may come in chunks', async () => {
    const id = await server.fresh();
    const asText = await server.database(id, 'POST', '/query',
      { body: '{"sql":"SELECT 1 AS a"}', headers: { 'content-type': 'text/plain;charset=UTF-8' } });
    assert.deepEqual(ok(asText)[0].results, [{ a: 1 }]);
    const parts = ['{"sql":', '"SELECT ', '2 AS a', '"}'].map((part) => new TextEncoder().encode(part));
    const chunked = await server.database(id, 'POST', '/query', { body: ReadableStream.from(parts), duplex: 'half' });
    assert.deepEqual(ok(chunked)[0].results, [{ a: 2 }]);
  });

  test('many requests on one connection each get their own answer', async () => {
    const id = await server.fresh();
    const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => server.value(id, `SELECT ${i}`)));
    assert.deepEqual(answers, Array.from({ length: 200 }, (_, i) => i));
  });
});

describe('credentials', () => {
  const ask = (headers) => server.request('GET', '/accounts/local/d1/database', { token: null, headers });

  test('a token is taken from Authorization, X-API-Key or X-Auth-Key', async () => {
    ok(await ask({ authorization: `Bearer ${server.token}` }));
    ok(await ask({ authorization: `bearer ${server.token}` }));
    ok(await ask({ 'x-api-key': server.token }));
    ok(await ask({ 'x-auth-email': 'someone@example.com', 'x-auth-key': server.token }));
  });

  test('a missing token is 401 with code 10000, on every route but health', async () => {
    for (const [method, path] of [['GET', '/accounts'], ['GET', '/user'], ['GET', '/memberships'],
      ['GET', '/accounts/local/d1/database'], ['POST', '/accounts/local/d1/database'],
      ['GET', `/accounts/local/d1/database/${NOBODY}`], ['POST', `/accounts/local/d1/database/${NOBODY}/query`],
      ['GET', `/accounts/local/d1/database/${NOBODY}/export/sqlite`], ['GET', '/accounts/local/dione/tokens']]) {
      refused(await server.request(method, path, { token: null }), 401, 10000);
    }
    assert.ok([401, 403].includes((await server.request('POST', '/graphql', { token: null, json: {} })).status));
  });

  test('a wrong token is refused with code 10000, whatever its form', async () => {
    for (const token of ['x', `${server.token}x`, server.token.slice(1), server.token.toUpperCase(), 'a'.repeat(5000)]) {
      refused(await ask({ authorization: `Bearer ${token}` }), [401, 403], 10000);
      refused(await ask({ 'x-api-key': token }), [401, 403], 10000);
    }
    refused(await ask({ authorization: `Basic ${btoa(`user:${server.token}`)}` }), [401, 403], 10000);
    refused(await ask({ authorization: 'Bearer' }), [401, 403], 10000);
    refused(await ask({ authorization: server.token }), [401, 403], 10000);
  });

  test('an unknown token cannot tell which databases exist', async () => {
    const { uuid } = await server.create();
    const [real, unreal] = await Promise.all([uuid, NOBODY].map((id) => server.database(id, 'GET', '', { token: 'wrong' })));
    assert.deepEqual([real.status, real.body.errors], [unreal.status, unreal.body.errors]);
  });
});

describe('identity', () => {
  test('the token verifies as active', async () => {
    const result = ok(await server.request('GET', '/user/tokens/verify'));
    assert.equal(result.status, 'active');
    assert.equal(typeof result.id, 'string');
  });

  test('the user has an id and an email', async () => {
    const user = ok(await server.request('GET', '/user'));
    assert.equal(typeof user.id, 'string');
    assert.match(user.email, /@/);
  });

  test('accounts and memberships name the account local, with a page count', async () => {
    for (const [path, accountOf] of [['/accounts', (entry) => entry], ['/memberships', (entry) => entry.account]]) {
      const answer = await server.request('GET', `${path}?page=1`);
      assert.deepEqual(ok(answer).map((entry) => accountOf(entry).id), ['local']);
      assert.equal(typeof accountOf(answer.body.result[0]).name, 'string');
      const { page, count, total_count: total } = answer.body.result_info;
      assert.deepEqual([page, count, total], [1, 1, 1]);
      assert.deepEqual(ok(await server.request('GET', `${path}?page=2`)), [], 'the second page is empty');
    }
    assert.ok(Array.isArray(ok(await server.request('GET', '/memberships'))[0].roles));
  });
});

describe('databases', () => {
  test('a new database is described completely', async () => {
    const name = uniqueName();
    const made = await server.create(name);
    assert.match(made.uuid, UUID);
    assert.equal(made.name, name);
    assert.equal(new Date(made.created_at).toISOString(), made.created_at);
    assert.notEqual(made.version, 'alpha');
    assert.equal(made.num_tables, 0);
    assert.equal(typeof made.file_size, 'number');
    assert.deepEqual(made.read_replication, { mode: 'disabled' });
    const seen = ok(await server.database(made.uuid, 'GET'));
    for (const field of ['uuid', 'name', 'created_at', 'version', 'num_tables', 'file_size', 'read_replication']) {
      assert.ok(field in seen, `GET gives ${field}`);
    }
    assert.deepEqual([seen.uuid, seen.name, seen.created_at], [made.uuid, name, made.created_at]);
  });

  test('the number of tables and the size follow the content', async () => {
    const id = await server.fresh('CREATE TABLE a (x); CREATE TABLE b (x); CREATE INDEX i ON a (x)');
    const first = ok(await server.database(id, 'GET'));
    assert.equal(first.num_tables, 2);
    await server.query(id, `INSERT INTO a SELECT hex(randomblob(500)) FROM
      (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 500) SELECT n FROM c)`);
    const second = ok(await server.database(id, 'GET'));
    assert.ok(second.file_size > first.file_size + 500_000, `${first.file_size} then ${second.file_size}`);
  });

  test('the options of wrangler and the SDK are taken at creation', async () => {
    const made = ok(await server.account('POST', '/d1/database', { json: { name: uniqueName(),
      primary_location_hint: 'weur', read_replication: { mode: 'auto' } } }));
    assert.deepEqual(made.read_replication, { mode: 'auto' });
  });

  test('a name that is taken is refused with 7502', async () => {
    const { name } = await server.create();
    refused(await server.account('POST', '/d1/database', { json: { name } }), 400, 7502, /exist/);
  });

  test('twenty creations of one name at once make one database', async () => {
    const name = uniqueName('race');
    const answers = await Promise.all(Array.from({ length: 20 }, () => server.account('POST', '/d1/database', { json: { name } })));
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
    for (const answer of answers.filter(({ status }) => status !== 200)) refused(answer, 400, 7502);
  });

  test('a creation without a proper name is refused', async () => {
    for (const json of [{}, { name: '' }, { name: 7 }, { name: null }, { name: ['a'] }, [], 'text', 7, null,
      { name: 'a'.repeat(5000) }, { name: 'a/b' }, { name: '../up' }, { name: 'line\nbreak' }, { name: 'nul\u0000' }]) {
      refused(await server.account('POST', '/d1/database', { json }), 400, 7400);
    }
  });

  test('a database is found by its name where its id would stand', async () => {
    const name = uniqueName('My_Name-with.parts');
    const { uuid } = await server.create(name);
    assert.equal(ok(await server.account('GET', `/d1/database/${encodeURIComponent(name)}`)).uuid, uuid);
    const escaped = [...name].map((c) => `%${c.charCodeAt(0).toString(16)}`).join('');
    assert.equal(ok(await server.account('GET', `/d1/database/${escaped}?fields=uuid%2Cname`)).uuid, uuid);
  });

  test('fields cut the answer down, in the form of wrangler and that of the SDK', async () => {
    const { uuid, name } = await server.create();
    for (const query of ['fields=uuid%2Cname', 'fields=uuid,name', 'fields=uuid&fields=name']) {
      assert.deepEqual(ok(await server.database(uuid, 'GET', `?${query}`)), { uuid, name }, query);
    }
    const one = ok(await server.database(uuid, 'GET', '?fields=name'));
    assert.ok(one.name === name && !('created_at' in one) && !('file_size' in one), JSON.stringify(one));
  });

  test('a database that is not there is HTTP 404 with code 7404 everywhere', async () => {
    for (const id of [NOBODY, 'no-such-name', 'ffffffff', '..', '%00']) {
      refused(await server.account('GET', `/d1/database/${id === '..' ? '%2e%2e' : id}`), 404, [7404, 7003]);
    }
    refused(await server.database(NOBODY, 'GET', '?fields=uuid,name'), 404, 7404);
    refused(await server.database('no-such-name', 'GET'), 404, 7404);
    const sql = { json: { sql: 'SELECT 1' } };
    for (const [method, path, options] of [['POST', '/query', sql], ['POST', '/raw', sql],
      ['POST', '/export', { json: { output_format: 'polling' } }],
      ['POST', '/import', { json: { action: 'init', etag: 'd41d8cd98f00b204e9800998ecf8427e' } }],
      ['GET', '/time_travel/bookmark'], ['GET', '/export/sqlite'], ['DELETE', ''],
      ['PATCH', '', { json: { read_replication: { mode: 'auto' } } }],
      ['PUT', '', { json: { read_replication: { mode: 'auto' } } }]]) {
      refused(await server.database(NOBODY, method, path, options), 404, 7404);
    }
  });

  test('read replication is changed by PATCH and PUT, and wrong values are refused', async () => {
    const { uuid } = await server.create();
    for (const [method, mode] of [['PATCH', 'auto'], ['PUT', 'disabled'], ['PUT', 'auto']]) {
      assert.equal(ok(await server.database(uuid, method, '', { json: { read_replication: { mode } } })).read_replication.mode, mode);
      assert.equal(ok(await server.database(uuid, 'GET')).read_replication.mode, mode);
    }
    for (const json of [{ read_replication: { mode: 'sometimes' } }, { read_replication: 'auto' }, { read_replication: { mode: 1 } }, []]) {
      refused(await server.database(uuid, 'PATCH', '', { json }), 400, 7400);
      refused(await server.database(uuid, 'PUT', '', { json }), 400, 7400);
    }
    refused(await server.database(uuid, 'PUT', '', { json: {} }), 400, 7400);
    assert.equal(ok(await server.database(uuid, 'GET')).read_replication.mode, 'auto');
  });

  test('a deleted database is gone, its folder too, and its name is free again', async () => {
    const { uuid, name } = await server.create();
    await server.query(uuid, 'CREATE TABLE t (a); INSERT INTO t VALUES (1)');
    const folder = join(server.data, 'd1', uuid);
    assert.ok(existsSync(join(folder, 'db.sqlite')), 'the database lies where the design says');
    const answer = await server.database(uuid, 'DELETE');
    assert.equal(ok(answer), null);
    refused(await server.database(uuid, 'GET'), 404, 7404);
    refused(await server.tryQuery(uuid, 'SELECT 1'), 404, 7404);
    refused(await server.database(uuid, 'DELETE'), 404, 7404);
    await until('the folder of the deleted database is gone', () => !existsSync(folder));
    const again = await server.create(name);
    assert.notEqual(again.uuid, uuid);
    refused(await server.tryQuery(again.uuid, 'SELECT * FROM t'), 400, 7500, /no such table: t/);
  });

  test('a database and its content outlive a restart', async (t) => {
    const own = await startServer(t);
    const made = await own.create('lasting');
    await own.query(made.uuid, "CREATE TABLE t (a); INSERT INTO t VALUES ('still here')");
    await own.restart();
    const seen = ok(await own.database('lasting', 'GET'));
    assert.deepEqual([seen.uuid, seen.created_at], [made.uuid, made.created_at]);
    assert.equal(await own.value(made.uuid, 'SELECT a FROM t'), 'still here');
  });

  test('a database keeps its plain SQLite file, which says so while the server is stopped', async (t) => {
    const own = await startServer(t);
    const id = await own.fresh("CREATE TABLE t (a); INSERT INTO t VALUES ('plain')");
    await own.stop();
    const { DatabaseSync } = await import('node:sqlite');
    const file = new DatabaseSync(join(own.data, 'd1', id, 'db.sqlite'), { readOnly: true });
    atEnd(t, () => file.close());
    assert.deepEqual({ ...file.prepare('SELECT a FROM t').get() }, { a: 'plain' });
    assert.deepEqual({ ...file.prepare('PRAGMA integrity_check').get() }, { integrity_check: 'ok' });
  });
});

describe('the list of databases', () => {
  let own;
  const names = Array.from({ length: 23 }, (_, i) => `list-${String(i).padStart(2, '0')}`);
  before(async () => {
    own = await startServer(file);
    for (const name of names) await own.create(name);
  });

  test('pages of ten come as 10, 10, 3 and an empty one, with right totals', async () => {
    const seen = [];
    for (const [page, count] of [[1, 10], [2, 10], [3, 3], [4, 0], [5, 0]]) {
      const answer = await own.account('GET', `/d1/database?page=${page}&per_page=10`);
      assert.equal(ok(answer).length, count, `page ${page}`);
      const { result_info: info } = answer.body;
      assert.deepEqual([info.page, info.per_page, info.count, info.total_count], [page, 10, count, 23]);
      seen.push(...answer.body.result.map(({ name }) => name));
    }
    assert.deepEqual(seen.toSorted(), names, 'every database once');
  });

  test('a big page holds all, with the fields of a list entry', async () => {
    const all = ok(await own.account('GET', '/d1/database?per_page=1000&page=1'));
    assert.equal(all.length, 23);
    for (const entry of all) {
      for (const field of ['uuid', 'name', 'version', 'created_at']) assert.equal(typeof entry[field], 'string', field);
    }
  });

  test('the loop of the SDK, which asks until a page is empty, ends', async () => {
    const seen = [];
    for (let page = 1; ; page += 1) {
      assert.ok(page < 50, 'the pages never end');
      const entries = ok(await own.account('GET', `/d1/database?page=${page}&per_page=7`));
      if (entries.length === 0) break;
      seen.push(...entries.map(({ uuid }) => uuid));
    }
    assert.equal(new Set(seen).size, 23);
  });

  test('a name filters the list', async () => {
    const answer = await own.account('GET', '/d1/database?name=list-07');
    assert.deepEqual(ok(answer).map(({ name }) => name), ['list-07']);
    assert.equal(answer.body.result_info.total_count, 1);
    assert.deepEqual(ok(await own.account('GET', '/d1/database?name=nothing-like-it')), []);
  });

  test('page numbers that make no sense are refused', async () => {
    for (const query of ['page=0', 'page=-1', 'page=x', 'per_page=0', 'per_page=-5', 'per_page=x', 'page=99999999999999999999']) {
      refused(await own.account('GET', `/d1/database?${query}`), 400, 7400);
    }
  });
});

describe('queries', () => {
  test('query gives objects and raw gives columns and rows', async () => {
    const id = await server.fresh("CREATE TABLE t (a INTEGER, b TEXT); INSERT INTO t VALUES (1, 'x'), (2, NULL)");
    const sql = 'SELECT a, b FROM t ORDER BY a';
    const [objects] = await server.query(id, sql);
    assert.deepEqual(Object.keys(objects).sort(), ['meta', 'results', 'success']);
    assert.equal(objects.success, true);
    assert.deepEqual(objects.results, [{ a: 1, b: 'x' }, { a: 2, b: null }]);
    const [arrays] = ok(await server.database(id, 'POST', '/raw', { json: { sql } }));
    assert.equal(arrays.success, true);
    assert.deepEqual(arrays.results, { columns: ['a', 'b'], rows: [[1, 'x'], [2, null]] });
    assert.deepEqual(Object.keys(arrays.meta).sort(), Object.keys(objects.meta).sort());
  });

  test('a statement without rows gives empty results in both forms', async () => {
    const id = await server.fresh('CREATE TABLE t (a, b)');
    assert.deepEqual((await server.query(id, 'INSERT INTO t VALUES (1, 2)'))[0].results, []);
    assert.deepEqual((await server.query(id, 'SELECT * FROM t WHERE 0'))[0].results, []);
    const [{ results }] = ok(await server.database(id, 'POST', '/raw', { json: { sql: 'SELECT a, b FROM t WHERE 0' } }));
    assert.deepEqual(results, { columns: ['a', 'b'], rows: [] });
    const [written] = ok(await server.database(id, 'POST', '/raw', { json: { sql: 'DELETE FROM t' } }));
    assert.deepEqual(written.results.rows, []);
    assert.ok(Array.isArray(written.results.columns));
  });

  test('columns of the same name stay apart in raw', async () => {
    const id = await server.fresh();
    const [{ results }] = ok(await server.database(id, 'POST', '/raw', { json: { sql: 'SELECT 1 AS a, 2 AS a, 3 AS "odd "" \n name"' } }));
    assert.deepEqual(results, { columns: ['a', 'a', 'odd " \n name'], rows: [[1, 2, 3]] });
  });

  test('meta has exactly its fields, each of its type', async () => {
    const id = await server.fresh('CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a)');
    const [{ meta }] = await server.query(id, 'INSERT INTO t (a) VALUES (1)');
    const types = Object.fromEntries(Object.entries(meta).map(([key, value]) => [key, typeof value]));
    assert.deepEqual(types, { served_by: 'string', served_by_region: 'string', served_by_colo: 'string',
      served_by_primary: 'boolean', timings: 'object', duration: 'number', changes: 'number', last_row_id: 'number',
      changed_db: 'boolean', size_after: 'number', rows_read: 'number', rows_written: 'number', total_attempts: 'number' });
    assert.deepEqual(Object.keys(meta.timings), ['sql_duration_ms']);
    assert.equal(typeof meta.timings.sql_duration_ms, 'number');
    assert.equal(meta.total_attempts, 1);
    assert.equal(meta.served_by_primary, true);
    assert.ok(meta.duration >= 0);
  });

  test('meta counts changes, row ids, size and rows as D1 does', async () => {
    const id = await server.fresh('CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a)');
    const meta = async (sql, params) => {
      const { changes, last_row_id: last, changed_db: changed, rows_read: read, rows_written: written, size_after: size } =
        (await server.query(id, sql, params)).at(-1).meta;
      assert.equal(size % 4096, 0, `size_after of ${sql}`);
      return { changes, last, changed, read, written };
    };
    assert.deepEqual(await meta('INSERT INTO t (a) VALUES (10)'), { changes: 1, last: 1, changed: true, read: 1, written: 2 });
    assert.deepEqual(await meta('INSERT INTO t (a) VALUES (?), (?), (?)', [1, 2, 3]),
      { changes: 3, last: 4, changed: true, read: 1, written: 4 });
    assert.deepEqual(await meta('SELECT * FROM t'), { changes: 0, last: 4, changed: false, read: 4, written: 0 });
    assert.deepEqual(await meta('SELECT * FROM t WHERE id = 2'), { changes: 0, last: 4, changed: false, read: 1, written: 0 });
    assert.deepEqual(await meta('DELETE FROM t WHERE id = 4'), { changes: 1, last: 4, changed: true, read: 1, written: 1 });
    assert.equal((await meta('SELECT count(*) FROM t')).read, 3);
    const index = await meta('CREATE INDEX i ON t (a)');
    assert.deepEqual([index.read, index.written], [8, 4]);
    const nothing = await meta('UPDATE t SET a = 0 WHERE id = 99');
    assert.deepEqual([nothing.changes, nothing.last, nothing.changed, nothing.written], [0, 4, false, 0]);
  });

  test('several statements in one text give one result each, comments and empty ones aside', async () => {
    const id = await server.fresh();
    const results = await server.query(id, `-- a comment; with a semicolon
      CREATE TABLE t (a); /* another ; one */
      INSERT INTO t VALUES ('; not an end');;
      CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET a = a || '!'; SELECT 1; END;
      INSERT INTO t VALUES ('two'); SELECT a FROM t ORDER BY rowid;
      -- the end`);
    assert.equal(results.length, 5);
    assert.deepEqual(results.map(({ success }) => success), [true, true, true, true, true]);
    assert.deepEqual(results[4].results, [{ a: '; not an end!' }, { a: 'two!' }]);
  });

  test('a batch gives one result for each statement, in order', async () => {
    const id = await server.fresh('CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)');
    const results = await server.batch(id, [{ sql: 'INSERT INTO t (a) VALUES (?)', params: ['one'] },
      { sql: 'INSERT INTO t (a) VALUES (?)', params: ['two'] }, { sql: 'SELECT a FROM t ORDER BY id' },
      { sql: 'SELECT count(*) AS n FROM t', params: [] }]);
    assert.deepEqual(results.map(({ results: rows }) => rows), [[], [], [{ a: 'one' }, { a: 'two' }], [{ n: 2 }]]);
    assert.deepEqual(results.map(({ meta }) => meta.changes), [1, 1, 0, 0]);
    assert.deepEqual(results.map(({ meta }) => meta.last_row_id), [1, 2, 2, 2]);
    const raw = ok(await server.database(id, 'POST', '/raw', { json: { batch: [{ sql: 'SELECT 1 AS x' }, { sql: 'SELECT 2 AS y' }] } }));
    assert.deepEqual(raw.map(({ results: rows }) => rows), [{ columns: ['x'], rows: [[1]] }, { columns: ['y'], rows: [[2]] }]);
  });

  test('a batch or text that fails anywhere leaves nothing behind', async () => {
    const id = await server.fresh('CREATE TABLE t (a UNIQUE)');
    const bad = [{ sql: 'INSERT INTO t VALUES (1)' }, { sql: 'CREATE TABLE made (x)' }, { sql: 'INSERT INTO t VALUES (1)' },
      { sql: 'INSERT INTO t VALUES (3)' }];
    refused(await server.tryBatch(id, bad), 400, 7500, /UNIQUE constraint failed: t\.a/);
    refused(await server.tryQuery(id, bad.map(({ sql }) => sql).join(';')), 400, 7500, /UNIQUE constraint failed: t\.a/);
    refused(await server.tryQuery(id, 'INSERT INTO t VALUES (5); SELECT * FROM nowhere'), 400, 7500, /no such table: nowhere/);
    refused(await server.tryQuery(id, 'INSERT INTO t VALUES (6); INSERT INTO t VALUES'), 400, 7500, /incomplete input/);
    assert.equal(await server.value(id, 'SELECT count(*) FROM t'), 0);
    assert.deepEqual(await server.rows(id, "SELECT name FROM sqlite_master WHERE name = 'made'"), []);
  });

  test('parameters of every kind arrive as D1 binds them', async () => {
    const id = await server.fresh();
    const typed = async (value) => {
      const [row] = await server.rows(id, "SELECT typeof(?1) AS type, ?1 || '' AS text", [value]);
      return [row.type, row.text];
    };
    assert.deepEqual(await typed('täxt \u{1F600}'), ['text', 'täxt \u{1F600}']);
    assert.deepEqual(await typed(''), ['text', '']);
    assert.deepEqual(await typed(1), ['real', '1.0']);
    assert.deepEqual(await typed(-2.5), ['real', '-2.5']);
    assert.deepEqual(await typed(null), ['null', null]);
    assert.equal(await server.value(id, 'SELECT ?1 = 1', [true]), 1);
    assert.equal(await server.value(id, 'SELECT ?1 = 0', [false]), 1);
    assert.deepEqual(await server.rows(id, 'SELECT typeof(?1) AS t, hex(?1) AS h, ?1 AS b', [[0, 1, 254, 255]]),
      [{ t: 'blob', h: '0001FEFF', b: [0, 1, 254, 255] }]);
    assert.deepEqual(await server.rows(id, 'SELECT typeof(?1) AS t, length(?1) AS n', [[]]), [{ t: 'blob', n: 0 }]);
    assert.deepEqual(await server.rows(id, 'SELECT :a AS a, @b AS b, $c AS c, ? AS d', ['1', '2', '3', '4']),
      [{ a: '1', b: '2', c: '3', d: '4' }]);
    assert.deepEqual(await server.rows(id, 'SELECT ?2 AS two, ?1 AS one', ['1', '2']), [{ two: '2', one: '1' }]);
  });

  test('a number in an INTEGER column is stored as an integer', async () => {
    const id = await server.fresh('CREATE TABLE t (i INTEGER, x, s TEXT)');
    await server.query(id, 'INSERT INTO t VALUES (?1, ?1, ?1)', [3]);
    assert.deepEqual(await server.rows(id, 'SELECT typeof(i) AS i, typeof(x) AS x, s FROM t'), [{ i: 'integer', x: 'real', s: '3.0' }]);
  });

  test('integers beyond 2^53 are exact on the way in and out', async () => {
    const id = await server.fresh('CREATE TABLE t (a)');
    const big = ['9007199254740993', '9223372036854775807', '-9223372036854775808'];
    for (const digits of big) {
      const path = `/accounts/local/d1/database/${id}/query`;
      const inserted = await server.request('POST', path, { body: `{"sql":"INSERT INTO t VALUES (?) RETURNING a","params":[${digits}]}` });
      ok(inserted);
      assert.ok(inserted.text.includes(`{"a":${digits}}`), inserted.text);
    }
    const answer = await server.tryQuery(id, 'SELECT a, typeof(a) AS t FROM t ORDER BY rowid');
    for (const digits of big) assert.ok(answer.text.includes(`{"a":${digits},"t":"integer"}`), answer.text);
  });

  test('doubles arrive and leave without losing a bit', async () => {
    const id = await server.fresh('CREATE TABLE t (a REAL)');
    const numbers = [0.1, 1 / 3, 1e300, 5e-324, 1.7976931348623157e308, -123456.789, 2 ** 53, 1e21, 123456789012345680000];
    for (const number of numbers) {
      const [row] = await server.rows(id, 'INSERT INTO t VALUES (?) RETURNING a, a = ?1 AS same', [number]);
      assert.deepEqual(row, { a: number, same: 1 });
    }
  });

  test('text of every kind comes back as it was', async () => {
    const id = await server.fresh('CREATE TABLE t (a TEXT)');
    for (const text of ['quote " and \\ and \' here', 'tab\tnewline\ncr\rbell\u0007', 'nul\u0000inside', '\u2028\u2029</script>',
      'é ß 漢字 \u{1F3CE}\u{FE0F}', 'x'.repeat(1_000_000)]) {
      assert.equal(await server.value(id, 'INSERT INTO t VALUES (?) RETURNING a', [text]), text);
    }
  });

  test('in a text of several statements the parameters belong to the last', async () => {
    const id = await server.fresh();
    const results = await server.query(id, 'CREATE TABLE t (a); INSERT INTO t VALUES (1); SELECT a, ?1 AS p FROM t', ['x']);
    assert.deepEqual(results.map(({ results: rows }) => rows), [[], [], [{ a: 1, p: 'x' }]]);
  });

  test('a wrong number of parameters is refused', async () => {
    const id = await server.fresh();
    for (const [sql, params] of [['SELECT ?', []], ['SELECT ?', undefined], ['SELECT 1', [1]], ['SELECT ?2', [1]], ['SELECT ?, ?', [1, 2, 3]]]) {
      refused(await server.tryQuery(id, sql, params), 400, 7500, /Wrong number of parameter bindings for SQL query\./);
    }
  });

  test('SQL errors are HTTP 400, code 7500, with the words of D1', async () => {
    const id = await server.fresh(`CREATE TABLE u (a UNIQUE, b NOT NULL); INSERT INTO u VALUES (1, 1);
      CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1);
      CREATE TABLE c (t REFERENCES t (id)); CREATE TABLE k (a CHECK (a > 0))`);
    for (const [sql, message] of [
      ['selec 1', 'near "selec": syntax error at offset 0: SQLITE_ERROR'],
      ['SELECT * FROM nope', /^no such table: nope( at offset \d+)?: SQLITE_ERROR$/],
      ['SELECT nocol', 'no such column: nocol at offset 7: SQLITE_ERROR'],
      ['INSERT INTO u VALUES (1, 2)', 'UNIQUE constraint failed: u.a: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)'],
      ['INSERT INTO t VALUES (1)', 'UNIQUE constraint failed: t.id: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_PRIMARYKEY)'],
      ['INSERT INTO u VALUES (2, NULL)', 'NOT NULL constraint failed: u.b: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_NOTNULL)'],
      ['INSERT INTO c VALUES (9)', 'FOREIGN KEY constraint failed: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_FOREIGNKEY)'],
      ['INSERT INTO k VALUES (0)', /^CHECK constraint failed: .*: SQLITE_CONSTRAINT \(extended: SQLITE_CONSTRAINT_CHECK\)$/],
      ["INSERT INTO t VALUES ('x')", 'datatype mismatch: SQLITE_MISMATCH'],
      ['SELECT 1 WHERE', /^incomplete input.*SQLITE_ERROR$/],
      [`SELECT ${Array.from({ length: 101 }, (_, i) => i).join(',')}`, /^too many columns in result set.*SQLITE_ERROR$/],
      ["SELECT 'x' LIKE '" + 'y'.repeat(51) + "'", 'LIKE or GLOB pattern too complex: SQLITE_ERROR'],
      ['SELECT sqlite_version()', 'not authorized to use function: sqlite_version at offset 7: SQLITE_ERROR'],
      ['BEGIN', /^To execute a transaction, please use the/],
      ['SAVEPOINT s', /^To execute a transaction, please use the/],
      ["ATTACH 'x' AS y", /not authorized.*SQLITE_AUTH/],
      ['PRAGMA journal_mode', /not authorized.*SQLITE_AUTH/],
      ['PRAGMA user_version', /not authorized.*SQLITE_AUTH/],
      ['CREATE TEMP TABLE x (a)', /not authorized.*SQLITE_AUTH/],
      ['CREATE TABLE _cf_x (a)', /not authorized.*SQLITE_AUTH/],
      ['VACUUM', /cannot VACUUM from within a transaction/],
      ["SELECT load_extension('x')", /not authorized/],
    ]) {
      refused(await server.tryQuery(id, sql), 400, 7500, message);
    }
  });

  test('a text without a statement is refused', async () => {
    const id = await server.fresh();
    for (const sql of ['', '   ', '-- only a comment', '/* only a comment */']) {
      refused(await server.tryQuery(id, sql), 400, [7400, 7500], /No SQL statements detected|did not contain a statement/);
    }
    refused(await server.tryBatch(id, []), 400, [7400, 7500], /No SQL statements detected|batch/);
    refused(await server.tryQuery(id, ';'), 400, [7400, 7500], /No SQL statements detected|did not contain a statement/);
  });

  test('bodies that are no request are refused with 7400', async () => {
    const id = await server.fresh();
    for (const body of ['', '{', '{"sql":"SELECT 1"', '{"sql":"SELECT 1"}}', 'sql=SELECT 1', '[]', '"SELECT 1"', '7', 'null', 'true',
      '{}', '{"sql":7}', '{"sql":null}', '{"sql":["SELECT 1"]}', '{"sql":"SELECT ?","params":"x"}', '{"sql":"SELECT ?","params":7}',
      '{"sql":"SELECT ?","params":[{"a":1}]}', '{"sql":"SELECT ?","params":[["x"]]}', '{"sql":"SELECT ?","params":[[null]]}',
      '{"batch":{}}', '{"batch":"x"}', '{"batch":[7]}', '{"batch":[{}]}',
      '{"batch":[{"sql":1}]}', '{"batch":[{"sql":"SELECT 1"},null]}', '\u0000', '['.repeat(5000)]) {
      for (const route of ['/query', '/raw']) {
        refused(await server.database(id, 'POST', route, { body }), 400, 7400);
      }
    }
    const notUtf8 = Buffer.concat([Buffer.from('{"sql":"SELECT \''), Buffer.from([0xff, 0xfe]), Buffer.from('\'"}')]);
    refused(await server.database(id, 'POST', '/query', { body: notUtf8 }), 400, 7400);
  });

  test('a read sees every write that was answered before it', async () => {
    const id = await server.fresh('CREATE TABLE t (n); INSERT INTO t VALUES (0)');
    for (let n = 1; n <= 200; n += 1) {
      await server.query(id, 'UPDATE t SET n = n + 1');
      assert.equal(await server.value(id, 'SELECT n FROM t'), n);
    }
  });

  test('a statement sees a schema that changed since it was last used', async () => {
    const id = await server.fresh('CREATE TABLE t (a); INSERT INTO t VALUES (1)');
    const all = () => Promise.all(Array.from({ length: 16 }, () => server.rows(id, 'SELECT * FROM t')));
    for (const rows of await all()) assert.deepEqual(rows, [{ a: 1 }]);
    await server.query(id, 'ALTER TABLE t ADD COLUMN b DEFAULT 2');
    for (const rows of await all()) assert.deepEqual(rows, [{ a: 1, b: 2 }]);
    await server.query(id, 'ALTER TABLE t DROP COLUMN a');
    for (const rows of await all()) assert.deepEqual(rows, [{ b: 2 }]);
    await server.query(id, 'DROP TABLE t');
    refused(await server.tryQuery(id, 'SELECT * FROM t'), 400, 7500, /no such table: t/);
  });
});

describe('bookmarks', () => {
  const FORM = /^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$/;

  test('a bookmark grows with every commit and stands still without', async () => {
    const id = await server.fresh();
    const seen = [await server.bookmark(id)];
    assert.match(seen[0], FORM);
    for (const sql of ['CREATE TABLE t (a UNIQUE)', 'INSERT INTO t VALUES (1)', 'UPDATE t SET a = 2', 'DELETE FROM t', 'DROP TABLE t']) {
      await server.query(id, sql);
      const now = await server.bookmark(id);
      assert.match(now, FORM);
      assert.ok(now > seen.at(-1), `${now} after ${sql} is greater than ${seen.at(-1)}`);
      seen.push(now);
    }
    await server.query(id, 'SELECT * FROM sqlite_master');
    refused(await server.tryQuery(id, 'INSERT INTO nowhere VALUES (1)'), 400, 7500);
    refused(await server.tryQuery(id, 'CREATE TABLE x (a); selec'), 400, 7500);
    assert.equal(await server.bookmark(id), seen.at(-1));
  });

  test('a bookmark is the same after a restart', async (t) => {
    const own = await startServer(t);
    const id = await own.fresh('CREATE TABLE t (a)');
    for (let i = 0; i < 20; i += 1) await own.query(id, 'INSERT INTO t VALUES (?)', [i]);
    const before = await own.bookmark(id);
    await own.restart();
    assert.equal(await own.bookmark(id), before);
    await own.query(id, 'INSERT INTO t VALUES (99)');
    assert.ok(await own.bookmark(id) > before);
  });

  test('a restore says clearly that it cannot be done yet, and changes nothing', async () => {
    const id = await server.fresh('CREATE TABLE t (a)');
    const bookmark = await server.bookmark(id);
    await server.query(id, 'INSERT INTO t VALUES (1)');
    const answer = await server.database(id, 'POST', `/time_travel/restore?bookmark=${bookmark}`);
    assert.ok(answer.status >= 400, `HTTP ${answer.status}`);
    assert.equal(answer.body.success, false);
    assert.match(answer.body.errors[0].message, /restor/i);
    assert.equal(await server.value(id, 'SELECT count(*) FROM t'), 1);
  });
});

describe('GraphQL', () => {
  const day = () => ({ datetimeHour_geq: new Date(Date.now() - 864e5).toISOString(), datetimeHour_leq: new Date(Date.now() + 36e5).toISOString() });

  const overview = async (databaseId, token) => {
    const answer = await server.request('POST', '/client/v4/graphql', { token, json: {
      operationName: 'getD1MetricsOverviewQuery',
      query: `query getD1MetricsOverviewQuery($accountTag: string, $filter: ZoneWorkersRequestsFilter_InputObject) {
        viewer { accounts(filter: {accountTag: $accountTag}) { d1AnalyticsAdaptiveGroups(limit: 10000, filter: $filter) {
          sum { readQueries writeQueries rowsRead rowsWritten } dimensions { datetimeHour } } } } }`,
      variables: { accountTag: 'local', filter: { AND: [{ ...day(), databaseId }] } } } });
    assert.equal(answer.status, 200, answer.text);
    assert.ok(!answer.body.errors, answer.text);
    const groups = answer.body.data.viewer.accounts[0].d1AnalyticsAdaptiveGroups;
    const total = { readQueries: 0, writeQueries: 0, rowsRead: 0, rowsWritten: 0 };
    for (const { sum, dimensions } of groups) {
      assert.ok(!Number.isNaN(Date.parse(dimensions.datetimeHour)), dimensions.datetimeHour);
      for (const key of Object.keys(total)) total[key] += sum[key];
    }
    return total;
  };

  const insights = async (databaseId, { orderBy = 'sum_queryDurationMs_DESC', limit = 100 } = {}) => {
    const answer = await server.request('POST', '/graphql', { json: {
      operationName: 'getD1QueriesOverviewQuery',
      query: `query getD1QueriesOverviewQuery($accountTag: string, $filter: ZoneWorkersRequestsFilter_InputObject) {
        viewer { accounts(filter: {accountTag: $accountTag}) { d1QueriesAdaptiveGroups(limit: ${limit}, filter: $filter, orderBy: [${orderBy}]) {
          sum { queryDurationMs rowsRead rowsWritten rowsReturned } avg { queryDurationMs rowsRead rowsWritten rowsReturned }
          count dimensions { query databaseId } } } } }`,
      variables: { accountTag: 'local', filter: { AND: [{ ...day(), databaseId }] } } } });
    assert.equal(answer.status, 200, answer.text);
    return answer.body.data.viewer.accounts[0].d1QueriesAdaptiveGroups;
  };

  test('info counts the queries and rows of this database alone', async () => {
    const id = await server.fresh();
    const other = await server.fresh('CREATE TABLE t (a)');
    const before = await overview(id);
    await server.query(id, 'CREATE TABLE t (a)');
    const start = await overview(id);
    assert.equal(start.writeQueries, before.writeQueries + 1);
    let [read, written] = [0, 0];
    for (const sql of ['INSERT INTO t VALUES (1), (2), (3)', 'INSERT INTO t VALUES (4)', 'SELECT * FROM t', 'SELECT a FROM t', 'SELECT count(*) FROM t']) {
      const [{ meta }] = await server.query(id, sql);
      read += meta.rows_read;
      written += meta.rows_written;
      await server.query(other, 'INSERT INTO t VALUES (1)');
    }
    assert.deepEqual(await overview(id), { readQueries: start.readQueries + 3, writeQueries: start.writeQueries + 2,
      rowsRead: start.rowsRead + read, rowsWritten: start.rowsWritten + written });
  });

  test('insights gather by statement, in the order and number asked for', async () => {
    const id = await server.fresh('CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)');
    const many = 'SELECT a FROM t WHERE a > ?1';
    for (let i = 0; i < 5; i += 1) await server.query(id, many, [i]);
    await server.query(id, 'SELECT max(a) FROM t');
    const groups = await insights(id);
    const group = groups.find(({ dimensions }) => dimensions.query === many);
    assert.ok(group, `no group for ${many} in ${JSON.stringify(groups)}`);
    assert.equal(group.count, 5);
    assert.equal(group.sum.rowsReturned, 6, 'a > 0, 1, 2, 3, 4 gives 3 + 2 + 1 rows');
    assert.equal(group.sum.rowsRead, 15);
    assert.equal(group.avg.rowsRead, 3);
    assert.equal(group.dimensions.databaseId, id);
    assert.ok(group.sum.queryDurationMs >= 0);
    const [most] = await insights(id, { orderBy: 'count_DESC', limit: 1 });
    assert.equal(most.dimensions.query, many);
    assert.equal((await insights(id, { limit: 2 })).length, 2);
    const written = (await insights(id, { orderBy: 'sum_rowsWritten_ASC' })).map(({ sum }) => sum.rowsWritten);
    assert.deepEqual(written, written.toSorted((a, b) => a - b));
  });

  test('an operation we do not know is an error in the form of GraphQL', async () => {
    const answer = await server.request('POST', '/graphql', { json: { operationName: 'somethingElse', query: 'query somethingElse { viewer }', variables: {} } });
    assert.ok(Array.isArray(answer.body?.errors) && answer.body.errors.length > 0, answer.text);
    assert.equal(typeof answer.body.errors[0].message, 'string');
  });
});
