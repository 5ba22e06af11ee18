// The engine under many hands at once. Writes of several requests share one commit; each of these tests sets a trap
// that would show if they shared more than that. Then the profiles, interactive transactions and slow statements.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { ok, refused, scope, serveHas, startServer, until } from '../lib/server.mjs';

const file = scope();
let server;
before(async () => { server = await startServer(file); });

const WRITERS = 64;
const range = (n) => Array.from({ length: n }, (_, i) => i);

/** All requests at once, so that the writer finds them waiting and puts them into common groups. */
const together = (count, request) => Promise.all(range(count).map(request));

describe('group commit', () => {
  test('a request that fails is rolled back alone and the others stand', async () => {
    const id = await server.fresh("CREATE TABLE t (id INTEGER PRIMARY KEY, who TEXT); INSERT INTO t VALUES (0, 'first')");
    for (let round = 0; round < 5; round += 1) {
      const key = (i) => 1 + round * WRITERS * 2 + i * 2;
      await together(WRITERS, async (i) => {
        const bad = i % 3 === 0;
        const answer = await server.tryBatch(id, [
          { sql: 'INSERT INTO t VALUES (?, ?)', params: [key(i), `a${i}`] },
          { sql: 'INSERT INTO t VALUES (?, ?)', params: [bad ? 0 : key(i) + 1, `b${i}`] }]);
        if (bad) refused(answer, 400, 7500, /UNIQUE constraint failed: t\.id/); else ok(answer);
      });
      const expected = range(WRITERS).filter((i) => i % 3 !== 0).flatMap((i) => [key(i), key(i) + 1]);
      const rows = await server.rows(id, 'SELECT id FROM t WHERE id >= ? AND id < ? ORDER BY id', [key(0), key(WRITERS)]);
      assert.deepEqual(rows.map((row) => row.id), expected);
    }
  });

  test('an unresolved deferred foreign key fails its own request only', async () => {
    const id = await server.fresh(`CREATE TABLE parent (id INTEGER PRIMARY KEY);
      CREATE TABLE child (i INTEGER, p INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)`);
    await together(WRITERS, async (i) => {
      const dangling = i % 2 === 1;
      const answer = await server.tryBatch(id, [{ sql: 'INSERT INTO child VALUES (?, ?)', params: [i, i] },
        { sql: 'INSERT INTO parent VALUES (?)', params: [dangling ? i + 1000 : i] }]);
      if (dangling) refused(answer, 400, 7500, /^FOREIGN KEY constraint failed: SQLITE_CONSTRAINT/); else ok(answer);
    });
    const even = range(WRITERS).filter((i) => i % 2 === 0);
    assert.deepEqual((await server.rows(id, 'SELECT i FROM child ORDER BY i')).map(({ i }) => i), even);
    assert.deepEqual((await server.rows(id, 'SELECT id FROM parent ORDER BY id')).map((row) => row.id), even);
    refused(await server.tryQuery(id, 'INSERT INTO child VALUES (1, 99999)'), 400, 7500, /FOREIGN KEY constraint failed/);
  });

  test('defer_foreign_keys of one request does not reach the next one', async () => {
    const id = await server.fresh('CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE child (i INTEGER, p REFERENCES parent (id))');
    await together(WRITERS, async (i) => {
      // Child before parent: right under the pragma, an error at once without it.
      const steps = [{ sql: 'INSERT INTO child VALUES (?, ?)', params: [i, i] }, { sql: 'INSERT INTO parent VALUES (?)', params: [i] }];
      if (i % 2 === 0) ok(await server.tryBatch(id, [{ sql: 'PRAGMA defer_foreign_keys = ON' }, ...steps]));
      else refused(await server.tryBatch(id, steps), 400, 7500, /FOREIGN KEY constraint failed/);
    });
    assert.equal(await server.value(id, 'SELECT count(*) FROM child'), WRITERS / 2);
    refused(await server.tryQuery(id, 'PRAGMA defer_foreign_keys = ON; INSERT INTO child VALUES (1, 777)'), 400, 7500, /FOREIGN KEY constraint failed/);
    assert.equal(await server.value(id, 'PRAGMA defer_foreign_keys'), 0);
  });

  for (const [what, sql, message] of [
    ['INSERT OR ROLLBACK', "INSERT OR ROLLBACK INTO t VALUES (0, 'clash')", /UNIQUE constraint failed: t\.id/],
    ['RAISE(ROLLBACK)', "INSERT INTO t VALUES (-1, 'raise')", /rolled back by the trigger/],
  ]) {
    test(`${what} ends the request that did it and no other`, async () => {
      const id = await server.fresh(`CREATE TABLE t (id INTEGER PRIMARY KEY, who TEXT); INSERT INTO t VALUES (0, 'first');
        CREATE TRIGGER tr BEFORE INSERT ON t WHEN new.id < 0 BEGIN SELECT RAISE(ROLLBACK, 'rolled back by the trigger'); END`);
      for (let round = 0; round < 5; round += 1) {
        const key = (i) => 1 + round * WRITERS + i;
        await together(WRITERS, async (i) => {
          if (i % 8 !== 5) return ok(await server.tryQuery(id, 'INSERT INTO t VALUES (?, ?)', [key(i), 'good']));
          return refused(await server.tryBatch(id, [{ sql: 'INSERT INTO t VALUES (?, ?)', params: [key(i), 'must go'] }, { sql },
            { sql: 'INSERT INTO t VALUES (?, ?)', params: [key(i) + 1_000_000, 'must not come'] }]), 400, 7500, message);
        });
      }
      const rows = await server.rows(id, 'SELECT id, who FROM t WHERE id > 0 ORDER BY id');
      assert.deepEqual(rows.map((row) => row.id), range(5 * WRITERS).filter((i) => i % 8 !== 5).map((i) => i + 1));
      assert.ok(rows.every(({ who }) => who === 'good'));
    });
  }

  test('a rollback in the middle does not run the passed requests twice', async () => {
    const id = await server.fresh('CREATE TABLE n (k INTEGER PRIMARY KEY, v INTEGER); INSERT INTO n VALUES (1, 0); CREATE TABLE log (i INTEGER)');
    for (let round = 0; round < 5; round += 1) {
      await together(WRITERS, async (i) => {
        if (i % 10 === 9) return refused(await server.tryQuery(id, 'INSERT OR ROLLBACK INTO n VALUES (1, 1)'), 400, 7500);
        return ok(await server.tryBatch(id, [{ sql: 'UPDATE n SET v = v + 1 WHERE k = 1' }, { sql: 'INSERT INTO log VALUES (?)', params: [round * WRITERS + i] }]));
      });
    }
    const good = 5 * range(WRITERS).filter((i) => i % 10 !== 9).length;
    assert.equal(await server.value(id, 'SELECT v FROM n'), good);
    assert.deepEqual(await server.rows(id, 'SELECT count(*) AS n, count(DISTINCT i) AS d FROM log'), [{ n: good, d: good }]);
  });

  test('changes, last_row_id and changed_db are those of each request', async () => {
    const id = await server.fresh('CREATE TABLE t (id INTEGER PRIMARY KEY, tag TEXT)');
    const metas = await together(WRITERS, async (i) => {
      const rows = 1 + (i % 4);
      const values = range(rows).map(() => '(?)').join(',');
      const [{ meta }] = await server.query(id, `INSERT INTO t (tag) VALUES ${values}`, Array(rows).fill(`w${i}`));
      const [{ meta: nothing }] = await server.query(id, 'UPDATE t SET tag = tag WHERE id = -1');
      return { i, rows, meta, nothing };
    });
    for (const { i, rows, meta, nothing } of metas) {
      assert.equal(meta.changes, rows);
      assert.equal(meta.changed_db, true);
      const [{ last }] = await server.rows(id, 'SELECT max(id) AS last FROM t WHERE tag = ?', [`w${i}`]);
      assert.equal(meta.last_row_id, last);
      assert.deepEqual([nothing.changes, nothing.changed_db, nothing.rows_written], [0, false, 0]);
    }
  });

  test('rows that RETURNING gives are those of each request', async () => {
    const id = await server.fresh('CREATE TABLE n (v INTEGER); INSERT INTO n VALUES (0)');
    const seen = await together(200, () => server.value(id, 'UPDATE n SET v = v + 1 RETURNING v'));
    assert.deepEqual(seen.toSorted((a, b) => a - b), range(200).map((i) => i + 1), 'every value once');
  });

  test('schema changes among the writes of others stand or fall alone', async () => {
    const id = await server.fresh('CREATE TABLE t (a)');
    await together(WRITERS, async (i) => {
      if (i % 4 === 0) return ok(await server.tryQuery(id, `CREATE TABLE made_${i} (a); INSERT INTO made_${i} VALUES (1)`));
      if (i % 4 === 1) return refused(await server.tryQuery(id, `CREATE TABLE lost_${i} (a); INSERT INTO nowhere VALUES (1)`), 400, 7500, /no such table: nowhere/);
      return ok(await server.tryQuery(id, 'INSERT INTO t VALUES (?)', [i]));
    });
    const names = (await server.rows(id, "SELECT name FROM sqlite_master WHERE name GLOB '*_*'")).map(({ name }) => name).sort();
    assert.deepEqual(names, range(WRITERS).filter((i) => i % 4 === 0).map((i) => `made_${i}`).sort());
    assert.equal(await server.value(id, 'SELECT count(*) FROM t'), WRITERS / 2);
  });

  test('an answered write is visible to every reader at once', async () => {
    const id = await server.fresh('CREATE TABLE t (i INTEGER PRIMARY KEY)');
    await together(WRITERS, async (i) => {
      await server.query(id, 'INSERT INTO t VALUES (?)', [i]);
      assert.equal(await server.value(id, 'SELECT count(*) FROM t WHERE i = ?', [i]), 1);
    });
  });

  test('writers of different databases do not mix', async () => {
    const ids = await together(8, () => server.fresh('CREATE TABLE t (i INTEGER)'));
    await together(8 * 20, (i) => server.query(ids[i % 8], 'INSERT INTO t VALUES (?)', [i]));
    for (const [d, id] of ids.entries()) {
      assert.deepEqual((await server.rows(id, 'SELECT i FROM t ORDER BY i')).map(({ i }) => i), range(20).map((n) => n * 8 + d));
    }
  });

  test('a client that goes away does not undo or spoil anything', async () => {
    const id = await server.fresh('CREATE TABLE t (i INTEGER PRIMARY KEY, half INTEGER)');
    await together(WRITERS, async (i) => {
      const leaving = new AbortController();
      const answer = server.tryBatch(id, [{ sql: 'INSERT INTO t VALUES (?, 1)', params: [i * 2] }, { sql: 'INSERT INTO t VALUES (?, 2)', params: [i * 2 + 1] }],
        { signal: leaving.signal });
      if (i % 2) setImmediate(() => leaving.abort());
      await answer.catch((error) => assert.equal(error.name, 'AbortError'));
    });
    const rows = (await server.rows(id, 'SELECT i / 2 AS request, count(*) AS n FROM t GROUP BY 1'));
    assert.ok(rows.every(({ n }) => n === 2), 'whole batches or none');
    for (const i of range(WRITERS).filter((n) => n % 2 === 0)) assert.ok(rows.some(({ request }) => request === i), `batch ${i} was answered and is there`);
    await server.assertAlive();
  });
});

