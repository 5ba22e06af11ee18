// What `dione d1` and `dione token` say when something is off, and what they print for programs.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { before, describe, test } from 'node:test';
import { scope, startServer, uniqueName } from '../lib/server.mjs';
import { dioneProject, wranglerProject } from '../lib/clients.mjs';

const file = scope();
let server;
let project;
before(async () => {
  server = await startServer(file);
  project = await dioneProject(file, server);
});

const fails = (done, message) => {
  assert.equal(done.code, 1, `exit code, with:\n${done.stdout}\n${done.stderr}`);
  assert.match(done.stdout + done.stderr, message);
};
const d1 = (...words) => project.tryDione(['d1', ...words, '--remote']);
const json = (...words) => project.json(['d1', ...words, '--remote']);

describe('errors with a place', () => {
  test('an export of a table that is not there names it and leaves no file', async (t) => {
    const { name, uuid } = await server.create();
    await server.query(uuid, 'CREATE TABLE a (x)');
    fails(await d1('export', name, '--table', 'a', '--table', 'nope', '--output', 'none.sql'), /no such table: nope/);
    assert.ok(!existsSync(project.file('none.sql')));
    const wrangler = await wranglerProject(t, server);
    await wrangler.bind(name, uuid);
    fails(await wrangler.tryWrangler('d1', 'export', name, '--remote', '--table', 'nope', '--output', 'none.sql'), /no such table: nope/);
  });

  test('a file without a statement is said to be one', async () => {
    const { name } = await server.create();
    for (const text of ['', '-- nothing here\n', '\n/* nor here */ ;;\n']) {
      await project.write('empty.sql', text);
      const done = await d1('execute', name, '--file', 'empty.sql');
      assert.equal(done.code, 0, done.stderr);
      assert.match(done.stdout, /nothing to execute: empty\.sql holds no SQL statement/);
    }
  });

  test('of several statements the one that failed is named, with its line', async () => {
    const { name } = await server.create();
    fails(await d1('execute', name, '--command', 'SELECT 1;\n-- two\nSELECT * FROM nope'), /no such table: nope: SQLITE_ERROR \(statement 2, line 3\)/);
    const one = await d1('execute', name, '--command', 'SELECT * FROM nope');
    fails(one, /no such table: nope: SQLITE_ERROR\n/);
  });

  test('a failed migration names statement and line, and nothing of it is there', async () => {
    const { name, uuid } = await server.create();
    await mkdir(project.file('migrations'), { recursive: true });
    await project.write('migrations/0001_good.sql', 'CREATE TABLE good (a);');
    await project.write('migrations/0002_bad.sql', '-- a comment\nCREATE TABLE half (a);\n\nINSERT INTO nope\nVALUES (1);');
    assert.deepEqual(await json('migrations', 'list', name), [{ name: '0001_good.sql', status: 'waiting' }, { name: '0002_bad.sql', status: 'waiting' }]);
    const done = await d1('migrations', 'apply', name, '--yes');
    fails(done, /migration 0002_bad\.sql failed, and nothing of it was applied: no such table: nope: SQLITE_ERROR \(statement 2, line 4\)/);
    assert.match(done.stdout, /0001_good\.sql\s+│ applied[^]*0002_bad\.sql\s+│ failed/);
    assert.deepEqual((await server.rows(uuid, "SELECT name FROM sqlite_schema WHERE name IN ('good', 'half')")), [{ name: 'good' }]);
    const again = await project.tryDione(['d1', 'migrations', 'apply', name, '--remote', '--json']);
    fails(again, /0002_bad/);
    assert.match(JSON.parse(again.stdout).error.text, /statement 2, line 4/);
    await project.write('migrations/0002_bad.sql', 'CREATE TABLE half (a);');
    assert.deepEqual(await json('migrations', 'apply', name), [{ name: '0002_bad.sql', status: 'applied' }]);
    assert.deepEqual(await json('migrations', 'apply', name), []);
  });

  test('no server: the way to start one is told', async () => {
    fails(await project.tryDione(['d1', 'list', '--url', 'http://127.0.0.1:1']), /127\.0\.0\.1:1[^]*`dione serve` starts a server/);
  });
});

describe('for programs', () => {
  test('delete, export and profile print JSON', async () => {
    const { name, uuid } = await server.create();
    assert.equal((await json('profile', name, 'wide')).profile, 'wide');
    const { size } = await (async () => {
      const said = await json('export', name, '--output', 'out.sql');
      assert.deepEqual([said.database, said.file], [name, 'out.sql']);
      return { size: said.size_bytes };
    })();
    assert.equal((await stat(project.file('out.sql'))).size, size);
    fails(await d1('export', name, '--output', '-', '--json'), /--json and --output -/);
    assert.deepEqual(await json('delete', name, '-y'), { uuid, name });
  });

  test('token list has the name of the database beside its id', async () => {
    const { name, uuid } = await server.create();
    const made = await project.json(['token', 'create', '--name', uniqueName('key'), '--database', name, '--remote']);
    assert.deepEqual([made.database, made.database_name], [uuid, name]);
    const entry = (await project.json(['token', 'list', '--remote'])).find(({ id }) => id === made.id);
    assert.equal(entry.database_name, name);
    assert.match(await project.dione(['token', 'list', '--remote']), new RegExp(`${uuid} │ ${name} `));
  });
});

test('a local database of the configuration is made with the id that stands there', async (t) => {
  const own = await dioneProject(t);
  const uuid = '12345678-90ab-4cde-8f01-234567890abc';
  await own.write('wrangler.jsonc', `{"name":"app","d1_databases":[
    {"binding":"DB","database_name":"app-db","database_id":"${uuid}"},{"binding":"OLD","database_name":"old","database_id":"local"}]}`);
  await own.dione(['d1', 'execute', 'DB', '--command', 'CREATE TABLE t (a)']);
  assert.equal((await own.json(['d1', 'info', 'app-db'])).uuid, uuid);
  await own.dione(['d1', 'execute', 'OLD', '--command', 'SELECT 1']);
  assert.match((await own.json(['d1', 'info', 'old'])).uuid, /^[0-9a-f-]{36}$/);
});
