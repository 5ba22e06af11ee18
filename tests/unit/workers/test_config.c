/* What people write never becomes syntax of workerd's configuration, and each binding has its form. */
#include "../testing.h"

#include "base/buf.h"
#include "api/binding_token.h"
#include "workers/config.h"

static struct buf text;

static const char *write_config(const struct worker_binding *bindings, size_t n)
{
    struct worker_module module = { SLICE_LIT("src/a \"b\".js"), MODULE_ES, SLICE_LIT("/data/x\\y.js") };
    struct slice flag = SLICE_LIT("nodejs_compat");
    struct worker_spec spec = { .name = SLICE_LIT("me"),
                                .version_id = SLICE_LIT("v1"),
                                .version_tag = SLICE_LIT("t"),
                                .modules = &module,
                                .n_modules = 1,
                                .compatibility_date = SLICE_LIT("2026-01-31"),
                                .compatibility_flags = &flag,
                                .n_compatibility_flags = 1,
                                .bindings = bindings,
                                .n_bindings = n,
                                .assets_id = SLICE_LIT("assets-1") };
    struct config_options opt = { .binding_address = "unix:/run/b",
                                  .binding_key = "key",
                                  .assets_address = "unix:/run/a",
                                  .run_dir = "/run/d" };

    buf_clear(&text);
    config_write(&text, &spec, &opt);
    return text.ptr;
}

#define HAS(config, part) \
    do { \
        if (!strstr((config), (part))) \
            fail_msg("'%s' is not in:\n%s", (part), (config)); \
    } while (0)

static void texts_are_quoted(void **state UNUSED)
{
    struct worker_binding bindings[] = {
        { .name = SLICE_LIT("A\"), (name = \"B"), .kind = BINDING_TEXT, .value = SLICE_LIT("\"\\\n\x7f\xc3\xa9") },
        { .name = SLICE_LIT("J"), .kind = BINDING_JSON, .value = SLICE_LIT("{\"a\":\"b\"}") },
    };
    const char *config = write_config(bindings, 2);

    HAS(config, "(name = \"A\\\"), (name = \\\"B\", text = \"\\\"\\\\\\x0a\\x7f\xc3\xa9\")");
    HAS(config, "json = \"{\\\"a\\\":\\\"b\\\"}\"");
    HAS(config, "(name = \"src/a \\\"b\\\".js\", esModule = embed \"/data/x\\\\y.js\")");
    HAS(config, "compatibilityFlags = [\"nodejs_compat\"]");
}

static void resources_are_reached_with_their_header_and_a_token(void **state UNUSED)
{
    struct worker_binding bindings[] = {
        { .name = SLICE_LIT("DB"), .kind = BINDING_D1, .value = SLICE_LIT("db-1") },
        { .name = SLICE_LIT("KV"), .kind = BINDING_KV, .value = SLICE_LIT("kv-1") },
        { .name = SLICE_LIT("AS"), .kind = BINDING_ASSETS },
        { .name = SLICE_LIT("V"), .kind = BINDING_VERSION_METADATA },
    };
    const char *config = write_config(bindings, 4);
    char token[BINDING_TOKEN_LEN + 1], part[400];

    binding_token("key", "x-d1-database-id", SLICE_LIT("db-1"), token);
    snprintf(part, sizeof(part),
             "external = (address = \"unix:/run/b\", http = (injectRequestHeaders = [(name = \"x-d1-database-id\", value = "
             "\"db-1\"), (name = \"Authorization\", value = \"Bearer %s\")]))",
             token);
    HAS(config, part);
    HAS(config, "(name = \"x-kv-namespace-id\", value = \"kv-1\")");
    binding_token("key", "x-dione-assets", SLICE_LIT("assets-1"), token);
    snprintf(part, sizeof(part),
             "(name = \"x-dione-assets\", value = \"assets-1\"), (name = \"Authorization\", value = \"Bearer %s\")", token);
    HAS(config, part);
    HAS(config, "wrapped = (moduleName = \"dione:d1\"");
    HAS(config, "{\\\"id\\\":\\\"v1\\\",\\\"tag\\\":\\\"t\\\",\\\"timestamp\\\":\\\"1970-01-01T00:00:00.000Z\\\"}");
}

static void other_workers_are_reached_at_a_path_of_their_own(void **state UNUSED)
{
    struct worker_binding bindings[] = {
        { .name = SLICE_LIT("O"), .kind = BINDING_SERVICE, .value = SLICE_LIT("other") },
        { .name = SLICE_LIT("E"),
          .kind = BINDING_SERVICE,
          .value = SLICE_LIT("other"),
          .entrypoint = SLICE_LIT("Named") },
        { .name = SLICE_LIT("S"),
          .kind = BINDING_SERVICE,
          .value = SLICE_LIT("me"),
          .entrypoint = SLICE_LIT("Mine"),
          .props = SLICE_LIT("{\"x\":1}") },
    };
    const char *config = write_config(bindings, 3);
    char plain[CONFIG_SOCKET_MAX], named[CONFIG_SOCKET_MAX];

    config_worker_socket("/run/d", SLICE_LIT("other"), SLICE_NONE, plain);
    config_worker_socket("/run/d", SLICE_LIT("other"), SLICE_LIT("Named"), named);
    assert_string_not_equal(plain, named);
    HAS(config, plain);
    HAS(config, named);
    HAS(config,
        "(name = \"S\", service = (name = \"main\", entrypoint = \"Mine\", props = (json = \"{\\\"x\\\":1}\")))");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_quoted),
        cmocka_unit_test(resources_are_reached_with_their_header_and_a_token),
        cmocka_unit_test(other_workers_are_reached_at_a_path_of_their_own),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    buf_release(&text);
    return failed;
}
