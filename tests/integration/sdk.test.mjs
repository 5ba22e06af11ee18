// The official `cloudflare` SDK against a server: what it sends and how it reads the answers is its business, that a
// program written with it works is ours.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { repo, scope, startServer, uniqueName } from '../lib/server.mjs';
import { md5, put } from '../lib/transfer.mjs';

const required = createRequire(join(repo, 'tests/package.json'))('cloudflare');
const Cloudflare = required.default ?? required;
const account_id = 'local';

const file = scope();
let server;
let client;
before(async () => {
  server = await startServer(file);
  client = new Cloudflare({ apiToken: server.token, baseURL: `${server.url}/client/v4` });
});

test('the SDK verifies its token and lists the account', async () => {
  assert.equal((await client.user.tokens.verify()).status, 'active');
  const accounts = [];
  for await (const account of client.accounts.list()) accounts.push(account.id);
  assert.deepEqual(accounts, ['local']);
});

test('the SDK creates, gets, changes and deletes a database', async () => {
  const made = await client.d1.database.create({ account_id, name: uniqueName('sdk') });
  assert.match(made.uuid, /^[0-9a-f-]{36}$/);
  const seen = await client.d1.database.get(made.uuid, { account_id });
  assert.equal(seen.name, made.name);
  assert.deepEqual(await client.d1.database.get(made.uuid, { account_id, fields: ['uuid', 'name'] }), { uuid: made.uuid, name: made.name });
  assert.equal((await client.d1.database.update(made.uuid, { account_id, read_replication: { mode: 'auto' } })).read_replication.mode, 'auto');
  assert.equal((await client.d1.database.edit(made.uuid, { account_id, read_replication: { mode: 'disabled' } })).read_replication.mode, 'disabled');
  assert.equal(await client.d1.database.delete(made.uuid, { account_id }), null);
  await assert.rejects(client.d1.database.get(made.uuid, { account_id }), Cloudflare.NotFoundError);
});

test('the SDK lists databases over several pages and comes to an end', async () => {
  const names = Array.from({ length: 12 }, () => uniqueName('page'));
  for (const name of names) await client.d1.database.create({ account_id, name });
  const seen = [];
  for await (const database of client.d1.database.list({ account_id, per_page: 5 })) seen.push(database.name);
  assert.equal(new Set(seen).size, seen.length, 'no database comes twice');
  for (const name of names) assert.ok(seen.includes(name), `${name} is in the list`);
  const found = [];
  for await (const database of client.d1.database.list({ account_id, name: names[3] })) found.push(database.name);
  assert.ok(found.includes(names[3]) && !found.includes(names[5]));
});

test('the SDK queries in both forms, with parameters and as a batch', async () => {
  const { uuid } = await client.d1.database.create({ account_id, name: uniqueName('sdk') });
  const query = async (body) => {
    const all = [];
    for await (const result of client.d1.database.query(uuid, { account_id, ...body })) all.push(result);
    return all;
  };
  await query({ sql: 'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)' });
  const [inserted] = await query({ sql: 'INSERT INTO t (a) VALUES (?), (?)', params: ['x', 'y'] });
  assert.deepEqual([inserted.success, inserted.meta.changes, inserted.meta.last_row_id, inserted.meta.changed_db], [true, 2, 2, true]);
  const batch = await query({ batch: [{ sql: 'INSERT INTO t (a) VALUES (?)', params: ['z'] }, { sql: 'SELECT a FROM t ORDER BY id' }] });
  assert.deepEqual(batch[1].results, [{ a: 'x' }, { a: 'y' }, { a: 'z' }]);
  const raw = [];
  for await (const result of client.d1.database.raw(uuid, { account_id, sql: 'SELECT id, a FROM t WHERE id > ?', params: ['1'] })) raw.push(result.results);
  assert.deepEqual(raw, [{ columns: ['id', 'a'], rows: [[2, 'y'], [3, 'z']] }]);
});

test('the SDK imports and exports by its polling calls', async () => {
  const { uuid } = await client.d1.database.create({ account_id, name: uniqueName('sdk') });
  const text = "CREATE TABLE t (a);\nINSERT INTO t VALUES ('one');\nINSERT INTO t VALUES ('two');\n";
  const etag = md5(text);
  const init = await client.d1.database.import(uuid, { account_id, action: 'init', etag });
  assert.equal((await put(init.upload_url, text)).status, 200);
  let status = await client.d1.database.import(uuid, { account_id, action: 'ingest', etag, filename: init.filename });
  while (status.status === 'active') {
    status = await client.d1.database.import(uuid, { account_id, action: 'poll', current_bookmark: status.at_bookmark });
  }
  assert.equal(status.status, 'complete', JSON.stringify(status));
  assert.equal(status.result.num_queries, 3);
  let dump;
  do {
    dump = await client.d1.database.export(uuid, { account_id, output_format: 'polling', ...(dump && { current_bookmark: dump.at_bookmark }) });
  } while (dump.status === 'active');
  assert.equal(dump.status, 'complete', JSON.stringify(dump));
  const exported = await (await fetch(dump.result.signed_url)).text();
  assert.match(exported, /INSERT INTO "t" \("a"\) VALUES\('two'\);/);
});

test('the SDK reads the current bookmark', async () => {
  const { uuid } = await client.d1.database.create({ account_id, name: uniqueName('sdk') });
  const { bookmark } = await client.d1.database.timeTravel.getBookmark(uuid, { account_id });
  assert.match(bookmark, /^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$/);
});

test('errors come as the classes of the SDK, and an SQL error is not tried again', async () => {
  const { uuid, name } = await client.d1.database.create({ account_id, name: uniqueName('sdk') });
  const thrown = async (promise, type, code) => {
    const error = await promise.then(() => assert.fail('expected an error'), (reason) => reason);
    assert.ok(error instanceof type, `${error} is a ${type.name}`);
    assert.equal(error.errors[0].code, code, JSON.stringify(error.errors));
    return error;
  };
  let requests = 0;
  const counting = new Cloudflare({ apiToken: server.token, baseURL: `${server.url}/client/v4`,
    fetch: (...args) => { requests += 1; return fetch(...args); } });
  const error = await thrown(counting.d1.database.query(uuid, { account_id, sql: 'selec' }), Cloudflare.BadRequestError, 7500);
  assert.match(error.errors[0].message, /syntax error/);
  assert.equal(requests, 1, 'one request, no retry');
  await thrown(client.d1.database.create({ account_id, name }), Cloudflare.BadRequestError, 7502);
  await thrown(client.d1.database.get('no-such-database', { account_id }), Cloudflare.NotFoundError, 7404);
  const stranger = new Cloudflare({ apiToken: 'x'.repeat(40), baseURL: server.url });
  const refusal = await stranger.d1.database.get(uuid, { account_id }).then(() => assert.fail('expected an error'), (reason) => reason);
  assert.ok(refusal instanceof Cloudflare.AuthenticationError || refusal instanceof Cloudflare.PermissionDeniedError, String(refusal));
  assert.equal(refusal.errors[0].code, 10000);
});

test('the SDK also works with an API key and email', async () => {
  const keyed = new Cloudflare({ apiToken: null, apiKey: server.token, apiEmail: 'someone@example.com', baseURL: server.url });
  assert.equal((await keyed.user.tokens.verify()).status, 'active');
});
