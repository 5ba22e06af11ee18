/* The catalogue of Workers: versions, deployments, what is kept of them, routes that belong to one, crons. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "workers/catalog.h"

#include "../store/fixture.h"

static struct fixture f;
static struct arena arena;
static struct error err;

#define ASSERT_OK(call) \
    do { \
        if ((call) != STATUS_OK) \
            fail_msg("%s: %s", #call, err.msg); \
    } while (0)

static int setup(void **state)
{
    (void)state;
    f = (struct fixture){ 0 };
    fixture_init(&f);
    arena_init(&arena, 16 << 20);
    ASSERT_OK(catalog_open(f.store, &err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_release(&arena);
    fixture_release(&f);
    return 0;
}

static struct worker *find(const char *name)
{
    struct worker *w;

    ASSERT_OK(catalog_find(f.store, slice_cstr(name), &arena, &w, &err));
    return w;
}

static int64_t add(const char *name, const char *id, const char *document)
{
    int64_t number;

    ASSERT_OK(catalog_add_version(f.store, slice_cstr(name), slice_cstr(id), SLICE_LIT("wrangler"),
                                  slice_cstr(document), 1000, &number, &err));
    return number;
}

static void deploy(const char *name, const char *version)
{
    char id[UUID_LEN + 1];
    struct deployment d = { .version_id = slice_cstr(version), .source = SLICE_LIT("wrangler"), .created_ms = 2000 };

    uuid_new(id);
    d.id = slice_of(id, UUID_LEN);
    ASSERT_OK(catalog_deploy(f.store, slice_cstr(name), &d, &err));
}

static void numbers_grow_and_the_newest_deployment_counts(void **state)
{
    (void)state;
    struct worker *w;

    assert_int_equal(catalog_find(f.store, SLICE_LIT("web"), &arena, &w, &err), STATUS_WORKER);
    assert_int_equal(add("web", "v1", "{\"a\":1}"), 1);
    assert_null(worker_active(find("web")));
    deploy("web", "v1");
    assert_int_equal(add("web", "v2", "{\"a\":2}"), 2);
    w = find("web");
    assert_true(slice_eq(worker_active(w)->id, SLICE_LIT("v1")));
    assert_true(slice_eq(worker_latest(w)->id, SLICE_LIT("v2")));
    assert_int_equal((int)json_double(json_get(worker_latest(w)->document, "a")), 2);
    deploy("web", "v2");
    deploy("web", "v1");
    assert_true(slice_eq(worker_active(find("web"))->id, SLICE_LIT("v1")));
    assert_int_equal(find("web")->n_deployments, 3);
}

static void old_versions_go_but_never_the_active_one(void **state)
{
    (void)state;
    char id[16];
    struct slice *gone;
    size_t n;

    add("web", "first", "{}");
    deploy("web", "first");
    for (int i = 0; i < CATALOG_VERSIONS_KEPT + 5; i++) {
        snprintf(id, sizeof(id), "v%d", i);
        add("web", id, "{}");
    }
    ASSERT_OK(catalog_prune(f.store, SLICE_LIT("web"), &arena, &gone, &n, &err));
    assert_int_equal(n, 5);
    struct worker *w = find("web");
    assert_int_equal(w->n_versions, CATALOG_VERSIONS_KEPT + 1);
    assert_true(slice_eq(worker_active(w)->id, SLICE_LIT("first")));
    deploy("web", "v24");
    ASSERT_OK(catalog_prune(f.store, SLICE_LIT("web"), &arena, &gone, &n, &err));
    assert_int_equal(n, 1);
    w = find("web");
    assert_int_equal(w->n_deployments, 1); /* that of the version that went, went */
    assert_true(slice_eq(worker_active(w)->id, SLICE_LIT("v24")));
}

static void versions_that_were_never_deployed_go_too(void **state)
{
    (void)state;
    struct slice *gone;
    size_t n;
    char id[16];

    for (int i = 0; i < CATALOG_VERSIONS_KEPT + 3; i++) {
        snprintf(id, sizeof(id), "v%d", i);
        add("web", id, "{}");
    }
    ASSERT_OK(catalog_prune(f.store, SLICE_LIT("web"), &arena, &gone, &n, &err));
    assert_int_equal(n, 3);
    assert_int_equal(find("web")->n_versions, CATALOG_VERSIONS_KEPT);
}

static void a_dropped_first_version_takes_its_worker_along(void **state)
{
    (void)state;
    struct worker *w;

    add("web", "v1", "{}");
    ASSERT_OK(catalog_drop_version(f.store, SLICE_LIT("web"), SLICE_LIT("v1"), &err));
    assert_int_equal(catalog_find(f.store, SLICE_LIT("web"), &arena, &w, &err), STATUS_WORKER);
    add("web", "v1", "{}");
    add("web", "v2", "{}");
    ASSERT_OK(catalog_drop_version(f.store, SLICE_LIT("web"), SLICE_LIT("v2"), &err));
    assert_int_equal(find("web")->n_versions, 1);
    assert_int_equal(add("web", "v3", "{}"), 3); /* a number is never used twice */
}

