/* Route patterns, and which Worker a request reaches. */
#include "../testing.h"

#include "workers/directory.h"
#include "workers/route.h"

static bool matches(const char *pattern, const char *host, const char *path)
{
    struct route r;
    struct error err;

    if (route_parse(slice_cstr(pattern), &r, &err) != STATUS_OK)
        fail_msg("%s", err.msg);
    return route_matches(&r, false, slice_cstr(host), slice_cstr(path));
}

static void stars_stand_at_the_start_and_at_the_end(void **state UNUSED)
{
    assert_true(matches("example.com/*", "example.com", "/"));
    assert_true(matches("example.com/*", "EXAMPLE.com:8787", "/a/b"));
    assert_false(matches("example.com/*", "www.example.com", "/"));
    assert_true(matches("example.com", "example.com", "/"));
    assert_false(matches("example.com", "example.com", "/a"));
    assert_true(matches("*.example.com/*", "a.b.example.com", "/"));
    assert_false(matches("*.example.com/*", "example.com", "/"));
    assert_true(matches("*example.com/*", "example.com", "/"));
    assert_true(matches("*example.com/*", "an-example.com", "/"));
    assert_true(matches("example.com/path*", "example.com", "/path"));
    assert_true(matches("example.com/path*", "example.com", "/pathology"));
    assert_false(matches("example.com/path/*", "example.com", "/path"));
    assert_true(matches("*/health", "anything", "/health"));
    assert_true(matches("localhost:9000/*", "localhost:9000", "/"));
    assert_false(matches("localhost:9000/*", "localhost:9001", "/"));
    assert_true(matches("http://example.com/*", "example.com", "/"));
    assert_false(matches("https://example.com/*", "example.com", "/"));
    assert_true(matches("[::1]/*", "[::1]:8787", "/"));
}

static void other_patterns_are_refused(void **state UNUSED)
{
    static const char *const wrong[] = {
        "", "/path", "a*b.com/*", "example.com/*/x", "example.com/a?b=*", "ex ample.com/", "https:///x", "a.*.com/"
    };
    struct route r;
    struct error err;

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        if (route_parse(slice_cstr(wrong[i]), &r, &err) != STATUS_INVALID)
            fail_msg("'%s' should be refused", wrong[i]);
}

static void the_more_specific_pattern_comes_first(void **state UNUSED)
{
    static const char *const order[] = { "api.example.com/v1/users",
                                         "api.example.com/v1/*",
                                         "api.example.com/*",
                                         "*.example.com/v1/*",
                                         "*.example.com/*",
                                         "*example.com/*",
                                         "*/*" };

    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        for (size_t j = 0; j < ARRAY_LEN(order); j++) {
            struct route a, b;
            assert_int_equal(route_parse(slice_cstr(order[i]), &a, NULL), STATUS_OK);
            assert_int_equal(route_parse(slice_cstr(order[j]), &b, NULL), STATUS_OK);
            int want = i == j ? 0 : i < j ? -1 : 1, got = route_compare(&a, &b);
            assert_int_equal((got > 0) - (got < 0), want);
        }
}

static const char *found(struct directory *d, const char *host, const char *path)
{
    static struct directory_hit hit;

    if (!directory_find(d, NULL, false, slice_cstr(host), slice_cstr(path), &hit))
        return "nobody";
    target_unref(hit.target);
    return hit.name;
}

static void put(struct directory *d, const char *name, const char *route)
{
    struct slice pattern = slice_cstr(route);
    struct worker_spec spec = { .name = slice_cstr(name), .routes = &pattern, .n_routes = route ? 1 : 0 };
    struct target *before, *t = target_new("/tmp/none", 1);

    assert_int_equal(directory_put(d, &spec, t, &before, NULL), STATUS_OK);
    target_unref(before);
    target_unref(t);
}

static void requests_reach_their_worker_by_name_or_route(void **state UNUSED)
{
    struct directory *d = directory_new();
    struct target *before;
    struct buf text = { 0 };

    put(d, "blog", NULL);
    put(d, "api", "example.com/api/*");
    put(d, "site", "*example.com/*");
    put(d, "a", NULL);
    assert_string_equal(found(d, "blog.localhost:8787", "/"), "blog");
    assert_string_equal(found(d, "BLOG.local.workers.dev", "/"), "blog");
    assert_string_equal(found(d, "a.localhost", "/"), "a");
    assert_string_equal(found(d, "blo.localhost", "/"), "nobody");
    assert_string_equal(found(d, "blog.example.org", "/"), "nobody");
    assert_string_equal(found(d, "example.com", "/api/x"), "api");
    assert_string_equal(found(d, "example.com", "/apix"), "site");
    assert_int_equal(directory_set_host_enabled(d, SLICE_LIT("blog"), false, NULL), STATUS_OK);
    assert_string_equal(found(d, "blog.localhost", "/"), "nobody");
    directory_describe(d, ":8787", &text);
    assert_non_null(strstr(text.ptr, "http://a.localhost:8787/"));
    assert_non_null(strstr(text.ptr, "example.com/api/*  (api)"));
    assert_null(strstr(text.ptr, "blog"));
    assert_int_equal(directory_remove(d, SLICE_LIT("api"), &before, NULL), STATUS_OK);
    target_unref(before);
    assert_string_equal(found(d, "example.com", "/api/x"), "site");
    assert_int_equal(directory_remove(d, SLICE_LIT("api"), &before, NULL), STATUS_NOTFOUND);
    buf_release(&text);
    directory_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stars_stand_at_the_start_and_at_the_end),
        cmocka_unit_test(other_patterns_are_refused),
        cmocka_unit_test(the_more_specific_pattern_comes_first),
        cmocka_unit_test(requests_reach_their_worker_by_name_or_route),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