const slow = (steps) => `WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ${steps}) SELECT max(n) AS n FROM c`;

/** Steps that keep this server on this machine busy for about so many seconds, so that slow is slow everywhere. */
async function stepsFor(seconds, id) {
  const sample = 400_000;
  const start = performance.now();
  await server.value(id, slow(sample));
  return Math.round(sample * seconds * 1000 / (performance.now() - start));
}

describe('slow statements', () => {
  test('a slow read delays neither reads nor writes, of its own database or others', async () => {
    const [id, other] = [await server.fresh('CREATE TABLE t (a)'), await server.fresh('CREATE TABLE t (a)')];
    const order = [];
    const steps = await stepsFor(6, id);
    const long = server.value(id, slow(steps)).then((n) => { order.push('slow'); return n; });
    for (let i = 0; i < 20; i += 1) {
      await Promise.all([server.value(id, 'SELECT 1'), server.query(id, 'INSERT INTO t VALUES (1)'),
        server.value(other, 'SELECT 1'), server.query(other, 'INSERT INTO t VALUES (1)')]);
    }
    order.push('fast');
    assert.equal(await long, steps);
    assert.deepEqual(order, ['fast', 'slow'], 'the fast ones were all answered before the slow one');
  });

  test('several slow reads at once leave the server quick', async () => {
    const id = await server.fresh('CREATE TABLE t (a)');
    let finished = 0;
    const steps = await stepsFor(2, id);
    const long = together(6, (i) => server.value(id, slow(steps + i)).then((n) => { finished += 1; return n; }));
    for (let i = 0; i < 10; i += 1) await server.value(id, 'SELECT count(*) FROM t');
    assert.ok(finished < 6, 'fast reads did not queue behind all the slow ones');
    assert.deepEqual(await long, range(6).map((i) => steps + i));
  });

  test('a slow read whose client has left ends, and the server lives', async () => {
    const id = await server.fresh();
    const leaving = new AbortController();
    const answer = server.tryQuery(id, slow(2_000_000_000), undefined, { signal: leaving.signal });
    await server.value(id, 'SELECT 1');
    leaving.abort();
    await assert.rejects(answer, { name: 'AbortError' });
    await server.assertAlive();
    assert.equal(await server.value(id, 'SELECT 2'), 2);
  });

  test('a big answer arrives whole', async () => {
    const id = await server.fresh(`CREATE TABLE t (i INTEGER PRIMARY KEY, a TEXT); INSERT INTO t SELECT n, hex(n) || '${'y'.repeat(90)}' FROM
      (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000) SELECT n FROM c)`);
    const answers = await together(4, () => server.rows(id, 'SELECT i, a FROM t ORDER BY i'));
    for (const rows of answers) {
      assert.equal(rows.length, 100_000);
      assert.deepEqual(rows.map(({ i }) => i), range(100_000).map((i) => i + 1));
    }
  });

  test('a statement beyond the time limit is stopped with a clear error and undone', async (t) => {
    if (!await serveHas('--statement-timeout')) return t.skip('dione serve has no --statement-timeout to shorten the 30 s with');
    const own = await startServer(t, { args: ['--statement-timeout', '300'] });
    const id = await own.fresh('CREATE TABLE t (a)');
    const endless = slow(2_000_000_000_000);
    for (const sql of [endless, `INSERT INTO t ${endless}`, `INSERT INTO t VALUES (1); ${endless}`]) {
      const answer = await own.tryQuery(id, sql);
      assert.ok(answer.status >= 400 && answer.status < 500 && answer.status !== 408 && answer.status !== 429 && answer.status !== 409,
        `HTTP ${answer.status} would make the SDK run it again`);
      assert.equal(answer.body.success, false);
      assert.match(answer.body.errors[0].message, /time|interrupt|long/i);
    }
    assert.equal(await own.value(id, 'SELECT count(*) FROM t'), 0);
    // Writes that waited behind it are done, or say that they waited too long and are not.
    const [bad, ...others] = await Promise.all([own.tryQuery(id, `INSERT INTO t ${endless}`),
      ...range(20).map((i) => own.tryQuery(id, 'INSERT INTO t VALUES (?)', [i]))]);
    assert.equal(bad.body.success, false);
    for (const answer of others.filter(({ status }) => status !== 200)) refused(answer, [400, 503], [7500, 7503], /overloaded|queued|too long|time/i);
    assert.equal(await own.value(id, 'SELECT count(*) FROM t'), others.filter(({ status }) => status === 200).length);
    await own.query(id, 'INSERT INTO t VALUES (99)');
  });
});

