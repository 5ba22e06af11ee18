/* Bundles made by the real esbuild, where it is installed; and globs. */
#include "../testing.h"

#include "cli/bundle.h"

#include <sys/stat.h>

#if defined(__aarch64__)
#define ESBUILD UNIT_DIR "/../../deps/node_modules/@esbuild/linux-arm64/bin/esbuild"
#else
#define ESBUILD UNIT_DIR "/../../deps/node_modules/@esbuild/linux-x64/bin/esbuild"
#endif

static char folder[64], out[128];
static struct project project;
static struct bundle bundle;
static struct buf messages;
static struct error err;

static int begin(void **state)
{
    (void)state;
    unsetenv("NODE_ENV");
    test_dir_make(folder);
    snprintf(out, sizeof(out), "%s/.out", folder);
    setenv("DIONE_ESBUILD", ESBUILD, 1);
    return chdir(folder) == 0 && mkdir(out, 0700) == 0 ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    bundle_release(&bundle);
    project_release(&project);
    buf_release(&messages);
    int rc = chdir("/");
    test_dir_remove(folder);
    return rc;
}

static void need_esbuild(void)
{
    if (access(ESBUILD, X_OK) != 0)
        skip();
}

static void write_bytes(const char *name, const void *bytes, size_t len)
{
    FILE *f = fopen(name, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void write_text(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text));
}

static enum status build(bool development)
{
    const struct project_options opt = { 0 };
    const struct bundle_options how = { .folder = out, .development = development };

    bundle_release(&bundle);
    project_release(&project);
    buf_clear(&messages);
    err.msg[0] = '\0';
    if (project_load(&opt, &project, &err) != STATUS_OK)
        fail_msg("no project: %s", err.msg);
    return bundle_build(&project, &how, &bundle, &messages, &err);
}

static void must_build(void)
{
    if (build(true) != STATUS_OK)
        fail_msg("no bundle: %s\n%s", err.msg, messages.ptr ? messages.ptr : "");
}

static char *content(struct slice path)
{
    static char text[256 * 1024];
    FILE *f = fopen(path.ptr, "r");

    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    return text;
}

static bool has_input(const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    for (size_t i = 0; i < bundle.n_inputs; i++)
        if (slice_eq(bundle.inputs[i], slice_cstr(path)))
            return true;
    return false;
}

