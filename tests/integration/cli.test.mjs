// `dione d1 ...`, `dione shell` and the rest of the command line, on a data directory of its own and against a server:
// wrangler's names, flags and shapes of output, without wrangler.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { before, describe, test } from 'node:test';
import { DatabaseSync } from 'node:sqlite';
import { binary, ok, refused, run, scope, startServer, uniqueName } from '../lib/server.mjs';
import { assertSameContent, exportText } from '../lib/transfer.mjs';
import { dioneProject, f1Rows, f1Sql, withoutF1, wranglerProject } from '../lib/clients.mjs';

const file = scope();
let server;
before(async () => { server = await startServer(file); });

const fails = (done, message) => {
  assert.equal(done.code, 1, `exit code, with:\n${done.stdout}\n${done.stderr}`);
  assert.match(done.stdout + done.stderr, message);
};

describe('help and version', () => {
  const commands = ['', 'serve', 'd1', 'd1 create', 'd1 list', 'd1 info', 'd1 delete', 'd1 execute', 'd1 export', 'd1 migrations',
    'd1 migrations create', 'd1 migrations list', 'd1 migrations apply', 'token', 'token create', 'token list', 'token revoke', 'shell', 'dev', 'deploy', 'versions', 'versions list',
    'versions upload', 'versions view', 'deployments', 'deployments list', 'deployments status', 'rollback', 'secret', 'secret put', 'secret list',
    'secret delete', 'secret bulk', 'tail', 'delete', 'kv', 'kv namespace', 'kv namespace create', 'kv namespace list', 'kv namespace delete',
    'kv namespace rename', 'kv key', 'kv key put', 'kv key get', 'kv key list', 'kv key delete', 'kv bulk', 'kv bulk put', 'kv bulk get',
    'kv bulk delete'];

  test('--help is everywhere, on standard output, with exit code 0', async () => {
    for (const command of commands) {
      const words = command ? command.split(' ') : [];
      const done = await run(binary, [...words, '--help']);
      assert.equal(done.code, 0, `dione ${command} --help: ${done.stderr}`);
      assert.match(done.stdout, /usage/i, `dione ${command} --help`);
      assert.match(done.stdout, new RegExp(words.at(-1) ?? 'dione'));
    }
  });

  test('--version names SQLite and its version', async () => {
    const done = await run(binary, ['--version']);
    assert.equal(done.code, 0);
    assert.match(done.stdout, /dione \d+\.\d+/i);
    assert.match(done.stdout, /SQLite 3\.\d+\.\d+/);
  });

  test('unknown commands and flags are named, with exit code 1', async () => {
    fails(await run(binary, ['dance']), /dance/);
    fails(await run(binary, ['d1', 'dance']), /dance/);
    fails(await run(binary, ['d1', 'list', '--dance']), /--dance/);
    assert.match(JSON.parse((await run(binary, ['d1', 'list', '--dance', '--json'])).stdout).error.text, /--dance/);
    fails(await run(binary, ['d1', 'execute']), /./);
  });
});