describe('limits of the strict profile', () => {
  test('what D1 refuses is refused, and one less is taken', async () => {
    const id = await server.fresh('CREATE TABLE t (a)');
    const marks = (n) => [`SELECT 1 IN (${range(n).map((i) => `?${i + 1}`)})`, range(n)];
    ok(await server.tryQuery(id, ...marks(100)));
    refused(await server.tryQuery(id, ...marks(101)), 400, 7500, /too many SQL variables|variable number/);
    ok(await server.tryQuery(id, `CREATE TABLE c100 (${range(100).map((i) => `c${i}`)})`));
    refused(await server.tryQuery(id, `CREATE TABLE c101 (${range(101).map((i) => `c${i}`)})`), 400, 7500, /too many columns/);
    const long = (bytes) => `SELECT '${'x'.repeat(bytes - 9)}'`;
    ok(await server.tryQuery(id, long(99_999)));
    refused(await server.tryQuery(id, long(100_002)), 400, 7500, /statement too long: SQLITE_TOOBIG/);
    const compound = (n) => range(n).map((i) => `SELECT ${i}`).join(' UNION ALL ');
    ok(await server.tryQuery(id, compound(5)));
    refused(await server.tryQuery(id, compound(6)), 400, 7500, /too many terms in compound SELECT/);
    refused(await server.tryQuery(id, `SELECT ${'1+'.repeat(200)}1`), 400, 7500, /Expression tree is too large/);
  });

  test('a batch of many statements is fine, for each counts alone', async () => {
    const id = await server.fresh('CREATE TABLE t (a)');
    const results = await server.batch(id, Array(3000).fill({ sql: "INSERT INTO t VALUES ('a row of a long batch of many statements')" }));
    assert.equal(results.length, 3000);
    assert.equal(await server.value(id, 'SELECT count(*) FROM t'), 3000);
  });
});

