/* What is refused of a Worker before a process is started for it. */
#include "../testing.h"

#include "workers/spec.h"

static struct worker_module module;
static struct worker_binding binding;
static struct worker_spec spec;
static struct error err;

static int begin(void **state)
{
    (void)state;
    module = (struct worker_module){ SLICE_LIT("index.js"), MODULE_ES, SLICE_LIT("/x/index.js") };
    binding = (struct worker_binding){ .name = SLICE_LIT("DB"), .kind = BINDING_D1, .value = SLICE_LIT("id") };
    spec = (struct worker_spec){ .name = SLICE_LIT("my-worker_2"),
                                 .version_id = SLICE_LIT("v"),
                                 .modules = &module,
                                 .n_modules = 1,
                                 .compatibility_date = SLICE_LIT("2026-01-01"),
                                 .bindings = &binding,
                                 .n_bindings = 1 };
    err.msg[0] = '\0';
    return 0;
}

static void check_refused(const char *part)
{
    assert_int_equal(worker_spec_check(&spec, &err), STATUS_INVALID);
    if (!strstr(err.msg, part))
        fail_msg("'%s' does not say '%s'", err.msg, part);
}

static void a_whole_spec_passes(void **state)
{
    (void)state;
    assert_int_equal(worker_spec_check(&spec, &err), STATUS_OK);
    spec.n_modules = 0;
    spec.compatibility_date = SLICE_NONE; /* nothing but static assets */
    assert_int_equal(worker_spec_check(&spec, &err), STATUS_OK);
}

static void names_are_parts_of_host_names(void **state)
{
    static const char *const bad[] = { "", "Upper", "dot.dot", "-a", "a_", "a b" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        spec.name = slice_cstr(bad[i]);
        check_refused("is no name for a Worker");
    }
}

static void modules_stay_where_they_are(void **state)
{
    static const char *const bad[] = { "/etc/x.js", "../x.js", "a/../../x.js", "a\\b.js" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        module.name = slice_cstr(bad[i]);
        check_refused("relative path");
    }
}

static void dates_are_dates_of_the_past(void **state)
{
    (void)state;
    spec.compatibility_date = SLICE_LIT("yesterday");
    check_refused("not of the form YYYY-MM-DD");
    spec.compatibility_date = SLICE_LIT("2999-01-01");
    check_refused("in the future");
    spec.compatibility_date = SLICE_NONE;
    check_refused("compatibility_date is needed");
}

static void a_script_without_modules_has_no_d1(void **state)
{
    (void)state;
    spec.is_service_worker = true;
    check_refused("'DB' needs a Worker in the format of ES modules");
    binding.kind = BINDING_KV;
    assert_int_equal(worker_spec_check(&spec, &err), STATUS_OK);
}

static void assets_need_files(void **state)
{
    (void)state;
    binding.kind = BINDING_ASSETS;
    check_refused("there are none");
    spec.assets_id = SLICE_LIT("x");
    assert_int_equal(worker_spec_check(&spec, &err), STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_whole_spec_passes, begin),
        cmocka_unit_test_setup(names_are_parts_of_host_names, begin),
        cmocka_unit_test_setup(modules_stay_where_they_are, begin),
        cmocka_unit_test_setup(dates_are_dates_of_the_past, begin),
        cmocka_unit_test_setup(a_script_without_modules_has_no_d1, begin),
        cmocka_unit_test_setup(assets_need_files, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
