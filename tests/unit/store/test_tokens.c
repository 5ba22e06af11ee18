/* Tokens: made, checked, limited, revoked; and what of them outlives a restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "store/control_sql.h"
#include "store/tokens.h"

#include "fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

static struct fixture f;
static struct tokens *tokens;
static struct error err;

#define ASSERT_OK(call)                                \
    do {                                               \
        if ((call) != STATUS_OK)                       \
            fail_msg("%s: %s", #call, err.msg);        \
    } while (0)
#define ASSERT_FAILS(call, expected, text)             \
    do {                                               \
        assert_int_equal((call), (expected));          \
        assert_int_equal(err.status, (expected));      \
        if (!strstr(err.msg, (text)))                  \
            fail_msg("'%s' lacks '%s'", err.msg, text); \
    } while (0)

static const char *const root_secret = "root-root-root-root-root-root-root-root";

static int setup(void **state)
{
    (void)state;
    f = (struct fixture){ 0 };
    fixture_init(&f);
    ASSERT_OK(tokens_open(f.store, &tokens, &err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tokens_close(tokens);
    fixture_release(&f);
    return 0;
}

static void restart(void)
{
    tokens_close(tokens);
    fixture_stop(&f);
    fixture_start(&f);
    ASSERT_OK(tokens_open(f.store, &tokens, &err));
}

struct made {
    struct token_info info;
    char secret[TOKEN_LEN + 1];
};

static struct made make(bool can_write, const char *database, int64_t expires_ms)
{
    struct made m = { .info = { .grant.can_write = can_write, .name = "made", .expires_ms = expires_ms } };

    snprintf(m.info.grant.database, sizeof(m.info.grant.database), "%s", database);
    ASSERT_OK(tokens_create(tokens, &m.info, m.secret, &err));
    return m;
}

static enum status check_at(const char *secret, int64_t now_ms)
{
    struct token_grant grant;

    return tokens_check(tokens, slice_cstr(secret), now_ms, &grant, &err);
}

static enum status check(const char *secret)
{
    return check_at(secret, clock_wall_ms());
}

static const char *const one_db = "11111111-1111-4111-8111-111111111111";
static const char *const other_db = "22222222-2222-4222-8222-222222222222";

static void a_token_is_known_by_its_secret_alone(void **state)
{
    struct made m = make(true, one_db, 0);
    struct token_grant grant;

    (void)state;
    assert_int_equal(strlen(m.secret), TOKEN_LEN);
    ASSERT_OK(tokens_check(tokens, slice_cstr(m.secret), clock_wall_ms(), &grant, &err));
    assert_string_equal(grant.id, m.info.grant.id);
    assert_string_equal(grant.database, one_db);
    assert_true(grant.can_write);
    m.secret[0] ^= 1;
    ASSERT_FAILS(check(m.secret), STATUS_UNAUTH, "Authentication error: this token is unknown");
    ASSERT_FAILS(check(""), STATUS_UNAUTH, "Authentication error");
    ASSERT_FAILS(tokens_check(tokens, SLICE_NONE, 0, &grant, &err), STATUS_UNAUTH, "Authorization: Bearer");
}

static void grants_allow_what_they_say(void **state)
{
    struct token_grant all = { .can_write = true }, reader = { .can_write = false };
    struct token_grant one = { .can_write = true }, one_reader = { .can_write = false };

    (void)state;
    snprintf(one.database, sizeof(one.database), "%s", one_db);
    snprintf(one_reader.database, sizeof(one_reader.database), "%s", one_db);
    const struct {
        const struct token_grant *grant;
        const char *uuid;
        bool read, write;
    } rows[] = {
        { &all, NULL, true, true },         { &all, one_db, true, true },         { &reader, NULL, true, false },
        { &reader, one_db, true, false },   { &one, NULL, false, false },         { &one, one_db, true, true },
        { &one, other_db, false, false },   { &one_reader, one_db, true, false }, { &one_reader, NULL, false, false },
        { &one_reader, other_db, false, false }, { NULL, one_db, false, false },  { NULL, NULL, false, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(grant_allows(rows[i].grant, rows[i].uuid, false), rows[i].read);
        assert_int_equal(grant_allows(rows[i].grant, rows[i].uuid, true), rows[i].write);
    }
}

static void a_token_works_until_it_expires(void **state)
{
    int64_t now = clock_wall_ms();
    struct made m = make(true, "", now + 60000);
    struct token_cache cache = { 0 };
    struct token_grant grant;
    struct slice secret = slice_cstr(m.secret);

    (void)state;
    ASSERT_OK(check_at(m.secret, now + 59999));
    ASSERT_FAILS(check_at(m.secret, now + 60000), STATUS_UNAUTH, "Authentication error: the token has expired (20");
    ASSERT_OK(tokens_check_cached(tokens, &cache, secret, now + 59999, &grant, &err));
    ASSERT_FAILS(tokens_check_cached(tokens, &cache, secret, now + 60000, &grant, &err), STATUS_UNAUTH, "expired");
    m.info.expires_ms = now - 1;
    ASSERT_FAILS(tokens_create(tokens, &m.info, m.secret, &err), STATUS_INVALID, "in the past");
}

static void a_revoked_token_fails_at_once_even_from_a_cache(void **state)
{
    struct made keep = make(true, "", 0), m = make(true, "", 0);
    struct token_cache cache = { 0 };
    struct token_grant grant;
    int64_t now = clock_wall_ms();

    (void)state;
    ASSERT_OK(tokens_check_cached(tokens, &cache, slice_cstr(m.secret), now, &grant, &err));
    ASSERT_OK(tokens_check_cached(tokens, &cache, slice_cstr(m.secret), now, &grant, &err));
    ASSERT_OK(tokens_revoke(tokens, slice_cstr(m.info.grant.id), &err));
    ASSERT_FAILS(tokens_check_cached(tokens, &cache, slice_cstr(m.secret), now, &grant, &err), STATUS_UNAUTH, "was revoked");
    ASSERT_FAILS(tokens_revoke(tokens, slice_cstr(m.info.grant.id), &err), STATUS_NOTFOUND, m.info.grant.id);
    ASSERT_FAILS(tokens_revoke(tokens, SLICE_LIT("nobody"), &err), STATUS_NOTFOUND, "nobody");
    ASSERT_OK(tokens_check_cached(tokens, &cache, slice_cstr(keep.secret), now, &grant, &err));
}

static void a_cache_tells_secrets_apart_and_keeps_the_time(void **state)
{
    struct made made[40];
    struct token_cache cache = { 0 };
    struct token_grant grant;
    int64_t now = clock_wall_ms();

    (void)state;
    for (int i = 0; i < 40; i++)
        made[i] = make(i % 2, "", 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 40; i++) {
            ASSERT_OK(tokens_check_cached(tokens, &cache, slice_cstr(made[i].secret), now, &grant, &err));
            assert_string_equal(grant.id, made[i].info.grant.id);
            assert_int_equal(grant.can_write, i % 2);
        }
    }
    /* A clock that was set back doesn't make an entry live longer. */
    ASSERT_OK(tokens_check_cached(tokens, &cache, slice_cstr(made[0].secret), now - 100000, &grant, &err));
    char wrong[TOKEN_LEN + 1];
    memcpy(wrong, made[0].secret, sizeof(wrong));
    wrong[TOKEN_LEN - 1] ^= 1;
    assert_int_equal(tokens_check_cached(tokens, &cache, slice_cstr(wrong), now, &grant, &err), STATUS_UNAUTH);
}

