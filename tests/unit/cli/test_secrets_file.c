/* Secrets from files, in both of their forms. */
#include "cli/secrets_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct secrets secrets;
static struct error err;

static enum status read_text(const char *text)
{
    char path[] = "/tmp/dione-test-secrets-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    enum status st = secrets_read(path, &secrets, &err);
    if (st != STATUS_OK)
        assert_non_null(strstr(err.msg, path));
    unlink(path);
    return st;
}

static void expect(size_t i, const char *name, const char *value)
{
    assert_true(i < secrets.n);
    assert_true(slice_eq(secrets.items[i].name, slice_cstr(name)));
    if (value)
        assert_true(slice_eq(secrets.items[i].value, slice_cstr(value)));
    else
        assert_null(secrets.items[i].value.ptr);
}

static void json_stores_and_deletes(void **state)
{
    (void)state;
    assert_int_equal(read_text(" {\"A\":\"one \\u00e4\",\"B\":null, \"C\":\"\",}\n"), STATUS_OK);
    assert_int_equal(secrets.n, 3);
    expect(0, "A", "one \xC3\xA4");
    expect(1, "B", NULL);
    expect(2, "C", "");
    secrets_release(&secrets);
}

static void lines_store(void **state)
{
    (void)state;
    assert_int_equal(read_text("# mine\nexport A=\"x y\"\nB='# z'\nEMPTY=\n"), STATUS_OK);
    assert_int_equal(secrets.n, 3);
    expect(0, "A", "x y");
    expect(1, "B", "# z");
    expect(2, "EMPTY", "");
    secrets_release(&secrets);
}

static void what_is_neither_is_refused_by_its_place(void **state)
{
    (void)state;
    assert_int_equal(read_text(""), STATUS_INVALID);
    assert_int_equal(read_text("{}"), STATUS_INVALID);
    assert_int_equal(read_text("[\"A\"]"), STATUS_INVALID);
    assert_int_equal(read_text("{\"A\":1}"), STATUS_INVALID);
    assert_non_null(strstr(err.msg, "the value of A"));
    assert_int_equal(read_text("{\"A\":"), STATUS_INVALID);
    assert_int_equal(read_text("A=1\nwhat is this\n"), STATUS_INVALID);
    assert_non_null(strstr(err.msg, "line 2"));
    assert_int_equal(secrets_read("/nowhere/at/all", &secrets, &err), STATUS_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_stores_and_deletes),
        cmocka_unit_test(lines_store),
        cmocka_unit_test(what_is_neither_is_refused_by_its_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
