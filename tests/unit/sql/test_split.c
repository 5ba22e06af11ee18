/*
 * The splitter on texts that end statements in every awkward way: fed whole, in pieces of every size, cut at every
 * place, and compared with sqlite3_complete(), which knows the same rules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dione_sqlite.h"
#include "sql/split.h"

enum { MAX_STATEMENTS = 16 };

struct sample {
    const char *text;
    const char *statements[MAX_STATEMENTS];
};

static const struct sample samples[] = {
    { "", { NULL } },
    { " \t\r\n\f", { NULL } },
    { ";", { NULL } },
    { ";;\n ; ", { NULL } },
    { "-- only a comment", { NULL } },
    { "/* only */", { NULL } },
    { "/* never closed ; ", { NULL } },
    { "/**/ /***/ /*/ */;", { NULL } },
    { "SELECT 1", { "SELECT 1" } },
    { "SELECT 1;", { "SELECT 1;" } },
    { "SELECT 1;SELECT 2", { "SELECT 1;", "SELECT 2" } },
    { "; SELECT 1;; \n SELECT 2 ; ", { "SELECT 1;", "SELECT 2 ;" } },
    { "SELECT 1\r\n;\r\nSELECT 2;\r\n", { "SELECT 1\r\n;", "SELECT 2;" } },
    { "\xEF\xBB\xBFSELECT 1; SELECT 2;", { "SELECT 1;", "SELECT 2;" } },
    { "\xEF\xBB\xBF", { NULL } },
    { "\xEF\xBB\xBF-- c\nSELECT 1;", { "SELECT 1;" } },
    { "SELECT ';'; SELECT \";\"; SELECT `;`; SELECT [;]; x",
      { "SELECT ';';", "SELECT \";\";", "SELECT `;`;", "SELECT [;];", "x" } },
    { "SELECT 'it''s;'; SELECT '''';SELECT ''';';", { "SELECT 'it''s;';", "SELECT '''';", "SELECT ''';';" } },
    { "SELECT \"a\"\";\" , `b``;` ; y", { "SELECT \"a\"\";\" , `b``;` ;", "y" } },
    { "SELECT '--', '/*'; SELECT 2; -- '\nSELECT 3;", { "SELECT '--', '/*';", "SELECT 2;", "SELECT 3;" } },
    { "SELECT 1 -- ; '\n, 2; SELECT /* ; ' */ 3;", { "SELECT 1 -- ; '\n, 2;", "SELECT /* ; ' */ 3;" } },
    { "SELECT 1 /* ** ; * / **/; SELECT 2", { "SELECT 1 /* ** ; * / **/;", "SELECT 2" } },
    { "SELECT 1-2; SELECT 4/2; SELECT 1-", { "SELECT 1-2;", "SELECT 4/2;", "SELECT 1-" } },
    { "SELECT 1 - - 1; SELECT 1 / 1; /", { "SELECT 1 - - 1;", "SELECT 1 / 1;", "/" } },
    { "INSERT INTO t VALUES('never closed; ", { "INSERT INTO t VALUES('never closed; " } },
    { "SELECT x'00ff';SELECT X';'", { "SELECT x'00ff';", "SELECT X';'" } },
    { "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END; SELECT 3;",
      { "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END;", "SELECT 3;" } },
    { "create temp trigger a after insert on t begin select 1; end ; select 3;",
      { "create temp trigger a after insert on t begin select 1; end ;", "select 3;" } },
    { "CREATE/*;*/TEMPORARY--;\n TRIGGER IF NOT EXISTS a BEFORE DELETE ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; "
      "UPDATE t SET a = CASE b WHEN 1 THEN 'end;' END; END; SELECT 1",
      { "CREATE/*;*/TEMPORARY--;\n TRIGGER IF NOT EXISTS a BEFORE DELETE ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; "
        "UPDATE t SET a = CASE b WHEN 1 THEN 'end;' END; END;",
        "SELECT 1" } },
    { "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; /* END; */ -- END;\n END\n-- x\n;SELECT 1",
      { "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; /* END; */ -- END;\n END\n-- x\n;", "SELECT 1" } },
    { "EXPLAIN CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; END; x;",
      { "EXPLAIN CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; END;", "x;" } },
    { "EXPLAIN QUERY PLAN CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; END; x;",
      { "EXPLAIN QUERY PLAN CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; END;", "x;" } },
    { "EXPLAIN SELECT 1; EXPLAIN; CREATE; CREATE TEMP; x",
      { "EXPLAIN SELECT 1;", "EXPLAIN;", "CREATE;", "CREATE TEMP;", "x" } },
    { "CREATE TABLE trigger_log (trigger TEXT); SELECT 2;",
      { "CREATE TABLE trigger_log (trigger TEXT);", "SELECT 2;" } },
    { "CREATE TABLE \"TRIGGER\" (a); CREATE \"TRIGGER\"; SELECT 1;",
      { "CREATE TABLE \"TRIGGER\" (a);", "CREATE \"TRIGGER\";", "SELECT 1;" } },
    { "CREATE TRIGGERS (a); END; ; END;", { "CREATE TRIGGERS (a);", "END;", "END;" } },
    { "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; ENDING; END x; END; y",
      { "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; ENDING; END x; END;", "y" } },
    { "CREATE TRIGGER never ends; SELECT 1; SELECT 2;", { "CREATE TRIGGER never ends; SELECT 1; SELECT 2;" } },
    { "BEGIN; INSERT INTO t VALUES(1); COMMIT;", { "BEGIN;", "INSERT INTO t VALUES(1);", "COMMIT;" } },
    { "SELECT a_word_that_is_longer_than_any_keyword;create_trigger_but_not_quite x; y",
      { "SELECT a_word_that_is_longer_than_any_keyword;", "create_trigger_but_not_quite x;", "y" } },
    { "SELECT \"\xC3\xBC\", \xC3\xBC; SELECT '\xF0\x9F\x8F\x8E';",
      { "SELECT \"\xC3\xBC\", \xC3\xBC;", "SELECT '\xF0\x9F\x8F\x8E';" } },
};

