/* wrangler's configuration, in each of its spellings. */
#include "cli/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/dione-config-XXXXXX";

static int enter_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int remove_files(void **state)
{
    static const char *const names[] = { "wrangler.json", "wrangler.jsonc", "wrangler.toml" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        (void)unlink(names[i]); /* not every test makes each */
    return 0;
}

static int leave_folder(void **state)
{
    remove_files(state);
    return chdir("/") == 0 && rmdir(folder) == 0 ? 0 : -1;
}

static void write_text(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void check_text(struct slice got, const char *expected)
{
    assert_true(slice_eq(got, slice_cstr(expected)));
}

static const char toml[] = "[[d1_databases]]\nbinding = 'DB'\ndatabase_name = 'f1'\ndatabase_id = 'id-1'\n"
                           "migrations_dir = 'steps'\n[dione]\nurl = 'http://h:1'\n"
                           "[env.staging]\nd1_databases = [{ binding = 'DB', database_name = 'f1-staging' }]\n";
static const char jsonc[] =
    "{ // as people write it\n  \"d1_databases\": [{ \"binding\": \"DB\", \"database_name\": \"f1\","
    " \"database_id\": \"id-1\", \"migrations_dir\": \"steps\", }],\n"
    " \"dione\": {\"url\": \"http://h:1\"},\n \"env\": {\"staging\": {\"d1_databases\": "
    "[{\"binding\": \"DB\", \"database_name\": \"f1-staging\"}]}}, }";

static void check_databases(void)
{
    static const char *const wanted[] = { "f1", "DB", "id-1" };
    struct config c;
    struct config_database d;

    assert_int_equal(config_load(NULL, NULL, &c, NULL), STATUS_OK);
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        assert_true(config_find_database(&c, slice_cstr(wanted[i]), &d));
        check_text(d.name, "f1");
        check_text(d.migrations_dir, "steps");
        assert_null(d.migrations_table.ptr);
    }
    assert_false(config_find_database(&c, SLICE_LIT("f2"), &d));
    check_text(config_url(&c), "http://h:1");
    config_release(&c);
    assert_int_equal(config_load(NULL, "staging", &c, NULL), STATUS_OK);
    assert_true(config_find_database(&c, SLICE_LIT("DB"), &d));
    check_text(d.name, "f1-staging");
    assert_false(config_find_database(&c, SLICE_LIT("f1"), &d));
    config_release(&c);
}

static void toml_and_jsonc_say_the_same(void **state)
{
    (void)state;
    write_text("wrangler.toml", toml);
    check_databases();
    remove_files(state);
    write_text("wrangler.jsonc", jsonc);
    check_databases();
}

static void json_is_preferred_to_toml_as_in_wrangler(void **state)
{
    struct config c;

    (void)state;
    write_text("wrangler.toml", toml);
    write_text("wrangler.jsonc", jsonc);
    assert_int_equal(config_load(NULL, NULL, &c, NULL), STATUS_OK);
    assert_string_equal(c.path, "wrangler.jsonc");
    config_release(&c);
    assert_int_equal(config_load("./wrangler.toml", NULL, &c, NULL), STATUS_OK);
    check_text(c.folder, ".");
    config_release(&c);
}

static void no_file_is_fine_unless_it_was_named(void **state)
{
    struct config c;
    struct config_database d;
    struct error err = { 0 };

    (void)state;
    assert_int_equal(config_load(NULL, NULL, &c, &err), STATUS_OK);
    assert_false(config_find_database(&c, SLICE_LIT("f1"), &d));
    assert_null(config_url(&c).ptr);
    config_release(&c);
    assert_int_equal(config_load("elsewhere.toml", NULL, &c, &err), STATUS_NOTFOUND);
    assert_non_null(strstr(err.msg, "elsewhere.toml"));
    assert_int_equal(config_load(NULL, "staging", &c, &err), STATUS_NOTFOUND);
    assert_non_null(strstr(err.msg, "'staging'"));
}

static void mistakes_are_reported_with_file_and_place(void **state)
{
    struct config c;
    struct error err = { 0 };

    (void)state;
    write_text("wrangler.toml", "a = 1\nb =\n");
    assert_int_equal(config_load(NULL, NULL, &c, &err), STATUS_INVALID);
    assert_string_equal(err.msg, "wrangler.toml: line 2: value missing");
    write_text("wrangler.json", "[]");
    assert_int_equal(config_load(NULL, NULL, &c, &err), STATUS_INVALID);
    assert_string_equal(err.msg, "wrangler.json: an object expected");
    write_text("wrangler.json", "{\"d1_databases\": {\"binding\": 1}}");
    assert_int_equal(config_load(NULL, NULL, &c, &err), STATUS_OK);
    struct config_database d;
    assert_false(config_find_database(&c, SLICE_LIT("DB"), &d));
    config_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(toml_and_jsonc_say_the_same, remove_files),
        cmocka_unit_test_teardown(json_is_preferred_to_toml_as_in_wrangler, remove_files),
        cmocka_unit_test_teardown(no_file_is_fine_unless_it_was_named, remove_files),
        cmocka_unit_test_teardown(mistakes_are_reported_with_file_and_place, remove_files),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