static void globs_cross_folders_with_two_stars_only(void **state)
{
    static const struct {
        const char *glob, *path;
        bool fits;
    } cases[] = {
        { "**/*.txt", "a.txt", true },
        { "**/*.txt", "x/y/a.txt", true },
        { "**/*.txt", "a.txt.js", false },
        { "*.txt", "a.txt", true },
        { "*.txt", "x/a.txt", false },
        { "x/**", "x/y/z", true },
        { "x/**", "y/x/z", false },
        { "x/**/z", "x/z", true },
        { "x/**/z", "x/a/b/z", true },
        { "**/*.wasm?module", "a.wasm", false },
        { "**/*.wasm?module", "a.wasm?module", true },
        { "./a/*.js", "a/b.js", true },
        { "a*b*c", "aXbYc", true },
        { "a*b*c", "aXbY", false },
        { "", "", true },
        { "", "a", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (glob_fits(slice_cstr(cases[i].glob), slice_cstr(cases[i].path)) != cases[i].fits)
            fail_msg("%s on %s", cases[i].glob, cases[i].path);
}

static void typescript_becomes_one_module_with_a_map(void **state)
{
    (void)state;
    need_esbuild();
    write_text("wrangler.json", "{\"name\":\"w\",\"main\":\"src/index.ts\",\"compatibility_date\":\"2026-01-01\"}");
    assert_int_equal(mkdir("src", 0777), 0);
    write_text("src/index.ts", "import { word } from './word';\nexport default { fetch: (): Response => new "
                               "Response(word + process.env.NODE_ENV) };\n");
    write_text("src/word.ts", "export const word: string = 'hello';\n");
    must_build();
    assert_int_equal(bundle.n_modules, 1);
    assert_true(slice_eq(bundle.modules[0].name, SLICE_LIT("index.js")));
    assert_int_equal(bundle.modules[0].kind, MODULE_ES);
    assert_false(bundle.is_service_worker);
    assert_non_null(strstr(content(bundle.modules[0].path), "\"development\""));
    assert_non_null(strstr(content(bundle.source_map), "\"mappings\""));
    assert_true(has_input("src/index.ts") && has_input("src/word.ts"));
    assert_int_equal(bundle.n_inputs, 2);
    uint64_t before = bundle.digest;
    must_build();
    assert_true(bundle.digest == before);
    write_text("src/word.ts", "export const word: string = 'other';\n");
    must_build();
    assert_true(bundle.digest != before);
    assert_int_equal(build(false), STATUS_OK);
    assert_non_null(strstr(content(bundle.modules[0].path), "\"production\""));
}

static void imported_files_of_the_rules_are_modules(void **state)
{
    static const char wasm[8] = "\0asm\1\0\0";

    (void)state;
    need_esbuild();
    write_text("wrangler.json", "{\"main\":\"a.js\",\"compatibility_date\":\"2026-01-01\","
                                "\"rules\":[{\"type\":\"Text\",\"globs\":[\"**/*.md\"],\"fallthrough\":true}]}");
    write_text("a.js", "import t from './t.txt'; import m from './m.md'; import b from './b.bin';\n"
                       "import w from './w.wasm'; import w2 from './w.wasm?module';\n"
                       "export default { fetch: () => new Response([t, m, b, w, w2]) };\n");
    write_text("t.txt", "text");
    write_text("m.md", "# text");
    write_text("b.bin", "data");
    write_bytes("w.wasm", wasm, sizeof(wasm));
    must_build();
    assert_int_equal(bundle.n_modules, 6);
    static const enum module_kind kinds[] = {
        MODULE_ES, MODULE_TEXT, MODULE_TEXT, MODULE_DATA, MODULE_WASM, MODULE_WASM
    };
    for (size_t i = 0; i < bundle.n_modules; i++) {
        assert_int_equal(bundle.modules[i].kind, kinds[i]);
        assert_int_equal(access(bundle.modules[i].path.ptr, R_OK), 0);
    }
    assert_true(has_input("w.wasm") && has_input("m.md"));
}

static void node_modules_need_no_prefix_with_the_flag(void **state)
{
    static const char code[] = "import { Buffer } from 'buffer'; import { readFile } from 'fs/promises';\n"
                               "import old from './old.cjs';\n"
                               "export default { fetch: () => new Response(Buffer.from('x') + readFile + old) };\n";

    (void)state;
    need_esbuild();
    write_text("a.js", code);
    write_text("old.cjs", "module.exports = require('crypto').randomUUID();\n");
    write_text("wrangler.json", "{\"main\":\"a.js\",\"compatibility_date\":\"2026-01-01\","
                                "\"compatibility_flags\":[\"nodejs_compat\"]}");
    must_build();
    const char *text = content(bundle.modules[0].path);
    assert_non_null(strstr(text, "from \"node:buffer\""));
    assert_non_null(strstr(text, "from \"node:fs/promises\""));
    assert_non_null(strstr(text, "__require(\"node:crypto\")"));
    assert_non_null(strstr(text, "from \"node:crypto\""));
    assert_int_equal(bundle.n_flags, 0);
    write_text("wrangler.json", "{\"main\":\"a.js\",\"compatibility_date\":\"2024-12-30\","
                                "\"compatibility_flags\":[\"nodejs_compat\"]}");
    must_build();
    assert_int_equal(bundle.n_flags, 2);
    assert_true(slice_eq(bundle.flags[0], SLICE_LIT("enable_nodejs_process_v2")));
    assert_true(slice_eq(bundle.flags[1], SLICE_LIT("enable_nodejs_fs_module")));
    write_text("wrangler.json", "{\"main\":\"a.js\",\"compatibility_date\":\"2024-12-30\",\"compatibility_flags\":"
                                "[\"nodejs_compat\",\"disable_nodejs_process_v2\",\"enable_nodejs_fs_module\"]}");
    must_build();
    assert_int_equal(bundle.n_flags, 0);
    write_text("wrangler.json", "{\"main\":\"a.js\",\"compatibility_date\":\"2026-01-01\"}");
    assert_int_equal(build(true), STATUS_INVALID);
    assert_non_null(strstr(err.msg, "nodejs_compat"));
    assert_non_null(strstr(messages.ptr, "Could not resolve"));
}

static void a_script_without_exports_is_a_service_worker(void **state)
{
    (void)state;
    need_esbuild();
    write_text("wrangler.json", "{\"main\":\"a.js\",\"compatibility_date\":\"2026-01-01\"}");
    write_text("a.js", "addEventListener('fetch', (e) => e.respondWith(new Response('hi')));\n");
    must_build();
    assert_true(bundle.is_service_worker);
    assert_int_equal(strncmp(content(bundle.modules[0].path), "(() => {", 8), 0);
    write_text("a.js", "import t from './t.txt'; addEventListener('fetch', () => t);\n");
    write_text("t.txt", "x");
    assert_int_equal(build(true), STATUS_INVALID);
    assert_non_null(strstr(err.msg, "t-"));
}

static void without_bundling_files_stay_what_they_are(void **state)
{
    (void)state;
    need_esbuild();
    assert_int_equal(system("mkdir -p src/lib node_modules/x"), 0);
    write_text("src/index.js", "import './lib/b.js';\nexport default { fetch() {} };\n");
    write_text("src/lib/b.js", "export const b = 1;\n");
    write_text("src/lib/c.txt", "text");
    write_text("src/lib/d.md", "not for it");
    write_text("wrangler.json", "{\"main\":\"src/index.js\",\"no_bundle\":true,\"compatibility_date\":\"2026-01-01\","
                                "\"rules\":[{\"type\":\"ESModule\",\"globs\":[\"**/*.js\"]}]}");
    must_build();
    assert_int_equal(bundle.n_modules, 3);
    assert_true(slice_eq(bundle.modules[0].name, SLICE_LIT("index.js")));
    assert_true(slice_eq(bundle.modules[1].name, SLICE_LIT("lib/b.js")));
    assert_int_equal(bundle.modules[1].kind, MODULE_ES);
    assert_true(slice_eq(bundle.modules[2].name, SLICE_LIT("lib/c.txt")));
    assert_int_equal(bundle.modules[2].kind, MODULE_TEXT);
    assert_false(bundle.is_service_worker);
}

static void modules_are_found_beside_a_bundle_on_demand(void **state)
{
    (void)state;
    need_esbuild();
    assert_int_equal(system("mkdir -p src/lang"), 0);
    write_text("src/index.js",
               "const load = (name) => import('./' + 'lang/' + name);\nexport default { fetch: load };\n");
    write_text("src/lang/en.js", "export const hello = 'hello';\n");
    write_text("wrangler.json", "{\"main\":\"src/index.js\",\"find_additional_modules\":true,\"compatibility_date\":"
                                "\"2026-01-01\",\"rules\":[{\"type\":\"ESModule\",\"globs\":[\"lang/*.js\"]}]}");
    must_build();
    assert_int_equal(bundle.n_modules, 2);
    assert_true(slice_eq(bundle.modules[1].name, SLICE_LIT("lang/en.js")));
    write_text("wrangler.json", "{\"main\":\"src/index.js\",\"no_bundle\":true,\"find_additional_modules\":false,"
                                "\"rules\":[{\"type\":\"ESModule\",\"globs\":[\"lang/*.js\"]}]}");
    must_build();
    assert_int_equal(bundle.n_modules, 1);
}

static void mistakes_are_told_in_esbuilds_words(void **state)
{
    (void)state;
    need_esbuild();
    write_text("wrangler.json", "{\"main\":\"a.ts\",\"compatibility_date\":\"2026-01-01\"}");
    write_text("a.ts", "export default {\n  fetch( { }\n");
    assert_int_equal(build(true), STATUS_INVALID);
    assert_non_null(strstr(messages.ptr, "a.ts:"));
    write_text("a.ts", "import './gone';\n");
    assert_int_equal(build(true), STATUS_INVALID);
    assert_non_null(strstr(messages.ptr, "Could not resolve \"./gone\""));
    write_text("a.ts", "export default {};\n");
    write_text("wrangler.json", "{\"main\":\"a.ts\",\"rules\":[{\"type\":\"Text\",\"globs\":[\"x/*.js\"]}]}");
    assert_int_equal(build(true), STATUS_INVALID);
    assert_non_null(strstr(err.msg, "x/*.js"));
}

static void a_missing_esbuild_is_told_with_its_way_in(void **state)
{
    (void)state;
    setenv("DIONE_ESBUILD", "/nowhere/esbuild", 1);
    write_text("wrangler.json", "{\"main\":\"a.js\"}");
    write_text("a.js", "export default {};\n");
    assert_int_not_equal(build(true), STATUS_OK);
    assert_non_null(strstr(err.msg, "/nowhere/esbuild"));
}

static void a_build_command_runs_in_its_folder(void **state)
{
    (void)state;
    write_text("a.js", "export default {};\n");
    write_text("wrangler.json", "{\"main\":\"a.js\",\"build\":{\"command\":\"pwd > made.txt\",\"cwd\":\"sub\"}}");
    assert_int_equal(mkdir("sub", 0777), 0);
    assert_int_equal(project_load(&(struct project_options){ 0 }, &project, &err), STATUS_OK);
    assert_int_equal(bundle_run_command(&project, &err), STATUS_OK);
    assert_int_equal(access("sub/made.txt", R_OK), 0);
    project_release(&project);
    write_text("wrangler.json", "{\"main\":\"a.js\",\"build\":{\"command\":\"exit 3\"}}");
    assert_int_equal(project_load(&(struct project_options){ 0 }, &project, &err), STATUS_OK);
    assert_int_equal(bundle_run_command(&project, &err), STATUS_INVALID);
    assert_non_null(strstr(err.msg, "exit code 3"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(globs_cross_folders_with_two_stars_only),
        cmocka_unit_test_setup_teardown(typescript_becomes_one_module_with_a_map, begin, end),
        cmocka_unit_test_setup_teardown(imported_files_of_the_rules_are_modules, begin, end),
        cmocka_unit_test_setup_teardown(node_modules_need_no_prefix_with_the_flag, begin, end),
        cmocka_unit_test_setup_teardown(a_script_without_exports_is_a_service_worker, begin, end),
        cmocka_unit_test_setup_teardown(without_bundling_files_stay_what_they_are, begin, end),
        cmocka_unit_test_setup_teardown(modules_are_found_beside_a_bundle_on_demand, begin, end),
        cmocka_unit_test_setup_teardown(mistakes_are_told_in_esbuilds_words, begin, end),
        cmocka_unit_test_setup_teardown(a_missing_esbuild_is_told_with_its_way_in, begin, end),
        cmocka_unit_test_setup_teardown(a_build_command_runs_in_its_folder, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
