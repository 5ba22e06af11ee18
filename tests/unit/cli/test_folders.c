/* The folders that hold what a project is made of. */
#include "../testing.h"

#include "cli/folders.h"

static char top[64];
static struct folders folders;

static int begin(void **state)
{
    char command[512];

    (void)state;
    test_dir_make(top);
    snprintf(command, sizeof(command),
             "cd %s && mkdir -p src/deep/er src/node_modules/x src/.git/y migrations && touch src/a.ts", top);
    return system(command);
}

static int end(void **state)
{
    (void)state;
    folders_release(&folders);
    test_dir_remove(top);
    return 0;
}

static bool has(const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s%s%s", top, *name ? "/" : "", name);
    for (size_t i = 0; i < folders.n; i++)
        if (slice_eq(folders.items[i], slice_cstr(path)))
            return true;
    return false;
}

static void a_folder_is_there_once(void **state)
{
    (void)state;
    folders_add(&folders, slice_cstr("/a"));
    folders_add(&folders, slice_cstr("/b"));
    folders_add(&folders, slice_cstr("/a"));
    assert_int_equal(folders.n, 2);
    assert_int_equal(folders.items[1].ptr[folders.items[1].len], '\0');
}

static void a_tree_goes_without_packages_and_hidden_folders(void **state)
{
    char src[128];

    (void)state;
    snprintf(src, sizeof(src), "%s/src", top);
    folders_add_tree(&folders, slice_cstr(src));
    assert_int_equal(folders.n, 3);
    assert_true(has("src") && has("src/deep") && has("src/deep/er"));
}

static void a_project_is_its_folder_its_entry_and_its_migrations(void **state)
{
    struct project p;
    FILE *f;

    (void)state;
    assert_int_equal(chdir(top), 0);
    f = fopen("wrangler.json", "w");
    assert_non_null(f);
    fputs(
        "{\"main\":\"src/a.ts\",\"d1_databases\":[{\"binding\":\"DB\"},{\"binding\":\"D2\",\"migrations_dir\":\"gone\"}]}",
        f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(project_load(&(struct project_options){ 0 }, &p, NULL), STATUS_OK);
    folders_add_project(&folders, &p);
    folders_add_build_sources(&folders, &p); /* none without a build command */
    assert_int_equal(folders.n, 3);
    assert_true(has("") && has("src") && has("migrations"));
    project_release(&p);
    assert_int_equal(chdir("/"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_folder_is_there_once, begin, end),
        cmocka_unit_test_setup_teardown(a_tree_goes_without_packages_and_hidden_folders, begin, end),
        cmocka_unit_test_setup_teardown(a_project_is_its_folder_its_entry_and_its_migrations, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
