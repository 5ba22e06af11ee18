/* Folders that are watched, with the real file system. */
#include "../testing.h"

#include "cli/watch.h"

#include <sys/stat.h>

static char top[64], sub[72];
static uv_loop_t loop;
static struct watch *watch;
static int n_changes;

static void on_change(void *arg)
{
    (void)arg;
    n_changes++;
}

static bool matters(void *arg, const char *path)
{
    (void)arg;
    return !strstr(path, ".log");
}

static int begin(void **state)
{
    (void)state;
    test_dir_make(top);
    snprintf(sub, sizeof(sub), "%s/sub", top);
    n_changes = 0;
    if (mkdir(sub, 0777) != 0 || uv_loop_init(&loop) != 0)
        return -1;
    watch = watch_new(&loop, &(struct watch_options){ .quiet_ms = 1, .on_change = on_change, .matters = matters });
    return 0;
}

static int end(void **state)
{
    (void)state;
    watch_free(watch);
    uv_run(&loop, UV_RUN_DEFAULT);
    test_dir_remove(top);
    return uv_loop_close(&loop);
}

static void touch(const char *folder, const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "a");
    assert_non_null(f);
    fputs("x", f);
    fclose(f);
}

/* Runs the loop until the change was told. */
static void wait_for_change(int n)
{
    while (n_changes < n)
        uv_run(&loop, UV_RUN_ONCE);
}

static void set(size_t n, const char *const *folders)
{
    struct slice list[4];

    for (size_t i = 0; i < n; i++)
        list[i] = slice_cstr(folders[i]);
    assert_int_equal(watch_set(watch, list, n, NULL), STATUS_OK);
}

static void a_burst_of_changes_is_told_once(void **state)
{
    (void)state;
    set(2, (const char *const[]){ top, sub });
    for (int i = 0; i < 20; i++) {
        touch(top, "a.ts");
        touch(sub, "b.ts");
    }
    wait_for_change(1);
    assert_int_equal(n_changes, 1);
    touch(sub, "b.ts");
    wait_for_change(2);
}

static void a_file_that_is_put_in_place_of_another_counts(void **state)
{
    char from[256], to[256];

    (void)state;
    touch(top, "a.ts");
    touch(sub, "new");
    set(1, (const char *const[]){ top });
    snprintf(from, sizeof(from), "%s/new", sub);
    snprintf(to, sizeof(to), "%s/a.ts", top);
    assert_int_equal(rename(from, to), 0);
    wait_for_change(1);
}

static int n_seen;

static void on_any_event(uv_fs_event_t *handle, const char *name, int kinds, int status)
{
    (void)handle;
    (void)kinds;
    (void)status;
    n_seen += name && strcmp(name, "last~") == 0;
}

static void on_time(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

static void editors_and_logs_may_have_their_files(void **state)
{
    uv_fs_event_t all;
    uv_timer_t timer;
    bool over = false;

    (void)state;
    n_seen = 0;
    set(1, (const char *const[]){ top });
    assert_int_equal(uv_fs_event_init(&loop, &all), 0);
    assert_int_equal(uv_fs_event_start(&all, on_any_event, top, 0), 0);
    touch(top, ".a.ts.swp");
    touch(top, ".#a.ts");
    touch(top, "dev.log");
    touch(top, "last~");
    while (!n_seen) /* events come in order */
        uv_run(&loop, UV_RUN_ONCE);
    uv_timer_init(&loop, &timer);
    timer.data = &over;
    uv_timer_start(&timer, on_time, 20, 0); /* far more than the watch waits */
    while (!over)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(n_changes, 0);
    uv_close((uv_handle_t *)&all, NULL);
    uv_close((uv_handle_t *)&timer, NULL);
    touch(top, "a.ts");
    wait_for_change(1);
}

static void folders_come_and_go(void **state)
{
    (void)state;
    set(2, (const char *const[]){ top, "/nowhere/at/all" });
    touch(sub, "b.ts");
    touch(top, "a.ts");
    wait_for_change(1);
    set(1, (const char *const[]){ sub });
    touch(sub, "b.ts");
    wait_for_change(2);
    test_dir_remove(sub);
    assert_int_equal(mkdir(sub, 0777), 0);
    set(1, (const char *const[]){ sub });
    int before = n_changes;
    touch(sub, "again.ts");
    wait_for_change(before + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_burst_of_changes_is_told_once, begin, end),
        cmocka_unit_test_setup_teardown(a_file_that_is_put_in_place_of_another_counts, begin, end),
        cmocka_unit_test_setup_teardown(editors_and_logs_may_have_their_files, begin, end),
        cmocka_unit_test_setup_teardown(folders_come_and_go, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
