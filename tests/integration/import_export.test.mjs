// Import and export step by step: the polling protocols, what they refuse, and that whatever a database holds comes
// through an export and back as it was, also where D1's own export gives up.
import assert from 'node:assert/strict';
import { createWriteStream } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { before, describe, test } from 'node:test';
import { atEnd, ok, refused, scope, startServer, tempDir } from '../lib/server.mjs';
import { assertSameContent, contentOf, exportSqlite, exportText, followImport, importInto, md5, put, reimported, tryExport,
  tryImport } from '../lib/transfer.mjs';

const file = scope();
let server;
before(async () => { server = await startServer(file); });

const importCall = (id, json) => server.database(id, 'POST', '/import', { json });

/** What an import call says that fails, whether by an error envelope or by a status object. */
function failureOf(answer) {
  const { result, errors } = answer.body;
  if (answer.body.success === false) return errors.map(({ message }) => message).join('\n');
  assert.ok(result.success === false || result.status === 'error', `expected a failure: ${answer.text}`);
  return result.error || result.errors.join('\n');
}

describe('import', () => {
  const SQL = "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT);\nINSERT INTO t VALUES (1, 'x');\nINSERT INTO t VALUES (2, 'y');\n";

  test('goes by init, upload, ingest and poll, and reports numbers', async () => {
    const id = await server.fresh();
    const etag = md5(SQL);
    const init = ok(await importCall(id, { action: 'init', etag }));
    assert.match(init.upload_url, /^http:\/\//);
    assert.ok(init.filename.endsWith('.sql'), init.filename);
    const uploaded = await put(init.upload_url, SQL);
    assert.deepEqual([uploaded.status, uploaded.etag], [200, `"${etag}"`]);
    const status = await followImport(server, id, ok(await importCall(id, { action: 'ingest', filename: init.filename, etag })));
    assert.deepEqual([status.success, status.type, status.status], [true, 'import', 'complete'], JSON.stringify(status));
    assert.deepEqual(status.errors, []);
    assert.equal(status.result.num_queries, 3);
    assert.equal(status.result.final_bookmark, await server.bookmark(id));
    for (const field of ['duration', 'rows_read', 'rows_written', 'size_after']) assert.equal(typeof status.result.meta[field], 'number', field);
    assert.ok(status.result.meta.rows_written >= 2);
    assert.deepEqual(await server.rows(id, 'SELECT * FROM t'), [{ a: 1, b: 'x' }, { a: 2, b: 'y' }]);
  });

  test('an upload that is not what its MD5 says is refused', async () => {
    const id = await server.fresh();
    const etag = md5(SQL);
    const init = ok(await importCall(id, { action: 'init', etag }));
    const uploaded = await put(init.upload_url, `${SQL}-- changed on the way`);
    assert.ok(uploaded.status >= 400 || uploaded.etag !== `"${etag}"`, 'the client can tell');
    failureOf(await importCall(id, { action: 'ingest', filename: init.filename, etag }));
    assert.deepEqual(await server.rows(id, 'SELECT name FROM sqlite_master'), []);
  });

  test('an ingest of a file that was never uploaded is refused', async () => {
    const id = await server.fresh();
    const etag = md5(SQL);
    for (const filename of ['nothing.sql', '../../../token', '/etc/passwd', '', `${'a'.repeat(5000)}.sql`]) {
      assert.ok(failureOf(await importCall(id, { action: 'ingest', filename, etag })).length > 0);
    }
    const init = ok(await importCall(id, { action: 'init', etag }));
    failureOf(await importCall(id, { action: 'ingest', filename: init.filename, etag }));
    assert.deepEqual(await server.rows(id, 'SELECT name FROM sqlite_master'), []);
  });

  test('an upload URL serves its own database and file only, and cannot be guessed', async () => {
    const [mine, other] = [await server.fresh(), await server.fresh()];
    const init = ok(await importCall(mine, { action: 'init', etag: md5(SQL) }));
    const url = new URL(init.upload_url);
    assert.ok(!init.upload_url.includes(server.token), 'the token is not given away in a URL');
    assert.match(init.upload_url, /[0-9A-Za-z_-]{32,}/, 'a long random part');
    await put(init.upload_url, SQL);
    failureOf(await importCall(other, { action: 'ingest', filename: init.filename, etag: md5(SQL) }));
    const spoiled = init.upload_url.replace(/[0-9A-Za-z](?=[^0-9A-Za-z]*$)/, (c) => (c === '0' ? '1' : '0'));
    assert.notEqual((await put(spoiled, SQL)).status, 200);
    assert.notEqual((await put(new URL('/', url).href, SQL)).status, 200);
  });

  test('import calls that make no sense are refused with 7400', async () => {
    const id = await server.fresh();
    for (const json of [{}, { action: 'dance' }, { action: 7 }, { action: 'init' }, { action: 'init', etag: 'xyz' },
      { action: 'init', etag: 7 }, { action: 'ingest' }, { action: 'ingest', filename: 7, etag: md5('') }, [], 'init']) {
      refused(await importCall(id, json), 400, 7400);
    }
    refused(await server.database(id, 'POST', '/import', { body: '{"action":' }), 400, 7400);
  });

  test('a poll for an import that does not exist says so', async () => {
    const id = await server.fresh();
    failureOf(await importCall(id, { action: 'poll', current_bookmark: '00000000-00000000-00000000-00000000000000000000000000000000' }));
  });

  test('SQL that fails in the middle leaves the database as it was', async () => {
    const id = await server.fresh('CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (1); CREATE TABLE gone (a)');
    const before = await contentOf(server, id);
    const bookmark = await server.bookmark(id);
    for (const [bad, message] of [
      ['INSERT INTO t VALUES (2);\nDROP TABLE gone;\nCREATE TABLE new (a);\nINSERT INTO t VALUES (1);\nINSERT INTO t VALUES (3);', /UNIQUE constraint failed: t\.a/],
      ['DELETE FROM t; selec;', /syntax error/],
      ['DELETE FROM t; INSERT INTO t VALUES (', /incomplete input/],
      ["DELETE FROM t; INSERT INTO t VALUES ('never closed", /unrecognized token|incomplete/],
      ['DELETE FROM t; BEGIN TRANSACTION; INSERT INTO t VALUES (9); COMMIT;', /transaction/i],
      ['DELETE FROM t; COMMIT; INSERT INTO t VALUES (9);', /transaction/i],
      ['DELETE FROM t; ROLLBACK;', /transaction/i],
      ["DELETE FROM t; ATTACH 'x.db' AS x;", /not authorized/],
      ['DELETE FROM t; INSERT OR ROLLBACK INTO t VALUES (1), (1);', /UNIQUE constraint failed/],
      ['CREATE TABLE p (i PRIMARY KEY); CREATE TABLE c (i REFERENCES p); PRAGMA defer_foreign_keys=1; INSERT INTO c VALUES (7);', /FOREIGN KEY constraint failed/],
    ]) {
      const status = await tryImport(server, id, bad);
      assert.equal(status.status, 'error', `${bad}: ${JSON.stringify(status)}`);
      assert.match(status.errors.join('\n'), message);
      assert.equal(status.error, status.errors[0], 'the SDK reads `error`, wrangler `errors`');
      assert.deepEqual(await contentOf(server, id), before, bad);
    }
    assert.equal(await server.bookmark(id), bookmark);
    await server.query(id, 'INSERT INTO t VALUES (2)');
    assert.equal(await server.value(id, 'SELECT count(*) FROM t'), 2, 'the database takes writes again');
  });

  test('a file may be uploaded and imported again', async () => {
    const id = await server.fresh('CREATE TABLE t (a)');
    const sql = "INSERT INTO t VALUES ('again');";
    await importInto(server, id, sql);
    await importInto(server, id, sql);
    assert.equal(await server.value(id, 'SELECT count(*) FROM t'), 2);
  });

  test('an empty file, or one of comments, is no harm', async () => {
    const id = await server.fresh('CREATE TABLE t (a)');
    for (const text of ['', '-- nothing\n/* at all */\n']) {
      const status = await tryImport(server, id, text);
      assert.ok(['complete', 'error'].includes(status.status), JSON.stringify(status));
    }
    assert.deepEqual(await server.rows(id, 'SELECT name FROM sqlite_master'), [{ name: 't' }]);
  });

  test('foreign keys that hold at the end are enough', async () => {
    const id = await server.fresh();
    await importInto(server, id, `PRAGMA defer_foreign_keys=TRUE;
      CREATE TABLE c (p REFERENCES p (id)); CREATE TABLE p (id INTEGER PRIMARY KEY);
      INSERT INTO c VALUES (1); INSERT INTO p VALUES (1);`);
    assert.equal(await server.value(id, 'SELECT count(*) FROM c'), 1);
    refused(await server.tryQuery(id, 'INSERT INTO c VALUES (2)'), 400, 7500, /FOREIGN KEY constraint failed/);
  });

  test('readers see the old state until an import is complete, then the new one', async () => {
    const id = await server.fresh("CREATE TABLE t (a); INSERT INTO t VALUES ('old')");
    const rows = Array.from({ length: 20_000 }, (_, i) => `INSERT INTO t VALUES ('row ${i} ${'x'.repeat(100)}');`).join('\n');
    const importing = tryImport(server, id, `DELETE FROM t;\n${rows}`);
    let done = false;
    const watch = (async () => {
      const seen = new Set();
      while (!done) seen.add(await server.value(id, 'SELECT count(*) FROM t'));
      return seen;
    })();
    const status = await importing.finally(() => { done = true; });
    assert.equal(status.status, 'complete', JSON.stringify(status));
    for (const count of await watch) assert.ok([1, 20_000].includes(count), `a reader saw ${count} rows`);
    assert.equal(await server.value(id, 'SELECT count(*) FROM t'), 20_000);
  });

  test('a file of 50 MB is taken from disk, with progress, without holding it in memory', async (t) => {
    const own = await startServer(t);
    const id = await own.fresh();
    const path = join(await tempDir(t), 'big.sql');
    const perStatement = 100;
    const statements = 4_500;
    await pipeline(Readable.from((function* generate() {
      yield 'CREATE TABLE big (id INTEGER PRIMARY KEY, a TEXT, b REAL);\n';
      for (let i = 0; i < statements; i += 1) {
        const values = Array.from({ length: perStatement }, (_, j) => `(${i * perStatement + j}, '${'abcdefghij'.repeat(9)} ${i}', ${i}.25)`);
        yield `INSERT INTO big VALUES ${values.join(',')};\n`;
      }
    })()), createWriteStream(path));
    const { size } = await import('node:fs/promises').then((fs) => fs.stat(path));
    assert.ok(size > 45_000_000, `the file has ${size} bytes`);
    const messages = [];
    const status = await tryImport(own, id, { path }, (seen) => messages.push(...seen.messages));
    assert.equal(status.status, 'complete', JSON.stringify(status));
    assert.equal(status.result.num_queries, statements + 1);
    assert.equal(await own.value(id, 'SELECT count(*) FROM big'), perStatement * statements);
    assert.ok(messages.some((message) => /^Processed \d+ queries\.$/.test(message)), `progress was told: ${messages.slice(0, 5)}`);
    const memory = await readFile(`/proc/${own.child.pid}/status`, 'utf8');
    const sanitized = (await readFile(`/proc/${own.child.pid}/maps`, 'utf8')).includes('libasan');
    const peak = Number(/VmHWM:\s+(\d+) kB/.exec(memory)[1]) * 1024;
    if (!sanitized) assert.ok(peak < size, `peak memory ${peak} for a file of ${size} bytes`);
    const text = await exportText(own, id);
    assert.equal(text.match(/^INSERT INTO "big"/gm).length, perStatement * statements);
  });
});

describe('export', () => {
  test('is the text that D1 writes', async () => {
    const id = await server.fresh(`CREATE TABLE "a b" (i INTEGER PRIMARY KEY AUTOINCREMENT, "select" TEXT, r REAL, x BLOB);
      INSERT INTO "a b" VALUES (1, 'it''s', 1.5, X'00FF'), (2, NULL, -3, NULL), (3, 'two
lines', 0.1, 'text in a blob column');
      CREATE INDEX ix ON "a b" ("select"); CREATE VIEW v AS SELECT 1 AS one;
      CREATE TRIGGER tr AFTER DELETE ON "a b" BEGIN SELECT 1; END;`);
    const lines = (await exportText(server, id)).trimEnd().split('\n');
    assert.equal(lines[0], 'PRAGMA defer_foreign_keys=TRUE;');
    assert.equal(lines[1], 'CREATE TABLE IF NOT EXISTS "a b" (i INTEGER PRIMARY KEY AUTOINCREMENT, "select" TEXT, r REAL, x BLOB);');
    const inserted = lines.filter((line) => line.startsWith('INSERT INTO "a b"'));
    assert.equal(inserted[0], `INSERT INTO "a b" ("i","select","r","x") VALUES(1,'it''s',1.5,X'00ff');`);
    assert.match(inserted[1], /^INSERT INTO "a b" \("i","select","r","x"\) VALUES\(2,NULL,-3(\.0)?,NULL\);$/);
    assert.equal(inserted[2], `INSERT INTO "a b" ("i","select","r","x") VALUES(3,replace('two\\nlines','\\n',char(10)),0.1,'text in a blob column');`);
    assert.ok(lines.includes('DELETE FROM sqlite_sequence;'));
    const kinds = lines.filter((line) => /^CREATE (INDEX|TRIGGER|VIEW)/.test(line)).map((line) => line.split(' ')[1]);
    assert.deepEqual(kinds, ['INDEX', 'TRIGGER', 'VIEW']);
  });

  test('tables, no_schema and no_data cut it down', async () => {
    const id = await server.fresh("CREATE TABLE a (x); CREATE TABLE b (x); CREATE INDEX ai ON a (x); INSERT INTO a VALUES ('in a'); INSERT INTO b VALUES ('in b')");
    const only = await exportText(server, id, { tables: ['a'] });
    assert.match(only, /CREATE TABLE a/);
    assert.match(only, /'in a'/);
    assert.doesNotMatch(only, /TABLE b|'in b'/);
    const schema = await exportText(server, id, { no_data: true });
    assert.match(schema, /CREATE TABLE b[^]*CREATE INDEX ai/);
    assert.doesNotMatch(schema, /INSERT/);
    const data = await exportText(server, id, { no_schema: true });
    assert.match(data, /INSERT INTO "b"/);
    assert.doesNotMatch(data, /CREATE/);
  });

  test('the signed URL needs no token, cannot be guessed, and gives the token away to nobody', async () => {
    const id = await server.fresh('CREATE TABLE secret (a)');
    const status = await tryExport(server, id);
    assert.equal(status.status, 'complete', JSON.stringify(status));
    assert.match(status.result.filename, /\.sql$/);
    const { signed_url: url } = status.result;
    assert.ok(!url.includes(server.token));
    assert.match(url, /[0-9A-Za-z_-]{32,}/);
    const response = await fetch(url);
    assert.equal(response.status, 200);
    assert.match(await response.text(), /CREATE TABLE secret/);
    const spoiled = url.replace(/[0-9A-Za-z](?=[^0-9A-Za-z]*$)/, (c) => (c === '0' ? '1' : '0'));
    assert.ok((await fetch(spoiled)).status >= 400);
  });

  test('export calls that make no sense are refused', async () => {
    const id = await server.fresh();
    for (const json of [[], { dump_options: 7 }, { output_format: 'polling', dump_options: { tables: 'a' } },
      { output_format: 'polling', dump_options: { tables: [7] } }, { output_format: 'carrier pigeon' }]) {
      refused(await server.database(id, 'POST', '/export', { json }), 400, 7400);
    }
  });

  test('an export is of one moment, while writers go on', async () => {
    // Two tables that every commit keeps equal: an export of two moments would show them apart.
    const id = await server.fresh(`CREATE TABLE a (n); CREATE TABLE filler (x); CREATE TABLE b (n);
      INSERT INTO filler SELECT hex(randomblob(400)) FROM (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 20000) SELECT n FROM c)`);
    let stop = false;
    let n = 0;
    const writer = (async () => {
      while (!stop) {
        n += 1;
        await server.batch(id, [{ sql: 'INSERT INTO a VALUES (?)', params: [n] }, { sql: 'INSERT INTO b VALUES (?)', params: [n] }]);
      }
    })();
    try {
      for (let round = 0; round < 3; round += 1) {
        const before = n;
        const text = await exportText(server, id);
        const count = (table) => text.split('\n').filter((line) => line.startsWith(`INSERT INTO "${table}"`)).length;
        assert.equal(count('a'), count('b'));
        assert.ok(count('a') >= before - 1, 'the export holds what was there when it was asked for');
      }
    } finally {
      stop = true;
      await writer;
    }
    assert.ok(n > 3, 'the writer got its turns');
  });
});

describe('export and import again', () => {
  /** Runs SQL, exports, imports into a new database, compares everything. */
  async function roundTrip(sql, { skip, fill } = {}) {
    const id = await server.fresh();
    await importInto(server, id, sql);
    if (fill) await fill(id);
    const copy = await reimported(server, id);
    const content = await assertSameContent(server, id, copy, { skip });
    assert.equal(await exportText(server, copy), await exportText(server, id), 'the export of the copy is the same text');
    return { id, copy, content };
  }

  test('keeps integers beyond 2^53, infinities and tiny and huge doubles', async () => {
    const { copy, content } = await roundTrip(`CREATE TABLE n (a);
      INSERT INTO n VALUES (9007199254740993), (9223372036854775807), (-9223372036854775808), (9e999), (-9e999),
        (5e-324), (1.7976931348623157e308), (0.1), (1.0), (-0.0), (100000000000000000000.0), (1e15), (123456789012345678.0), (0)`);
    assert.equal(content.rows.n.length, 14);
    assert.deepEqual(await server.rows(copy, 'SELECT typeof(a) AS t, count(*) AS n FROM n GROUP BY 1 ORDER BY 1'),
      [{ t: 'integer', n: 4 }, { t: 'real', n: 10 }]);
    assert.equal(await server.value(copy, 'SELECT count(*) FROM n WHERE a IN (9e999, -9e999)'), 2);
  });

  test('keeps text with quotes, newlines, carriage returns, NUL and everything else', async () => {
    await roundTrip('CREATE TABLE s (id INTEGER PRIMARY KEY, a TEXT)', { fill: async (id) => {
      for (const text of ['', "it's", '"', 'a\nb', 'a\r\nb\r', '\n', '\\n \\r', 'nul\u0000inside', '\u0000', 'ends in nul\u0000', 'tab\t\u0007\u007f',
        '\uFEFFbom', 'emoji \u{1F3CE}', "');DROP TABLE s;--", "replace('x','\\n',char(10))", '\\n and \n both', '\\r\\n and \r\n both', 'x'.repeat(200_000)]) {
        await server.query(id, 'INSERT INTO s (a) VALUES (?)', [text]);
      }
      await server.query(id, "INSERT INTO s (a) VALUES (CAST(X'fffe80' AS TEXT)), (char(10, 92, 110, 13, 92, 114))");
    } });
  });

  test('keeps blobs, empty and big, also in TEXT columns', async () => {
    await roundTrip("CREATE TABLE b (a BLOB, t TEXT); INSERT INTO b VALUES (X'', X''), (X'00', X'27'), (zeroblob(40000), randomblob(1000)), (CAST(X'ff00' AS TEXT), 1)");
  });

  test('keeps WITHOUT ROWID, STRICT, generated columns and defaults', async () => {
    const { copy } = await roundTrip(`
      CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO w VALUES ('b', 2), ('a', 1);
      CREATE TABLE st (a INT, b ANY, c BLOB) STRICT; INSERT INTO st VALUES (1, 2.5, X'01'), (NULL, 'x', NULL);
      CREATE TABLE g (a INTEGER, virt AS (a * 2), b TEXT, stor TEXT GENERATED ALWAYS AS (b || '!') STORED, c DEFAULT (1 + 1));
      INSERT INTO g (a, b) VALUES (1, 'x'), (2, NULL); CREATE INDEX gi ON g (virt) WHERE a > 1`);
    assert.deepEqual(await server.rows(copy, 'SELECT * FROM g ORDER BY a'),
      [{ a: 1, virt: 2, b: 'x', stor: 'x!', c: 2 }, { a: 2, virt: 4, b: null, stor: null, c: 2 }]);
  });

  test('keeps AUTOINCREMENT counters', async () => {
    const { copy } = await roundTrip(`CREATE TABLE au (id INTEGER PRIMARY KEY AUTOINCREMENT, a); INSERT INTO au (a) VALUES (1), (2), (3); DELETE FROM au WHERE id > 1;
      CREATE TABLE empty (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO empty VALUES (41); DELETE FROM empty;`);
    assert.equal(await server.value(copy, 'INSERT INTO au (a) VALUES (4) RETURNING id'), 4);
    assert.equal(await server.value(copy, 'INSERT INTO empty DEFAULT VALUES RETURNING id'), 42);
  });

  test('keeps views, triggers and indexes; triggers do not fire while importing', async () => {
    const { copy } = await roundTrip(`CREATE TABLE t (a); CREATE TABLE log (what);
      CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('inserted ' || new.a || '; ok'); END;
      CREATE TRIGGER no BEFORE DELETE ON t BEGIN SELECT CASE WHEN 1 THEN RAISE(ABORT, 'no; never') END; END;
      CREATE VIEW later AS SELECT * FROM earlier; CREATE VIEW earlier AS SELECT a, a || ';' AS s FROM t;
      CREATE TRIGGER iv INSTEAD OF INSERT ON earlier BEGIN INSERT INTO t VALUES (new.a); END;
      CREATE UNIQUE INDEX u ON t (a COLLATE NOCASE DESC); CREATE INDEX e ON t (lower(a)) WHERE a IS NOT NULL;
      INSERT INTO t VALUES ('x'), ('y')`);
    assert.equal(await server.value(copy, 'SELECT count(*) FROM log'), 2);
    refused(await server.tryQuery(copy, 'DELETE FROM t'), 400, 7500, /no; never/);
    await server.query(copy, "INSERT INTO earlier (a) VALUES ('z')");
    assert.equal(await server.value(copy, 'SELECT count(*) FROM later'), 3);
  });

  test('keeps quoted names and reserved words', async () => {
    await roundTrip(`CREATE TABLE "select" ("from" TEXT, "group by" INT, "a""b" INT, [brackets "] INT, \`tick\`\`s\` INT);
      INSERT INTO "select" VALUES ('x', 1, 2, 3, 4); CREATE TABLE 'single''s' (a); INSERT INTO "single's" VALUES (1);
      CREATE TABLE "semi;colon" ("new
line" TEXT DEFAULT ';'); INSERT INTO "semi;colon" DEFAULT VALUES; CREATE INDEX "index;1" ON "select" ("from");
      CREATE TABLE "ünïcode 表" ("é" TEXT); INSERT INTO "ünïcode 表" VALUES ('ok'); CREATE TABLE "" (a); INSERT INTO "" VALUES (1);
      CREATE TABLE /* comment ; */ commented (a -- why; not
        , b); INSERT INTO commented VALUES (1, 2)`);
  });

  test('keeps foreign keys that point forward, in circles and to themselves', async () => {
    const { copy } = await roundTrip(`PRAGMA defer_foreign_keys=TRUE;
      CREATE TABLE a (id INTEGER PRIMARY KEY, b REFERENCES b (id)); CREATE TABLE b (id INTEGER PRIMARY KEY, a REFERENCES a (id) ON DELETE CASCADE);
      CREATE TABLE self (id INTEGER PRIMARY KEY, up REFERENCES self (id));
      INSERT INTO a VALUES (1, 2), (2, 1); INSERT INTO b VALUES (1, 2), (2, 1); INSERT INTO self VALUES (1, 3), (2, 1), (3, NULL)`);
    assert.deepEqual(await server.rows(copy, 'PRAGMA foreign_key_check'), []);
  });

  test('keeps statistics of ANALYZE', async () => {
    const id = await server.fresh('CREATE TABLE t (a, b); CREATE INDEX i ON t (a); INSERT INTO t VALUES (1, 2), (1, 3), (2, 3); ANALYZE');
    const copy = await reimported(server, id);
    const stat = 'SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY 1, 2';
    assert.deepEqual(await server.rows(copy, stat), await server.rows(id, stat));
  });

  const shadow = (name) => /^(docs|ext|none|rt|rti|words|del)_/.test(name);

  test('keeps FTS5 tables with their rowids, external content and contentless ones, and searches them', async () => {
    const { id, copy } = await roundTrip(`
      CREATE VIRTUAL TABLE docs USING fts5(title, body, tokenize = 'porter unicode61', prefix = '2 3');
      INSERT INTO docs (rowid, title, body) VALUES (7, 'Racing; cars', 'the cars were racing'), (9000000000, 'Boats', 'sailing');
      INSERT INTO docs VALUES ('gone', 'gone'); DELETE FROM docs WHERE title = 'gone';
      CREATE TABLE src (id INTEGER PRIMARY KEY, t TEXT);
      CREATE VIRTUAL TABLE ext USING fts5(t, content = 'src', content_rowid = 'id');
      CREATE TRIGGER src_in AFTER INSERT ON src BEGIN INSERT INTO ext (rowid, t) VALUES (new.id, new.t); END;
      INSERT INTO src VALUES (3, 'external words'), (5, 'more words');
      CREATE VIRTUAL TABLE words USING fts5vocab(docs, row);
      CREATE VIRTUAL TABLE empty_one USING fts5(x)`, { skip: (name) => shadow(name) || name.startsWith('empty_one_') });
    for (const sql of ["SELECT rowid, title FROM docs WHERE docs MATCH 'race'", "SELECT rowid FROM docs WHERE docs MATCH 'sai*'",
      "SELECT rowid FROM ext WHERE ext MATCH 'external'", "SELECT rowid FROM ext WHERE ext MATCH 'words' ORDER BY 1", 'SELECT * FROM words ORDER BY 1',
      "SELECT highlight(docs, 1, '[', ']') AS h FROM docs WHERE docs MATCH 'racing'"]) {
      const rows = await server.rows(id, sql);
      assert.ok(rows.length > 0, sql);
      assert.deepEqual(await server.rows(copy, sql), rows, sql);
    }
    await server.query(copy, "INSERT INTO src VALUES (8, 'fresh words')");
    assert.equal(await server.value(copy, "SELECT rowid FROM ext WHERE ext MATCH 'fresh'"), 8);
    await server.query(copy, "INSERT INTO docs (docs) VALUES ('integrity-check'); INSERT INTO ext (ext) VALUES ('integrity-check')");
  });

  test('keeps contentless FTS5 tables, whose text is nowhere but in the index', async () => {
    const id = await server.fresh(`CREATE VIRTUAL TABLE none USING fts5(t, content = '');
      CREATE VIRTUAL TABLE del USING fts5(t, content = '', contentless_delete = 1);
      INSERT INTO none (rowid, t) VALUES (1, 'first document'), (20, 'second document'); INSERT INTO del (rowid, t) VALUES (4, 'deletable'), (6, 'stays'); DELETE FROM del WHERE rowid = 4`);
    const copy = await reimported(server, id);
    for (const sql of ["SELECT rowid FROM none WHERE none MATCH 'document' ORDER BY 1", "SELECT rowid FROM none WHERE none MATCH 'second'", "SELECT rowid FROM del WHERE del MATCH 'stays'"]) {
      const rows = await server.rows(id, sql);
      assert.ok(rows.length > 0, sql);
      assert.deepEqual(await server.rows(copy, sql), rows, sql);
    }
    assert.deepEqual(await server.rows(copy, "SELECT rowid FROM del WHERE del MATCH 'deletable'"), []);
    await server.query(copy, "INSERT INTO none (rowid, t) VALUES (30, 'third document'); DELETE FROM del WHERE rowid = 6");
    assert.equal(await server.value(copy, "SELECT count(*) FROM none WHERE none MATCH 'document'"), 3);
    assert.deepEqual(await server.rows(copy, "SELECT rowid FROM del WHERE del MATCH 'stays'"), []);
  });

  test('keeps R*Trees, of floats and of integers, with auxiliary columns', async () => {
    const { id, copy } = await roundTrip(`CREATE VIRTUAL TABLE rt USING rtree(id, x0, x1, y0, y1, +label TEXT);
      CREATE VIRTUAL TABLE rti USING rtree_i32(id, a0, a1);
      INSERT INTO rt VALUES (1, 0.5, 1.5, 2.25, 3.1, 'it''s here'), (77, -1e10, 1e10, 0, 0, NULL); INSERT INTO rti VALUES (5, -2147483648, 2147483647)
      `, { skip: shadow });
    for (const sql of ['SELECT * FROM rt ORDER BY id', 'SELECT id FROM rt WHERE x0 <= 1 AND x1 >= 1 ORDER BY id', 'SELECT * FROM rti']) {
      assert.deepEqual(await server.rows(copy, sql), await server.rows(id, sql), sql);
    }
    assert.equal(await server.value(copy, "SELECT rtreecheck('rt')"), 'ok');
  });

  test('keeps many rows of every kind', async () => {
    await roundTrip(`CREATE TABLE r (id INTEGER PRIMARY KEY, i, r REAL, t TEXT, b BLOB);
      INSERT INTO r (i, r, t, b) SELECT random(), random() / 1e9 / 3, hex(randomblob(n % 40)), randomblob(n % 50) FROM
      (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5000) SELECT n FROM c)`);
  });
});

describe('the raw SQLite file', () => {
  test('opens with any SQLite and holds everything, including what is still in the WAL', async (t) => {
    const id = await server.fresh(`CREATE TABLE t (a, b); INSERT INTO t VALUES ('x', X'00ff'), (9007199254740993, 1.5);
      CREATE VIRTUAL TABLE docs USING fts5(x); INSERT INTO docs VALUES ('words')`);
    await server.query(id, "INSERT INTO t VALUES ('just now', NULL)");
    const bytes = await exportSqlite(server, id);
    assert.equal(bytes.subarray(0, 16).toString('latin1'), 'SQLite format 3\u0000');
    const path = join(await tempDir(t), 'raw.sqlite');
    await writeFile(path, bytes);
    const { DatabaseSync } = await import('node:sqlite');
    const file = new DatabaseSync(path);
    atEnd(t, () => file.close());
    assert.deepEqual({ ...file.prepare('PRAGMA integrity_check').get() }, { integrity_check: 'ok' });
    assert.equal(file.prepare('SELECT count(*) AS n FROM t').get().n, 3);
    assert.equal(file.prepare("SELECT count(*) AS n FROM docs WHERE docs MATCH 'words'").get().n, 1);
  });

  test('is imported again through the same calls as SQL text', async () => {
    const id = await server.fresh(`CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a); INSERT INTO t (a) VALUES ('x'), (X'00'), (9e999);
      CREATE VIRTUAL TABLE docs USING fts5(x); INSERT INTO docs (rowid, x) VALUES (9, 'words'); CREATE VIEW v AS SELECT a FROM t`);
    const copy = await server.fresh();
    const before = await server.bookmark(copy);
    await importInto(server, copy, await exportSqlite(server, id));
    await assertSameContent(server, id, copy);
    assert.ok(await server.bookmark(copy) > before);
    assert.equal(await server.value(copy, "SELECT rowid FROM docs WHERE docs MATCH 'words'"), 9);
    await server.query(copy, "INSERT INTO t (a) VALUES ('after')");
    assert.equal(await server.value(copy, 'SELECT max(id) FROM t'), 4);
    await server.query(id, 'DELETE FROM t');
    assert.equal(await server.value(copy, 'SELECT count(*) FROM t'), 4, 'the copy stands alone');
  });

  test('is refused when it is damaged or cut short, and the database stays as it was', async () => {
    const source = await server.fresh(`CREATE TABLE t (a); INSERT INTO t SELECT hex(randomblob(200)) FROM
      (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 500) SELECT n FROM c)`);
    const bytes = await exportSqlite(server, source);
    const id = await server.fresh("CREATE TABLE mine (a); INSERT INTO mine VALUES ('kept')");
    const damaged = Buffer.from(bytes);
    damaged.fill(0xa5, 4096, 4096 * 20);
    for (const bad of [damaged, bytes.subarray(0, 100), bytes.subarray(0, bytes.length - 4096 * 5), Buffer.concat([bytes.subarray(0, 16), Buffer.alloc(8192, 0xff)])]) {
      const status = await tryImport(server, id, bad);
      assert.equal(status.status, 'error', JSON.stringify(status));
      assert.match(status.errors[0], /./);
      assert.deepEqual(await server.rows(id, 'SELECT a FROM mine'), [{ a: 'kept' }]);
    }
    await server.query(id, "INSERT INTO mine VALUES ('and writable')");
    await server.assertAlive();
  });
});
