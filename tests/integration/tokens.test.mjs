// Tokens and what they may do: account or one database, reading or writing, for a time, until revoked.
import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { atEnd, makeServer, ok, refused, scope, startServer, uniqueName, until } from '../lib/server.mjs';

const file = scope();
let server;
before(async () => { server = await startServer(file); });

const tryMake = (json, options) => server.account('POST', '/dione/tokens', { json, ...options });
const make = async (json = {}) => ok(await tryMake({ name: uniqueName('token'), scope: 'write', database: null, ...json }));
const denied = (answer) => refused(answer, [401, 403], 10000);

test('a token is made, works, and is listed without its secret', async () => {
  const made = await make({ name: 'for-the-list' });
  assert.equal(typeof made.id, 'string');
  assert.ok(made.token.length >= 32, 'a long secret');
  ok(await server.account('GET', '/d1/database', { token: made.token }));
  const answer = await server.account('GET', '/dione/tokens');
  const entry = ok(answer).find(({ id }) => id === made.id);
  assert.ok(entry, answer.text);
  assert.deepEqual([entry.name, entry.scope, entry.database], ['for-the-list', 'write', null]);
  assert.ok(!answer.text.includes(made.token), 'the secret is told once');
  assert.ok(!('token' in entry));
});

test('secrets are not kept in the data directory', async (t) => {
  const own = await startServer(t);
  const { token } = ok(await own.account('POST', '/dione/tokens', { json: { name: 'hidden', scope: 'read', database: null } }));
  await own.stop();
  for (const name of await readdir(own.data, { recursive: true, withFileTypes: true })) {
    if (!name.isFile()) continue;
    const bytes = await readFile(join(name.parentPath, name.name));
    assert.ok(!bytes.includes(token), `${name.name} holds the new token in clear`);
  }
});

test('a read token reads and cannot write, create, delete, import or make tokens', async () => {
  const id = await server.fresh('CREATE TABLE t (a); INSERT INTO t VALUES (1)');
  const { token } = await make({ scope: 'read' });
  assert.equal(await server.value(id, 'SELECT a FROM t', undefined, { token }), 1);
  ok(await server.account('GET', '/d1/database', { token }));
  ok(await server.database(id, 'GET', '', { token }));
  for (const sql of ['INSERT INTO t VALUES (2)', 'DELETE FROM t', 'CREATE TABLE u (a)', 'DROP TABLE t', 'SELECT 1; INSERT INTO t VALUES (3)',
    'INSERT INTO t VALUES (4) RETURNING a', 'WITH x AS (SELECT 1) UPDATE t SET a = 5']) {
    denied(await server.tryQuery(id, sql, undefined, { token }));
  }
  denied(await server.tryBatch(id, [{ sql: 'SELECT 1' }, { sql: 'INSERT INTO t VALUES (6)' }], { token }));
  denied(await server.account('POST', '/d1/database', { json: { name: uniqueName() }, token }));
  denied(await server.database(id, 'PATCH', '', { json: { read_replication: { mode: 'auto' } }, token }));
  denied(await server.database(id, 'DELETE', '', { token }));
  denied(await server.database(id, 'POST', '/import', { json: { action: 'init', etag: 'd41d8cd98f00b204e9800998ecf8427e' }, token }));
  denied(await tryMake({ name: 'more', scope: 'write', database: null }, { token }));
  denied(await server.account('GET', '/dione/tokens', { token }));
  assert.deepEqual(await server.rows(id, 'SELECT a FROM t'), [{ a: 1 }]);
});

test('a token of one database knows that database and nothing else', async () => {
  const [mine, other] = [await server.fresh('CREATE TABLE t (a)'), await server.fresh('CREATE TABLE t (a)')];
  const { name: otherName } = ok(await server.database(other, 'GET'));
  const { token } = await make({ database: mine });
  await server.query(mine, 'INSERT INTO t VALUES (1)', undefined, { token });
  ok(await server.database(mine, 'GET', '', { token }));
  const unknown = (answer) => refused(answer, [403, 404], [10000, 7404, 7403]);
  unknown(await server.tryQuery(other, 'SELECT * FROM t', undefined, { token }));
  unknown(await server.tryQuery(other, 'INSERT INTO t VALUES (1)', undefined, { token }));
  unknown(await server.database(other, 'GET', '', { token }));
  unknown(await server.database(otherName, 'GET', '', { token }));
  unknown(await server.database(other, 'DELETE', '', { token }));
  unknown(await server.database(other, 'GET', '/export/sqlite', { token }));
  unknown(await server.database(other, 'POST', '/export', { json: { output_format: 'polling' }, token }));
  const list = await server.account('GET', '/d1/database?per_page=1000', { token });
  if (list.status === 200) assert.deepEqual(ok(list).map(({ uuid }) => uuid), [mine]); else denied(list);
  denied(await server.account('POST', '/d1/database', { json: { name: uniqueName() }, token }));
  denied(await tryMake({ name: 'more', scope: 'write', database: null }, { token }));
  denied(await tryMake({ name: 'more', scope: 'write', database: mine }, { token }));
  assert.equal(await server.value(other, 'SELECT count(*) FROM t'), 0);
});

