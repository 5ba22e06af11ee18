/* Files that are there as a whole or not at all, and migrations in their order. */
#include "cli/files.h"
#include "cli/migration_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/dione-files-XXXXXX";

static int enter_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave_folder(void **state)
{
    char command[sizeof(folder) + 16];

    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

static void write_text(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void check_content(const char *name, const char *expected)
{
    struct buf text = { 0 };

    assert_int_equal(file_read(name, &text, NULL), STATUS_OK);
    assert_string_equal(text.ptr, expected);
    buf_release(&text);
}

static size_t count_files(void)
{
    struct migration_files all;

    assert_int_equal(migration_files_find(".", "*", &all, NULL), STATUS_OK);
    size_t n = all.n;
    migration_files_release(&all);
    return n;
}

static void a_new_file_appears_when_it_is_committed(void **state)
{
    struct new_file f;

    (void)state;
    write_text("out", "old");
    assert_int_equal(new_file_open("out", &f, NULL), STATUS_OK);
    fputs("new", f.stream);
    fflush(f.stream);
    check_content("out", "old");
    assert_int_equal(new_file_commit(&f, NULL), STATUS_OK);
    check_content("out", "new");
    assert_int_equal(count_files(), 1);
    assert_int_equal(unlink("out"), 0);
}

static void an_abandoned_file_leaves_no_trace(void **state)
{
    struct new_file f;

    (void)state;
    assert_int_equal(new_file_open("out", &f, NULL), STATUS_OK);
    fputs("half", f.stream);
    new_file_release(&f);
    assert_int_equal(count_files(), 0);
}

static void a_full_disk_keeps_the_old_file(void **state)
{
    struct new_file f;
    struct error err = { 0 };

    (void)state;
    write_text("out", "old");
    assert_int_equal(new_file_open("out", &f, NULL), STATUS_OK);
    /* What a write to a full disk does, without filling one. */
    assert_non_null(freopen("/dev/full", "w", f.stream));
    fputs("new", f.stream);
    assert_int_equal(new_file_commit(&f, &err), STATUS_FULL);
    check_content("out", "old");
    assert_int_equal(count_files(), 1);
    assert_int_equal(unlink("out"), 0);
}

static void a_symbolic_link_and_a_device_survive(void **state)
{
    struct new_file f;
    struct stat info;

    (void)state;
    write_text("real", "old");
    assert_int_equal(symlink("real", "link"), 0);
    assert_int_equal(new_file_open("link", &f, NULL), STATUS_OK);
    fputs("new", f.stream);
    assert_int_equal(new_file_commit(&f, NULL), STATUS_OK);
    check_content("real", "new");
    assert_int_equal(lstat("link", &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(new_file_open("/dev/null", &f, NULL), STATUS_OK);
    assert_null(f.temp_path);
    assert_int_equal(new_file_commit(&f, NULL), STATUS_OK);
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
    assert_int_equal(unlink("link") + unlink("real"), 0);
}

static void a_folder_is_no_file(void **state)
{
    struct new_file f;

    (void)state;
    assert_int_equal(new_file_open(".", &f, NULL), STATUS_INVALID);
    assert_int_equal(new_file_open("no/such/folder/x", &f, NULL), STATUS_NOTFOUND);
}

static void reading_stops_at_the_limit(void **state)
{
    struct buf text = { .limit = 3 };

    (void)state;
    write_text("long", "1234");
    assert_int_equal(file_read("long", &text, NULL), STATUS_TOOBIG);
    buf_release(&text);
    assert_int_equal(unlink("long"), 0);
}

static void migrations_are_ordered_by_number_then_name(void **state)
{
    static const char *const expected[] = { "0001_a.sql", "2_b.sql",    "0002_c.sql",
                                            "0010_a.sql", "0010_b.sql", "x.sql" };
    struct migration_files files;

    (void)state;
    assert_int_equal(folder_make("m/[x]", 0777, NULL), STATUS_OK);
    assert_int_equal(chdir("m/[x]"), 0);
    for (size_t i = 0; i < 6; i++)
        write_text(expected[i], "");
    write_text("notes.txt", "");
    write_text(".0003_hidden.sql", "");
    assert_int_equal(chdir("../.."), 0);
    assert_int_equal(migration_files_find("m/[x]", "*.sql", &files, NULL), STATUS_OK);
    assert_int_equal(files.n, 6);
    /* Equal numbers: by the bytes of the whole segment. */
    assert_string_equal(files.names[0], "0001_a.sql");
    assert_string_equal(files.names[1], "0002_c.sql");
    assert_string_equal(files.names[2], "2_b.sql");
    assert_string_equal(files.names[3], "0010_a.sql");
    assert_string_equal(files.names[4], "0010_b.sql");
    assert_string_equal(files.names[5], "x.sql");
    migration_files_release(&files);
}

static void migrations_may_be_folders(void **state)
{
    struct migration_files files;

    (void)state;
    assert_int_equal(folder_make("d/10_b", 0777, NULL), STATUS_OK);
    assert_int_equal(folder_make("d/9_a", 0777, NULL), STATUS_OK);
    write_text("d/10_b/migration.sql", "");
    write_text("d/9_a/migration.sql", "");
    write_text("d/1.sql", "");
    assert_int_equal(migration_files_find("d", "*/migration.sql", &files, NULL), STATUS_OK);
    assert_int_equal(files.n, 2);
    assert_string_equal(files.names[0], "9_a/migration.sql");
    assert_string_equal(files.names[1], "10_b/migration.sql");
    migration_files_release(&files);
}

static void a_missing_migrations_folder_is_reported(void **state)
{
    struct migration_files files;
    struct error err = { 0 };

    (void)state;
    assert_int_equal(migration_files_find("nowhere", "*.sql", &files, &err), STATUS_NOTFOUND);
    assert_non_null(strstr(err.msg, "'nowhere'"));
}

static void the_number_of_a_migration_is_what_parse_int_reads(void **state)
{
    (void)state;
    assert_int_equal(migration_number("0012_x.sql"), 12);
    assert_int_equal(migration_number("7.sql"), 7);
    assert_int_equal(migration_number("x_1.sql"), -1);
    assert_int_equal(migration_number(""), -1);
    assert_true(migration_number("99999999999999999999_x") == INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_file_appears_when_it_is_committed),
        cmocka_unit_test(an_abandoned_file_leaves_no_trace),
        cmocka_unit_test(a_full_disk_keeps_the_old_file),
        cmocka_unit_test(a_symbolic_link_and_a_device_survive),
        cmocka_unit_test(a_folder_is_no_file),
        cmocka_unit_test(reading_stops_at_the_limit),
        cmocka_unit_test(migrations_are_ordered_by_number_then_name),
        cmocka_unit_test(migrations_may_be_folders),
        cmocka_unit_test(a_missing_migrations_folder_is_reported),
        cmocka_unit_test(the_number_of_a_migration_is_what_parse_int_reads),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