static void the_last_token_with_full_rights_stays(void **state)
{
    int64_t now = clock_wall_ms();
    struct made first = make(true, "", 0);
    struct made reader = make(false, "", 0), narrow = make(true, one_db, 0), brief = make(true, "", now + 30);

    (void)state;
    while (clock_wall_ms() < now + 30)
        usleep(5000); /* until `brief` has expired */
    ASSERT_FAILS(tokens_revoke(tokens, slice_cstr(first.info.grant.id), &err), STATUS_INVALID, "last token");
    ASSERT_OK(check(first.secret));
    struct made second = make(true, "", 0);
    ASSERT_OK(tokens_revoke(tokens, slice_cstr(first.info.grant.id), &err));
    ASSERT_FAILS(tokens_revoke(tokens, slice_cstr(second.info.grant.id), &err), STATUS_INVALID, "last token");
    ASSERT_OK(tokens_revoke(tokens, slice_cstr(reader.info.grant.id), &err));
    ASSERT_OK(tokens_revoke(tokens, slice_cstr(narrow.info.grant.id), &err));
    ASSERT_OK(tokens_revoke(tokens, slice_cstr(brief.info.grant.id), &err));
}

static void tokens_and_what_befell_them_outlive_a_restart(void **state)
{
    int64_t now = clock_wall_ms(), later = now + 3600000;
    struct made kept = make(false, one_db, later), revoked = make(false, "", 0);
    struct token_info *list;
    size_t n, total;

    (void)state;
    ASSERT_OK(check_at(kept.secret, now + 5));
    ASSERT_OK(tokens_revoke(tokens, slice_cstr(revoked.info.grant.id), &err));
    ASSERT_OK(tokens_flush(tokens, &err));
    restart();
    ASSERT_OK(tokens_list(tokens, 0, 10, &list, &n, &total, &err));
    assert_int_equal(n, 1);
    assert_int_equal(total, 1);
    assert_string_equal(list[0].grant.id, kept.info.grant.id);
    assert_string_equal(list[0].grant.database, one_db);
    assert_string_equal(list[0].name, "made");
    assert_false(list[0].grant.can_write);
    assert_int_equal(list[0].created_ms, kept.info.created_ms);
    assert_int_equal(list[0].expires_ms, later);
    assert_int_equal(list[0].last_used_ms, now + 5);
    free(list);
    ASSERT_OK(check(kept.secret));
    ASSERT_FAILS(check(revoked.secret), STATUS_UNAUTH, "was revoked");
}