describe('the wide profile', () => {
  const wide = async (sql) => {
    const id = await server.fresh(sql);
    ok(await server.database(id, 'PATCH', '', { json: { profile: 'wide' } }));
    return id;
  };

  test('is chosen by PATCH, shown, kept over a restart and given back', async (t) => {
    const own = await startServer(t);
    const id = await own.fresh();
    assert.equal(ok(await own.database(id, 'GET')).profile, 'strict');
    assert.equal(ok(await own.database(id, 'PATCH', '', { json: { profile: 'wide' } })).profile, 'wide');
    const many = [`SELECT 499 IN (${range(500).map((i) => `?${i + 1}`)}) AS found`, range(500)];
    assert.equal(await own.value(id, ...many), 1);
    await own.restart();
    assert.equal(ok(await own.database(id, 'GET')).profile, 'wide');
    assert.equal(await own.value(id, ...many), 1);
    ok(await own.database(id, 'PATCH', '', { json: { profile: 'strict' } }));
    refused(await own.tryQuery(id, ...many), 400, 7500, /too many SQL variables|variable number/);
    for (const profile of ['narrow', 7, '', ['wide']]) refused(await own.database(id, 'PATCH', '', { json: { profile } }), 400, 7400);
  });

  test("lifts D1's limits to those of SQLite", async () => {
    const id = await wide('CREATE TABLE t (a)');
    assert.equal((await server.query(id, `INSERT INTO t VALUES ${range(30_000).map(() => '(?)')}`, range(30_000)))[0].meta.changes, 30_000);
    ok(await server.tryQuery(id, `SELECT '${'x'.repeat(500_000)}'`));
    assert.equal((await server.query(id, Array(3000).fill(`SELECT '${'y'.repeat(90)}'`).join(';\n'))).length, 3000);
    ok(await server.tryQuery(id, `CREATE TABLE c (${range(500).map((i) => `c${i}`)})`));
    ok(await server.tryQuery(id, range(100).map((i) => `SELECT ${i}`).join(' UNION ALL ')));
    const text = 'y'.repeat(3_000_000);
    assert.equal(await server.value(id, 'INSERT INTO t VALUES (?) RETURNING length(a)', [text]), 3_000_000);
  });

  test('keeps the authorizer', async () => {
    const id = await wide();
    for (const sql of ["ATTACH 'x' AS y", 'PRAGMA journal_mode = DELETE', "SELECT load_extension('x')", "VACUUM INTO 'x'", 'PRAGMA writable_schema = 1']) {
      refused(await server.tryQuery(id, sql), 400, 7500);
    }
  });

  describe('interactive transactions', () => {
    const begin = (id, json = {}) => server.database(id, 'POST', '/transaction', { json });
    const step = (id, tid, action, json) => server.database(id, 'POST', `/transaction/${tid}/${action}`, json === undefined ? {} : { json });

    test('commit what they did, in one piece', async () => {
      const id = await wide('CREATE TABLE t (a)');
      const { id: tid } = ok(await begin(id, { timeout_ms: 20_000 }));
      assert.equal(typeof tid, 'string');
      const [inserted] = ok(await step(id, tid, 'query', { sql: 'INSERT INTO t VALUES (?), (?)', params: ['x', 'y'] }));
      assert.deepEqual([inserted.meta.changes, inserted.meta.last_row_id], [2, 2]);
      assert.deepEqual(ok(await step(id, tid, 'query', { sql: 'SELECT a FROM t' }))[0].results, [{ a: 'x' }, { a: 'y' }]);
      assert.deepEqual(ok(await step(id, tid, 'raw', { sql: 'SELECT a FROM t' }))[0].results, { columns: ['a'], rows: [['x'], ['y']] });
      ok(await step(id, tid, 'query', { batch: [{ sql: 'INSERT INTO t VALUES (?)', params: ['z'] }, { sql: "DELETE FROM t WHERE a = 'x'" }] }));
      assert.deepEqual(await server.rows(id, 'SELECT a FROM t'), [], 'others see nothing before the commit');
      const bookmark = await server.bookmark(id);
      ok(await step(id, tid, 'commit'));
      assert.deepEqual(await server.rows(id, 'SELECT a FROM t'), [{ a: 'y' }, { a: 'z' }]);
      assert.ok(await server.bookmark(id) > bookmark);
      refused(await step(id, tid, 'query', { sql: 'SELECT 1' }), 404, [7404, 7400, 7003, 7500]);
      refused(await step(id, tid, 'commit'), 404, [7404, 7400, 7003, 7500]);
    });

    test('leave nothing after a rollback', async () => {
      const id = await wide('CREATE TABLE t (a)');
      const bookmark = await server.bookmark(id);
      const { id: tid } = ok(await begin(id));
      ok(await step(id, tid, 'query', { sql: 'INSERT INTO t VALUES (1); CREATE TABLE u (a)' }));
      ok(await step(id, tid, 'rollback'));
      assert.equal(await server.value(id, 'SELECT count(*) FROM t'), 0);
      assert.deepEqual(await server.rows(id, "SELECT 1 FROM sqlite_master WHERE name = 'u'"), []);
      assert.equal(await server.bookmark(id), bookmark);
      await server.query(id, 'INSERT INTO t VALUES (2)');
    });

    test('go on after a statement that failed, which alone is undone', async () => {
      const id = await wide('CREATE TABLE t (a UNIQUE)');
      const { id: tid } = ok(await begin(id));
      ok(await step(id, tid, 'query', { sql: 'INSERT INTO t VALUES (1)' }));
      refused(await step(id, tid, 'query', { batch: [{ sql: 'INSERT INTO t VALUES (2)' }, { sql: 'INSERT INTO t VALUES (1)' }] }), 400, 7500, /UNIQUE/);
      refused(await step(id, tid, 'query', { sql: 'selec' }), 400, 7500, /syntax error/);
      ok(await step(id, tid, 'query', { sql: 'INSERT INTO t VALUES (3)' }));
      ok(await step(id, tid, 'commit'));
      assert.deepEqual(await server.rows(id, 'SELECT a FROM t ORDER BY a'), [{ a: 1 }, { a: 3 }]);
    });

    test('make other writers wait, but no reader', async () => {
      const id = await wide('CREATE TABLE t (a)');
      const { id: tid } = ok(await begin(id, { timeout_ms: 30_000 }));
      ok(await step(id, tid, 'query', { sql: "INSERT INTO t VALUES ('inside')" }));
      const order = [];
      const outside = server.query(id, "INSERT INTO t VALUES ('outside')").then(() => order.push('outside'));
      const second = begin(id).then((answer) => { order.push('second'); return step(id, ok(answer).id, 'commit'); });
      for (let i = 0; i < 20; i += 1) {
        assert.equal(await server.value(id, 'SELECT count(*) FROM t'), 0);
        ok(await step(id, tid, 'query', { sql: 'SELECT count(*) FROM t' }));
      }
      assert.deepEqual(order, [], 'nobody else has written yet');
      ok(await step(id, tid, 'commit'));
      await outside;
      ok(await second);
      assert.equal(await server.value(id, 'SELECT count(*) FROM t'), 2);
    });

    test('end when their time is over, with a clear error, and others get their turn', async () => {
      const id = await wide('CREATE TABLE t (a)');
      const { id: tid } = ok(await begin(id, { timeout_ms: 100 }));
      const first = await step(id, tid, 'query', { sql: "INSERT INTO t VALUES ('expired')" });
      const outside = server.query(id, "INSERT INTO t VALUES ('waited')");
      const late = await until('the transaction has expired', async () => {
        const answer = await step(id, tid, 'query', { sql: 'SELECT 1' });
        return answer.status === 200 ? undefined : answer;
      });
      assert.ok(first.status === 200 || first.status >= 400);
      assert.ok(late.status >= 400 && late.status < 500, late.text);
      assert.match(late.body.errors[0].message, /transaction/i);
      const commit = await step(id, tid, 'commit');
      assert.ok(commit.status >= 400 && commit.status < 500, commit.text);
      await outside;
      assert.deepEqual(await server.rows(id, 'SELECT a FROM t'), [{ a: 'waited' }]);
    });

    test('of an unknown id, or of another database, are not found', async () => {
      const [id, other] = [await wide(), await wide()];
      const { id: tid } = ok(await begin(id));
      refused(await step(other, tid, 'query', { sql: 'SELECT 1' }), 404, [7404, 7400, 7003, 7500]);
      refused(await step(id, 'no-such-transaction', 'query', { sql: 'SELECT 1' }), 404, [7404, 7400, 7003, 7500]);
      ok(await step(id, tid, 'rollback'));
    });

    test('refuse a time limit that makes no sense', async () => {
      const id = await wide();
      for (const timeout of [0, -1, 'long', 1.5, 1e12, []]) refused(await begin(id, { timeout_ms: timeout }), 400, 7400);
    });

    test('are for the wide profile alone', async () => {
      const id = await server.fresh();
      const answer = await begin(id);
      assert.ok(answer.status >= 400 && answer.status < 500, answer.text);
      assert.match(answer.body.errors[0].message, /wide/);
    });

    test('cannot be committed while a foreign key is open', async () => {
      const id = await wide('CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p (id) DEFERRABLE INITIALLY DEFERRED)');
      const { id: tid } = ok(await begin(id));
      ok(await step(id, tid, 'query', { sql: 'INSERT INTO c VALUES (1)' }));
      refused(await step(id, tid, 'commit'), 400, 7500, /FOREIGN KEY constraint failed/);
      assert.equal(await server.value(id, 'SELECT count(*) FROM c'), 0);
      // Whether the failed commit ended the transaction or left it open, the next writer must get through.
      await step(id, tid, 'rollback');
      await server.query(id, 'INSERT INTO p VALUES (1); INSERT INTO c VALUES (1)');
    });

    test('that are open when the server dies or stops are rolled back', async (t) => {
      const own = await startServer(t);
      const id = await own.fresh('CREATE TABLE t (a)');
      ok(await own.database(id, 'PATCH', '', { json: { profile: 'wide' } }));
      for (const end of ['kill9', 'stop']) {
        const { id: tid } = ok(await own.database(id, 'POST', '/transaction', { json: { timeout_ms: 30_000 } }));
        ok(await own.database(id, 'POST', `/transaction/${tid}/query`, { json: { sql: 'INSERT INTO t VALUES (1)' } }));
        await own[end]();
        await own.start();
        assert.equal(await own.value(id, 'SELECT count(*) FROM t'), 0);
        await own.query(id, 'DELETE FROM t');
      }
    });
  });
});
