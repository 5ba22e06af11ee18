/* fixture.h - a store in a folder of its own, for the tests of what lives in one. Include behind cmocka.h. */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include "event/loop.h"
#include "store/store.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct fixture {
    char dir[64];
    struct loop *loops;
    struct store *store;
    void (*on_stats)(void *arg, const struct database *db, struct slice text, const struct sql_stmt_stats *stats,
                     bool is_write);
    void *stats_arg;
    /* 0: what the tests can live with. */
    int n_loops;
    uint64_t max_database_bytes;
    int64_t statement_limit_ms;
    size_t max_result_bytes;
};

static void fixture_start(struct fixture *f)
{
    struct error err;

    f->n_loops = f->n_loops ? f->n_loops : 1;
    f->loops = loops_start(f->n_loops);
    struct store_options opt = { .dir = f->dir,
                                 .loops = f->loops,
                                 .n_loops = f->n_loops,
                                 .max_database_bytes = f->max_database_bytes ? f->max_database_bytes : 100 << 20,
                                 .statement_limit_ms = f->statement_limit_ms ? f->statement_limit_ms : 10000,
                                 .max_result_bytes = f->max_result_bytes ? f->max_result_bytes : 10 << 20,
                                 .on_stats = f->on_stats,
                                 .stats_arg = f->stats_arg };
    if (store_open(&opt, &f->store, &err) != STATUS_OK)
        fail_msg("%s", err.msg);
}

static void fixture_stop(struct fixture *f)
{
    store_drain(f->store);
    loops_stop(f->loops, f->n_loops);
    store_close(f->store);
}

static void fixture_init(struct fixture *f)
{
    snprintf(f->dir, sizeof(f->dir), "/tmp/dione-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    fixture_start(f);
}

static int fixture_remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    return remove(path);
}

UNUSED static void fixture_release(struct fixture *f)
{
    fixture_stop(f);
    assert_int_equal(nftw(f->dir, fixture_remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

#endif
