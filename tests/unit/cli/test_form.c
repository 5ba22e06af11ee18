/* Forms that are written are read again, by the server's own parser. */
#include "cli/form.h"

#include "http/multipart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect_text(struct slice got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.ptr, want, got.len);
}

static void the_server_reads_what_was_written(void **state)
{
    struct form f;
    struct multipart m;
    struct arena arena;
    struct error err;

    (void)state;
    form_init(&f);
    form_add(&f, SLICE_LIT("metadata"), SLICE_NONE, SLICE_NONE, SLICE_LIT("{}"));
    form_add(&f, SLICE_LIT("a/b.js"), SLICE_LIT("a/b.js"), SLICE_LIT("application/javascript+module"),
             SLICE_LIT("--dione\r\n--\0x\r\n"));
    form_add(&f, SLICE_LIT("say \"hi\""), SLICE_LIT("\xC3\xA4"), SLICE_NONE, SLICE_LIT(""));
    form_end(&f);
    arena_init(&arena, SIZE_MAX);
    if (multipart_parse(slice_cstr(f.content_type), buf_slice(&f.body), &arena, &m, &err) != STATUS_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(m.n, 3);
    expect_text(m.parts[0].name, "metadata");
    assert_null(m.parts[0].filename.ptr);
    assert_null(m.parts[0].content_type.ptr);
    expect_text(m.parts[0].body, "{}");
    expect_text(m.parts[1].filename, "a/b.js");
    expect_text(m.parts[1].content_type, "application/javascript+module");
    assert_int_equal(m.parts[1].body.len, 15);
    expect_text(m.parts[2].name, "say \"hi\"");
    expect_text(m.parts[2].filename, "\xC3\xA4");
    assert_int_equal(m.parts[2].body.len, 0);
    arena_release(&arena);
    form_release(&f);
}

static void every_form_has_a_boundary_of_its_own(void **state)
{
    struct form a, b;

    (void)state;
    form_init(&a);
    form_init(&b);
    assert_string_not_equal(a.content_type, b.content_type);
    form_release(&a);
    form_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_server_reads_what_was_written),
        cmocka_unit_test(every_form_has_a_boundary_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
