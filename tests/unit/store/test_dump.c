/*
 * Round trips: a database is made from SQL, dumped, and the dump is loaded into an empty one. Both must be the same to the
 * last type and rowid, pass SQLite's own check, and give the same dump.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dione_sqlite.h"
#include "store/dump.h"
#include "store/load.h"
#include "store/sqlite_file.h"

static char dir[] = "/tmp/dione-test-dump-XXXXXX";
static int n_files;

struct base {
    char path[128];
};

static struct base base_new(void)
{
    struct base b;

    snprintf(b.path, sizeof(b.path), "%s/%d.sqlite", dir, n_files++);
    return b;
}

static struct sql_conn *open_as(const struct base *b, enum sql_role role, enum sql_profile profile)
{
    struct sql_conn_options opt = { .path = b->path, .role = role, .profile = profile, .cache_kib = 1024 };
    struct sql_conn *c = NULL;
    struct error err;

    if (sql_conn_open(&opt, &c, &err) != STATUS_OK)
        fail_msg("%s", err.msg);
    return c;
}

static int file_with(struct slice text)
{
    char path[] = "/tmp/dione-test-dump-file-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(write(fd, text.ptr, text.len), text.len);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static enum status load(const struct base *b, struct slice text, struct load_result *ret, struct error *err)
{
    struct sql_conn *c = open_as(b, SQL_IMPORTER, SQL_STRICT);
    struct progress p = { 0 };
    int fd = file_with(text);

    assert_int_equal(sql_exec(c, "BEGIN IMMEDIATE", NULL), STATUS_OK);
    enum status st = load_sql(c, fd, &p, ret, err);
    if (st == STATUS_OK)
        assert_int_equal(sql_exec(c, "COMMIT", err), STATUS_OK);
    else if (sql_conn_in_transaction(c))
        assert_int_equal(sql_exec(c, "ROLLBACK", NULL), STATUS_OK);
    close(fd);
    sql_conn_close(c);
    return st;
}

static void must_load(const struct base *b, struct slice text)
{
    struct load_result r;
    struct error err;

    if (load(b, text, &r, &err) != STATUS_OK)
        fail_msg("%s\nin\n%.*s", err.msg, SLICE_FMT(text));
}

static struct buf dump_with(const struct base *b, const struct dump_options *opt)
{
    struct sql_conn *c = open_as(b, SQL_READER, SQL_STRICT);
    struct progress p = { 0 };
    struct buf text = { 0 };
    struct error err;
    char chunk[65536];
    ssize_t n;
    int fd = file_with(SLICE_LIT(""));

    assert_int_equal(sql_exec(c, "BEGIN", NULL), STATUS_OK);
    if (dump_write(c, opt, fd, &p, &err) != STATUS_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(sql_exec(c, "ROLLBACK", NULL), STATUS_OK);
    sql_conn_close(c);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    while ((n = read(fd, chunk, sizeof(chunk))) > 0)
        buf_append(&text, chunk, (size_t)n);
    close(fd);
    assert_int_equal(p.bytes, text.len);
    return text;
}

static struct buf dump(const struct base *b)
{
    return dump_with(b, &(struct dump_options){ 0 });
}

/* ---- comparing ---- */

static void append_query(struct buf *b, sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(stmt); i++) {
            int type = sqlite3_column_type(stmt, i);
            const char *bytes = sqlite3_column_blob(stmt, i);
            double d = sqlite3_column_double(stmt, i);
            buf_printf(b, "%d:", type);
            if (type == SQLITE_FLOAT)
                bytes = (const char *)&d;
            int len = type == SQLITE_FLOAT ? 8 : sqlite3_column_bytes(stmt, i);
            for (int at = 0; at < len; at++)
                buf_printf(b, "%02x", (unsigned char)bytes[at]);
            buf_append_char(b, '|');
        }
        buf_append_char(b, '\n');
    }
    assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
}

/* Everything, as text: schema without page numbers, every row of every table with types. Shadow tables only when `all`: the same
 * content may lie in other segments. */
static struct buf content_of(const struct base *base)
{
    struct sql_conn *c = open_as(base, SQL_INTERNAL, SQL_WIDE);
    sqlite3 *db = sql_conn_handle(c);
    struct buf b = { 0 };
    sqlite3_stmt *tables;

    append_query(&b, db, "PRAGMA integrity_check");
    append_query(&b, db, "PRAGMA foreign_key_check");
    append_query(&b, db, "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name <> 'sqlite_sequence' ORDER BY 1, 2");
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT l.name, l.wr, l.type, EXISTS (SELECT 1 FROM sqlite_schema AS s WHERE s.name = "
                                        "l.name AND sql LIKE '%no rowid%') FROM pragma_table_list AS l WHERE l.schema = 'main' AND "
                                        "l.type IN ('table', 'virtual', 'view') AND l.name NOT IN ('sqlite_schema', "
                                        "'sqlite_sequence') ORDER BY 1",
                                        -1, &tables, NULL),
                     SQLITE_OK);
    while (sqlite3_step(tables) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(tables, 0);
        const char *type = (const char *)sqlite3_column_text(tables, 2);
        bool rowid = !sqlite3_column_int(tables, 1) && strcmp(type, "view") != 0 && strncmp(name, "sqlite_", 7) != 0 &&
                     !sqlite3_column_int(tables, 3);
        char *sql = sqlite3_mprintf("SELECT %s * FROM \"%w\" ORDER BY 1, 2, 3", rowid ? "rowid, typeof(1)," : "1, 2,", name);
        buf_printf(&b, "== %s\n", name);
        append_query(&b, db, sql);
        sqlite3_free(sql);
    }
    sqlite3_finalize(tables);
    if (sqlite3_table_column_metadata(db, NULL, "sqlite_sequence", NULL, NULL, NULL, NULL, NULL, NULL) == SQLITE_OK)
        append_query(&b, db, "SELECT * FROM sqlite_sequence ORDER BY 1");
    sql_conn_close(c);
    return b;
}

