/* Namespaces on a real store: what has expired goes by itself, and the catalog outlives a restart. */
#include "../testing.h"

#include "kv/kv.h"
#include "base/clock.h"

#include "../store/fixture.h"

#include <semaphore.h>

static struct fixture f;
static struct kv *kv;

static int setup(void **state UNUSED)
{
    struct error err;

    memset(&f, 0, sizeof(f));
    fixture_init(&f);
    return kv_open(f.store, f.n_loops, 1 << 20, &kv, &err) == STATUS_OK ? 0 : -1;
}

static void stop(void)
{
    kv_stop_sweeping(kv);
    store_drain(f.store);
    loops_stop(f.loops, f.n_loops);
    kv_close(kv);
    store_close(f.store);
}

static int teardown(void **state UNUSED)
{
    stop();
    test_dir_remove(f.dir);
    return 0;
}

static struct kv_namespace *make(const char *title)
{
    struct kv_namespace_info info = { .min_ttl_s = 60 };
    struct error err;

    snprintf(info.title, sizeof(info.title), "%s", title);
    if (kv_create(kv, &info, &err) != STATUS_OK)
        fail_msg("%s", err.msg);
    return kv_find(kv, slice_cstr(info.id));
}

/* ---- requests from this thread ---- */

struct asked {
    struct loop_msg msg;
    struct kv_write w;
    struct sql_request run;
    struct error err;
    sem_t done;
    int64_t count;
};

static void write_done(struct kv_write *w)
{
    sem_post(&CONTAINER_OF(w, struct asked, w)->done);
}

static void deliver_write(struct loop_msg *msg)
{
    kv_write_start(&CONTAINER_OF(msg, struct asked, msg)->w);
}

static void put(struct kv_namespace *ns, const char *key, int64_t expires_ms)
{
    struct asked a = { .msg.deliver = deliver_write };

    sem_init(&a.done, 0, 0);
    a.w = (struct kv_write){ .ns = ns,
                             .put = { .key = slice_cstr(key), .value = SLICE_LIT("v"), .expires_ms = expires_ms },
                             .run = { .loop = f.loops, .err = &a.err },
                             .done = write_done };
    loop_post(f.loops, &a.msg);
    sem_wait(&a.done);
    assert_int_equal(a.w.run.status, STATUS_OK);
}

static enum status count_rows(struct sql_conn *c, struct sql_request *r)
{
    return sql_exec_i64(c, "SELECT count(*) FROM entries", &CONTAINER_OF(r, struct asked, run)->count, r->err);
}

static void count_done(struct sql_request *r)
{
    sem_post(&CONTAINER_OF(r, struct asked, run)->done);
}

static void deliver_count(struct loop_msg *msg)
{
    struct asked *a = CONTAINER_OF(msg, struct asked, msg);

    if (store_run(&a->run))
        count_done(&a->run);
}

static int64_t rows_of(struct kv_namespace *ns)
{
    struct asked a = { .msg.deliver = deliver_count };

    sem_init(&a.done, 0, 0);
    a.run = (struct sql_request){
        .db = kv_namespace_database(ns), .fn = count_rows, .loop = f.loops, .err = &a.err, .done = count_done
    };
    loop_post(f.loops, &a.msg);
    sem_wait(&a.done);
    assert_int_equal(a.run.status, STATUS_OK);
    return a.count;
}

/* ---- the tests ---- */

static void expired_keys_go_by_themselves(void **state UNUSED)
{
    struct kv_namespace *ns = make("sweeps");
    int64_t now = clock_wall_ms();
    char key[32];

    kv_start_sweeping(kv, f.loops);
    put(ns, "stays", 0);
    put(ns, "later", now + 1000000);
    for (int i = 0; i < 600; i++) { /* more than one turn takes */
        snprintf(key, sizeof(key), "gone-%d", i);
        put(ns, key, now + 200);
    }
    WAIT_UNTIL(rows_of(ns) == 2);
    /* One that expires before what the sweeper waits for. */
    put(ns, "soon", clock_wall_ms() + 50);
    WAIT_UNTIL(rows_of(ns) == 2);
    kv_namespace_unref(ns);
}

static void what_expired_before_a_restart_goes_after_it(void **state UNUSED)
{
    struct kv_namespace *ns = make("kept");
    struct kv_namespace_info info;
    struct error err;

    put(ns, "gone", clock_wall_ms() + 1);
    put(ns, "stays", 0);
    kv_namespace_info(ns, &info);
    kv_namespace_unref(ns);
    stop();
    fixture_start(&f);
    assert_int_equal(kv_open(f.store, f.n_loops, 1 << 20, &kv, &err), STATUS_OK);
    ns = kv_find(kv, slice_cstr(info.id));
    assert_non_null(ns);
    kv_start_sweeping(kv, f.loops);
    WAIT_UNTIL(rows_of(ns) == 1);
    kv_namespace_info(ns, &info);
    assert_string_equal(info.title, "kept");
    kv_namespace_unref(ns);
}

static void a_title_is_one_namespaces(void **state UNUSED)
{
    struct kv_namespace *a = make("a"), *b = make("b");
    struct kv_namespace_info info;
    struct error err;

    kv_namespace_info(b, &info);
    snprintf(info.title, sizeof(info.title), "a");
    assert_int_equal(kv_update(kv, b, &info, &err), STATUS_KVTITLE);
    assert_int_equal(kv_delete(kv, a, &err), STATUS_OK);
    assert_int_equal(kv_update(kv, a, &info, &err), STATUS_KVNONAMESPACE);
    assert_int_equal(kv_delete(kv, a, &err), STATUS_NODB);
    assert_int_equal(kv_update(kv, b, &info, &err), STATUS_OK);
    info.min_ttl_s = 61;
    assert_int_equal(kv_update(kv, b, &info, &err), STATUS_INVALID);
    kv_namespace_unref(a);
    kv_namespace_unref(b);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(expired_keys_go_by_themselves),
        TEST(what_expired_before_a_restart_goes_after_it),
        TEST(a_title_is_one_namespaces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