for (const mode of ['remote', 'local']) {
  describe(`dione d1, ${mode}`, () => {
    const place = `--${mode}`;
    let project;
    let name;
    before(async () => {
      project = await dioneProject(file, mode === 'remote' ? server : undefined);
      name = uniqueName('cli');
    });
    const d1 = (...words) => project.dione(['d1', ...words, place]);
    const tryD1 = (...words) => project.tryDione(['d1', ...words, place]);
    const json = (...words) => project.json(['d1', ...words, place]);
    const rows = async (sql, database = name) => (await json('execute', database, '--command', sql)).at(-1).results;

    test('creates, lists and describes a database', async () => {
      const said = await d1('create', name);
      assert.match(said, new RegExp(name));
      const entry = (await json('list')).find((one) => one.name === name);
      assert.match(entry.uuid, /^[0-9a-f-]{36}$/);
      assert.ok(said.includes(entry.uuid), 'create prints the id');
      const info = await json('info', name);
      assert.deepEqual([info.uuid, info.name], [entry.uuid, name]);
      assert.match(await d1('list'), new RegExp(entry.uuid));
      assert.match(await d1('info', name), new RegExp(entry.uuid));
      fails(await tryD1('create', name), /exists/);
    });

    test('executes a command and draws a table for people', async () => {
      await d1('execute', name, '--command', "CREATE TABLE t (id INTEGER PRIMARY KEY, who TEXT); INSERT INTO t (who) VALUES ('world'), (NULL)");
      const said = await d1('execute', name, '--command', 'SELECT id, who FROM t');
      assert.match(said, /who/);
      assert.match(said, /world/);
      assert.match(said, /NULL|null/);
      assert.throws(() => JSON.parse(said), 'a table, not JSON');
    });

    test('prints JSON of the same shape as wrangler', async () => {
      const [{ results, success, meta }] = await json('execute', name, '--command', 'SELECT id, who FROM t');
      assert.deepEqual(results, [{ id: 1, who: 'world' }, { id: 2, who: null }]);
      assert.equal(success, true);
      assert.equal(typeof meta.duration, 'number');
      assert.equal((await json('execute', name, '--command', 'SELECT 1; SELECT 2')).length, 2);
    });

    test('ends with exit code 1 and the words of an SQL error', async () => {
      fails(await tryD1('execute', name, '--command', 'selec'), /near "selec": syntax error at offset 0: SQLITE_ERROR/);
      const done = await tryD1('execute', name, '--command', 'selec', '--json');
      assert.equal(done.code, 1);
      assert.match(JSON.parse(done.stdout).error.text, /syntax error/);
      fails(await tryD1('execute', uniqueName('unknown'), '--command', 'SELECT 1'), /unknown|not f|find/i);
      fails(await tryD1('info', uniqueName('unknown')), /unknown|not f|find/i);
      fails(await tryD1('execute', name), /command|file/);
      fails(await tryD1('execute', name, '--file', 'not-there.sql'), /not-there\.sql/);
    });

    test('executes a file, and standard input', async () => {
      await project.write('more.sql', "-- a file\nCREATE TABLE f (a);\nINSERT INTO f VALUES ('from; a file');\n");
      await d1('execute', name, '--yes', '--file', 'more.sql');
      await project.dione(['d1', 'execute', name, '--yes', '--file', '-', place], { input: "INSERT INTO f VALUES ('from a pipe');" });
      assert.deepEqual(await rows('SELECT a FROM f'), [{ a: 'from; a file' }, { a: 'from a pipe' }]);
      await project.write('begin.sql', 'BEGIN;\nINSERT INTO f VALUES (1);\nCOMMIT;');
      fails(await tryD1('execute', name, '--file', 'begin.sql'), /remove BEGIN and COMMIT/);
      await project.write('bad.sql', "INSERT INTO f VALUES ('lost');\nINSERT INTO nowhere VALUES (1);");
      fails(await tryD1('execute', name, '--yes', '--file', 'bad.sql'), /no such table: nowhere/);
      assert.deepEqual(await rows('SELECT count(*) AS n FROM f'), [{ n: 2 }]);
    });

    test('exports SQL text that makes the same database, in parts if asked', async () => {
      await d1('export', name, '--output', 'out.sql');
      const copy = uniqueName('copy');
      await d1('create', copy);
      await d1('execute', copy, '--yes', '--file', 'out.sql');
      assert.deepEqual(await rows('SELECT * FROM t', copy), await rows('SELECT * FROM t'));
      await d1('export', copy, '--output', 'again.sql');
      assert.equal(await project.read('again.sql'), await project.read('out.sql'));
      await d1('export', name, '--output', 'part.sql', '--table', 'f', '--no-schema');
      assert.match(await project.read('part.sql'), /INSERT INTO "f"/);
      assert.doesNotMatch(await project.read('part.sql'), /CREATE|"t"/);
      fails(await tryD1('export', name, '--output', 'none.sql', '--no-schema', '--no-data'), /no-schema|no-data/);
      assert.ok(!existsSync(project.file('none.sql')));
    });

    test('exports a SQLite file and takes it again', async () => {
      await d1('export', name, '--format', 'sqlite', '--output', 'out.sqlite');
      const file = new DatabaseSync(project.file('out.sqlite'));
      assert.equal(file.prepare('SELECT count(*) AS n FROM t').get().n, 2);
      file.close();
      const copy = uniqueName('copy');
      await d1('create', copy);
      await d1('execute', copy, '--yes', '--file', 'out.sqlite');
      assert.deepEqual(await rows('SELECT * FROM t', copy), await rows('SELECT * FROM t'));
    });

    test('creates, lists and applies migrations', async () => {
      await d1('migrations', 'create', name, 'first step');
      await d1('migrations', 'create', name, 'second');
      assert.ok(existsSync(project.file('migrations/0001_first_step.sql')));
      assert.ok(existsSync(project.file('migrations/0002_second.sql')));
      await project.write('migrations/0001_first_step.sql', '-- first; of all\nCREATE TABLE m (id INTEGER PRIMARY KEY, a TEXT);\n');
      await project.write('migrations/0002_second.sql', "/* two; */ CREATE TRIGGER tr AFTER INSERT ON m BEGIN UPDATE m SET a = a || ';' WHERE id = new.id; END;\nINSERT INTO m (a) VALUES ('x');\n");
      assert.match(await d1('migrations', 'list', name), /0001_first_step\.sql[^]*0002_second\.sql/);
      await project.dione(['d1', 'migrations', 'apply', name, '--yes', place]).catch(() => d1('migrations', 'apply', name));
      assert.deepEqual(await rows('SELECT a FROM m'), [{ a: 'x;' }]);
      assert.deepEqual(await rows('SELECT id, name FROM d1_migrations'), [{ id: 1, name: '0001_first_step.sql' }, { id: 2, name: '0002_second.sql' }]);
      assert.doesNotMatch(await d1('migrations', 'list', name), /0001|0002/);
      await project.write('migrations/0003_bad.sql', 'CREATE TABLE half (a);\nselec;\n');
      fails(await tryD1('migrations', 'apply', name), /0003_bad\.sql[^]*syntax error|syntax error/);
      assert.deepEqual(await rows("SELECT count(*) AS n FROM sqlite_master WHERE name = 'half'"), [{ n: 0 }]);
      assert.deepEqual(await rows('SELECT count(*) AS n FROM d1_migrations'), [{ n: 2 }]);
    });

    test('takes the F1 data, and answers from it', { skip: withoutF1 }, async () => {
      const f1 = uniqueName('f1');
      await d1('create', f1);
      await d1('execute', f1, '--yes', '--file', f1Sql);
      for (const [table, n] of Object.entries(f1Rows)) assert.deepEqual(await rows(`SELECT count(*) AS n FROM ${table}`, f1), [{ n }], table);
      await d1('export', f1, '--output', 'f1.sql');
      await d1('create', `${f1}-copy`);
      await d1('execute', `${f1}-copy`, '--yes', '--file', 'f1.sql');
      await d1('export', `${f1}-copy`, '--output', 'f1-again.sql');
      assert.equal(await project.read('f1-again.sql'), await project.read('f1.sql'));
    });

    test('chooses the profile at creation and later', async () => {
      const roomy = uniqueName('roomy');
      await d1('create', roomy, '--profile', 'wide');
      const columns = `CREATE TABLE many (${Array.from({ length: 200 }, (_, i) => `c${i}`).join(', ')})`;
      await d1('execute', roomy, '--command', columns);
      fails(await tryD1('execute', name, '--command', columns), /too many columns/);
      await d1('profile', name, 'wide');
      await d1('execute', name, '--command', columns);
      await d1('profile', name, 'strict');
      fails(await tryD1('execute', name, '--command', columns.replace('many', 'more')), /too many columns/);
      fails(await tryD1('profile', name, 'narrow'), /narrow/);
    });

    test('deletes a database, but not without a yes', async () => {
      const doomed = uniqueName('doomed');
      await d1('create', doomed);
      fails(await project.tryDione(['d1', 'delete', doomed, place], { input: 'n\n' }), /not deleted/);
      assert.ok((await json('list')).some((entry) => entry.name === doomed));
      await d1('delete', doomed, '--skip-confirmation');
      assert.ok(!(await json('list')).some((entry) => entry.name === doomed));
      fails(await tryD1('delete', doomed, '-y'), /doomed/);
    });
  });
}