static void lists_come_in_pages_oldest_first(void **state)
{
    struct made made[7];
    struct token_info *list;
    size_t n, total;

    (void)state;
    for (int i = 0; i < 7; i++)
        made[i] = make(true, "", 0);
    ASSERT_OK(tokens_revoke(tokens, slice_cstr(made[2].info.grant.id), &err));
    static const struct { size_t offset, limit; int first; size_t n; } pages[] = {
        { 0, 3, 0, 3 }, { 2, 3, 3, 3 }, { 5, 3, 6, 1 }, { 6, 3, -1, 0 }, { 0, SIZE_MAX, 0, 6 },
    };
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        ASSERT_OK(tokens_list(tokens, pages[i].offset, pages[i].limit, &list, &n, &total, &err));
        assert_int_equal(total, 6);
        assert_int_equal(n, pages[i].n);
        if (n)
            assert_string_equal(list[0].grant.id, made[pages[i].first].info.grant.id);
        free(list);
    }
}

static void failing_is_limited_and_right_tokens_are_not(void **state)
{
    struct made m = make(true, "", 0);
    struct token_grant grant;
    int64_t now = clock_wall_ms();
    int n_unauth = 0;

    (void)state;
    while (check_at("wrong", now) == STATUS_UNAUTH)
        n_unauth++;
    assert_int_equal(n_unauth, 100);
    ASSERT_FAILS(check_at("wrong", now), STATUS_RATE, "too many failed attempts");
    for (int i = 0; i < 1000; i++)
        ASSERT_OK(check_at(m.secret, now));
    /* No secret at all costs nothing and is not counted. */
    assert_int_equal(tokens_check(tokens, SLICE_NONE, now, &grant, &err), STATUS_UNAUTH);
    /* A second later twenty more may fail. */
    n_unauth = 0;
    while (check_at("wrong", now + 1000) == STATUS_UNAUTH)
        n_unauth++;
    assert_int_equal(n_unauth, 20);
    /* A clock that is set back does not lock everybody out of an explanation. */
    assert_int_equal(check_at("wrong", now - 3600000), STATUS_UNAUTH);
}

static size_t count_rows(void);

