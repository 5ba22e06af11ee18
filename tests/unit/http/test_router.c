/* The route table: what fits, what is captured, and what is said about the rest. */
#include "../testing.h"

#include "http/router.h"

static void no_handler(struct http_request *req UNUSED)
{
}

enum { LIST, MAKE, ONE, QUERY, DEEP, ROOT, SPECIAL };

static const struct http_route routes[] = {
    [LIST] = { HTTP_M_GET, "accounts/:account/d1/database", no_handler, 0, 0, NULL },
    [MAKE] = { HTTP_M_POST, "accounts/:account/d1/database", no_handler, 0, 0, NULL },
    [ONE] = { HTTP_M_GET, "accounts/:account/d1/database/:db", no_handler, 0, 0, NULL },
    [QUERY] = { HTTP_M_POST, "accounts/:account/d1/database/:db/query", no_handler, 0, 0, NULL },
    [DEEP] = { HTTP_M_GET, "deep/:a/:b/:c/:d", no_handler, 0, 0, NULL },
    [ROOT] = { HTTP_M_GET, "", no_handler, 0, 0, NULL },
    [SPECIAL] = { HTTP_M_OTHER, "other", no_handler, 0, 0, NULL },
    { 0 },
};

static struct arena arena;
static struct slice params[HTTP_MAX_PARAMS];
static bool path_known;

static int match(enum http_method method, const char *path)
{
    const struct http_route *r =
        router_match(routes, "client/v4/", method, slice_cstr(path), &arena, params, &path_known);

    return r ? (int)(r - routes) : -1;
}

static int setup(void **state UNUSED)
{
    arena_init(&arena, 1 << 16);
    return 0;
}

static int teardown(void **state UNUSED)
{
    arena_release(&arena);
    return 0;
}

static void paths_are_matched_segment_by_segment(void **state UNUSED)
{
    assert_int_equal(match(HTTP_M_GET, "/accounts/a1/d1/database"), LIST);
    CHECK_SLICE(params[0], "a1");
    assert_null(params[1].ptr);
    assert_int_equal(match(HTTP_M_POST, "/accounts/a1/d1/database"), MAKE);
    assert_int_equal(match(HTTP_M_GET, "accounts/a1/d1/database/x-y"), ONE);
    CHECK_SLICE(params[1], "x-y");
    assert_int_equal(match(HTTP_M_POST, "/accounts/a1/d1/database/x/query"), QUERY);
    assert_int_equal(match(HTTP_M_GET, "/deep/w/x/y/z"), DEEP);
    CHECK_SLICE(params[3], "z");
    assert_int_equal(match(HTTP_M_GET, "/"), ROOT);
    assert_int_equal(match(HTTP_M_GET, ""), ROOT);
    assert_int_equal(match(HTTP_M_OTHER, "/other"), SPECIAL);
}

static void the_prefix_may_be_there_or_not(void **state UNUSED)
{
    assert_int_equal(match(HTTP_M_GET, "/client/v4/accounts/a/d1/database"), LIST);
    assert_int_equal(match(HTTP_M_GET, "/client/v4/"), ROOT);
    assert_int_equal(match(HTTP_M_GET, "/client/v4"), -1);
    assert_int_equal(match(HTTP_M_GET, "/client/v4/client/v4/accounts/a/d1/database"), -1);
    assert_ptr_equal(router_match(routes, NULL, HTTP_M_GET, SLICE_LIT("/accounts/a/d1/database"), &arena, params, &path_known),
                     &routes[LIST]);
}

static void what_fits_nothing_is_told_from_the_wrong_method(void **state UNUSED)
{
    static const char *const unknown[] = {
        "/accounts", "/accounts/a/d1/database/", "/accounts/a/d1/database/x/query/y", "/accounts//d1/database",
        "/Accounts/a/d1/database", "/accounts/a/d1/databas", "/accounts/a/d1/databases", "//accounts/a/d1/database",
        "/accounts/a/d1/database//query", "/.", "/a/b/c/d/e",
    };

    for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
        if (match(HTTP_M_POST, unknown[i]) != -1)
            fail_msg("%s fits", unknown[i]);
        assert_false(path_known);
    }
    assert_int_equal(match(HTTP_M_DELETE, "/accounts/a/d1/database"), -1);
    assert_true(path_known);
}

static void head_fits_where_get_does(void **state UNUSED)
{
    assert_int_equal(match(HTTP_M_HEAD, "/accounts/a/d1/database/x"), ONE);
    assert_int_equal(match(HTTP_M_HEAD, "/accounts/a/d1/database/x/query"), -1);
    assert_true(path_known);
}

static void captures_are_decoded(void **state UNUSED)
{
    assert_int_equal(match(HTTP_M_GET, "/accounts/a%20b%2Fc/d1/database/%C3%A4+"), ONE);
    CHECK_SLICE(params[0], "a b/c");
    CHECK_SLICE(params[1], "\xC3\xA4+");
}

static void captures_that_cannot_be_decoded_fit_no_route(void **state UNUSED)
{
    static const char *const bad[] = { "/accounts/%/d1/database", "/accounts/%2/d1/database", "/accounts/%zz/d1/database",
                                       "/accounts/a%2/d1/database", "/accounts/%%20/d1/database" };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(match(HTTP_M_GET, bad[i]), -1);
        assert_false(path_known);
    }
}

static void percent_decoding_follows_its_rules(void **state UNUSED)
{
    CHECK_SLICE(http_percent_decode(&arena, SLICE_LIT("a%41%7a+b"), true), "aAz b");
    CHECK_SLICE(http_percent_decode(&arena, SLICE_LIT("a+b"), false), "a+b");
    CHECK_SLICE(http_percent_decode(&arena, SLICE_LIT(""), false), "");
    assert_non_null(http_percent_decode(&arena, SLICE_LIT(""), false).ptr);
    assert_int_equal(http_percent_decode(&arena, SLICE_LIT("%00x"), false).len, 2);
    assert_null(http_percent_decode(&arena, SLICE_LIT("%"), false).ptr);
    assert_null(http_percent_decode(&arena, SLICE_LIT("abc%4"), false).ptr);
    assert_null(http_percent_decode(&arena, SLICE_LIT("%4g"), false).ptr);
    assert_null(http_percent_decode(&arena, SLICE_LIT("%-1"), false).ptr);
}

static void without_memory_nothing_is_decoded(void **state UNUSED)
{
    struct arena none;

    arena_init(&none, 0);
    assert_null(http_percent_decode(&none, SLICE_LIT("a"), false).ptr);
    assert_null(router_match(routes, NULL, HTTP_M_GET, SLICE_LIT("/accounts/%41/d1/database"), &none, params, &path_known));
    assert_non_null(router_match(routes, NULL, HTTP_M_GET, SLICE_LIT("/accounts/A/d1/database"), &none, params, &path_known));
    arena_release(&none);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(paths_are_matched_segment_by_segment),
        TEST(the_prefix_may_be_there_or_not),
        TEST(what_fits_nothing_is_told_from_the_wrong_method),
        TEST(head_fits_where_get_does),
        TEST(captures_are_decoded),
        TEST(captures_that_cannot_be_decoded_fit_no_route),
        TEST(percent_decoding_follows_its_rules),
        TEST(without_memory_nothing_is_decoded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
