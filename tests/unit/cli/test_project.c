/* A Worker project: wrangler's keys, their defaults, and what environments inherit. */
#include "../testing.h"

#include "cli/project.h"

static char folder[64];
static struct project project;
static struct error err;

static int enter_folder(void **state)
{
    (void)state;
    unsetenv("CLOUDFLARE_ENV");
    test_dir_make(folder);
    return chdir(folder);
}

static int empty_folder(void **state)
{
    (void)state;
    project_release(&project);
    return system("rm -rf ./* .dev.vars* .env*");
}

static int leave_folder(void **state)
{
    (void)state;
    int rc = chdir("/");
    test_dir_remove(folder);
    return rc;
}

static void write_text(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static enum status load_with(const struct project_options *opt)
{
    project_release(&project);
    err.msg[0] = '\0';
    return project_load(opt, &project, &err);
}

static void load(const char *env)
{
    const struct project_options opt = { .env = env };

    if (load_with(&opt) != STATUS_OK)
        fail_msg("not loaded: %s", err.msg);
}

static void check_refused(const char *config, const char *part)
{
    const struct project_options opt = { 0 };

    write_text("wrangler.json", config);
    assert_int_not_equal(load_with(&opt), STATUS_OK);
    if (!strstr(err.msg, part))
        fail_msg("'%s' does not say '%s'", err.msg, part);
}

static void check_text(struct slice got, const char *expected)
{
    if (!slice_eq(got, slice_cstr(expected)))
        fail_msg("'%.*s', expected '%s'", SLICE_FMT(got), expected);
}

static const struct project_binding *binding(const char *name)
{
    return project_binding(&project, slice_cstr(name));
}

static void check_value(const char *name, enum project_binding_kind kind, const char *value)
{
    assert_non_null(binding(name));
    assert_int_equal(binding(name)->kind, kind);
    check_text(binding(name)->value, value);
}

static void a_toml_file_says_everything(void **state)
{
    (void)state;
    write_text("index.ts", "");
    write_text("wrangler.toml", "name = 'shop'\nmain = './index.ts'\ncompatibility_date = 2026-01-01\n"
                                "compatibility_flags = ['nodejs_compat']\nroute = 'example.com/*'\nminify = true\n"
                                "vars = { TEXT = 'a', NUMBER = 5, OBJECT = { b = [1, true] } }\n"
                                "d1_databases = [{ binding = 'DB', database_name = 'shop-db', database_id = 'id-1' }]\n"
                                "kv_namespaces = [{ binding = 'KV', id = 'id-2' }]\n"
                                "services = [{ binding = 'AUTH', service = 'auth', entrypoint = 'Admin' }]\n"
                                "r2_buckets = [{ binding = 'FILES', bucket_name = 'files' }]\n"
                                "version_metadata = { binding = 'VERSION' }\n"
                                "[triggers]\ncrons = ['0 3 * * *', '*/5 * * * *']\n"
                                "[define]\nBUILD = '\"x\"'\n"
                                "[[durable_objects.bindings]]\nname = 'ROOMS'\nclass_name = 'Room'\n");
    load(NULL);
    check_text(project.name, "shop");
    check_text(project.compatibility_date, "2026-01-01");
    assert_true(project_has_flag(&project, "nodejs_compat"));
    assert_false(project_has_flag(&project, "nodejs"));
    assert_true(project_date_reaches(&project, "2024-09-23"));
    assert_false(project_date_reaches(&project, "2026-01-02"));
    assert_true(project.minify && project.keep_names && !project.no_bundle);
    assert_int_equal(project.n_crons, 2);
    check_text(project.crons[1], "*/5 * * * *");
    assert_int_equal(project.n_routes, 1);
    check_text(project.routes[0].pattern, "example.com/*");
    check_text(json_get_text(project.define, "BUILD"), "\"x\"");
    check_value("TEXT", PROJECT_TEXT, "a");
    check_value("NUMBER", PROJECT_JSON, "5");
    check_value("OBJECT", PROJECT_JSON, "{\"b\":[1,true]}");
    check_text(binding("DB")->id, "id-1");
    check_text(binding("DB")->target, "shop-db");
    check_text(binding("KV")->id, "id-2");
    check_text(binding("AUTH")->target, "auth");
    check_text(binding("AUTH")->entrypoint, "Admin");
    assert_int_equal(binding("VERSION")->kind, PROJECT_VERSION_METADATA);
    assert_int_equal(binding("FILES")->kind, PROJECT_FOREIGN);
    assert_string_equal(project_binding_label(binding("FILES")), "R2 bucket");
    assert_string_equal(project_binding_label(binding("ROOMS")), "Durable Object");
    assert_string_equal(project_binding_label(binding("DB")), "D1 database");
    assert_null(binding("NOTHING"));
}

static void environments_inherit_all_but_bindings(void **state)
{
    (void)state;
    write_text("a.js", "");
    write_text("b.js", "");
    write_text(
        "wrangler.jsonc",
        "{ // as people write it\n \"name\": \"shop\", \"main\": \"a.js\", \"compatibility_date\": \"2026-01-01\",\n"
        " \"vars\": {\"A\": \"top\"}, \"kv_namespaces\": [{\"binding\": \"KV\", \"id\": \"1\"}], \"minify\": true,\n"
        " \"triggers\": {\"crons\": [\"0 3 * * *\"]}, \"define\": {\"X\": \"1\"}, \"routes\": [\"a.com/*\"],\n"
        " \"env\": {\"staging\": {\"vars\": {\"B\": \"staging\"}},\n"
        "   \"live\": {\"name\": \"shop-for-real\", \"main\": \"b.js\", \"minify\": false, \"vars\": {},"
        "     \"triggers\": {\"crons\": []}, \"routes\": [{\"pattern\": \"b.com\", \"custom_domain\": true}]}} }");
    load(NULL);
    check_text(project.name, "shop");
    check_value("A", PROJECT_TEXT, "top");
    load("staging");
    check_text(project.name, "shop-staging");
    assert_true(slice_eq(slice_from(project.main, project.main.len - 5), SLICE_LIT("/a.js")));
    assert_null(binding("A"));
    assert_null(binding("KV"));
    assert_null(project.define);
    check_value("B", PROJECT_TEXT, "staging");
    assert_int_equal(project.n_crons, 1);
    assert_true(project.minify);
    check_text(project.routes[0].pattern, "a.com/*");
    struct buf remarks = { 0 };
    project_append_remarks(&project, &remarks);
    assert_string_equal(remarks.ptr,
                        "wrangler.jsonc: 'define' stands at the top level only; env.staging does not inherit "
                        "it, so it has none\nwrangler.jsonc: 'kv_namespaces' stands at the top level only; "
                        "env.staging does not inherit it, so it has none\n");
    buf_release(&remarks);
    load("live");
    check_text(project.name, "shop-for-real");
    assert_true(slice_eq(slice_from(project.main, project.main.len - 5), SLICE_LIT("/b.js")));
    assert_true(project.has_crons && project.n_crons == 0 && !project.minify);
    check_text(project.routes[0].pattern, "b.com");
    setenv("CLOUDFLARE_ENV", "staging", 1);
    load(NULL);
    check_text(project.name, "shop-staging");
    load("");
    check_text(project.name, "shop");
    unsetenv("CLOUDFLARE_ENV");
    assert_int_equal(load_with(&(struct project_options){ .env = "nope" }), STATUS_NOTFOUND);
}

static void the_command_line_wins(void **state)
{
    const char *vars[] = { "A:x:y", "NEW:1" }, *flags[] = { "nodejs_als" }, *bad[] = { "A=1" };
    struct project_options opt = {
        .main = "other.js",
        .name = "named",
        .compatibility_date = "2025-05-05",
        .vars = { vars, 2 },
        .compatibility_flags = { flags, 1 },
    };

    (void)state;
    write_text("other.js", "");
    write_text("wrangler.json", "{\"name\":\"shop\",\"main\":\"gone.js\",\"compatibility_date\":\"2026-01-01\","
                                "\"compatibility_flags\":[\"nodejs_compat\"],\"vars\":{\"A\":{\"b\":1}}}");
    assert_int_equal(load_with(&opt), STATUS_OK);
    check_text(project.name, "named");
    check_text(project.compatibility_date, "2025-05-05");
    assert_false(project_has_flag(&project, "nodejs_compat"));
    assert_true(project_has_flag(&project, "nodejs_als"));
    check_value("A", PROJECT_TEXT, "x:y");
    check_value("NEW", PROJECT_TEXT, "1");
    opt.vars = (struct option_list){ bad, 1 };
    assert_int_equal(load_with(&opt), STATUS_INVALID);
    assert_non_null(strstr(err.msg, "A=1"));
}

static void secrets_come_from_dev_vars_or_else_from_env(void **state)
{
    const struct option_list none = { 0 };
    const char *named[] = { "more" };

    (void)state;
    write_text("a.js", "");
    write_text("wrangler.json", "{\"name\":\"shop\",\"main\":\"a.js\",\"vars\":{\"A\":\"var\"},"
                                "\"env\":{\"staging\":{}, \"other\":{}}}");
    write_text(".env", "A=env\nHOST=h\n");
    write_text(".env.local", "URL=http://$HOST\n");
    load(NULL);
    assert_int_equal(project_read_secrets(&project, &none, NULL), STATUS_OK);
    check_value("A", PROJECT_SECRET, "env");
    check_value("URL", PROJECT_SECRET, "http://h");
    write_text(".dev.vars", "A=dev\nB=$HOST\n");
    write_text(".dev.vars.staging", "C=staging\n");
    load(NULL);
    assert_int_equal(project_read_secrets(&project, &none, NULL), STATUS_OK);
    check_value("A", PROJECT_SECRET, "dev");
    check_value("B", PROJECT_SECRET, "$HOST");
    assert_null(binding("HOST"));
    assert_string_equal(project_binding_label(binding("B")), "secret");
    load("staging");
    assert_int_equal(project_read_secrets(&project, &none, NULL), STATUS_OK);
    check_value("C", PROJECT_SECRET, "staging");
    assert_null(binding("B"));
    load("other");
    assert_int_equal(project_read_secrets(&project, &none, NULL), STATUS_OK);
    check_value("B", PROJECT_SECRET, "$HOST");
    write_text("more", "D=1\n");
    load(NULL);
    assert_int_equal(project_read_secrets(&project, &(struct option_list){ named, 1 }, NULL), STATUS_OK);
    check_value("D", PROJECT_SECRET, "1");
    assert_null(binding("B"));
    named[0] = "gone";
    assert_int_equal(project_read_secrets(&project, &(struct option_list){ named, 1 }, &err), STATUS_NOTFOUND);
    assert_non_null(strstr(err.msg, "/gone"));
}

static void a_secret_does_not_take_the_place_of_a_database(void **state)
{
    const struct option_list none = { 0 };

    (void)state;
    write_text("a.js", "");
    write_text("wrangler.json", "{\"main\":\"a.js\",\"d1_databases\":[{\"binding\":\"DB\"}]}");
    write_text(".dev.vars", "DB=1\n");
    load(NULL);
    assert_int_equal(project_read_secrets(&project, &none, &err), STATUS_INVALID);
    assert_non_null(strstr(err.msg, "'DB': a D1 database and a secret"));
}

static void declared_secrets_are_the_only_ones(void **state)
{
    const struct option_list none = { 0 };

    (void)state;
    write_text("a.js", "");
    write_text("wrangler.json", "{\"main\":\"a.js\",\"vars\":{\"V\":\"1\"},\"secrets\":{\"required\":[\"S\"]}}");
    write_text(".dev.vars", "S=s\nV=v\nOTHER=o\n");
    load(NULL);
    assert_int_equal(project_read_secrets(&project, &none, NULL), STATUS_OK);
    check_value("S", PROJECT_SECRET, "s");
    check_value("V", PROJECT_SECRET, "v");
    assert_null(binding("OTHER"));
}

static void a_rule_without_fallthrough_puts_the_defaults_of_its_kind_aside(void **state)
{
    (void)state;
    write_text("a.js", "");
    write_text("wrangler.json", "{\"main\":\"a.js\",\"rules\":[{\"type\":\"Text\",\"globs\":[\"**/*.md\"]},"
                                "{\"type\":\"Data\",\"globs\":[\"**/*.png\"],\"fallthrough\":true}]}");
    load(NULL);
    assert_int_equal(project.n_rules, 5);
    check_text(project.rules[0].glob, "**/*.md");
    check_text(project.rules[1].glob, "**/*.png");
    check_text(project.rules[2].glob, "**/*.bin");
    check_text(project.rules[3].glob, "**/*.wasm");
}

static void mistakes_name_the_file_and_the_key(void **state)
{
    (void)state;
    write_text("a.js", "");
    check_refused("{}", "wrangler.json names neither 'main' or 'assets.directory'");
    check_refused("{\"main\":\"b.js\"}", "/b.js");
    check_refused("{\"main\":\"a.py\"}", "Workers in Python are not available");
    check_refused("{\"main\":5}", "wrangler.json: 'main' must be text");
    check_refused("{\"main\":\"a.js\",\"name\":\"Has Space\"}", "'Has Space'");
    check_refused("{\"main\":\"a.js\",\"minify\":\"yes\"}", "'minify' must be true or false");
    check_refused("{\"main\":\"a.js\",\"vars\":[]}", "'vars' must be an object");
    check_refused("{\"main\":\"a.js\",\"d1_databases\":{}}", "'d1_databases' must be a list");
    check_refused("{\"main\":\"a.js\",\"d1_databases\":[{}]}", "d1_databases: an entry has no \"binding\"");
    check_refused("{\"main\":\"a.js\",\"services\":[{\"binding\":\"S\"}]}", "names no \"service\"");
    check_refused("{\"main\":\"a.js\",\"vars\":{\"X\":\"1\"},\"kv_namespaces\":[{\"binding\":\"X\"}]}",
                  "two bindings are called 'X': a variable and a KV namespace");
    check_refused("{\"main\":\"a.js\",\"triggers\":[]}", "'triggers'");
    check_refused("{\"main\":\"a.js\",\"triggers\":{\"crons\":\"* * * * *\"}}", "'triggers.crons'");
    check_refused("{\"main\":\"a.js\",\"routes\":[{}]}", "route");
    check_refused("{\"main\":\"a.js\",\"compatibility_flags\":\"x\"}", "'compatibility_flags'");
    check_refused("{\"main\":\"a.js\",\"define\":{\"X\":1}}", "'define.X' must be text");
    check_refused("{\"main\":\"a.js\",\"rules\":[{\"type\":\"PythonModule\",\"globs\":[]}]}", "PythonModule");
    check_refused("{\"main\":\"a.js\",\"site\":{\"bucket\":\"x\"}}", "Workers Sites");
    check_refused("{\"pages_build_output_dir\":\"x\"}", "Pages");
    check_refused("{\"assets\":{\"directory\":\"nowhere\"}}", "/nowhere");
    check_refused("{\"main\":\"a.js\",\"assets\":{\"binding\":\"A\"}}", "'assets.binding'");
    unlink("wrangler.json");
    write_text("wrangler.toml", "main = 'a.js'\nvars = { N = inf }\n");
    assert_int_equal(load_with(&(struct project_options){ 0 }), STATUS_INVALID);
    assert_non_null(strstr(err.msg, "vars.N"));
}

static void the_folder_is_the_real_one(void **state)
{
    (void)state;
    assert_int_equal(system("mkdir real && ln -s real link"), 0);
    write_text("real/a.js", "");
    write_text("real/wrangler.json", "{\"main\":\"a.js\"}");
    assert_int_equal(load_with(&(struct project_options){ .config = "link/wrangler.json" }), STATUS_OK);
    assert_true(slice_eq(slice_from(project.folder, project.folder.len - 5), SLICE_LIT("/real")));
}

static void a_file_alone_is_a_project(void **state)
{
    (void)state;
    write_text("a.js", "");
    assert_int_equal(load_with(&(struct project_options){ .main = "./a.js" }), STATUS_OK);
    assert_null(project.name.ptr);
    assert_int_equal(load_with(&(struct project_options){ 0 }), STATUS_NOTFOUND);
    assert_non_null(strstr(err.msg, "no wrangler.jsonc or wrangler.toml here"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_toml_file_says_everything, empty_folder),
        cmocka_unit_test_teardown(environments_inherit_all_but_bindings, empty_folder),
        cmocka_unit_test_teardown(the_command_line_wins, empty_folder),
        cmocka_unit_test_teardown(secrets_come_from_dev_vars_or_else_from_env, empty_folder),
        cmocka_unit_test_teardown(a_secret_does_not_take_the_place_of_a_database, empty_folder),
        cmocka_unit_test_teardown(declared_secrets_are_the_only_ones, empty_folder),
        cmocka_unit_test_teardown(a_rule_without_fallthrough_puts_the_defaults_of_its_kind_aside, empty_folder),
        cmocka_unit_test_teardown(mistakes_name_the_file_and_the_key, empty_folder),
        cmocka_unit_test_teardown(a_file_alone_is_a_project, empty_folder),
        cmocka_unit_test_teardown(the_folder_is_the_real_one, empty_folder),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
