// The tour of the README with the real wrangler, a current one and a 3.x: whoever has a D1 project changes three
// environment variables and nothing else.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { before, describe, test } from 'node:test';
import { scope, startServer, uniqueName } from '../lib/server.mjs';
import { assertSameContent } from '../lib/transfer.mjs';
import { f1Rows, f1Sql, withoutF1, wranglerProject } from '../lib/clients.mjs';

const file = scope();
let server;
before(async () => { server = await startServer(file); });

const WINNERS = `SELECT d.name, count(*) AS wins FROM results r JOIN drivers d ON d.id = r.driver_id
  WHERE r.position = 1 GROUP BY d.id ORDER BY wins DESC LIMIT 3`;

/** A small database to tour with when the F1 data is not there. */
const SMALL = `-- a comment first
PRAGMA defer_foreign_keys=TRUE;
CREATE TABLE team (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE driver (id INTEGER PRIMARY KEY, team INTEGER REFERENCES team (id), name TEXT, note BLOB);
CREATE INDEX driver_team ON driver (team);
CREATE TRIGGER loud AFTER INSERT ON driver BEGIN UPDATE driver SET name = upper(name) WHERE id = new.id; END;
CREATE VIEW both AS SELECT t.name AS team, d.name AS driver FROM team t JOIN driver d ON d.team = t.id;
INSERT INTO driver VALUES (1, 1, 'one; and ''quoted''', X'00ff'), (2, 1, 'two
lines', NULL);
INSERT INTO team (name) VALUES ('a');
`;