test('a read token of one database only reads there', async () => {
  const id = await server.fresh('CREATE TABLE t (a)');
  const { token } = await make({ database: id, scope: 'read' });
  assert.deepEqual(await server.rows(id, 'SELECT * FROM t', undefined, { token }), []);
  denied(await server.tryQuery(id, 'INSERT INTO t VALUES (1)', undefined, { token }));
  denied(await server.database(id, 'DELETE', '', { token }));
});

test('a token expires', async () => {
  const lasting = await make({ expires_at: new Date(Date.now() + 3_600_000).toISOString() });
  ok(await server.account('GET', '/d1/database', { token: lasting.token }));
  const soon = new Date(Date.now() + 1500).toISOString();
  const short = await make({ expires_at: soon });
  await until('the token has expired', async () => (await server.account('GET', '/d1/database', { token: short.token })).status !== 200);
  assert.ok(Date.now() >= Date.parse(soon), 'not before its time');
  denied(await server.account('GET', '/d1/database', { token: short.token }));
  ok(await server.account('GET', '/d1/database', { token: lasting.token }));
  for (const expires of ['tomorrow', 7, '2020-01-01T00:00:00Z', '']) {
    refused(await tryMake({ name: 'bad', scope: 'read', database: null, expires_at: expires }), 400, 7400);
  }
});

test('a revoked token ends at once, also on a connection that is open', async (t) => {
  const { id, token } = await make();
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  atEnd(t, () => agent.destroy());
  const sockets = new Set();
  const ask = () => new Promise((settle, reject) => {
    request(new URL('/accounts/local/d1/database', server.url), { agent, headers: { authorization: `Bearer ${token}` } }, (response) => {
      sockets.add(response.socket);
      response.resume().on('end', () => settle(response.statusCode));
    }).on('error', reject).end();
  });
  assert.equal(await ask(), 200);
  assert.equal(await ask(), 200);
  assert.equal(sockets.size, 1, 'the connection is kept');
  ok(await server.account('DELETE', `/dione/tokens/${id}`));
  assert.ok([401, 403].includes(await ask()), 'refused on the same connection');
  refused(await server.account('DELETE', `/dione/tokens/${id}`), 404, [7404, 7003]);
  assert.ok(!ok(await server.account('GET', '/dione/tokens')).some((entry) => entry.id === id && !entry.revoked_at));
});

test('tokens outlive a restart, and revocations too', async (t) => {
  const own = await startServer(t);
  const makeOwn = async () => ok(await own.account('POST', '/dione/tokens', { json: { name: uniqueName(), scope: 'write', database: null } }));
  const [kept, revoked] = [await makeOwn(), await makeOwn()];
  ok(await own.account('DELETE', `/dione/tokens/${revoked.id}`));
  await own.kill9();
  await own.start();
  ok(await own.account('GET', '/d1/database', { token: kept.token }));
  denied(await own.account('GET', '/d1/database', { token: revoked.token }));
});

test('a token of a deleted database opens nothing, not even its successor of the same name', async () => {
  const { uuid, name } = await server.create();
  const { token } = await make({ database: uuid });
  ok(await server.database(uuid, 'DELETE'));
  const { uuid: next } = await server.create(name);
  refused(await server.tryQuery(next, 'SELECT 1', undefined, { token }), [401, 403, 404], [10000, 7403, 7404]);
});

test('token calls that make no sense are refused', async () => {
  for (const json of [{}, { name: 'x', scope: 'admin' }, { name: 7, scope: 'read' }, { name: 'x', scope: 'read', database: 7 }, []]) {
    refused(await tryMake(json), 400, 7400);
  }
  refused(await tryMake({ name: 'x', scope: 'read', database: '00000000-0000-4000-8000-000000000000' }), [400, 404], [7400, 7404]);
});

test('without DIONE_TOKEN the first token is made, kept in a private file and stays the same', async (t) => {
  const own = await startServer(t, { token: null });
  const path = join(own.data, 'token');
  const token = (await readFile(path, 'utf8')).trim();
  assert.ok(token.length >= 32);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  ok(await own.account('GET', '/d1/database', { token }));
  refused(await own.account('GET', '/d1/database', { token: `${token}x` }), [401, 403], 10000);
  await own.restart();
  assert.equal((await readFile(path, 'utf8')).trim(), token);
  ok(await own.account('GET', '/d1/database', { token }));
});

test('a DIONE_TOKEN that is too short stops the server with a clear message', async (t) => {
  const own = await makeServer(t, { token: 'x'.repeat(31) });
  const exit = await own.launch();
  assert.equal(exit.code, 1, own.stderr);
  assert.match(own.stderr, /DIONE_TOKEN/);
  assert.match(own.stderr, /32/);
});

test('a DIONE_TOKEN of 32 characters is taken, and replaces the one before', async (t) => {
  const own = await startServer(t, { token: 'a'.repeat(32) });
  ok(await own.account('GET', '/d1/database'));
  await own.stop();
  own.token = 'b'.repeat(32);
  await own.start();
  ok(await own.account('GET', '/d1/database'));
  refused(await own.account('GET', '/d1/database', { token: 'a'.repeat(32) }), [401, 403], 10000);
});