static void a_route_belongs_to_one_worker(void **state)
{
    (void)state;
    struct route a[] = { { .pattern = SLICE_LIT("example.com/*"), .zone = SLICE_LIT("example.com") },
                         { .pattern = SLICE_LIT("example.com/a/*") } };
    struct route *all;
    size_t n;

    add("one", "v1", "{}");
    add("two", "v2", "{}");
    ASSERT_OK(catalog_set_routes(f.store, SLICE_LIT("one"), false, false, a, 2, &err));
    assert_int_equal(catalog_set_routes(f.store, SLICE_LIT("two"), false, false, a, 1, &err), STATUS_ROUTE);
    assert_non_null(strstr(err.msg, "one"));
    assert_int_equal(find("two")->n_routes, 0);
    ASSERT_OK(catalog_set_routes(f.store, SLICE_LIT("one"), false, false, a + 1, 1, &err));
    ASSERT_OK(catalog_set_routes(f.store, SLICE_LIT("two"), false, false, a, 1, &err));
    ASSERT_OK(catalog_set_routes(f.store, SLICE_LIT("two"), true, true, a + 1, 1, &err)); /* a domain is taken over */
    ASSERT_OK(catalog_routes(f.store, &arena, &all, &n, &err));
    assert_int_equal(n, 2);
    assert_true(slice_eq(all[0].worker, SLICE_LIT("two")) && slice_eq(all[1].worker, SLICE_LIT("two")));
    assert_int_equal(find("one")->n_routes, 0);
}

static void crons_keep_their_order_and_what_stays_its_age(void **state)
{
    (void)state;
    struct slice three[] = { SLICE_LIT("0 3 * * *"), SLICE_LIT("* * * * *"), SLICE_LIT("0 1 * * *") };

    add("web", "v1", "{}");
    ASSERT_OK(catalog_set_crons(f.store, SLICE_LIT("web"), three, 3, &err));
    int64_t created = find("web")->crons[1].created_ms;
    ASSERT_OK(catalog_set_crons(f.store, SLICE_LIT("web"), three + 1, 2, &err));
    struct worker *w = find("web");
    assert_int_equal(w->n_crons, 2);
    assert_true(slice_eq(w->crons[0].cron, three[1]));
    assert_int_equal(w->crons[0].created_ms, created);
    ASSERT_OK(catalog_set_crons(f.store, SLICE_LIT("web"), NULL, 0, &err));
    assert_int_equal(find("web")->n_crons, 0);
}

static enum status delete_row(struct sqlite3 *db, void *arg, struct error *e)
{
    return catalog_delete(db, *(const struct slice *)arg, e);
}

static void users_of_a_worker_are_those_whose_active_version_binds_it(void **state)
{
    (void)state;
    struct slice *names;
    size_t n;

    add("api", "v1", "{\"bindings\":[]}");
    add("web", "v2", "{\"bindings\":[{\"name\":\"API\",\"type\":\"service\",\"service\":\"api\"}]}");
    ASSERT_OK(catalog_users_of(f.store, SLICE_LIT("api"), &arena, &names, &n, &err));
    assert_int_equal(n, 0);
    deploy("web", "v2");
    ASSERT_OK(catalog_users_of(f.store, SLICE_LIT("api"), &arena, &names, &n, &err));
    assert_int_equal(n, 1);
    assert_true(slice_eq(names[0], SLICE_LIT("web")));
    ASSERT_OK(store_control(f.store, delete_row, &(struct slice){ "web", 3 }, &err));
    ASSERT_OK(catalog_users_of(f.store, SLICE_LIT("api"), &arena, &names, &n, &err));
    assert_int_equal(n, 0);
}

static void settings_of_nobody_are_an_error(void **state)
{
    (void)state;
    assert_int_equal(catalog_set_settings(f.store, SLICE_LIT("none"), SLICE_LIT("{}"), &err), STATUS_WORKER);
    assert_int_equal(catalog_set_host(f.store, SLICE_LIT("none"), true, true, &err), STATUS_WORKER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(numbers_grow_and_the_newest_deployment_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(old_versions_go_but_never_the_active_one, setup, teardown),
        cmocka_unit_test_setup_teardown(versions_that_were_never_deployed_go_too, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dropped_first_version_takes_its_worker_along, setup, teardown),
        cmocka_unit_test_setup_teardown(a_route_belongs_to_one_worker, setup, teardown),
        cmocka_unit_test_setup_teardown(crons_keep_their_order_and_what_stays_its_age, setup, teardown),
        cmocka_unit_test_setup_teardown(users_of_a_worker_are_those_whose_active_version_binds_it, setup, teardown),
        cmocka_unit_test_setup_teardown(settings_of_nobody_are_an_error, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