for (const [version, packageName] of [['4.164', 'wrangler'], ['3.114', 'wrangler3']]) {
  describe(`wrangler ${version}`, () => {
    const sure = packageName === 'wrangler' ? ['--skip-confirmation'] : [];  // 3.x does not ask
    let project;
    let name;
    let uuid;
    before(async () => {
      project = await wranglerProject(file, server, packageName);
      name = uniqueName('tour');
    });

    test('creates a database, lists it and tells about it', async () => {
      const said = await project.wrangler('d1', 'create', name);
      assert.match(said, /created/i);
      assert.match(said, new RegExp(name));
      const listed = (await project.json('d1', 'list')).find((entry) => entry.name === name);
      assert.ok(listed, 'the new database is in the list');
      uuid = listed.uuid;
      assert.ok(said.includes(uuid), 'create prints the id to put into the configuration');
      const info = await project.json('d1', 'info', name);
      assert.equal(info.uuid, uuid);
      assert.match(await project.wrangler('d1', 'info', name), new RegExp(uuid));
      await project.bind(name, uuid);
    });

    test('says in words that a name is taken', async () => {
      const again = await project.tryWrangler('d1', 'create', name);
      assert.notEqual(again.code, 0);
      assert.match(again.stdout + again.stderr, /already exists/i);
    });

    test('runs a command and prints rows or JSON', async () => {
      const said = await project.wrangler('d1', 'execute', name, '--remote', '--yes', '--command',
        "CREATE TABLE hello (who TEXT); INSERT INTO hello VALUES ('world'); SELECT who FROM hello");
      assert.match(said, /world/);
      const results = await project.json('d1', 'execute', name, '--remote', '--command', 'SELECT who, 1 AS one FROM hello');
      assert.deepEqual(results[0].results, [{ who: 'world', one: 1 }]);
      assert.equal(results[0].success, true);
      assert.equal(typeof results[0].meta.duration, 'number');
    });

    test('prints the words of an SQL error and fails', async () => {
      const failed = await project.tryWrangler('d1', 'execute', name, '--remote', '--command', 'selec 1');
      assert.notEqual(failed.code, 0);
      assert.match(failed.stdout + failed.stderr, /near "selec": syntax error at offset 0: SQLITE_ERROR/);
      assert.match(failed.stdout + failed.stderr, /7500/);
    });

    test('imports a file, exports it, and the export makes the same database', async () => {
      await project.write('small.sql', SMALL);
      const said = await project.wrangler('d1', 'execute', name, '--remote', '--yes', '--file', 'small.sql');
      assert.match(said, /8 (commands|queries)|Executed|Processed/);
      assert.deepEqual(await server.rows(uuid, 'SELECT * FROM both ORDER BY driver'),
        [{ team: 'a', driver: "ONE; AND 'QUOTED'" }, { team: 'a', driver: 'TWO\nLINES' }]);
      await project.wrangler('d1', 'export', name, '--remote', ...sure, '--output', 'out.sql');
      const copy = await server.create(uniqueName('copy'));
      await project.wrangler('d1', 'execute', copy.name, '--remote', '--yes', '--file', 'out.sql');
      await assertSameContent(server, uuid, copy.uuid);
    });

    test('exports one table, or only the schema, or only the data', async () => {
      const out = async (...flags) => {
        await project.wrangler('d1', 'export', name, '--remote', ...sure, '--output', 'part.sql', ...flags);
        return project.read('part.sql');
      };
      const hello = await out('--table', 'hello');
      assert.match(hello, /CREATE TABLE hello/);
      assert.match(hello, /INSERT INTO "hello" \("who"\) VALUES\('world'\);/);
      assert.doesNotMatch(hello, /driver/);
      const schema = await out('--no-data');
      assert.match(schema, /CREATE TABLE driver/);
      assert.match(schema, /CREATE VIEW both/);
      assert.doesNotMatch(schema, /INSERT INTO "/);
      const data = await out('--no-schema');
      assert.match(data, /INSERT INTO "driver"/);
      assert.doesNotMatch(data, /CREATE/);
    });

    test('a file that fails in the middle changes nothing', async () => {
      await project.write('bad.sql', "INSERT INTO hello VALUES ('lost');\nCREATE TABLE lost (a);\nINSERT INTO nowhere VALUES (1);\n");
      const failed = await project.tryWrangler('d1', 'execute', name, '--remote', '--yes', '--file', 'bad.sql');
      assert.notEqual(failed.code, 0);
      assert.match(failed.stdout + failed.stderr, /no such table: nowhere/);
      assert.equal(await server.value(uuid, "SELECT count(*) FROM hello WHERE who = 'lost'"), 0);
      assert.deepEqual(await server.rows(uuid, "SELECT 1 FROM sqlite_master WHERE name = 'lost'"), []);
    });

    test('creates, lists and applies migrations, and a failing one leaves nothing', async () => {
      await project.wrangler('d1', 'migrations', 'create', name, 'first');
      await project.wrangler('d1', 'migrations', 'create', name, 'second');
      await project.write('migrations/0001_first.sql', '-- Migration number: 0001\n-- with ; in a comment\n' +
        'CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, seen INTEGER DEFAULT 0);\nCREATE TABLE log (what TEXT);\n');
      await project.write('migrations/0002_second.sql', '/* block\n comment; */\nCREATE TRIGGER users_log AFTER INSERT ON users\n' +
        "BEGIN\n  INSERT INTO log VALUES ('new ' || new.name || ';');\n  UPDATE users SET seen = CASE WHEN 1 THEN 7 END WHERE id = new.id;\nEND;\n" +
        "INSERT INTO users (name) VALUES ('ann');\n");
      const before = await project.wrangler('d1', 'migrations', 'list', name, '--remote');
      assert.match(before, /0001_first\.sql/);
      assert.match(before, /0002_second\.sql/);
      await project.wrangler('d1', 'migrations', 'apply', name, '--remote');
      assert.deepEqual(await server.rows(uuid, 'SELECT name FROM d1_migrations ORDER BY id'),
        [{ name: '0001_first.sql' }, { name: '0002_second.sql' }]);
      assert.deepEqual(await server.rows(uuid, 'SELECT name, seen, what FROM users, log'), [{ name: 'ann', seen: 7, what: 'new ann;' }]);
      assert.match(await project.wrangler('d1', 'migrations', 'list', name, '--remote'), /No migrations to apply/i);

      await project.write('migrations/0003_bad.sql', "CREATE TABLE half (a);\nINSERT INTO users (name) VALUES ('bob');\nINSERT INTO missing VALUES (1);\n");
      const failed = await project.tryWrangler('d1', 'migrations', 'apply', name, '--remote');
      assert.notEqual(failed.code, 0);
      assert.match(failed.stdout + failed.stderr, /no such table: missing/);
      assert.equal(await server.value(uuid, 'SELECT count(*) FROM d1_migrations'), 2);
      assert.equal(await server.value(uuid, 'SELECT count(*) FROM users'), 1);
      assert.deepEqual(await server.rows(uuid, "SELECT 1 FROM sqlite_master WHERE name = 'half'"), []);
    });

    test('shows insights of the queries that ran', async () => {
      for (let i = 0; i < 3; i += 1) await server.rows(uuid, 'SELECT who FROM hello WHERE who = ?1', ['world']);
      const wanted = ['d1', 'insights', name, '--sort-by', 'count', '--limit', '100'];
      const { stdout, code, stderr } = await project.tryWrangler(...wanted, ...(packageName === 'wrangler' ? ['--json'] : []));
      assert.equal(code, 0, stdout + stderr);
      const start = stdout.indexOf('[');
      assert.ok(start >= 0, `insights printed no list:\n${stdout}`);
      const found = JSON.parse(stdout.slice(start)).find(({ query }) => query === 'SELECT who FROM hello WHERE who = ?1');
      assert.ok(found, stdout);
      assert.ok(found.numberOfTimesRun >= 3 || found.count >= 3, JSON.stringify(found));
    });

    test('reads the current bookmark with time-travel info', async () => {
      assert.match(await project.wrangler('d1', 'time-travel', 'info', name), new RegExp(await server.bookmark(uuid)));
    });

    test('takes the F1 data, answers from it, and its export makes the same database', { skip: withoutF1 }, async () => {
      const f1 = await server.create(uniqueName('f1'));
      await project.wrangler('d1', 'execute', f1.name, '--remote', '--yes', '--file', f1Sql);
      for (const [table, count] of Object.entries(f1Rows)) assert.equal(await server.value(f1.uuid, `SELECT count(*) FROM ${table}`), count, table);
      const [{ results }] = await project.json('d1', 'execute', f1.name, '--remote', '--command', WINNERS);
      assert.equal(results.length, 3);
      assert.deepEqual(results, await server.rows(f1.uuid, WINNERS));
      await project.wrangler('d1', 'export', f1.name, '--remote', ...sure, '--output', 'f1-out.sql');
      const copy = await server.create(uniqueName('f1-copy'));
      await project.wrangler('d1', 'execute', copy.name, '--remote', '--yes', '--file', 'f1-out.sql');
      const { rows } = await assertSameContent(server, f1.uuid, copy.uuid);
      assert.equal(rows.pit_stops.length, f1Rows.pit_stops);
      await project.wrangler('d1', 'export', copy.name, '--remote', ...sure, '--output', 'f1-again.sql');
      assert.equal(await readFile(project.file('f1-again.sql'), 'utf8'), await readFile(project.file('f1-out.sql'), 'utf8'),
        'the export of the copy is the same text');
    });

    test('deletes the database, which is then unknown in words', async () => {
      await project.wrangler('d1', 'delete', name, '--skip-confirmation');
      assert.ok(!(await project.json('d1', 'list')).some((entry) => entry.uuid === uuid));
      await project.write('wrangler.jsonc', '{ "name": "tour", "compatibility_date": "2026-01-01" }');
      const gone = await project.tryWrangler('d1', 'info', name);
      assert.notEqual(gone.code, 0);
      assert.match(gone.stdout + gone.stderr, /Couldn't find|not find|404/i);
    });
  });
}

describe('wrangler and tokens', () => {
  test('a wrong token is told as an authentication error', async (t) => {
    const project = await wranglerProject(t, { url: server.url, token: 'x'.repeat(40) });
    const failed = await project.tryWrangler('d1', 'list');
    assert.notEqual(failed.code, 0);
    assert.match(failed.stdout + failed.stderr, /Authentication error|code: 10000/);
  });

  test('whoami knows the account', async (t) => {
    const project = await wranglerProject(t, server);
    assert.match(await project.wrangler('whoami'), /local/);
  });
});
