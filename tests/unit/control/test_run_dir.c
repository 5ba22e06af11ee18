/* The private folder of a server: who may look into it, when it goes, and what is left alone. */
#include "../testing.h"

#include "control/run_dir.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char base[64];

static int setup(void **state UNUSED)
{
    test_dir_make(base);
    setenv("XDG_RUNTIME_DIR", base, 1);
    return 0;
}

static int teardown(void **state UNUSED)
{
    test_dir_remove(base);
    unsetenv("XDG_RUNTIME_DIR");
    return 0;
}

static bool exists(const char *dir, const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static void put(const char *dir, const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void make_dir(const char *dir, const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void it_is_private_and_goes_with_all_that_is_in_it(void **state UNUSED)
{
    struct run_dir d = { 0 };
    struct error err;
    struct stat st;

    assert_int_equal(run_dir_make(&d, &err), STATUS_OK);
    assert_true(strncmp(d.path, base, strlen(base)) == 0);
    assert_int_equal(stat(d.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    make_dir(d.path, "sub");
    put(d.path, "sub/file");
    char path[RUN_DIR_MAX + 1];
    strcpy(path, d.path);
    run_dir_remove(&d);
    assert_int_equal(access(path, F_OK), -1);
    run_dir_remove(&d);
}

static void two_servers_have_two(void **state UNUSED)
{
    struct run_dir a = { 0 }, b = { 0 };
    struct error err;

    assert_int_equal(run_dir_make(&a, &err), STATUS_OK);
    assert_int_equal(run_dir_make(&b, &err), STATUS_OK);
    assert_string_not_equal(a.path, b.path);
    assert_true(exists(a.path, "lock"));
    run_dir_remove(&a);
    run_dir_remove(&b);
}

static void that_of_a_dead_process_is_removed(void **state UNUSED)
{
    struct run_dir d = { 0 };
    struct error err;
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(run_dir_make(&d, &err) == STATUS_OK ? 0 : 1); /* leaves it behind */
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    make_dir(base, "dione-run-abcdef");   /* no lock in it: not one of ours */
    make_dir(base, "dione-run-longer-1"); /* another name */
    put(base, "dione-run-longer-1/lock");
    make_dir(base, "dione-backup");
    put(base, "dione-backup/lock");
    assert_int_equal(run_dir_make(&d, &err), STATUS_OK);
    char command[256];
    snprintf(command, sizeof(command), "test \"$(ls -A %s | wc -l)\" = 4", base);
    assert_int_equal(system(command), 0);
    assert_true(exists(base, "dione-run-abcdef") && exists(base, "dione-run-longer-1/lock") && exists(base, "dione-backup/lock"));
    run_dir_remove(&d);
}

static void another_folder_is_taken_when_the_first_cannot_be(void **state UNUSED)
{
    struct run_dir d = { 0 };
    struct error err;

    setenv("XDG_RUNTIME_DIR", "/nowhere/at/all", 1);
    assert_int_equal(run_dir_make(&d, &err), STATUS_OK);
    assert_true(strncmp(d.path, "/tmp/", 5) == 0);
    run_dir_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_private_and_goes_with_all_that_is_in_it, setup, teardown),
        cmocka_unit_test_setup_teardown(two_servers_have_two, setup, teardown),
        cmocka_unit_test_setup_teardown(that_of_a_dead_process_is_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(another_folder_is_taken_when_the_first_cannot_be, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