describe('where the databases are', () => {
  test('local is the default and uses ./data; --data names another folder', async (t) => {
    const project = await dioneProject(t);
    await project.dione(['d1', 'create', 'here']);
    assert.ok(existsSync(project.file('data/control.db')));
    await project.dione(['d1', 'create', 'there', '--data', 'elsewhere']);
    assert.deepEqual((await project.json(['d1', 'list'])).map(({ name }) => name), ['here']);
    assert.deepEqual((await project.json(['d1', 'list', '--data', 'elsewhere'])).map(({ name }) => name), ['there']);
  });

  test('a server serves what the local command made, and a local command beside the server works too', async (t) => {
    const project = await dioneProject(t);
    await project.dione(['d1', 'create', 'shared']);
    await project.dione(['d1', 'execute', 'shared', '--command', "CREATE TABLE t (a); INSERT INTO t VALUES ('local')"]);
    const own = await startServer(t, { data: project.file('data') });
    const { uuid } = ok(await own.database('shared', 'GET'));
    assert.equal(await own.value(uuid, 'SELECT a FROM t'), 'local');
    // The folder is the server's now: the command asks it, with the token that both were given.
    await project.dione(['d1', 'execute', 'shared', '--command', "INSERT INTO t VALUES ('beside')"], { env: { ...project.env, DIONE_TOKEN: own.token } });
    assert.deepEqual(await own.rows(uuid, 'SELECT a FROM t'), [{ a: 'local' }, { a: 'beside' }]);
    await own.stop();
    await project.dione(['d1', 'execute', 'shared', '--command', "INSERT INTO t VALUES ('after')"]);
    const [{ results }] = await project.json(['d1', 'execute', 'shared', '--command', 'SELECT count(*) AS n FROM t']);
    assert.deepEqual(results, [{ n: 3 }]);
  });

  test('--url and --token go before the environment, and a wrong token is told', async (t) => {
    const project = await dioneProject(t);
    const { name } = await server.create();
    const there = ['--remote', '--url', server.url, '--token', server.token];
    assert.equal((await project.json(['d1', 'info', name, ...there])).name, name);
    const bare = ['--url', `${new URL(server.url).host}/`, '--token', server.token];
    assert.equal((await project.json(['d1', 'info', name, ...bare])).name, name, 'http:// may be left out');
    fails(await project.tryDione(['d1', 'list', '--remote', '--url', server.url, '--token', 'x'.repeat(40)]), /Authentication|token/i);
    fails(await project.tryDione(['d1', 'list', '--remote', '--url', 'http://127.0.0.1:1', '--token', server.token]), /127\.0\.0\.1:1|connect/i);
    fails(await project.tryDione(['d1', 'list', '--remote', '--url', server.url]), /no token for/i);
    const env = { ...project.env, CLOUDFLARE_API_BASE_URL: `${server.url}/client/v4`, CLOUDFLARE_API_TOKEN: server.token };
    assert.equal((await project.json(['d1', 'info', name, '--remote'], { env })).name, name, "wrangler's variables count");
    fails(await project.tryDione(['d1', 'list', '--url', server.url], { env }), /no token for/i);
    await project.dione(['d1', 'create', 'other']);
    fails(await project.tryDione(['d1', 'list', '--remote', '--url', server.url]), /the token of \.\/data was tried; --token or DIONE_TOKEN/);
  });

  test('wrangler.jsonc and wrangler.toml name databases by binding', async (t) => {
    const { name, uuid } = await server.create();
    await server.query(uuid, "CREATE TABLE t (a); INSERT INTO t VALUES ('bound')");
    for (const [file, text] of [
      ['wrangler.jsonc', `{ // comment\n "d1_databases": [{ "binding": "DB", "database_name": "${name}", "database_id": "${uuid}", "migrations_dir": "steps" }], }`],
      ['wrangler.toml', `# comment\nname = "x"\n[[d1_databases]]\nbinding = "DB"\ndatabase_name = "${name}"\ndatabase_id = "${uuid}"\nmigrations_dir = "steps"\n`],
    ]) {
      const project = await dioneProject(t, server);
      await project.write(file, text);
      for (const word of ['DB', name, uuid]) {
        const [{ results }] = await project.json(['d1', 'execute', word, '--remote', '--command', 'SELECT a FROM t']);
        assert.deepEqual(results, [{ a: 'bound' }], `${word} in ${file}`);
      }
      await project.dione(['d1', 'migrations', 'create', 'DB', 'one', '--remote']);
      assert.ok(existsSync(project.file('steps/0001_one.sql')), `migrations_dir of ${file}`);
    }
  });

  test('dione and wrangler are interchangeable on one database', async (t) => {
    const wrangler = await wranglerProject(t, server);
    const dione = await dioneProject(t, server);
    const { name, uuid } = await server.create();
    await wrangler.bind(name, uuid);
    await wrangler.wrangler('d1', 'migrations', 'create', name, 'both');
    await wrangler.write('migrations/0001_both.sql', 'CREATE TABLE t (a);\n');
    await wrangler.wrangler('d1', 'migrations', 'apply', name, '--remote');
    const listed = await run(binary, ['d1', 'migrations', 'list', name, '--remote'], { cwd: wrangler.folder, env: dione.env });
    assert.equal(listed.code, 0, listed.stderr);
    assert.doesNotMatch(listed.stdout, /0001_both/);
    const theirs = await wrangler.json('d1', 'execute', name, '--remote', '--command', 'SELECT 1 AS a; SELECT 2 AS b');
    const ours = await dione.json(['d1', 'execute', name, '--remote', '--command', 'SELECT 1 AS a; SELECT 2 AS b']);
    assert.deepEqual(ours.map(({ results }) => results), theirs.map(({ results }) => results));
    assert.deepEqual(ours.map((result) => Object.keys(result).sort()), theirs.map((result) => Object.keys(result).sort()));
    assert.deepEqual(Object.keys(ours[0].meta).sort(), Object.keys(theirs[0].meta).sort());
    for (const command of [['list'], ['info', name]]) {
      const [a, b] = [await dione.json(['d1', ...command, '--remote']), await wrangler.json('d1', ...command)];
      const keys = (value) => Object.keys(Array.isArray(value) ? value[0] : value).sort();
      assert.deepEqual(keys(a).filter((key) => keys(b).includes(key)), keys(b), `every key of wrangler d1 ${command[0]} --json`);
    }
    const exported = [dione.file('a.sql'), wrangler.file('b.sql')];
    await server.query(uuid, "INSERT INTO t VALUES ('x')");
    await dione.dione(['d1', 'export', name, '--remote', '--output', exported[0]]);
    await wrangler.wrangler('d1', 'export', name, '--remote', '--skip-confirmation', '--output', exported[1]);
    assert.equal(await readFile(exported[0], 'utf8'), await readFile(exported[1], 'utf8'));
  });

  test('a local database and its remote copy have the same content', async (t) => {
    const project = await dioneProject(t, server);
    await project.dione(['d1', 'create', 'work', '--local']);
    await project.dione(['d1', 'execute', 'work', '--local', '--command', "CREATE TABLE t (a); INSERT INTO t VALUES (1), ('x'), (X'00')"]);
    await project.dione(['d1', 'export', 'work', '--local', '--output', 'work.sql']);
    const { name, uuid } = await server.create();
    await project.dione(['d1', 'execute', name, '--remote', '--yes', '--file', 'work.sql']);
    const own = await startServer(t, { data: project.file('data') });
    const { uuid: local } = ok(await own.database('work', 'GET'));
    await assertSameContent(own, local, uuid, { otherServer: server });
    assert.equal(await exportText(own, local), await exportText(server, uuid));
  });

  test('the token file of a local data directory stays private', async (t) => {
    const project = await dioneProject(t);
    await project.dione(['d1', 'create', 'x']);
    if (existsSync(project.file('data/token'))) assert.equal((await stat(project.file('data/token'))).mode & 0o777, 0o600);
    assert.equal((await stat(project.file('data'))).mode & 0o007, 0, 'others cannot look into the data directory');
  });
});

