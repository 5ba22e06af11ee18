/* The rules of _headers and _redirects: what lines mean, what patterns fit, what stands for what. */
#include "../testing.h"

#include "workers/asset_rules.h"

static struct arena arena;

static int setup(void **state UNUSED)
{
    arena_init(&arena, 8 << 20);
    return 0;
}

static int teardown(void **state UNUSED)
{
    arena_release(&arena);
    return 0;
}

static bool fits(const char *pattern, const char *host, const char *path)
{
    struct rule_match m;

    return rule_matches(slice_cstr(pattern), slice_cstr(host), slice_cstr(path), &m);
}

static void check_expanded(const char *pattern, const char *path, const char *text, const char *want)
{
    struct rule_match m;
    struct buf b = { 0 };

    assert_true(rule_matches(slice_cstr(pattern), SLICE_LIT("host.example"), slice_cstr(path), &m));
    rule_expand(&b, slice_cstr(text), &m);
    CHECK_SLICE(buf_slice(&b), want);
    buf_release(&b);
}

static void patterns_fit_whole_paths(void **state UNUSED)
{
    assert_true(fits("/a", "", "/a"));
    assert_false(fits("/a", "", "/a/"));
    assert_false(fits("/a", "", "/ab"));
    assert_true(fits("/*", "", "/"));
    assert_true(fits("/a/*", "", "/a/b/c"));
    assert_false(fits("/a/*", "", "/a"));
    assert_true(fits("/*.jpg", "", "/x/y.jpg"));
    assert_false(fits("/*.jpg", "", "/x/y.jpeg"));
    assert_true(fits("/:one/:two", "", "/a/b"));
    assert_false(fits("/:one/:two", "", "/a/b/c"));
    assert_false(fits("/:one/x", "", "//x"));
    assert_true(fits("/a:", "", "/a:")); /* no name behind it: a colon */
}

static void a_pattern_may_name_a_host(void **state UNUSED)
{
    assert_true(fits("https://host.example/*", "host.example", "/a"));
    assert_false(fits("https://host.example/*", "other.example", "/a"));
    assert_true(fits("https://:sub.example/a", "x.example", "/a"));
    assert_false(fits("https://:sub.example/a", "x.y.example", "/a"));
}

static void what_was_matched_is_put_in(void **state UNUSED)
{
    check_expanded("/go/:x", "/go/there", "/to/:x?y=:x", "/to/there?y=there");
    check_expanded("/a/*", "/a/b/c", "/z/:splat", "/z/b/c");
    check_expanded("/a/*", "/a/", "/z/:splat", "/z/");
    check_expanded("/:a/*", "/one/two/three", ":splat :a :b", "two/three one :b");
}

static void a_pattern_that_would_take_for_ever_fits_nothing(void **state UNUSED)
{
    char path[4000];
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_false(fits("/:a:b:c:d:e:f:g:h!", "", path));
}

static void header_lines_belong_to_the_pattern_above_them(void **state UNUSED)
{
    struct asset_rules r;

    assert_true(asset_rules_read(
        SLICE_LIT("# comment\nX-Lost: no pattern yet\n/*\n  X-A: one: two\n  ! ETag\n  no colon here\n\n"
                  "/a/*/b/*\n  X-Dropped: two stars\nhttps://h/x\r\n\tX-B:b\r\n"),
        SLICE_LIT(""), &arena, &r));
    assert_int_equal(r.n_headers, 2);
    assert_int_equal(r.headers[0].n, 2);
    CHECK_SLICE(r.headers[0].lines[0].name, "X-A");
    CHECK_SLICE(r.headers[0].lines[0].value, "one: two");
    CHECK_SLICE(r.headers[0].lines[1].name, "ETag");
    assert_null(r.headers[0].lines[1].value.ptr);
    CHECK_SLICE(r.headers[1].pattern, "https://h/x");
    assert_int_equal(r.headers[1].n, 1);
    CHECK_SLICE(r.headers[1].lines[0].value, "b");
}

static void redirects_have_a_status_and_static_ones_go_first(void **state UNUSED)
{
    struct asset_rules r;
    struct rule_match m;

    assert_true(asset_rules_read(SLICE_LIT(""),
                                 SLICE_LIT("/* /all\n/a /b 301\n/c /d\n/e /f 999\n/g\n/h /i word\n/j /k 200 # why\n"
                                           "https://h/z /y 308\nno-slash /x\n"),
                                 &arena, &r));
    assert_int_equal(r.n_redirects, 5);
    CHECK_SLICE(asset_rules_redirect(&r, SLICE_LIT(""), SLICE_LIT("/a"), &m)->to, "/b");
    assert_int_equal(asset_rules_redirect(&r, SLICE_LIT(""), SLICE_LIT("/a"), &m)->status, 301);
    assert_int_equal(asset_rules_redirect(&r, SLICE_LIT(""), SLICE_LIT("/c"), &m)->status, 302);
    assert_int_equal(asset_rules_redirect(&r, SLICE_LIT(""), SLICE_LIT("/j"), &m)->status, 200);
    assert_int_equal(asset_rules_redirect(&r, SLICE_LIT("h"), SLICE_LIT("/z"), &m)->status, 308);
    CHECK_SLICE(asset_rules_redirect(&r, SLICE_LIT(""), SLICE_LIT("/z"), &m)->to, "/all");
}

static void globs_take_stars_anywhere(void **state UNUSED)
{
    static const struct {
        const char *pattern, *path;
        bool fits;
    } rows[] = {
        { "/api/*", "/api/x", true }, { "/api/*", "/api/", true }, { "/api/*", "/api", false },
        { "/*", "/", true },          { "*", "/a", true },         { "/a*b*c", "/axxbyyc", true },
        { "/a*b", "/ab", true },      { "/a*b", "/abc", false },   { "/a*a*a", "/aaa", true },
        { "/a*a*a", "/aa", false },   { "/a", "/a", true },        { "/a", "/b", false },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (route_glob_matches(slice_cstr(rows[i].pattern), slice_cstr(rows[i].path)) != rows[i].fits)
            fail_msg("%s and %s", rows[i].pattern, rows[i].path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_fit_whole_paths),
        cmocka_unit_test(a_pattern_may_name_a_host),
        cmocka_unit_test(what_was_matched_is_put_in),
        cmocka_unit_test(a_pattern_that_would_take_for_ever_fits_nothing),
        cmocka_unit_test(header_lines_belong_to_the_pattern_above_them),
        cmocka_unit_test(redirects_have_a_status_and_static_ones_go_first),
        cmocka_unit_test(globs_take_stars_anywhere),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
