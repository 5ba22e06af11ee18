// The same API by curl, as a shell script uses it: with an API key, bodies from the command line and from files.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { run, scope, startServer, tempDir, uniqueName } from '../lib/server.mjs';
import { md5 } from '../lib/transfer.mjs';

const missing = (await run('curl', ['--version']).catch(() => ({ code: 1 }))).code === 0 ? false : 'curl is not installed';

const file = scope();
let server;
before(async () => { server = await startServer(file); });

async function curl(...args) {
  const done = await run('curl', ['--silent', '--show-error', '--noproxy', '*', ...args]);
  assert.equal(done.code, 0, `curl ${args.join(' ')}: ${done.stderr}`);
  return done.stdout;
}

const api = async (path, ...args) => JSON.parse(await curl('-H', `X-API-Key: ${server.token}`, `${server.url}/accounts/local${path}`, ...args));

test('curl makes a database, queries it and deletes it', { skip: missing }, async () => {
  const made = await api('/d1/database', '-d', JSON.stringify({ name: uniqueName('curl') }));
  assert.equal(made.success, true, JSON.stringify(made));
  const path = `/d1/database/${made.result.uuid}`;
  await api(`${path}/query`, '--json', '{"sql":"CREATE TABLE t (a)"}');
  const answer = await api(`${path}/query`, '--json', '{"sql":"INSERT INTO t VALUES (?) RETURNING a","params":["hello"]}');
  assert.deepEqual(answer.result[0].results, [{ a: 'hello' }]);
  const failed = await api(`${path}/query`, '-d', '{"sql":"selec"}', '--write-out', '');
  assert.match(failed.errors[0].message, /syntax error/);
  assert.equal((await api(path, '-X', 'DELETE')).success, true);
});

test('curl sends a body of some megabytes from a file', { skip: missing }, async (t) => {
  const id = await server.fresh('CREATE TABLE t (a)');
  const path = join(await tempDir(t), 'body.json');
  const batch = Array(20_000).fill({ sql: `INSERT INTO t VALUES ('${'x'.repeat(100)}')` });
  await writeFile(path, JSON.stringify({ batch }));
  const answer = await api(`/d1/database/${id}/query`, '--data-binary', `@${path}`);
  assert.equal(answer.success, true, JSON.stringify(answer).slice(0, 500));
  assert.equal(await server.value(id, 'SELECT count(*) FROM t'), 20_000);
});

test('curl imports a file and fetches an export and the raw database', { skip: missing }, async (t) => {
  const id = await server.fresh();
  const folder = await tempDir(t);
  const sql = "CREATE TABLE t (a);\nINSERT INTO t VALUES ('by curl');\n";
  await writeFile(join(folder, 'in.sql'), sql);
  const path = `/d1/database/${id}`;
  const etag = md5(sql);
  const { result: init } = await api(`${path}/import`, '-d', JSON.stringify({ action: 'init', etag }));
  const head = await curl('-T', join(folder, 'in.sql'), '-i', init.upload_url);
  assert.match(head, new RegExp(`^etag: "${etag}"`, 'im'));
  let { result: status } = await api(`${path}/import`, '-d', JSON.stringify({ action: 'ingest', filename: init.filename, etag }));
  while (status.status === 'active') {
    ({ result: status } = await api(`${path}/import`, '-d', JSON.stringify({ action: 'poll', current_bookmark: status.at_bookmark })));
  }
  assert.equal(status.status, 'complete', JSON.stringify(status));
  let dump;
  do {
    ({ result: dump } = await api(`${path}/export`, '-d', JSON.stringify({ output_format: 'polling', current_bookmark: dump?.at_bookmark })));
  } while (dump.status === 'active');
  assert.match(await curl(dump.result.signed_url), /VALUES\('by curl'\);/);
  await curl('-H', `X-API-Key: ${server.token}`, '-o', join(folder, 'raw.sqlite'), `${server.url}/accounts/local${path}/export/sqlite`);
  const { DatabaseSync } = await import('node:sqlite');
  const raw = new DatabaseSync(join(folder, 'raw.sqlite'));
  try { assert.equal(raw.prepare('SELECT a FROM t').get().a, 'by curl'); } finally { raw.close(); }
});