/* How the text arrives: a piece of `first` bytes, then pieces of `rest` bytes. */
struct feed {
    struct slice text;
    size_t at, first, rest;
};

static void feed_some(struct split *s, struct feed *f)
{
    size_t n = f->at == 0 && f->first ? f->first : f->rest;

    if (n > f->text.len - f->at)
        n = f->text.len - f->at;
    if (n == 0) {
        split_end(s);
        return;
    }
    char *room = split_room(s, n);
    assert_non_null(room);
    memcpy(room, f->text.ptr + f->at, n);
    split_fed(s, n);
    f->at += n;
}

static enum split_result next_statement(struct split *s, struct feed *f, struct split_statement *ret, struct error *err)
{
    enum split_result r;

    while ((r = split_next(s, ret, err)) == SPLIT_MORE)
        feed_some(s, f);
    return r;
}

static void check_sample(const struct sample *sample, size_t first, size_t rest)
{
    struct feed f = { .text = slice_cstr(sample->text), .first = first, .rest = rest };
    struct split s;
    struct split_statement st;
    struct error err;
    enum split_result r;
    int n = 0;

    split_init(&s);
    while ((r = next_statement(&s, &f, &st, &err)) == SPLIT_STATEMENT) {
        if (!sample->statements[n] || !slice_eq(st.text, slice_cstr(sample->statements[n])))
            fail_msg("pieces %zu, %zu of <%s>: statement %d is <%.*s>", first, rest, sample->text, n, SLICE_FMT(st.text));
        assert_int_equal(st.text.ptr[st.text.len], '\0');
        assert_memory_equal(sample->text + st.offset, st.text.ptr, st.text.len);
        n++;
    }
    assert_int_equal(r, SPLIT_DONE);
    if (sample->statements[n])
        fail_msg("pieces %zu, %zu of <%s>: statement %d is missing", first, rest, sample->text, n);
    split_release(&s);
}

static void every_sample_is_cut_into_its_statements(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++)
        check_sample(&samples[i], 0, 4096);
}

static void pieces_of_any_size_give_the_same_statements(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++)
        for (size_t size = 1; size <= strlen(samples[i].text) + 1; size++)
            check_sample(&samples[i], 0, size);
}

static void a_cut_at_any_place_gives_the_same_statements(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++)
        for (size_t at = 1; at < strlen(samples[i].text); at++)
            check_sample(&samples[i], at, 4096);
}