describe('dione token', () => {
  test('creates a token for scripts, lists it without the secret, and revokes it', async (t) => {
    const project = await dioneProject(t, server);
    const { name, uuid } = await server.create();
    await server.query(uuid, 'CREATE TABLE t (a)');
    const printed = await project.dione(['token', 'create', '--name', 'ci', '--read-only', '--database', name, '--expires', '30d', '--remote']);
    const token = printed.trim();
    assert.match(token, /^\S{32,}$/, 'the token is all there is on standard output');
    assert.deepEqual(await server.rows(uuid, 'SELECT * FROM t', undefined, { token }), []);
    refused(await server.tryQuery(uuid, 'INSERT INTO t VALUES (1)', undefined, { token }), [401, 403], 10000);
    const listed = (await project.json(['token', 'list', '--remote'])).find((entry) => entry.name === 'ci' && entry.database === uuid);
    assert.ok(listed, 'it is in the list');
    assert.equal(listed.scope, 'read');
    const days = (Date.parse(listed.expires_at) - Date.now()) / 864e5;
    assert.ok(days > 29 && days <= 30, `expires in ${days} days`);
    assert.ok(!(await project.dione(['token', 'list', '--remote'])).includes(token));
    await project.dione(['token', 'revoke', listed.id, '--remote']);
    refused(await server.tryQuery(uuid, 'SELECT 1', undefined, { token }), [401, 403], 10000);
    fails(await project.tryDione(['token', 'revoke', listed.id, '--remote']), /./);
    fails(await project.tryDione(['token', 'create', '--name', 'x', '--expires', 'soon', '--remote']), /soon/);
    fails(await project.tryDione(['token', 'create', '--remote']), /--name/);
  });

  test('makes tokens on a data directory that a server later serves', async (t) => {
    const project = await dioneProject(t);
    await project.dione(['d1', 'create', 'one']);
    const token = (await project.dione(['token', 'create', '--name', 'early'])).trim();
    const own = await startServer(t, { data: project.file('data') });
    ok(await own.account('GET', '/d1/database', { token }));
  });
});

