/* The files that are static assets, and .assetsignore. */
#include "cli/asset_folder.h"

#include "cli/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static bool ignored(const char *patterns, const char *path)
{
    return asset_folder_ignores(slice_cstr(patterns), slice_cstr(path));
}

static void patterns_are_those_of_git(void **state)
{
    (void)state;
    assert_true(ignored("*.map", "a.map"));
    assert_true(ignored("*.map", "deep/down/a.map"));
    assert_false(ignored("*.map", "a.mapx"));
    assert_true(ignored("node_modules", "node_modules/x/y.js"));
    assert_true(ignored("node_modules/", "lib/node_modules/y.js"));
    assert_false(ignored("node_modules/", "node_modules"));
    assert_true(ignored("/top", "top"));
    assert_false(ignored("/top", "deep/top"));
    assert_true(ignored("a/*.txt", "a/b.txt"));
    assert_false(ignored("a/*.txt", "a/b/c.txt"));
    assert_true(ignored("a/**/c.txt", "a/b/b/c.txt"));
    assert_true(ignored("a/**", "a/b/c"));
    assert_false(ignored("a/**", "a"));
    assert_true(ignored("**/x.txt", "x.txt"));
    assert_true(ignored("**/x.txt", "a/x.txt"));
    assert_true(ignored("[ab].txt", "b.txt"));
    assert_true(ignored("\\#x", "#x"));
}

static void the_last_pattern_that_fits_decides(void **state)
{
    (void)state;
    assert_false(ignored("*.txt\n!keep.txt", "keep.txt"));
    assert_true(ignored("*.txt\n!keep.txt", "other.txt"));
    assert_true(ignored("!keep.txt\r\n*.txt\r\n", "keep.txt"));
    assert_true(ignored("dir/\n!dir/keep.txt", "dir/keep.txt"));
    assert_false(ignored("# *.txt\n\n", "a.txt"));
    assert_false(ignored("", "a.txt"));
}

static char *root;

static void write_file(const char *name, const char *text)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", root, name);
    f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void make_tree(void)
{
    struct error err;
    char path[512];

    assert_int_equal(folder_make_temporary("dione-assets", &root, &err), STATUS_OK);
    snprintf(path, sizeof(path), "%s/img/deep", root);
    assert_int_equal(folder_make(path, 0700, &err), STATUS_OK);
    write_file("index.html", "<h1>");
    write_file("img/a b.png", "png");
    write_file("img/deep/x.map", "{}");
    write_file("_headers", "/*\n  X-A: b\n");
    write_file(".assetsignore", "*.map\n");
    write_file("img/_headers", "");
}

static void every_file_but_the_ignored_ones_is_found(void **state)
{
    struct asset_folder a;
    struct error err;

    (void)state;
    make_tree();
    if (asset_folder_read(root, 1000, &a, &err) != STATUS_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(a.n, 3);
    assert_string_equal(a.items[0].path.ptr, "/img/_headers");
    assert_string_equal(a.items[1].path.ptr, "/img/a b.png");
    assert_string_equal(a.items[2].path.ptr, "/index.html");
    assert_int_equal(a.items[2].size, 4);
    assert_string_equal(a.headers.ptr, "/*\n  X-A: b\n");
    assert_null(a.redirects.ptr);
    asset_folder_release(&a);
    assert_int_equal(asset_folder_read(root, 3, &a, &err), STATUS_LIMIT);
    assert_non_null(strstr(err.msg, "index.html"));
    folder_remove(root);
    assert_false(folder_exists(root));
    assert_int_equal(asset_folder_read(root, 3, &a, &err), STATUS_NOTFOUND);
    free(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_are_those_of_git),
        cmocka_unit_test(the_last_pattern_that_fits_decides),
        cmocka_unit_test(every_file_but_the_ignored_ones_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
