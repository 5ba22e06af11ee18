/* Programs that commands start. */
#include "../testing.h"

#include "cli/subprocess.h"

static struct arguments args;
static struct buf output;
static struct error err;
static int code;

static int clear(void **state)
{
    (void)state;
    arguments_release(&args);
    buf_release(&output);
    return 0;
}

static enum status run_shell(const char *script, const char *folder)
{
    arguments_add(&args, "sh");
    arguments_add(&args, "-c");
    arguments_add(&args, "%s", script);
    return subprocess_run(args.items, folder, &output, &code, &err);
}

static void output_and_exit_code_come_back(void **state)
{
    (void)state;
    assert_int_equal(run_shell("pwd; echo wrong >&2; cat; exit 7", "/tmp"), STATUS_OK);
    assert_int_equal(code, 7);
    assert_string_equal(output.ptr, "/tmp\nwrong\n");
}

static void much_output_does_not_stop_it(void **state)
{
    (void)state;
    assert_int_equal(run_shell("head -c 1000000 /dev/zero", "/"), STATUS_OK);
    assert_int_equal(code, 0);
    assert_int_equal(output.len, 1000000);
}

static void a_signal_is_told_as_shells_do(void **state)
{
    (void)state;
    assert_int_equal(run_shell("kill -9 $$", "/"), STATUS_OK);
    assert_int_equal(code, 128 + 9);
}

static void what_cannot_start_is_named(void **state)
{
    (void)state;
    arguments_add(&args, "/nowhere/program");
    assert_int_equal(subprocess_run(args.items, "/", &output, &code, &err), STATUS_NOTFOUND);
    assert_non_null(strstr(err.msg, "/nowhere/program"));
    arguments_release(&args);
    assert_int_not_equal(run_shell("true", "/nowhere"), STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(output_and_exit_code_come_back, clear),
        cmocka_unit_test_teardown(much_output_does_not_stop_it, clear),
        cmocka_unit_test_teardown(a_signal_is_told_as_shells_do, clear),
        cmocka_unit_test_teardown(what_cannot_start_is_named, clear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
