// `dione shell`: transactions from a pipe and at a prompt (a terminal of its own, made by script(1)), and what happens
// when nobody reads on.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { binary, run } from '../lib/server.mjs';
import { dioneProject } from '../lib/clients.mjs';
import { terminal } from '../lib/terminal.mjs';

const fails = (done, message) => {
  assert.equal(done.code, 1, `exit code, with:\n${done.stdout}\n${done.stderr}`);
  assert.match(done.stdout + done.stderr, message);
};

async function project(t, profile) {
  const dione = await dioneProject(t);
  await dione.dione(['d1', 'create', 'sh', '--profile', profile]);
  await dione.dione(['d1', 'execute', 'sh', '--command', 'CREATE TABLE t (a)']);
  dione.count = async () => (await dione.json(['d1', 'execute', 'sh', '--command', 'SELECT count(*) AS n FROM t']))[0].results[0].n;
  dione.pipe = (input) => dione.tryDione(['shell', 'sh'], { input });
  return dione;
}

describe('transactions from a pipe', () => {
  test('COMMIT keeps, ROLLBACK drops, and the statements between see their own changes', async (t) => {
    const dione = await project(t, 'wide');
    const done = await dione.pipe('BEGIN; INSERT INTO t VALUES (1), (2); SELECT count(*) AS inside FROM t; COMMIT;\n' +
      'begin immediate transaction;\nDELETE FROM t;\nSELECT 70 + count(*) AS n FROM t;\n.tables\nROLLBACK;\n');
    assert.equal(done.code, 0, done.stderr);
    assert.match(done.stdout, /inside[^]*2[^]*70[^]*\nt\n/);
    assert.equal(await dione.count(), 2);
  });

  test('an error inside rolls all of it back, as does the end of the input', async (t) => {
    const dione = await project(t, 'wide');
    fails(await dione.pipe('BEGIN;\nINSERT INTO t VALUES (1);\nSELECT * FROM nope;\nCOMMIT;'), /rolled back[^]*line 3: no such table: nope/);
    fails(await dione.pipe('BEGIN;\nINSERT INTO t VALUES (1);'), /without COMMIT: rolled back/);
    assert.equal(await dione.count(), 0);
  });

  test('words out of place are told, and the strict profile says what to do', async (t) => {
    const wide = await project(t, 'wide');
    fails(await wide.pipe('BEGIN; BEGIN;'), /transaction within a transaction/);
    fails(await wide.pipe('COMMIT;'), /no transaction is open/);
    fails(await wide.pipe('ROLLBACK;'), /no transaction is open/);
    const strict = await project(t, 'strict');
    fails(await strict.pipe('BEGIN; INSERT INTO t VALUES (1); COMMIT;'), /wide profile: `dione d1 profile sh wide`/);
    assert.equal(await strict.count(), 0);
  });
});

describe('at a terminal', () => {
  test('the prompt shows an open transaction; errors leave it open; leaving rolls it back', async (t) => {
    const dione = await project(t, 'wide');
    const shell = terminal(t, dione, ['shell', 'sh']);
    await shell.sees('sh> ');
    shell.type('begin;\r');
    await shell.sees('sh*> ');
    shell.type('insert into t values (1);\r');
    await shell.sees('1 row changed');
    await shell.sees('sh*> ');
    shell.type('select nope;\r');
    await shell.sees('no such column: nope');
    await shell.sees('sh*> ');
    shell.type('commit;\r');
    await shell.sees('sh> ');
    shell.type('begin; delete from t; select count(*) + 40 as n from t;\r');
    await shell.sees('40');
    await shell.sees('sh*> ');
    shell.type('\x04');
    await shell.sees('rolled back');
    await shell.ended();
    assert.equal(await dione.count(), 1);
  });

  test('Ctrl-C drops the line, and the next one runs', async (t) => {
    const dione = await project(t, 'strict');
    const shell = terminal(t, dione, ['shell', 'sh']);
    await shell.sees('sh> ');
    shell.type('insert into t values (1)\x03');
    await shell.sees('^C');
    await shell.sees('sh> ');
    shell.type('select 6 * 7 as n;\r');
    await shell.sees('42');
    shell.type('.quit\r');
    await shell.ended();
    assert.equal(await dione.count(), 0);
  });
});

test('when nobody reads on it ends by SIGPIPE, without a word', async (t) => {
  const dione = await project(t, 'strict');
  await dione.write('many.sql', 'SELECT 1;\n'.repeat(20000));
  const done = await run('bash', ['-c', '"$0" shell sh < many.sql | head -n 1; echo "${PIPESTATUS[0]}"', binary], { cwd: dione.folder, env: dione.env });
  assert.match(done.stdout, /\n141\n$/);
  assert.equal(done.stderr, '');
});