describe('dione shell', () => {
  test('runs statements from a pipe, over several lines, with .tables and .schema', async (t) => {
    const project = await dioneProject(t);
    await project.dione(['d1', 'create', 'sh']);
    const done = await project.tryDione(['shell', 'sh'], { input: `CREATE TABLE first (a, b);
INSERT INTO first
  VALUES ('one; two',
    3);
SELECT a AS answer FROM first;
CREATE TABLE second (c);
.tables
.schema first
` });
    assert.equal(done.code, 0, done.stderr);
    assert.match(done.stdout, /one; two/);
    assert.match(done.stdout, /first[^]*second/);
    assert.match(done.stdout, /CREATE TABLE first \(a, b\)/);
    const [{ results }] = await project.json(['d1', 'execute', 'sh', '--command', 'SELECT count(*) AS n FROM first']);
    assert.deepEqual(results, [{ n: 1 }]);
  });

  test('shows the results before an error on the same line', async (t) => {
    const project = await dioneProject(t);
    await project.dione(['d1', 'create', 'line']);
    const done = await project.tryDione(['shell', 'line'], { input: "SELECT 40 + 2 AS n; SELECT 'a;b' AS t; selec\n" });
    fails(done, /line 1: near "selec"/);
    assert.match(done.stdout, /42[^]*a;b/);
  });

  test('ends at the first error of a pipe, with its words and exit code 1', async (t) => {
    const project = await dioneProject(t, server);
    const { name } = await server.create();
    const done = await project.tryDione(['shell', name, '--remote'], { input: 'SELECT 40 + 2 AS n;\nselec;\nSELECT 50 + 3 AS n;\n' });
    assert.equal(done.code, 1);
    assert.match(done.stderr, /syntax error/);
    assert.match(done.stdout, /42/);
    assert.doesNotMatch(done.stdout, /53/);
    fails(await project.tryDione(['shell', uniqueName('unknown'), '--remote'], { input: 'SELECT 1;' }), /unknown|find|not f/i);
  });
});