static void the_servers_own_token(void **state)
{
    const char *const next = "next-next-next-next-next-next-next-next";
    struct token_info *list;
    size_t n, total;

    (void)state;
    ASSERT_FAILS(tokens_ensure_root(tokens, SLICE_LIT("1234567890123456789012345678901"), &err), STATUS_INVALID, "32");
    assert_non_null(strstr(err.msg, "DIONE_TOKEN"));
    ASSERT_FAILS(tokens_ensure_root(tokens, SLICE_LIT("with a space, which no header can carry"), &err), STATUS_INVALID,
                 "DIONE_TOKEN");
    ASSERT_OK(tokens_ensure_root(tokens, slice_cstr(root_secret), &err));
    ASSERT_OK(tokens_ensure_root(tokens, slice_cstr(root_secret), &err));
    restart();
    ASSERT_OK(tokens_ensure_root(tokens, slice_cstr(root_secret), &err));
    ASSERT_OK(check(root_secret));
    assert_int_equal(count_rows(), 1);
    ASSERT_OK(tokens_ensure_root(tokens, slice_cstr(next), &err));
    ASSERT_OK(check(next));
    ASSERT_FAILS(check(root_secret), STATUS_UNAUTH, "unknown");
    ASSERT_OK(tokens_list(tokens, 0, 10, &list, &n, &total, &err));
    assert_int_equal(n, 1);
    assert_true(grant_allows(&list[0].grant, NULL, true));
    free(list);
}

static void a_revoked_root_token_does_not_come_back_while_others_can_manage(void **state)
{
    struct token_grant grant;

    (void)state;
    ASSERT_OK(tokens_ensure_root(tokens, slice_cstr(root_secret), &err));
    ASSERT_OK(tokens_check(tokens, slice_cstr(root_secret), clock_wall_ms(), &grant, &err));
    struct made other = make(true, "", clock_wall_ms() + 2000);
    ASSERT_OK(tokens_revoke(tokens, slice_cstr(grant.id), &err));
    restart();
    ASSERT_OK(tokens_ensure_root(tokens, slice_cstr(root_secret), &err));
    ASSERT_FAILS(check(root_secret), STATUS_UNAUTH, "revoked");
    ASSERT_OK(check(other.secret));
    while (clock_wall_ms() <= other.info.expires_ms)
        usleep(20000); /* until it has expired */
    ASSERT_OK(tokens_ensure_root(tokens, slice_cstr(root_secret), &err));
    ASSERT_OK(check(root_secret));
}

static void a_secret_that_was_an_ordinary_token_can_become_the_servers(void **state)
{
    struct made m = make(false, one_db, 0);
    struct token_grant grant;

    (void)state;
    ASSERT_OK(tokens_ensure_root(tokens, slice_cstr(root_secret), &err));
    ASSERT_OK(tokens_ensure_root(tokens, slice_cstr(m.secret), &err));
    ASSERT_OK(tokens_check(tokens, slice_cstr(m.secret), clock_wall_ms(), &grant, &err));
    assert_true(grant_allows(&grant, NULL, true));
    assert_int_equal(check(root_secret), STATUS_UNAUTH);
    restart();
    ASSERT_OK(check(m.secret));
}

static void tokens_of_a_deleted_database_go_with_it(void **state)
{
    struct made a = make(true, one_db, 0), b = make(false, one_db, 0), c = make(true, other_db, 0), d = make(true, "", 0);

    (void)state;
    ASSERT_OK(tokens_revoke_database(tokens, one_db, &err));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(check(a.secret), STATUS_UNAUTH);
        assert_int_equal(check(b.secret), STATUS_UNAUTH);
        ASSERT_OK(check(c.secret));
        ASSERT_OK(check(d.secret));
        restart();
    }
}

static enum status count_control_rows(sqlite3 *db, void *arg, struct error *e)
{
    sqlite3_stmt *stmt CLEANUP(control_finish) = NULL;
    bool has_row;
    enum status st = control_prepare(db, "SELECT count(*) FROM tokens", &stmt, e);

    if (st == STATUS_OK)
        st = control_step(stmt, &has_row, e);
    if (st == STATUS_OK)
        *(size_t *)arg = (size_t)sqlite3_column_int64(stmt, 0);
    return st;
}

static size_t count_rows(void)
{
    size_t n = 0;

    ASSERT_OK(store_control(f.store, count_control_rows, &n, &err));
    return n;
}

static enum status find_text(sqlite3 *db, void *arg, struct error *e)
{
    const struct made *m = arg;
    sqlite3_stmt *stmt CLEANUP(control_finish) = NULL;
    bool has_row = false;
    enum status st = control_prepare(db, "SELECT * FROM tokens", &stmt, e);

    while (st == STATUS_OK && (st = control_step(stmt, &has_row, e)) == STATUS_OK && has_row)
        for (int i = 0; i < sqlite3_column_count(stmt); i++) {
            const char *text = (const char *)sqlite3_column_text(stmt, i);
            assert_false(text && strstr(text, m->secret));
        }
    return st;
}

