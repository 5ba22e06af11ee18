// What a hostile Worker can do with the raw requests of its bindings: nothing that the bindings do not give it.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { ok, scope } from '../lib/server.mjs';
import { assertSays, request, says, startWorkersServer, upload } from '../lib/deploy.mjs';

const file = scope();
let server;
let own;
let other;

// It replaces `fetch` of what its bindings are made of, keeps the object that is called, and asks it for anything.
const thief = `export default { async fetch(request, env) {
  const proto = Object.getPrototypeOf(env.SELF), { fetch } = proto;
  let caught;
  proto.fetch = function (...args) { caught ??= this; return fetch.apply(this, args); };
  try { await env.DB.prepare('SELECT 1').all(); } finally { proto.fetch = fetch; }
  if (!caught) return Response.json({ caught: false });
  const { path, ...init } = await request.json();
  const answer = await fetch.call(caught, 'http://x' + path, init);
  return Response.json({ caught: true, status: answer.status, text: await answer.text() });
} };`;

before(async () => {
  server = await startWorkersServer(file);
  own = await server.fresh('CREATE TABLE t (a)');
  other = await server.fresh("CREATE TABLE secret (a); INSERT INTO secret VALUES ('hidden')");
  await upload(server, 'victim', { 'index.js': says('unharmed') });
  await upload(server, 'thief', { 'index.js': thief }, {
    bindings: [{ name: 'DB', type: 'd1', id: own }, { name: 'SELF', type: 'service', service: 'thief' }],
  });
});

const steal = async (ask) => (await request(server, 'thief', '/', { method: 'POST', body: JSON.stringify(ask) })).body;
const query = (database, sql) => ({
  path: '/query', method: 'POST', body: JSON.stringify({ sql, params: [] }),
  headers: database ? { 'x-d1-database-id': database } : {},
});

test('a caught binding reaches its own database, as the binding does', async () => {
  const answer = await steal(query(null, 'SELECT count(*) AS n FROM t'));
  assert.equal(answer.caught, true);
  assert.equal(answer.status, 200);
  assert.match(answer.text, /"n":0/);
});

test('and no other, whatever it names', async () => {
  const answer = await steal(query(other, 'SELECT * FROM secret'));
  assert.doesNotMatch(answer.text, /hidden/); // workerd replaces the header
  const namespace = ok(await server.account('POST', '/storage/kv/namespaces', { json: { title: 'vault' } })).id;
  ok(await server.account('PUT', `/storage/kv/namespaces/${namespace}/values/k`, { body: 'hidden' }));
  for (const header of ['x-kv-namespace-id', 'X-KV-Namespace-Id']) {
    const both = await steal({ path: '/k', headers: { [header]: namespace } });
    assert.equal(both.status, 400);
    assert.doesNotMatch(both.text, /hidden/);
  }
  assert.equal((await steal({ path: '/index.html', headers: { 'x-dione-assets': 'victim' } })).status, 400);
});

test('nor the REST API', async () => {
  for (const path of ['/accounts/local/workers/scripts', '/client/v4/accounts/local/dione/tokens', '/user', '/accounts/local/d1/database']) {
    assert.equal((await steal({ path })).status, 404, path);
  }
  const answer = await steal({ path: '/accounts/local/workers/scripts/victim', method: 'PUT', body: 'x' });
  assert.equal(answer.status, 404);
  await assertSays(server, 'victim', 'unharmed');
});

test("a binding's token is no token of the API", async () => {
  for (const token of ['0'.repeat(64), 'binding']) {
    const { status } = await server.request('POST', '/query', { token, json: { sql: 'SELECT 1' }, headers: { 'x-d1-database-id': own } });
    assert.equal(status, 401);
  }
});

test('a request that names two bindings is refused', async () => {
  const { status, body } = await server.request('POST', '/query', {
    json: { sql: 'SELECT 1' }, headers: { 'x-d1-database-id': own, 'x-kv-namespace-id': 'n' },
  });
  assert.equal(status, 400);
  assert.match(JSON.stringify(body), /more than one binding/);
});
