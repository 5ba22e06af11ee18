/* Content types by the ends of names. */
#include "base/mime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *path, const char *type)
{
    struct slice found = mime_of(slice_cstr(path));

    if (!type) {
        assert_null(found.ptr);
        return;
    }
    assert_int_equal(found.len, strlen(type));
    assert_memory_equal(found.ptr, type, found.len);
}

static void the_end_of_the_name_says_the_type(void **state)
{
    (void)state;
    expect("/index.html", "text/html; charset=utf-8");
    expect("a/b.tar.gz", "application/gzip");
    expect("LOGO.PNG", "image/png");
    expect("app.wasm", "application/wasm");
    expect("data.json", "application/json");
}

static void a_name_without_a_known_end_has_none(void **state)
{
    (void)state;
    expect("", NULL);
    expect("README", NULL);
    expect("/dir.html/file", NULL);
    expect("x.unheard-of", NULL);
    expect("x.", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_of_the_name_says_the_type),
        cmocka_unit_test(a_name_without_a_known_end_has_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
