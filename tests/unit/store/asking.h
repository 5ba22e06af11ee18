/*
 * asking.h - requests to a store from a test's thread: started on a loop, waited for here. A test can hold a database's
 * writer, so that the requests that it starts meanwhile become one group. Include behind ../testing.h.
 */
#ifndef TESTS_STORE_ASKING_H
#define TESTS_STORE_ASKING_H

#include "fixture.h"

#include <pthread.h>
#include <semaphore.h>

static struct fixture f;
static struct database *db; /* most tests need one */

struct ask {
    struct sql_request r;
    struct sql_entry entries[4];
    struct error err;
    struct loop_msg start;
    void (*begin)(struct ask *a);
    sem_t done;
    struct arena arena;
    char id[UUID_LEN + 1]; /* of a transaction */
    int64_t timeout_ms;
    enum transaction_end how;
};

static void ask_done(struct sql_request *r)
{
    sem_post(&CONTAINER_OF(r, struct ask, r)->done);
}

static void ask_begin_run(struct ask *a)
{
    if (store_run(&a->r))
        ask_done(&a->r);
}

static void ask_deliver(struct loop_msg *msg)
{
    struct ask *a = CONTAINER_OF(msg, struct ask, start);

    a->begin(a);
}

static void ask_init(struct ask *a, struct database *on, const char *sql)
{
    *a = (struct ask){ .begin = ask_begin_run };
    arena_init(&a->arena, 64 << 20);
    sem_init(&a->done, 0, 0);
    a->entries[0].sql = slice_cstr(sql);
    a->r = (struct sql_request){ .db = on, .entries = a->entries, .n = 1, .loop = f.loops, .done = ask_done, .err = &a->err,
                                 .out.limit = f.max_result_bytes };
}

static void ask_start(struct ask *a)
{
    a->start.deliver = ask_deliver;
    loop_post(a->r.loop, &a->start);
}

static enum status ask_wait(struct ask *a)
{
    sem_wait(&a->done);
    buf_append(&a->r.out, "", 0);
    return a->r.status;
}

static void ask_release(struct ask *a)
{
    buf_release(&a->r.out);
    arena_release(&a->arena);
    sem_destroy(&a->done);
}

/* `json`: an array of parameters for the entry. */
UNUSED static void ask_params(struct ask *a, size_t entry, const char *json)
{
    struct json *v = NULL;

    assert_int_equal(json_parse(slice_cstr(json), JSON_STRICT, &a->arena, &v, &a->err), STATUS_OK);
    a->entries[entry].params = v->child;
    a->entries[entry].n_params = v->n;
}

/* Asks and waits. The text of the answer, or of the error, is in `last` until the next call. */
static struct {
    char text[65536];
    uint64_t commit;
    size_t n_results;
} last;

static enum status ask_last(struct ask *a)
{
    enum status st = ask_wait(a);

    snprintf(last.text, sizeof(last.text), "%.*s", SLICE_FMT(st == STATUS_OK ? buf_slice(&a->r.out) : slice_cstr(a->err.msg)));
    last.commit = a->r.commit;
    last.n_results = a->r.n_results;
    ask_release(a);
    return st;
}

static enum status ask_on(struct database *on, const char *sql)
{
    struct ask a;

    ask_init(&a, on, sql);
    ask_start(&a);
    return ask_last(&a);
}

UNUSED static void must_ask(const char *sql)
{
    if (ask_on(db, sql) != STATUS_OK)
        fail_msg("%s: %s", sql, last.text);
}

/* The rows of the first result. */
static const char *rows_of(const char *out)
{
    static char text[4096];
    const char *from = strstr(out, "\"results\":"), *to = from ? strstr(from, ",\"success\":true") : NULL;

    snprintf(text, sizeof(text), "%.*s", to ? (int)(to - from - 10) : 0, from ? from + 10 : "");
    return text;
}

UNUSED static void check_ask(const char *sql, const char *want, const char *file, int line)
{
    enum status st = ask_on(db, sql);

    if (st == STATUS_OK && strcmp(rows_of(last.text), want) == 0)
        return;
    print_error("%s\ngot  %s\nwant %s\n", sql, st == STATUS_OK ? rows_of(last.text) : last.text, want);
    _fail(file, line);
}

#define CHECK_ASK(sql, want) check_ask((sql), (want), __FILE__, __LINE__)

/* Returns when the loop has begun everything that was posted to it before. */
static void marker_deliver(struct loop_msg *msg)
{
    struct ask *a = CONTAINER_OF(msg, struct ask, start);

    sem_post(&a->done);
}

UNUSED static void wait_for_loop(struct loop *loop)
{
    struct ask marker = { .start.deliver = marker_deliver };

    sem_init(&marker.done, 0, 0);
    loop_post(loop, &marker.start);
    sem_wait(&marker.done);
    sem_destroy(&marker.done);
}

/* ---- holding the writer ---- */

struct holding {
    pthread_t thread;
    struct database *db;
    sem_t held, go;
};

static enum status hold_inside(struct sql_conn *c UNUSED, void *arg, struct error *err)
{
    struct holding *h = arg;

    sem_post(&h->held);
    sem_wait(&h->go);
    return error_set(err, STATUS_STOPPING, 0, "nothing is to be kept");
}

static void *hold_thread(void *arg)
{
    struct holding *h = arg;
    struct error err;
    uint64_t commit;

    if (store_exclusive(h->db, hold_inside, h, &commit, &err) != STATUS_STOPPING)
        abort();
    return NULL;
}

UNUSED static void hold_writer(struct holding *h, struct database *on)
{
    h->db = on;
    sem_init(&h->held, 0, 0);
    sem_init(&h->go, 0, 0);
    assert_int_equal(pthread_create(&h->thread, NULL, hold_thread, h), 0);
    sem_wait(&h->held);
}

UNUSED static void let_writer_go(struct holding *h)
{
    sem_post(&h->go);
    pthread_join(h->thread, NULL);
    sem_destroy(&h->held);
    sem_destroy(&h->go);
}

/* ---- databases ---- */

static struct database *make_database(const char *name, enum sql_profile profile)
{
    struct database_info info = { .profile = profile };
    struct database *made = NULL;
    struct error err;

    snprintf(info.name, sizeof(info.name), "%s", name);
    if (store_create(f.store, &info, &made, &err) != STATUS_OK)
        fail_msg("%s", err.msg);
    return made;
}

static int setup_profile(enum sql_profile profile)
{
    struct error err;
    int64_t bytes, tables;
    uint64_t commit;

    fixture_init(&f);
    db = make_database("main", profile);
    /* Warm: from here on a write is queued as soon as the loop has begun it. */
    return database_state(db, &bytes, &commit, &tables, &err) == STATUS_OK ? 0 : -1;
}

UNUSED static int setup_strict(void **state UNUSED)
{
    memset(&f, 0, sizeof(f));
    return setup_profile(SQL_STRICT);
}

UNUSED static int setup_wide(void **state UNUSED)
{
    memset(&f, 0, sizeof(f));
    return setup_profile(SQL_WIDE);
}

UNUSED static int teardown(void **state UNUSED)
{
    database_unref(db);
    db = NULL;
    fixture_release(&f);
    return 0;
}

/* Stops the store and starts it again on the same folder; db is found anew. */
UNUSED static void reopen(void)
{
    database_unref(db);
    fixture_stop(&f);
    fixture_start(&f);
    db = store_find(f.store, SLICE_LIT("main"));
}

#endif