static void secrets_are_not_stored(void **state)
{
    struct made m = make(true, "", 0);

    (void)state;
    ASSERT_OK(store_control(f.store, find_text, &m, &err));
    assert_int_equal(count_rows(), 1);
}

/* A trigger that fails is a disk that fails, as far as the table can tell. */
static enum status break_table(sqlite3 *db, void *arg, struct error *e)
{
    (void)arg;
    return control_exec(db,
                        "CREATE TRIGGER no_insert BEFORE INSERT ON tokens BEGIN SELECT raise(ABORT, 'broken'); END;"
                        "CREATE TRIGGER no_update BEFORE UPDATE ON tokens BEGIN SELECT raise(ABORT, 'broken'); END;",
                        e);
}

static void what_cannot_be_written_does_not_happen(void **state)
{
    struct made keep = make(true, "", 0), m = make(true, "", 0);
    struct made never = { .info = { .name = "never" } };
    struct token_info *list;
    size_t n, total;

    (void)state;
    ASSERT_OK(store_control(f.store, break_table, NULL, &err));
    ASSERT_FAILS(tokens_create(tokens, &never.info, never.secret, &err), STATUS_IO, "broken");
    ASSERT_FAILS(tokens_revoke(tokens, slice_cstr(m.info.grant.id), &err), STATUS_IO, "broken");
    ASSERT_OK(check(m.secret));
    ASSERT_FAILS(tokens_flush(tokens, &err), STATUS_IO, "broken");
    ASSERT_FAILS(tokens_ensure_root(tokens, slice_cstr(root_secret), &err), STATUS_IO, "broken");
    assert_int_equal(check(root_secret), STATUS_UNAUTH);
    ASSERT_OK(tokens_list(tokens, 0, 10, &list, &n, &total, &err));
    assert_int_equal(n, 2);
    free(list);
    ASSERT_OK(check(keep.secret));
}

static enum status run_sql(sqlite3 *db, void *arg, struct error *e)
{
    return control_exec(db, arg, e);
}

static void there_is_a_limit_and_expired_tokens_make_room(void **state)
{
    char sql[] = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) INSERT INTO tokens "
                 "SELECT 'id-' || i, 'n', printf('%064x', i), 'read', NULL, i, NULL, NULL, NULL, 0 FROM n";
    char expire[] = "UPDATE tokens SET expires_at = 5000 - created_at WHERE id IN ('id-7', 'id-8')";
    struct made m = { .info = { .grant.can_write = true, .name = "one more" } };

    (void)state;
    ASSERT_OK(store_control(f.store, run_sql, sql, &err));
    restart();
    ASSERT_FAILS(tokens_create(tokens, &m.info, m.secret, &err), STATUS_LIMIT, "10000 tokens");
    ASSERT_OK(store_control(f.store, run_sql, expire, &err));
    restart();
    ASSERT_OK(tokens_create(tokens, &m.info, m.secret, &err));
    ASSERT_OK(check(m.secret));
    /* The one that expired first is gone. */
    ASSERT_FAILS(tokens_revoke(tokens, SLICE_LIT("id-8"), &err), STATUS_NOTFOUND, "id-8");
    assert_int_equal(count_rows(), TOKENS_MAX);
    ASSERT_OK(tokens_revoke(tokens, SLICE_LIT("id-7"), &err));
}

static void only_so_many_revoked_tokens_are_remembered(void **state)
{
    char sql[] = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO tokens "
                 "SELECT 'id-' || i, 'n', printf('%064x', i), 'read', NULL, i, NULL, 2000 - i, NULL, 0 FROM n";
    struct made keep = make(true, "", 0), m = make(false, "", 0);

    (void)state;
    ASSERT_OK(store_control(f.store, run_sql, sql, &err));
    restart();
    assert_int_equal(count_rows(), 1002);
    ASSERT_OK(tokens_revoke(tokens, slice_cstr(m.info.grant.id), &err));
    assert_int_equal(count_rows(), 1001);
    ASSERT_FAILS(check(m.secret), STATUS_UNAUTH, "was revoked");
    ASSERT_OK(check(keep.secret));
}

