/* A namespace's table on a connection of its own: values of every size, expiry as seen from a given time, lists. */
#include "../testing.h"

#include "kv/table.h"

#include <fcntl.h>

enum { NEVER = 0, NOW = 1000000 };

static struct sql_conn *c;
static struct kv_parts all_parts;
static char dir[64];

static int setup(void **state UNUSED)
{
    char path[96];
    struct error err;

    test_dir_make(dir);
    all_parts = (struct kv_parts){ 0 };
    snprintf(path, sizeof(path), "%s/db.sqlite", dir);
    struct sql_conn_options opt = { .path = path, .role = SQL_WRITER, .profile = SQL_OWN, .cache_kib = 1024 };
    return sql_conn_open(&opt, &c, &err) == STATUS_OK && sql_exec(c, kv_table_schema, &err) == STATUS_OK ? 0 : -1;
}

static int teardown(void **state UNUSED)
{
    sql_conn_close(c);
    test_dir_remove(dir);
    return 0;
}

static void put_bytes(const char *key, struct slice value, const char *metadata, int64_t expires_ms)
{
    struct error err;
    struct kv_put put = { .key = slice_cstr(key),
                          .value = value,
                          .metadata = metadata ? slice_cstr(metadata) : SLICE_NONE,
                          .expires_ms = expires_ms,
                          .version = 7 };

    if (table_put(c, &all_parts, &put, &err) != STATUS_OK)
        fail_msg("%s", err.msg);
}

static void put(const char *key, const char *value, int64_t expires_ms)
{
    put_bytes(key, slice_cstr(value), NULL, expires_ms);
}

static struct kv_value *get(const char *key, bool want_bytes, int64_t *ret_parts)
{
    struct kv_value *v = NULL;
    struct error err;

    if (table_get(c, slice_cstr(key), NOW, want_bytes, &v, ret_parts, &err) != STATUS_OK)
        fail_msg("%s", err.msg);
    return v;
}

static int64_t count(const char *sql)
{
    int64_t n = -1;
    struct error err;

    assert_int_equal(sql_exec_i64(c, sql, &n, &err), STATUS_OK);
    return n;
}

static void a_row_comes_back_as_it_was_put(void **state UNUSED)
{
    int64_t parts;

    put_bytes("k\n/é", slice_of("a\0b", 3), "{\"m\":1}", NOW + 5);
    struct kv_value *v = get("k\n/é", true, &parts);
    assert_int_equal(v->size, 3);
    assert_memory_equal(v->bytes, "a\0b", 3);
    CHECK_SLICE(kv_value_metadata(v), "{\"m\":1}");
    assert_int_equal(v->expires_ms, NOW + 5);
    assert_int_equal(v->version, 7);
    assert_int_equal(parts, 0);
    kv_value_unref(v);
    v = get("k\n/é", false, &parts);
    assert_int_equal(v->bytes_len, 0);
    assert_int_equal(v->size, 3);
    CHECK_SLICE(kv_value_metadata(v), "{\"m\":1}");
    kv_value_unref(v);
    v = get("k", true, &parts);
    assert_true(v->absent);
    kv_value_unref(v);
}

static void large_values_stand_in_parts_which_go_with_them(void **state UNUSED)
{
    static const size_t sizes[] = { KV_SMALL_MAX, KV_SMALL_MAX + 1, 256 * 1024, 256 * 1024 + 1, 3000000 };
    char path[96];
    int64_t parts;
    struct error err;
    bool deleted;

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char *bytes = malloc(sizes[i]), *back = malloc(sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++)
            bytes[k] = (char)(k * 7 + k / 251 + i);
        put_bytes("large", slice_of(bytes, sizes[i]), "1", NEVER);
        struct kv_value *v = get("large", true, &parts);
        assert_int_equal(v->size, sizes[i]);
        assert_int_equal(parts != 0, sizes[i] > KV_SMALL_MAX);
        if (parts) {
            assert_int_equal(v->bytes_len, 0);
            assert_int_equal(table_read_parts(c, parts, back, sizes[i], &err), STATUS_OK);
            assert_memory_equal(back, bytes, sizes[i]);
            assert_int_equal(table_read_parts(c, parts, back, sizes[i] - 1, &err), STATUS_CORRUPT);
            snprintf(path, sizeof(path), "%s/copy", dir);
            int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
            assert_int_equal(table_copy_parts(c, parts, fd, &err), STATUS_OK);
            assert_int_equal(pread(fd, back, sizes[i], 0), (ssize_t)sizes[i]);
            assert_memory_equal(back, bytes, sizes[i]);
            close(fd);
        }
        CHECK_SLICE(kv_value_metadata(v), "1");
        kv_value_unref(v);
        free(bytes);
        free(back);
        /* Parts of the value before went when it was replaced. */
        assert_int_equal(count("SELECT count(*) FROM parts"), parts ? (int64_t)(sizes[i] + 262143) / 262144 : 0);
    }
    assert_int_equal(table_delete(c, &all_parts, SLICE_LIT("large"), &deleted, &err), STATUS_OK);
    assert_true(deleted);
    assert_int_equal(count("SELECT count(*) FROM parts"), 0);
    assert_int_equal(table_delete(c, &all_parts, SLICE_LIT("large"), &deleted, &err), STATUS_OK);
    assert_false(deleted);
}