static void assert_same_text(const struct buf *a, const struct buf *b)
{
    if (!slice_eq(buf_slice(a), buf_slice(b)))
        fail_msg("--- expected\n%s\n--- got\n%s", a->ptr, b->ptr);
}

/* Returns the copy. */
static struct base round_trip(struct slice sql, struct buf *ret_dump)
{
    struct base a = base_new(), b = base_new();

    must_load(&a, sql);
    struct buf text = dump(&a);
    must_load(&b, buf_slice(&text));
    struct buf content_a = content_of(&a), content_b = content_of(&b), again = dump(&b);
    assert_memory_equal(content_a.ptr, "3:6f6b|\n", 8); /* integrity_check says ok */
    assert_same_text(&content_a, &content_b);
    assert_same_text(&text, &again);
    buf_release(&content_a);
    buf_release(&content_b);
    buf_release(&again);
    if (ret_dump)
        *ret_dump = text;
    else
        buf_release(&text);
    return b;
}

static void check_query(const struct base *b, const char *sql, const char *expected)
{
    struct sql_conn *c = open_as(b, SQL_INTERNAL, SQL_WIDE);
    sqlite3_stmt *stmt;
    struct buf got = { 0 };

    if (sqlite3_prepare_v2(sql_conn_handle(c), sql, -1, &stmt, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(sql_conn_handle(c)));
    while (sqlite3_step(stmt) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(stmt); i++)
            buf_printf(&got, "%s%s", got.len ? "," : "", (const char *)sqlite3_column_text(stmt, i));
    if (sqlite3_finalize(stmt) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(sql_conn_handle(c)));
    if (!slice_eq(buf_slice(&got), slice_cstr(expected)))
        fail_msg("%s gave <%s>, not <%s>", sql, got.ptr ? got.ptr : "", expected);
    buf_release(&got);
    sql_conn_close(c);
}

static void check_dump(const char *sql, const char *expected)
{
    struct base a = base_new();

    must_load(&a, slice_cstr(sql));
    struct buf text = dump(&a);
    assert_string_equal(text.ptr, expected);
    buf_release(&text);
}

/* ---- the text ---- */

static void ordinary_tables_are_written_as_d1_writes_them(void **state)
{
    (void)state;
    check_dump("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c REAL, d BLOB);"
               "CREATE TABLE \"q t\" (x);"
               "INSERT INTO t VALUES (1, 'it''s', 1.5, X'00FF'), (2, NULL, -3, NULL), (5, 'two\nlines\r', 0.1, 'b');"
               "CREATE VIEW v AS SELECT 1;CREATE TRIGGER tr AFTER DELETE ON t BEGIN SELECT 1; END;CREATE INDEX i ON t (b);",
               "PRAGMA defer_foreign_keys=TRUE;\n"
               "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c REAL, d BLOB);\n"
               "INSERT INTO \"t\" (\"a\",\"b\",\"c\",\"d\") VALUES(1,'it''s',1.5,X'00ff');\n"
               "INSERT INTO \"t\" (\"a\",\"b\",\"c\",\"d\") VALUES(2,NULL,-3,NULL);\n"
               "INSERT INTO \"t\" (\"a\",\"b\",\"c\",\"d\") VALUES(5,replace(replace('two\\nlines\\r','\\r',char(13)),'\\n',char(10)),"
               "0.1,'b');\n"
               "CREATE TABLE IF NOT EXISTS \"q t\" (x);\n"
               "CREATE INDEX i ON t (b);\n"
               "CREATE TRIGGER tr AFTER DELETE ON t BEGIN SELECT 1; END;\n"
               "CREATE VIEW v AS SELECT 1;\n");
}

static void options_choose_what_is_written(void **state)
{
    struct base a = base_new();
    struct slice names[] = { SLICE_LIT("a") };

    (void)state;
    must_load(&a, SLICE_LIT("CREATE TABLE a (x); CREATE TABLE b (x); INSERT INTO a VALUES (1); INSERT INTO b VALUES (2);"
                            "CREATE INDEX ai ON a (x)"));
    struct buf text = dump_with(&a, &(struct dump_options){ .tables = names, .n_tables = 1 });
    assert_string_equal(text.ptr, "PRAGMA defer_foreign_keys=TRUE;\nCREATE TABLE a (x);\nINSERT INTO \"a\" (\"x\") VALUES(1);\n");
    buf_release(&text);
    text = dump_with(&a, &(struct dump_options){ .no_data = true });
    assert_string_equal(text.ptr, "PRAGMA defer_foreign_keys=TRUE;\nCREATE TABLE a (x);\nCREATE TABLE b (x);\n"
                                  "CREATE INDEX ai ON a (x);\n");
    buf_release(&text);
    text = dump_with(&a, &(struct dump_options){ .no_schema = true });
    assert_string_equal(text.ptr, "PRAGMA defer_foreign_keys=TRUE;\nINSERT INTO \"a\" (\"x\") VALUES(1);\n"
                                  "INSERT INTO \"b\" (\"x\") VALUES(2);\n");
    buf_release(&text);
}

static void a_table_that_is_not_there_is_named(void **state)
{
    struct base a = base_new();
    struct slice names[] = { SLICE_LIT("a"), SLICE_LIT("nope") };
    struct dump_options opt = { .tables = names, .n_tables = 2 };
    struct progress p = { 0 };
    struct error err;
    int fd = file_with(SLICE_LIT(""));

    (void)state;
    must_load(&a, SLICE_LIT("CREATE TABLE a (x)"));
    struct sql_conn *c = open_as(&a, SQL_READER, SQL_STRICT);
    assert_int_equal(dump_write(c, &opt, fd, &p, &err), STATUS_SQL);
    assert_string_equal(err.msg, "no such table: nope: SQLITE_ERROR");
    sql_conn_close(c);
    close(fd);
}

/* ---- round trips ---- */

static void numbers_come_back_exactly(void **state)
{
    (void)state;
    round_trip(SLICE_LIT("CREATE TABLE n (a, r REAL, i INTEGER, t TEXT, x NUMERIC);"
                         "INSERT INTO n (a) VALUES (9007199254740993), (9223372036854775807), (-9223372036854775808), (9e999), "
                         "(-9e999), (5e-324), (1.7976931348623157e308), (-1.7976931348623157e308), (0.1), (1.0), (-1.0), (0.0), (1e15), (1e16), "
                         "(123456789012345678.0), (1e20), (1e21), (1e22), (1e23), (9007199254740992.0), (9007199254740993.0), "
                         "(2.2250738585072014e-308), (2.2250738585072011e-308), (0), (NULL), (3.0999999046325684);"
                         "INSERT INTO n (r) SELECT a FROM n WHERE typeof(a) = 'real';"
                         "INSERT INTO n (i) SELECT a FROM n; INSERT INTO n (t) SELECT a FROM n; INSERT INTO n (x) SELECT a FROM n;"),
               NULL);
}

/* 100,000 doubles of random bits, each through SQL text. */
static void random_reals_come_back_to_the_last_bit(void **state)
{
    struct base a = base_new(), b = base_new();
    uint64_t seed = 88172645463325252ULL;

    (void)state;
    must_load(&a, SLICE_LIT("CREATE TABLE r (v)"));
    struct sql_conn *c = open_as(&a, SQL_INTERNAL, SQL_WIDE);
    sqlite3_stmt *insert;
    assert_int_equal(sqlite3_prepare_v2(sql_conn_handle(c), "INSERT INTO r VALUES (?)", -1, &insert, NULL), SQLITE_OK);
    assert_int_equal(sql_exec(c, "BEGIN", NULL), STATUS_OK);
    for (int i = 0; i < 100000; i++) {
        double v;
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        memcpy(&v, &seed, sizeof(v));
        if (i % 2) /* also of everyday size */
            v = (double)(int64_t)seed / 1e15 / (i % 1000 + 1);
        sqlite3_bind_double(insert, 1, v);
        sqlite3_step(insert);
        sqlite3_reset(insert);
    }
    sqlite3_finalize(insert);
    assert_int_equal(sql_exec(c, "COMMIT", NULL), STATUS_OK);
    sql_conn_close(c);
    struct buf text = dump(&a);
    must_load(&b, buf_slice(&text));
    struct buf content_a = content_of(&a), content_b = content_of(&b);
    assert_true(slice_eq(buf_slice(&content_a), buf_slice(&content_b)));
    buf_release(&content_a);
    buf_release(&content_b);
    buf_release(&text);
}

static void text_and_blobs_come_back_exactly(void **state)
{
    (void)state;
    round_trip(SLICE_LIT("CREATE TABLE s (a TEXT, b BLOB);"
                         "INSERT INTO s VALUES ('', X''), ('it''s', 'text in b'), (char(10), char(13)), (char(10, 92, 110), 1),"
                         "(char(13, 92, 114), 2), (char(13, 92, 110), 3), (char(92, 110, 92, 114), 4), (char(92, 10, 92, 13), 5),"
                         "(CAST(X'0061' AS TEXT), X'00'), (CAST(X'6100' AS TEXT), CAST(X'00' AS TEXT)),"
                         "(CAST(X'ff41' AS TEXT), X'27'), (CAST(X'eda080' AS TEXT), zeroblob(40000)),"
                         "(CAST(X'f09f8f8e' AS TEXT), X'0a0d'), (X'c328', CAST(X'c328' AS TEXT)), ('\"', '`[;--/*'),"
                         "(replace(hex(zeroblob(700000)), '00', 'line' || char(10)), 6)"),
               NULL);
}

static void rowids_are_kept_where_they_are_not_counted_from_one(void **state)
{
    struct buf text;

    (void)state;
    struct base b = round_trip(SLICE_LIT("CREATE TABLE plain (a); INSERT INTO plain VALUES ('x'), ('y');"
                                         "CREATE TABLE holes (a); INSERT INTO holes (rowid, a) VALUES (-3, 'x'), (7, 'y');"
                                         "CREATE TABLE masked (rowid, _rowid_); INSERT INTO masked (oid, rowid) VALUES (9, 'z');"
                                         "CREATE TABLE hidden (rowid, _rowid_, oid /* no rowid */); INSERT INTO hidden VALUES (1, 2, 3);"
                                         "CREATE TABLE desc_key (a INTEGER PRIMARY KEY DESC); INSERT INTO desc_key (rowid, a) VALUES (5, 1);"
                                         "CREATE TABLE named (rowid INTEGER PRIMARY KEY, x); INSERT INTO named VALUES (4, 'n');"
                                         "CREATE INDEX covers ON plain (a DESC);"),
                               &text);
    assert_non_null(strstr(text.ptr, "INSERT INTO \"plain\" (\"a\") VALUES('x');"));
    assert_non_null(strstr(text.ptr, "INSERT INTO \"holes\" (rowid,\"a\") VALUES(-3,'x');"));
    assert_non_null(strstr(text.ptr, "INSERT INTO \"masked\" (oid,\"rowid\",\"_rowid_\") VALUES(9,'z',NULL);"));
    assert_non_null(strstr(text.ptr, "INSERT INTO \"named\" (\"rowid\",\"x\") VALUES(4,'n');"));
    check_query(&b, "SELECT rowid FROM holes", "-3,7");
    check_query(&b, "SELECT rowid FROM desc_key", "5");
    buf_release(&text);
}

static void all_kinds_of_tables_come_back(void **state)
{
    (void)state;
    struct base b = round_trip(
        SLICE_LIT("CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO w VALUES ('b', 2), ('a', 1);"
                  "CREATE TABLE st (a INT, b ANY, c BLOB, r REAL) STRICT; INSERT INTO st VALUES (1, 2.0, X'01', 3), (NULL, 'x', NULL, 0.5);"
                  "CREATE TABLE g (a INTEGER, virt AS (a * 2), b TEXT, stor TEXT GENERATED ALWAYS AS (b || '!') STORED, c DEFAULT (1 + 1));"
                  "INSERT INTO g (a, b) VALUES (1, 'x'), (2, NULL); CREATE INDEX gi ON g (virt) WHERE a > 1;"
                  "CREATE TABLE au (id INTEGER PRIMARY KEY AUTOINCREMENT, a); INSERT INTO au (a) VALUES (1), (2), (3); DELETE FROM au WHERE id > 1;"
                  "CREATE TABLE au2 (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO au2 VALUES (41); DELETE FROM au2;"
                  "CREATE TABLE \"select\" (\"from\" TEXT, \"group by\" INT, \"a\"\"b\" INT, [brackets \"] INT, `tick``s` INT);"
                  "INSERT INTO \"select\" VALUES ('x', 1, 2, 3, 4); CREATE TABLE 'single''s' (a); INSERT INTO \"single's\" VALUES (1);"
                  "CREATE TABLE \"semi;colon\" (\"new\nline\" TEXT DEFAULT ';'); INSERT INTO \"semi;colon\" DEFAULT VALUES;"
                  "CREATE TABLE \"\" (a); INSERT INTO \"\" VALUES (1);"
                  "CREATE TABLE /* comment ; */ commented (a -- why; not\n, b); INSERT INTO commented VALUES (1, 2);"
                  "CREATE TABLE child (p REFERENCES parent (id)); CREATE TABLE parent (id INTEGER PRIMARY KEY);"
                  "INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1);"),
        NULL);
    check_query(&b, "SELECT name, seq FROM sqlite_sequence ORDER BY 1", "au,3,au2,41");
}

static void foreign_keys_that_point_forward_come_back(void **state)
{
    (void)state;
    struct base b = round_trip(
        SLICE_LIT("PRAGMA defer_foreign_keys=1; CREATE TABLE a (id INTEGER PRIMARY KEY, b REFERENCES b (id), u REFERENCES b (code));"
                  "CREATE TABLE b (id INTEGER PRIMARY KEY, a REFERENCES a (id) ON DELETE CASCADE, code TEXT);"
                  "CREATE UNIQUE INDEX b_code ON b (code); CREATE INDEX b_a ON b (a);"
                  "CREATE TABLE self (id INTEGER PRIMARY KEY, up REFERENCES self (id));"
                  "INSERT INTO b VALUES (1, 2, 'x'), (2, 1, 'y'); INSERT INTO a VALUES (1, 2, 'x'), (2, 1, 'x');"
                  "INSERT INTO self VALUES (1, 3), (2, 1), (3, NULL)"),
        NULL);
    check_query(&b, "SELECT count(*) FROM pragma_foreign_key_check", "0");
}

static void views_triggers_and_statistics_come_back(void **state)
{
    (void)state;
    struct base b = round_trip(
        SLICE_LIT("CREATE TABLE t (a); CREATE TABLE log (what);"
                  "CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('inserted ' || new.a || '; ok'); END;"
                  "CREATE TRIGGER no BEFORE DELETE ON t BEGIN SELECT CASE WHEN 1 THEN RAISE(ABORT, 'no; never') END; END;"
                  "CREATE VIEW later AS SELECT * FROM earlier; CREATE VIEW earlier AS SELECT a, a || ';' AS s FROM t;"
                  "CREATE TRIGGER iv INSTEAD OF INSERT ON earlier BEGIN INSERT INTO t VALUES (new.a); END;"
                  "CREATE UNIQUE INDEX u ON t (a COLLATE NOCASE DESC); CREATE INDEX e ON t (lower(a)) WHERE a IS NOT NULL;"
                  "INSERT INTO t VALUES ('x'), ('y'); ANALYZE;"),
        NULL);
    check_query(&b, "SELECT count(*) FROM log", "2");
    check_query(&b, "SELECT count(*) > 0 FROM sqlite_stat1", "1");
}

static void a_sequence_without_its_tables_is_left_out(void **state)
{
    (void)state;
    check_dump("CREATE TABLE au (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO au VALUES (3); DROP TABLE au; CREATE TABLE t (a);",
               "PRAGMA defer_foreign_keys=TRUE;\nCREATE TABLE t (a);\n");
}

static void fts5_tables_come_back_and_find_the_same(void **state)
{
    (void)state;
    struct base b = round_trip(
        SLICE_LIT("CREATE VIRTUAL TABLE docs USING fts5(title, body UNINDEXED, tokenize = 'porter unicode61', prefix = '2 3');"
                  "INSERT INTO docs (docs, rank) VALUES ('pgsz', 1000), ('rank', 'bm25(10.0, 5.0)'), ('secure-delete', 1);"
                  "INSERT INTO docs (rowid, title, body) VALUES (7, 'Racing; cars', 'the cars were racing'), (9000000000, 'Boats', 'sailing');"
                  "INSERT INTO docs VALUES ('gone', 'gone'); DELETE FROM docs WHERE title = 'gone';"
                  "CREATE TABLE src (id INTEGER PRIMARY KEY, t TEXT);"
                  "CREATE VIRTUAL TABLE ext USING fts5(t, content = 'src', content_rowid = 'id');"
                  "CREATE TRIGGER src_in AFTER INSERT ON src BEGIN INSERT INTO ext (rowid, t) VALUES (new.id, new.t); END;"
                  "INSERT INTO src VALUES (3, 'external words'), (5, 'more words');"
                  "CREATE VIEW shown AS SELECT id AS rowid, t || ' seen' AS t FROM src;"
                  "CREATE VIRTUAL TABLE of_view USING fts5(t, content = \"shown\"); INSERT INTO of_view (of_view) VALUES ('rebuild');"
                  "CREATE VIRTUAL TABLE words USING fts5vocab(docs, row);"
                  "CREATE VIRTUAL TABLE small USING fts5(x, detail = none, columnsize = 0); INSERT INTO small VALUES ('tiny thing');"
                  "CREATE VIRTUAL TABLE \"odd using fts5(\" USING fts5(\"content = ''\" , x); INSERT INTO \"odd using fts5(\" VALUES ('a', 'b');"),
        NULL);
    check_query(&b, "SELECT rowid, title FROM docs WHERE docs MATCH 'race'", "7,Racing; cars");
    check_query(&b, "SELECT rowid FROM docs WHERE docs MATCH 'boa*'", "9000000000");
    check_query(&b, "SELECT k, v FROM docs_config WHERE k <> 'version' ORDER BY k", "pgsz,1000,rank,bm25(10.0, 5.0),secure-delete,1");
    check_query(&b, "SELECT rowid FROM ext WHERE ext MATCH 'words' ORDER BY 1", "3,5");
    check_query(&b, "SELECT count(*) FROM of_view WHERE of_view MATCH 'seen'", "2");
    check_query(&b, "SELECT rowid FROM small WHERE small MATCH 'tiny'", "1");
    check_query(&b, "INSERT INTO docs (docs) VALUES ('integrity-check')", "");
    check_query(&b, "INSERT INTO ext (ext, rank) VALUES ('integrity-check', 1)", "");
    check_query(&b, "INSERT INTO src VALUES (8, 'fresh words')", "");
    check_query(&b, "SELECT rowid FROM ext WHERE ext MATCH 'fresh'", "8");
}

static void contentless_fts5_tables_come_back(void **state)
{
    (void)state;
    struct base b = round_trip(
        SLICE_LIT("CREATE VIRTUAL TABLE none USING fts5(t, content = '');"
                  "CREATE VIRTUAL TABLE del USING fts5(t, content=\"\", contentless_delete = 1);"
                  "CREATE VIRTUAL TABLE keep USING fts5(t, u UNINDEXED, content='', contentless_unindexed=1, contentless_delete=1);"
                  "CREATE VIRTUAL TABLE lost USING fts5(t, content = 'nowhere');"
                  "INSERT INTO none (rowid, t) VALUES (1, 'first document'), (20, 'second document');"
                  "INSERT INTO lost (rowid, t) VALUES (2, 'astray');"
                  "INSERT INTO keep (rowid, t, u) VALUES (3, 'indexed', 'kept');"
                  "INSERT INTO del (rowid, t) VALUES (4, 'deletable'), (6, 'stays'); DELETE FROM del WHERE rowid = 4;"
                  "DROP TABLE lost;"),
        NULL);
    check_query(&b, "SELECT rowid FROM none WHERE none MATCH 'document' ORDER BY 1", "1,20");
    check_query(&b, "SELECT rowid FROM del WHERE del MATCH 'stays'", "6");
    check_query(&b, "SELECT rowid FROM del WHERE del MATCH 'deletable'", "");
    check_query(&b, "SELECT rowid, u FROM keep WHERE keep MATCH 'indexed'", "3,kept");
    check_query(&b, "INSERT INTO none (rowid, t) VALUES (30, 'third document')", "");
    check_query(&b, "DELETE FROM del WHERE rowid = 6", "");
    check_query(&b, "SELECT count(*) FROM none WHERE none MATCH 'document'", "3");
    check_query(&b, "SELECT rowid FROM del WHERE del MATCH 'stays'", "");
}

static void an_index_of_a_missing_table_comes_back(void **state)
{
    struct base a = base_new(), b = base_new();

    (void)state;
    must_load(&a, SLICE_LIT("CREATE TABLE src (id INTEGER PRIMARY KEY, t); INSERT INTO src VALUES (2, 'astray');"
                            "CREATE VIRTUAL TABLE lost USING fts5(t, content = 'src', content_rowid = id);"
                            "INSERT INTO lost (lost) VALUES ('rebuild'); DROP TABLE src;"));
    struct buf text = dump(&a);
    must_load(&b, buf_slice(&text));
    check_query(&b, "SELECT rowid FROM lost WHERE lost MATCH 'astray'", "2");
    buf_release(&text);
}

static void rtrees_come_back(void **state)
{
    (void)state;
    struct base b = round_trip(
        SLICE_LIT("CREATE VIRTUAL TABLE rt USING rtree(id, x0, x1, y0, y1, +label TEXT, +\"odd \"\"name\");"
                  "CREATE VIRTUAL TABLE rti USING rtree_i32(id, a0, a1);"
                  "INSERT INTO rt VALUES (1, 0.5, 1.5, 2.25, 3.1, 'it''s here', X'00'), (77, -1e10, 1e10, 0, 0, NULL, 1.0);"
                  "INSERT INTO rti VALUES (5, -2147483648, 2147483647)"),
        NULL);
    check_query(&b, "SELECT id FROM rt WHERE x0 <= 1 AND x1 >= 1 ORDER BY id", "1,77");
    check_query(&b, "SELECT rtreecheck('rt')", "ok");
}

/* ---- loading ---- */

static void check_failure(const char *sql, const char *message)
{
    struct base a = base_new();
    struct load_result r;
    struct error err;

    must_load(&a, SLICE_LIT("CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (1)"));
    struct buf before = content_of(&a);
    if (load(&a, slice_cstr(sql), &r, &err) == STATUS_OK)
        fail_msg("%s passed", sql);
    assert_string_equal(err.msg, message);
    struct buf after = content_of(&a);
    assert_same_text(&before, &after);
    buf_release(&before);
    buf_release(&after);
}

static void errors_name_the_statement_and_its_line(void **state)
{
    (void)state;
    check_failure("DELETE FROM t;\n\n-- c\nselec 1;\n", "near \"selec\": syntax error at offset 0: SQLITE_ERROR (statement 2, line 4)");
    check_failure("INSERT INTO t VALUES (2);\r\nINSERT INTO t\r\nVALUES (2);",
                  "UNIQUE constraint failed: t.a: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE) (statement 2, line 2)");
    check_failure("DELETE FROM t; BEGIN TRANSACTION;",
                  "cannot start a transaction within a transaction: SQLITE_ERROR (statement 2, line 1)");
    check_failure("DELETE FROM t; COMMIT;", "cannot end the transaction that an import is: remove COMMIT from the file: "
                                            "SQLITE_ERROR (statement 2, line 1)");
    check_failure("DELETE FROM t; INSERT OR ROLLBACK INTO t VALUES (1), (1);",
                  "UNIQUE constraint failed: t.a: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE) (statement 2, line 1)");
    check_failure("DELETE FROM t; INSERT INTO t VALUES (?);",
                  "Wrong number of parameter bindings for SQL query. (statement 2, line 1)");
    check_failure("DELETE FROM t; ATTACH 'x.db' AS x;", "not authorized: SQLITE_AUTH (statement 2, line 1)");
    check_failure("CREATE TABLE p (i PRIMARY KEY); CREATE TABLE c (i REFERENCES p); PRAGMA defer_foreign_keys=1; INSERT INTO c VALUES (7);",
                  "FOREIGN KEY constraint failed: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_FOREIGNKEY) (at the end of the file)");
}

static void a_load_counts_what_it_did(void **state)
{
    struct base a = base_new();
    struct load_result r;
    struct error err;

    (void)state;
    assert_int_equal(load(&a, SLICE_LIT("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2);; INSERT INTO t VALUES (3); SELECT * FROM t"), &r,
                          &err),
                     STATUS_OK);
    assert_int_equal(r.statements, 4);
    assert_int_equal(r.changes, 3);
    assert_int_equal(r.last_row_id, 3);
    assert_true(r.changed_db);
    assert_true(r.rows_written >= 3 && r.rows_read >= 3);
    assert_int_equal(r.size_after, 8192);
    assert_int_equal(load(&a, SLICE_LIT("-- nothing\n"), &r, &err), STATUS_OK);
    assert_int_equal(r.statements, 0);
    assert_false(r.changed_db);
}

/* ---- raw files ---- */

static void plain_exec(const char *path, const char *sql)
{
    sqlite3 *db;
    char *message = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void check_file(const struct base *file, const char *refusal)
{
    struct progress p = { 0 };
    struct error err = { 0 };
    enum status st = sqlite_file_check(file->path, &p, &err);

    if (refusal) {
        assert_int_equal(st, STATUS_SQL);
        if (!strstr(err.msg, refusal))
            fail_msg("<%s> does not say <%s>", err.msg, refusal);
    } else if (st != STATUS_OK) {
        fail_msg("%s", err.msg);
    }
}

static void set_number(struct sql_conn *c, uint32_t number)
{
    assert_int_equal(dione_db_meta_set(sql_conn_handle(c), DIONE_META_USER_VERSION, number), SQLITE_OK);
    assert_int_equal(dione_db_meta_set(sql_conn_handle(c), DIONE_META_APPLICATION_ID, number + 1), SQLITE_OK);
}

static int64_t count_in(struct sql_conn *c, const char *sql)
{
    int64_t n = -1;
    struct error err;

    if (sql_exec_i64(c, sql, &n, &err) != STATUS_OK)
        fail_msg("%s: %s", sql, err.msg);
    return n;
}

/* Applies the file to a database that holds `before`; a reader that is open all the time sees the old state, then the new. */
static void check_apply(const struct base *file, const char *before)
{
    struct base to = base_new();
    struct progress p = { 0 };
    struct error err;
    int64_t size = 0;
    uint32_t number = 0;

    must_load(&to, slice_cstr(before));
    struct sql_conn *reader = open_as(&to, SQL_READER, SQL_STRICT), *c = open_as(&to, SQL_IMPORTER, SQL_STRICT);
    assert_int_equal(count_in(reader, "SELECT count(*) FROM old"), 1);
    assert_int_equal(sql_exec(c, "BEGIN IMMEDIATE", &err), STATUS_OK);
    set_number(c, 41);
    if (sqlite_file_apply(c, file->path, &p, &size, &err) != STATUS_OK)
        fail_msg("%s", err.msg);
    set_number(c, 42);
    assert_int_equal(count_in(reader, "SELECT count(*) FROM old"), 1);
    assert_int_equal(sql_exec(c, "COMMIT", &err), STATUS_OK);
    sql_conn_close(c);
    assert_int_equal(count_in(reader, "SELECT count(*) FROM sqlite_schema WHERE name = 'old'"), 0);
    assert_true(count_in(reader, "SELECT count(*) FROM t") > 0);
    assert_int_equal(dione_db_meta_get(sql_conn_handle(reader), DIONE_META_USER_VERSION, &number), SQLITE_OK);
    assert_int_equal(number, 42);
    int64_t really = 0;
    assert_int_equal(sql_conn_size(reader, &really, &err), STATUS_OK);
    assert_int_equal(size, really);
    sql_conn_close(reader);
    struct buf got = content_of(&to), expected = content_of(file);
    assert_memory_equal(got.ptr, "3:6f6b|\n", 8);
    assert_same_text(&expected, &got);
    buf_release(&got);
    buf_release(&expected);
    must_load(&to, SLICE_LIT("CREATE TABLE later (a); INSERT INTO later SELECT hex(randomblob(1000)) FROM t; DROP TABLE t"));
    check_query(&to, "PRAGMA integrity_check", "ok");
}

static const char many_rows[] = "CREATE TABLE t (a, b UNIQUE); INSERT INTO t (rowid, a, b) SELECT n * 7, hex(randomblob(n % 300)), n FROM "
                                "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 2000) SELECT n FROM c);"
                                "CREATE VIRTUAL TABLE docs USING fts5(x); INSERT INTO docs (rowid, x) VALUES (9, 'words');";

static void a_raw_file_is_a_plain_copy_of_a_snapshot(void **state)
{
    struct base a = base_new(), copy = base_new();
    struct progress p = { 0 };
    struct error err;
    char head[100];

    (void)state;
    must_load(&a, slice_cstr(many_rows));
    struct sql_conn *reader = open_as(&a, SQL_READER, SQL_STRICT), *writer = open_as(&a, SQL_INTERNAL, SQL_STRICT);
    assert_int_equal(sql_exec(writer, "PRAGMA user_version=5; PRAGMA application_id=6", NULL), STATUS_OK);
    struct buf expected = content_of(&a);
    assert_int_equal(sql_exec(reader, "BEGIN", NULL), STATUS_OK);
    assert_int_equal(count_in(reader, "SELECT count(*) FROM t"), 2000);
    assert_int_equal(sql_exec(writer, "DELETE FROM t", NULL), STATUS_OK); /* not blocked, not seen */
    if (sqlite_file_write(reader, copy.path, &p, &err) != STATUS_OK)
        fail_msg("%s", err.msg);
    sql_conn_close(reader);
    sql_conn_close(writer);
    FILE *f = fopen(copy.path, "rb");
    assert_int_equal(fread(head, 1, sizeof(head), f), sizeof(head));
    fclose(f);
    assert_memory_equal(head + 18, "\1\1", 2);
    assert_memory_equal(head + 60, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
    check_file(&copy, NULL);
    struct buf got = content_of(&copy);
    assert_same_text(&expected, &got);
    buf_release(&expected);
    buf_release(&got);
}

static void raw_files_of_any_layout_are_taken(void **state)
{
    static const char *const layouts[] = { "", "PRAGMA page_size=1024;", "PRAGMA page_size=65536;", "PRAGMA auto_vacuum=1;",
                                           "PRAGMA page_size=512; PRAGMA auto_vacuum=2;", "PRAGMA journal_mode=WAL;" };
    char before[512];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(layouts); i++) {
        struct base file = base_new();
        plain_exec(file.path, layouts[i]);
        struct buf sql = { 0 };
        buf_printf(&sql, "%s%s", layouts[i], many_rows);
        plain_exec(file.path, sql.ptr);
        buf_release(&sql);
        check_file(&file, NULL);
        check_apply(&file, "CREATE TABLE old (a); INSERT INTO old VALUES (1)");
        /* Also over a larger database, which must shrink. */
        snprintf(before, sizeof(before),
                 "CREATE TABLE old (a); INSERT INTO old VALUES (1); CREATE TABLE big (a); INSERT INTO big SELECT zeroblob(4000) FROM "
                 "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000) SELECT n FROM c)");
        check_apply(&file, before);
    }
}

static void cut_file(const struct base *file, long size)
{
    assert_int_equal(truncate(file->path, size), 0);
}

static void spoil_file(const struct base *file, long at, size_t n)
{
    FILE *f = fopen(file->path, "r+b");

    fseek(f, at, SEEK_SET);
    while (n--)
        fputc(0xa5, f);
    fclose(f);
}

static void raw_files_that_cannot_be_served_are_refused(void **state)
{
    struct base file;

    (void)state;
    file = base_new();
    plain_exec(file.path, "CREATE TABLE _cf_x (a)");
    check_file(&file, "_cf_x begins with _cf_");
    file = base_new();
    plain_exec(file.path, "PRAGMA encoding='UTF-16'; CREATE TABLE t (a)");
    check_file(&file, "UTF-16");
    file = base_new();
    plain_exec(file.path, many_rows);
    cut_file(&file, 50);
    check_file(&file, "shorter");
    file = base_new();
    plain_exec(file.path, many_rows);
    cut_file(&file, 10 * 4096 + 1);
    check_file(&file, "cut short");
    file = base_new();
    plain_exec(file.path, many_rows);
    cut_file(&file, 10 * 4096);
    check_file(&file, "");
    file = base_new();
    plain_exec(file.path, many_rows);
    spoil_file(&file, 4096, 4096 * 20);
    check_file(&file, "");
    file = base_new();
    plain_exec(file.path, many_rows);
    spoil_file(&file, 16, 2);
    check_file(&file, "page size");
}

static void a_cancelled_load_and_dump_stop(void **state)
{
    struct base a = base_new();
    struct progress p = { .cancelled = true };
    struct load_result r;
    struct error err;
    int fd = file_with(SLICE_LIT("CREATE TABLE t (a);"));
    struct sql_conn *c = open_as(&a, SQL_IMPORTER, SQL_STRICT);

    (void)state;
    assert_int_equal(sql_exec(c, "BEGIN IMMEDIATE", NULL), STATUS_OK);
    assert_int_equal(load_sql(c, fd, &p, &r, &err), STATUS_STOPPING);
    assert_int_equal(dump_write(c, &(struct dump_options){ 0 }, fd, &p, &err), STATUS_STOPPING);
    sql_conn_close(c);
    close(fd);
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    static const char *const tails[] = { "", "-wal", "-shm" };
    char path[160];

    (void)state;
    for (int i = 0; i < n_files; i++)
        for (size_t t = 0; t < ARRAY_LEN(tails); t++) {
            snprintf(path, sizeof(path), "%s/%d.sqlite%s", dir, i, tails[t]);
            unlink(path);
        }
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_tables_are_written_as_d1_writes_them),
        cmocka_unit_test(options_choose_what_is_written),
        cmocka_unit_test(a_table_that_is_not_there_is_named),
        cmocka_unit_test(numbers_come_back_exactly),
        cmocka_unit_test(random_reals_come_back_to_the_last_bit),
        cmocka_unit_test(text_and_blobs_come_back_exactly),
        cmocka_unit_test(rowids_are_kept_where_they_are_not_counted_from_one),
        cmocka_unit_test(all_kinds_of_tables_come_back),
        cmocka_unit_test(foreign_keys_that_point_forward_come_back),
        cmocka_unit_test(views_triggers_and_statistics_come_back),
        cmocka_unit_test(a_sequence_without_its_tables_is_left_out),
        cmocka_unit_test(fts5_tables_come_back_and_find_the_same),
        cmocka_unit_test(contentless_fts5_tables_come_back),
        cmocka_unit_test(an_index_of_a_missing_table_comes_back),
        cmocka_unit_test(rtrees_come_back),
        cmocka_unit_test(errors_name_the_statement_and_its_line),
        cmocka_unit_test(a_load_counts_what_it_did),
        cmocka_unit_test(a_raw_file_is_a_plain_copy_of_a_snapshot),
        cmocka_unit_test(raw_files_of_any_layout_are_taken),
        cmocka_unit_test(raw_files_that_cannot_be_served_are_refused),
        cmocka_unit_test(a_cancelled_load_and_dump_stop),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