struct hammer {
    const struct made *steady, *doomed;
    _Atomic bool stop, revoked;
    _Atomic int wrong;
};

static void *hammer_run(void *arg)
{
    struct hammer *h = arg;
    struct token_cache cache = { 0 };
    struct token_grant grant;
    struct error e;

    while (!atomic_load(&h->stop)) {
        if (tokens_check_cached(tokens, &cache, slice_cstr(h->steady->secret), clock_wall_ms(), &grant, &e) != STATUS_OK)
            atomic_fetch_add(&h->wrong, 1);
        bool must_fail = atomic_load(&h->revoked);
        if (tokens_check_cached(tokens, &cache, slice_cstr(h->doomed->secret), clock_wall_ms(), &grant, &e) == STATUS_OK &&
            must_fail)
            atomic_fetch_add(&h->wrong, 1);
    }
    return NULL;
}

static void checks_go_on_while_tokens_come_and_go(void **state)
{
    struct made steady = make(true, "", 0), doomed = make(true, "", 0);
    struct hammer h = { .steady = &steady, .doomed = &doomed };
    pthread_t threads[2];

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer_run, &h), 0);
    for (int i = 0; i < 20; i++) {
        struct made m = make(true, one_db, 0);
        if (i == 10) {
            ASSERT_OK(tokens_revoke(tokens, slice_cstr(doomed.info.grant.id), &err));
            atomic_store(&h.revoked, true);
        }
        ASSERT_OK(tokens_revoke_database(tokens, one_db, &err));
        assert_int_not_equal(check(m.secret), STATUS_OK);
    }
    atomic_store(&h.stop, true);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&h.wrong), 0);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
}

static void the_token_file_is_made_once_and_kept_private(void **state)
{
    char first[TOKEN_SECRET_MAX + 1], again[TOKEN_SECRET_MAX + 1], path[128];
    struct stat info;

    (void)state;
    snprintf(path, sizeof(path), "%s/token", f.dir);
    ASSERT_OK(token_file_load_or_create(f.dir, first, &err));
    assert_int_equal(strlen(first), TOKEN_LEN);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    ASSERT_OK(token_file_load_or_create(f.dir, again, &err));
    assert_string_equal(first, again);
    ASSERT_OK(tokens_ensure_root(tokens, slice_cstr(again), &err));

    write_file(path, "  my-own-token-my-own-token-my-own-token\r\n\n", 0600);
    ASSERT_OK(token_file_load_or_create(f.dir, again, &err));
    assert_string_equal(again, "my-own-token-my-own-token-my-own-token");
    write_file(path, "", 0600);
    ASSERT_FAILS(token_file_load_or_create(f.dir, again, &err), STATUS_INVALID, path);
    assert_int_equal(unlink(path), 0);
    /* What a crash in the middle leaves is no obstacle. */
    snprintf(path, sizeof(path), "%s/token.new", f.dir);
    write_file(path, "half", 0600);
    ASSERT_OK(token_file_load_or_create(f.dir, again, &err));
    assert_string_not_equal(first, again);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_not_equal(token_file_load_or_create("/nowhere/at/all", again, &err), STATUS_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_is_known_by_its_secret_alone),
        TEST(grants_allow_what_they_say),
        TEST(a_token_works_until_it_expires),
        TEST(a_revoked_token_fails_at_once_even_from_a_cache),
        TEST(a_cache_tells_secrets_apart_and_keeps_the_time),
        TEST(the_last_token_with_full_rights_stays),
        TEST(tokens_and_what_befell_them_outlive_a_restart),
        TEST(lists_come_in_pages_oldest_first),
        TEST(failing_is_limited_and_right_tokens_are_not),
        TEST(the_servers_own_token),
        TEST(a_revoked_root_token_does_not_come_back_while_others_can_manage),
        TEST(a_secret_that_was_an_ordinary_token_can_become_the_servers),
        TEST(tokens_of_a_deleted_database_go_with_it),
        TEST(secrets_are_not_stored),
        TEST(what_cannot_be_written_does_not_happen),
        TEST(there_is_a_limit_and_expired_tokens_make_room),
        TEST(only_so_many_revoked_tokens_are_remembered),
        TEST(checks_go_on_while_tokens_come_and_go),
        TEST(the_token_file_is_made_once_and_kept_private),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