/* A statement is complete exactly at its end and nowhere before. */
static void sqlite_agrees_where_statements_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        for (int n = 0; samples[i].statements[n]; n++) {
            char *text = strdup(samples[i].statements[n]);
            size_t len = strlen(text);
            bool is_last = !samples[i].statements[n + 1];
            if (!is_last && !sqlite3_complete(text)) /* the last one may lack its end */
                fail_msg("<%s> is complete for us, not for SQLite", text);
            for (size_t cut = len - 1; cut > 0; cut--) {
                text[cut] = '\0';
                if (sqlite3_complete(text))
                    fail_msg("<%s> is complete for SQLite, not for us", text);
            }
            free(text);
        }
    }
}

/* Random texts from a small alphabet of what matters. What is left over after sqlite3_complete() says "complete" has no
 * token, and the other way round. */
static void sqlite_agrees_on_random_texts(void **state)
{
    static const char *const parts[] = { "'", "\"", "`", "[", "]", ";", " ; ", "--", "\n", "/*", "*/", "-", "/", "*", " ",
                                         "CREATE ", "TEMP ", "TRIGGER ", "END", "BEGIN ", "EXPLAIN ", "x", "1", "CASE " };
    unsigned seed = 12345;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        char text[256] = "";
        int n = 1 + (int)(rand_r(&seed) % 14);
        for (int i = 0; i < n; i++)
            strcat(text, parts[(unsigned)rand_r(&seed) % ARRAY_LEN(parts)]);
        struct feed f = { .text = slice_cstr(text), .rest = 1 + (unsigned)rand_r(&seed) % 8 };
        struct split s;
        struct split_statement st;
        bool last_is_complete = true;
        split_init(&s);
        while (next_statement(&s, &f, &st, NULL) == SPLIT_STATEMENT) {
            char *copy = strndup(st.text.ptr, st.text.len);
            last_is_complete = sqlite3_complete(copy) == 1;
            bool at_end = st.offset + st.text.len == strlen(text);
            if (!last_is_complete && !at_end)
                fail_msg("<%s> of <%s> is not complete for SQLite", copy, text);
            free(copy);
        }
        split_release(&s);
    }
}

static enum split_result result_of(struct slice text, size_t max_bytes, struct error *err)
{
    struct feed f = { .text = text, .rest = 3 };
    struct split s;
    struct split_statement st;
    enum split_result r;

    split_init(&s);
    if (max_bytes)
        s.max_bytes = max_bytes;
    while ((r = next_statement(&s, &f, &st, err)) == SPLIT_STATEMENT)
        continue;
    split_release(&s);
    return r;
}

static void a_nul_character_is_an_error(void **state)
{
    struct error err;

    (void)state;
    assert_int_equal(result_of(SLICE_LIT("SELECT 1; SELECT '\0'; SELECT 2"), 0, &err), SPLIT_FAILED);
    assert_int_equal(err.status, STATUS_SQL);
    assert_non_null(strstr(err.msg, "NUL"));
    assert_int_equal(result_of(SLICE_LIT("SELECT 1;\0"), 0, &err), SPLIT_FAILED);
    assert_int_equal(result_of(SLICE_LIT("SELECT 1; -- \0\n"), 0, &err), SPLIT_DONE);
}

static void a_statement_longer_than_the_limit_is_an_error(void **state)
{
    struct error err;

    (void)state;
    assert_int_equal(result_of(SLICE_LIT("SELECT 1;SELECT '0123456789';"), 20, &err), SPLIT_DONE);
    assert_int_equal(result_of(SLICE_LIT("SELECT 1;SELECT '01234567890';"), 20, &err), SPLIT_FAILED);
    assert_int_equal(result_of(SLICE_LIT("SELECT 1;SELECT '0123456789012345"), 20, &err), SPLIT_FAILED);
    assert_non_null(strstr(err.msg, "too long"));
    assert_int_equal(result_of(SLICE_LIT("-- a comment that is longer than the limit\nSELECT 1;"), 20, &err), SPLIT_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_is_cut_into_its_statements),
        cmocka_unit_test(pieces_of_any_size_give_the_same_statements),
        cmocka_unit_test(a_cut_at_any_place_gives_the_same_statements),
        cmocka_unit_test(sqlite_agrees_where_statements_end),
        cmocka_unit_test(sqlite_agrees_on_random_texts),
        cmocka_unit_test(a_nul_character_is_an_error),
        cmocka_unit_test(a_statement_longer_than_the_limit_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
