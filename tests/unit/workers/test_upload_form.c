/* The forms of an upload: parts with JSON metadata, the SDKs' nested fields, bare scripts; and what is none of them. */
#include "../testing.h"

#include "workers/upload.h"

static struct arena arena;
static struct error err;

static int setup(void **state UNUSED)
{
    arena_init(&arena, 8 << 20);
    return 0;
}

static int teardown(void **state UNUSED)
{
    arena_release(&arena);
    return 0;
}

static struct buf body;

static void part(const char *name, const char *filename, const char *text)
{
    buf_printf(&body, "--B\r\nContent-Disposition: form-data; name=\"%s\"", name);
    if (filename)
        buf_printf(&body, "; filename=\"%s\"\r\nContent-Type: application/javascript+module", filename);
    buf_printf(&body, "\r\n\r\n%s\r\n", text);
}

static enum status read_form(const char *type, struct upload *u)
{
    if (body.len)
        buf_append_cstr(&body, "--B--\r\n");
    struct slice copy = arena_copy(&arena, buf_slice(&body));
    buf_release(&body);
    body = (struct buf){ 0 };
    *u = (struct upload){ .content_type = slice_cstr(type), .body = copy, .arena = &arena };
    return upload_form_read(u, &err);
}

static const char form_type[] = "multipart/form-data; boundary=B";

static void metadata_is_json_in_a_part(void **state UNUSED)
{
    struct upload u;

    part("metadata", NULL, "{\"main_module\":\"a.js\"}");
    part("a.js", "a.js", "code");
    assert_int_equal(read_form(form_type, &u), STATUS_OK);
    CHECK_SLICE(json_get_text(u.metadata, "main_module"), "a.js");
    assert_int_equal(u.form.n, 2);
}

static void nested_fields_become_the_same_metadata(void **state UNUSED)
{
    struct upload u;
    struct buf text = { 0 };

    part("metadata[main_module]", NULL, "a.js");
    part("metadata[compatibility_flags][]", NULL, "one");
    part("metadata[compatibility_flags][]", NULL, "two");
    part("metadata[bindings][][name]", NULL, "A");
    part("metadata[bindings][][type]", NULL, "json");
    part("metadata[bindings][][json][deep]", NULL, "x");
    part("metadata[bindings][][name]", NULL, "B");
    part("metadata[bindings][][type]", NULL, "plain_text");
    part("metadata[bindings][][text]", NULL, "true");
    part("metadata[logpush]", NULL, "false");
    part("metadata[observability][enabled]", NULL, "true");
    part("files[a.js]", "other.js", "code");
    part("files[]", "listed.js", "more");
    assert_int_equal(read_form("application/javascript", &u), STATUS_OK);
    json_write_value(&text, u.metadata);
    CHECK_SLICE(buf_slice(&text),
                "{\"main_module\":\"a.js\",\"compatibility_flags\":[\"one\",\"two\"],"
                "\"bindings\":[{\"name\":\"A\",\"type\":\"json\",\"json\":{\"deep\":\"x\"}},{\"name\":\"B\","
                "\"type\":\"plain_text\",\"text\":\"true\"}],\"logpush\":false,\"observability\":{\"enabled\":true}}");
    buf_release(&text);
    assert_int_equal(u.form.n, 2);
    CHECK_SLICE(u.form.parts[0].name, "a.js");
    CHECK_SLICE(u.form.parts[1].name, "listed.js");
}

static void a_bare_script_is_a_service_worker(void **state UNUSED)
{
    struct upload u;

    u = (struct upload){ .content_type = SLICE_LIT("application/javascript; charset=utf-8"),
                         .body = SLICE_LIT("addEventListener('fetch', f)"),
                         .arena = &arena };
    assert_int_equal(upload_form_read(&u, &err), STATUS_OK);
    CHECK_SLICE(json_get_text(u.metadata, "body_part"), "script");
    CHECK_SLICE(u.form.parts[0].body, "addEventListener('fetch', f)");
}

static void what_is_no_form_is_refused(void **state UNUSED)
{
    struct upload u;

    part("a.js", "a.js", "code");
    assert_int_equal(read_form(form_type, &u), STATUS_FORM);
    assert_non_null(strstr(err.msg, "metadata"));
    part("metadata", NULL, "{\"main_module\":");
    assert_int_equal(read_form(form_type, &u), STATUS_FORM);
    part("metadata", NULL, "[]");
    assert_int_equal(read_form(form_type, &u), STATUS_FORM);
    buf_append_cstr(&body, "nonsense");
    assert_int_equal(read_form(form_type, &u), STATUS_FORM);
    assert_int_equal(read_form("text/plain", &u), STATUS_FORM);
    assert_int_equal(err.status, STATUS_FORM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(metadata_is_json_in_a_part, setup, teardown),
        cmocka_unit_test_setup_teardown(nested_fields_become_the_same_metadata, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bare_script_is_a_service_worker, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_form_is_refused, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