/* ---- expiry ---- */

static void what_has_expired_is_not_seen(void **state UNUSED)
{
    int64_t parts;

    put("past", "v", NOW);
    put("future", "v", NOW + 1);
    struct kv_value *past = get("past", true, &parts), *future = get("future", true, &parts);
    assert_true(past->absent);
    assert_false(future->absent);
    kv_value_unref(past);
    kv_value_unref(future);
}

static void sweeping_takes_the_oldest_first_and_tells_what_comes_next(void **state UNUSED)
{
    struct error err;
    char key[16];
    int n, swept = 0, rounds = 0;
    int64_t next;

    put("stays", "v", NEVER);
    put("later", "v", NOW + 100);
    put("later still", "v", NOW + 200);
    for (int i = 0; i < 25; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        put(key, "v", NOW - 25 + i);
    }
    char *bytes = calloc(1, KV_SMALL_MAX + 1);
    put_bytes("large", slice_of(bytes, KV_SMALL_MAX + 1), NULL, NOW - 1);
    free(bytes);
    do {
        assert_int_equal(table_sweep(c, &all_parts, NOW, 10, &n, &next, &err), STATUS_OK);
        if (rounds++ == 0)
            assert_int_equal(next, NOW - 15);
        swept += n;
    } while (n == 10);
    assert_int_equal(rounds, 3);
    assert_int_equal(swept, 26);
    assert_int_equal(next, NOW + 100);
    assert_int_equal(count("SELECT count(*) FROM entries"), 3);
    assert_int_equal(count("SELECT count(*) FROM parts"), 0);
    assert_int_equal(table_sweep(c, &all_parts, NOW + 1000, 10, &n, &next, &err), STATUS_OK);
    assert_int_equal(n, 2);
    assert_int_equal(next, 0);
}

static void a_sweep_of_large_values_takes_a_few_at_a_time(void **state UNUSED)
{
    const size_t size = 9 << 20;
    char *bytes = calloc(1, size), key[16];
    struct error err;
    int n;
    int64_t next;

    for (int i = 0; i < 5; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        put_bytes(key, slice_of(bytes, size), NULL, NOW - 10 + i);
    }
    free(bytes);
    for (int left = 3; left >= 1; left -= 2) {
        assert_int_equal(table_sweep(c, &all_parts, NOW, 100, &n, &next, &err), STATUS_OK);
        assert_int_equal(n, 2);
        assert_int_equal(next, NOW - 5 - left);
        assert_int_equal(count("SELECT count(*) FROM entries"), left);
        assert_int_equal(count("SELECT count(*) FROM parts"), left * 36);
    }
    assert_int_equal(table_sweep(c, &all_parts, NOW, 100, &n, &next, &err), STATUS_OK);
    assert_int_equal(n, 1);
    assert_int_equal(next, 0);
    assert_int_equal(count("SELECT count(*) FROM parts"), 0);
}

/* ---- lists ---- */

static void take(void *arg, const struct kv_listed *key)
{
    struct buf *b = arg;

    buf_append_slice(b, key->key);
    if (key->metadata.ptr)
        buf_append_slice(b, key->metadata);
    buf_append_char(b, ' ');
}

static void check_list(const char *prefix, const char *after, int limit, const char *want, bool want_more)
{
    struct buf b = { 0 };
    struct error err;
    bool more = !want_more;

    buf_append(&b, "", 0);
    assert_int_equal(
        table_list(c, slice_cstr(prefix), after ? slice_cstr(after) : SLICE_NONE, limit, NOW, take, &b, &more, &err),
        STATUS_OK);
    CHECK_SLICE(buf_slice(&b), want);
    assert_int_equal(more, want_more);
    buf_release(&b);
}

static void lists_are_in_the_order_of_bytes(void **state UNUSED)
{
    static const char *const keys[] = { "b", "a", "a/2", "a/1", "a/10", "\xC3\xA9", "B", "a/" };

    check_list("", NULL, 10, "", false);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        put(keys[i], "v", NEVER);
    put("a/gone", "v", NOW);
    put_bytes("c", SLICE_LIT("v"), "M", NEVER);
    check_list("", NULL, 100, "B a a/ a/1 a/10 a/2 b cM \xC3\xA9 ", false);
    check_list("a/", NULL, 100, "a/ a/1 a/10 a/2 ", false);
    check_list("a/", NULL, 4, "a/ a/1 a/10 a/2 ", false);
    check_list("a/", NULL, 3, "a/ a/1 a/10 ", true);
    check_list("a/", "a/10", 3, "a/2 ", false);
    check_list("a/", "B", 1, "a/ ", true); /* a cursor before the prefix */
    check_list("a/", "b", 3, "", false);
    check_list("\xC3\xA9", NULL, 3, "\xC3\xA9 ", false);
    check_list("x", NULL, 3, "", false);
    check_list("", "\xC3\xA9", 3, "", false);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_row_comes_back_as_it_was_put),
        TEST(large_values_stand_in_parts_which_go_with_them),
        TEST(what_has_expired_is_not_seen),
        TEST(sweeping_takes_the_oldest_first_and_tells_what_comes_next),
        TEST(a_sweep_of_large_values_takes_a_few_at_a_time),
        TEST(lists_are_in_the_order_of_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
