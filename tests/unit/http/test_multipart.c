/* multipart/form-data as real clients write it, at its limits, and what is said when it is wrong. */
#include "../testing.h"

#include "base/buf.h"
#include "http/multipart.h"

static struct arena arena;
static struct multipart m;
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

/* Parses a copy of exactly the text's size, so that the sanitizer sees a read behind its end. */
static enum status parse_slice(const char *content_type, struct slice body)
{
    char *copy = arena_alloc(&arena, body.len ? body.len : 1);

    assert_non_null(copy);
    memcpy(copy, body.ptr, body.len);
    return multipart_parse(slice_cstr(content_type), slice_of(copy, body.len), &arena, &m, &err);
}

#define FORM "multipart/form-data; boundary=b"

static enum status parse(const char *body)
{
    return parse_slice(FORM, slice_cstr(body));
}

static void check_refused(const char *body, const char *text, const char *file, int line)
{
    if (parse(body) == STATUS_INVALID && strstr(err.msg, text))
        return;
    print_error("got  %s\nwant %s\n", err.msg, text);
    _fail(file, line);
}

#define CHECK_REFUSED(body, text) check_refused((body), (text), __FILE__, __LINE__)

static void parts_come_in_order_with_name_type_and_bytes(void **state UNUSED)
{
    /* As undici writes it. */
    const char *body = "------formdata-undici-012345678901\r\n"
                       "Content-Disposition: form-data; name=\"metadata\"\r\n"
                       "\r\n"
                       "{\"main_module\":\"index.js\"}\r\n"
                       "------formdata-undici-012345678901\r\n"
                       "Content-Disposition: form-data; name=\"index.js\"; filename=\"index.js\"\r\n"
                       "Content-Type: application/javascript+module\r\n"
                       "\r\n"
                       "export default {}\n\r\n"
                       "------formdata-undici-012345678901--\r\n";

    assert_int_equal(parse_slice("multipart/form-data; boundary=----formdata-undici-012345678901", slice_cstr(body)),
                     STATUS_OK);
    assert_int_equal(m.n, 2);
    CHECK_SLICE(m.parts[0].name, "metadata");
    CHECK_SLICE(m.parts[0].body, "{\"main_module\":\"index.js\"}");
    assert_null(m.parts[0].filename.ptr);
    assert_null(m.parts[0].content_type.ptr);
    CHECK_SLICE(m.parts[1].name, "index.js");
    CHECK_SLICE(m.parts[1].filename, "index.js");
    CHECK_SLICE(m.parts[1].content_type, "application/javascript+module");
    CHECK_SLICE(m.parts[1].body, "export default {}\n");
    assert_ptr_equal(multipart_find(&m, "index.js"), &m.parts[1]);
    assert_null(multipart_find(&m, "index"));
}

static void curl_s_form_is_understood(void **state UNUSED)
{
    assert_int_equal(
        parse_slice("Multipart/Form-Data; charset=utf-8; Boundary=\"------------------------0123456789abcdef\"",
                    SLICE_LIT("--------------------------0123456789abcdef\r\n"
                              "Content-Disposition: form-data; name=\"value\"; filename=\"a%22b.txt\"\r\n"
                              "Content-Type: text/plain\r\n"
                              "\r\n"
                              "\r\n"
                              "--------------------------0123456789abcdef--\r\n")),
        STATUS_OK);
    assert_int_equal(m.n, 1);
    CHECK_SLICE(m.parts[0].filename, "a\"b.txt");
    assert_non_null(m.parts[0].body.ptr);
    assert_int_equal(m.parts[0].body.len, 0);
}

static void escapes_in_names_are_undone(void **state UNUSED)
{
    static const struct {
        const char *sent, *meant;
    } names[] = {
        { "a%22b", "a\"b" },
        { "a\\\"b", "a\"b" },
        { "a\\\\b", "a\\b" },
        { "a%0D%0Ab", "a\r\nb" },
        { "dir\\file", "dir\\file" },
        { "100%", "100%" },
        { "%41%2f", "%41%2f" },
        { "", "" },
        { "sm\xc3\xb8rrebr\xc3\xb8"
          "d",
          "sm\xc3\xb8rrebr\xc3\xb8"
          "d" },
        { "a;b=c", "a;b=c" },
        { "metadata[a]", "metadata[a]" },
        { "a/b c.js", "a/b c.js" },
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char body[256];
        snprintf(body, sizeof(body), "--b\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\nx\r\n--b--",
                 names[i].sent);
        assert_int_equal(parse(body), STATUS_OK);
        CHECK_SLICE(m.parts[0].name, names[i].meant);
    }
    assert_int_equal(parse("--b\r\ncontent-disposition:form-data;filename=f.txt ; name=token;\r\n\r\nx\r\n--b--"),
                     STATUS_OK);
    CHECK_SLICE(m.parts[0].name, "token");
    CHECK_SLICE(m.parts[0].filename, "f.txt");
}

static void what_looks_like_a_boundary_is_body(void **state UNUSED)
{
    assert_int_equal(parse("preamble\r\n--b \t\r\nContent-Disposition: form-data; name=a\r\n\r\n"
                           "--b\n\r\n--bc\r\n\r\n--b-\r\n-b--\r\n--b--epilogue\r\n--b\r\n"),
                     STATUS_OK);
    assert_int_equal(m.n, 1);
    CHECK_SLICE(m.parts[0].body, "--b\n\r\n--bc\r\n\r\n--b-\r\n-b--");
}

static void bodies_are_any_bytes(void **state UNUSED)
{
    struct slice body = SLICE_LIT("--b\r\nContent-Disposition: form-data; name=a\r\n\r\n\0\xff\r\n\r\r\n--b\r\n"
                                  "Content-Disposition: form-data; name=a\r\n\r\n\r\n--b--");

    assert_int_equal(parse_slice(FORM, body), STATUS_OK);
    assert_int_equal(m.n, 2);
    assert_true(slice_eq(m.parts[0].body, SLICE_LIT("\0\xff\r\n\r")));
    assert_int_equal(m.parts[1].body.len, 0);
}

static void a_part_may_end_with_its_head(void **state UNUSED)
{
    assert_int_equal(parse("--b\r\nContent-Disposition: form-data; name=a\r\n\r\n--b--"), STATUS_OK);
    assert_int_equal(m.parts[0].body.len, 0);
    assert_non_null(m.parts[0].body.ptr);
}

static void a_form_without_parts_is_empty(void **state UNUSED)
{
    assert_int_equal(parse("--b--\r\n"), STATUS_OK);
    assert_int_equal(m.n, 0);
    assert_null(multipart_find(&m, "a"));
}

static void only_form_data_with_a_boundary_is_taken(void **state UNUSED)
{
    static const char *const types[] = {
        "",
        "application/json",
        "multipart/mixed; boundary=b",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"b",
        "multipart/form-data; border=b",
        "multipart/form-data; boundary=01234567890123456789012345678901234567890123456789012345678901234567890",
    };

    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        assert_int_equal(parse_slice(types[i], SLICE_LIT("--b--")), STATUS_INVALID);
    assert_true(multipart_is_form(SLICE_LIT("multipart/form-data ; x")));
    assert_false(multipart_is_form(SLICE_LIT("multipart/form-datax")));
    assert_false(multipart_is_form(SLICE_NONE));
}

static void malformed_bodies_are_named(void **state UNUSED)
{
    CHECK_REFUSED("", "boundary of the Content-Type header is not in it");
    CHECK_REFUSED("hello", "boundary of the Content-Type header is not in it");
    CHECK_REFUSED("x--b--", "boundary of the Content-Type header is not in it");
    CHECK_REFUSED("--b", "boundary of the Content-Type header is not in it");
    CHECK_REFUSED("--b\r\n", "ends before its closing boundary");
    CHECK_REFUSED("--b\r\nContent-Disposition: form-data; name=a\r\n\r\nhalf", "ends before its closing boundary");
    CHECK_REFUSED("--b\r\n\r\n--b--", "part 1 has no empty line");
    CHECK_REFUSED("--b\r\nContent-Disposition: form-data; name=a\r\n--b--", "part 1 has no empty line");
    CHECK_REFUSED("--b\r\n\r\nx\r\n--b--", "part 1 has no name");
    CHECK_REFUSED("--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", "part 1 has no name");
    CHECK_REFUSED("--b\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n--b\r\nX: y\r\n\r\nx\r\n--b--",
                  "part 2 has no name");
    CHECK_REFUSED("--b\r\nContent-Disposition: inline; name=a\r\n\r\nx\r\n--b--", "other than form-data");
    CHECK_REFUSED("--b\r\nContent-Disposition: form-data; name=\"a\r\n\r\nx\r\n--b--", "malformed Content-Disposition");
    CHECK_REFUSED("--b\r\nContent-Disposition: form-data; name=\"a\"b\"\r\n\r\nx\r\n--b--",
                  "malformed Content-Disposition");
    CHECK_REFUSED("--b\r\nContent-Disposition: form-data; name\r\n\r\nx\r\n--b--", "malformed Content-Disposition");
    CHECK_REFUSED("--b\r\nnonsense\r\n\r\nx\r\n--b--", "without a colon");
    CHECK_REFUSED("--b\r\nContent-Disposition: form-data; name=\"\xff\"\r\n\r\nx\r\n--b--", "not UTF-8");
    CHECK_REFUSED(
        "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\neA==\r\n--b--",
        "Content-Transfer-Encoding");
    assert_int_equal(
        parse_slice(FORM, SLICE_LIT("--b\r\nContent-Disposition: form-data; name=\"a\0b\"\r\n\r\nx\r\n--b--")),
        STATUS_INVALID);
}

static void every_cut_of_a_body_is_refused(void **state UNUSED)
{
    struct slice whole = SLICE_LIT("--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"f\"\r\n"
                                   "Content-Type: text/plain\r\n\r\nbody\r\n--b\r\n"
                                   "Content-Disposition: form-data; name=b\r\n\r\n\r\n--b--");

    assert_int_equal(parse_slice(FORM, whole), STATUS_OK);
    for (size_t len = 0; len < whole.len; len++)
        assert_int_equal(parse_slice(FORM, slice_of(whole.ptr, len)), STATUS_INVALID);
}

static void many_parts_are_taken_up_to_the_limit(void **state UNUSED)
{
    struct buf b = { 0 };

    for (int i = 0; i < MULTIPART_MAX_PARTS; i++)
        buf_printf(&b, "--b\r\nContent-Disposition: form-data; name=\"%d\"\r\n\r\n%d\r\n", i, i * 2);
    size_t len = b.len;
    buf_append_cstr(&b, "--b--");
    assert_int_equal(parse_slice(FORM, buf_slice(&b)), STATUS_OK);
    assert_int_equal(m.n, MULTIPART_MAX_PARTS);
    CHECK_SLICE(multipart_find(&m, "777")->body, "1554");
    CHECK_SLICE(multipart_find(&m, "9999")->body, "19998");
    b.len = len;
    buf_append_cstr(&b, "--b\r\nContent-Disposition: form-data; name=one-more\r\n\r\n\r\n--b--");
    assert_int_equal(parse_slice(FORM, buf_slice(&b)), STATUS_TOOBIG);
    buf_release(&b);
}

static void a_head_has_a_limit(void **state UNUSED)
{
    struct buf b = { 0 };

    buf_append_cstr(&b, "--b\r\nContent-Disposition: form-data; name=a\r\nX: ");
    for (int i = 0; i < MULTIPART_MAX_HEAD_BYTES; i++)
        buf_append_char(&b, 'x');
    buf_append_cstr(&b, "\r\n\r\n\r\n--b--");
    assert_int_equal(parse_slice(FORM, buf_slice(&b)), STATUS_TOOBIG);
    buf_release(&b);
}

static void memory_that_runs_out_is_an_error(void **state UNUSED)
{
    struct arena small;

    arena_init(&small, 16);
    assert_int_equal(multipart_parse(SLICE_LIT(FORM),
                                     SLICE_LIT("--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--b--"),
                                     &small, &m, &err),
                     STATUS_NOMEM);
    arena_release(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(parts_come_in_order_with_name_type_and_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(curl_s_form_is_understood, setup, teardown),
        cmocka_unit_test_setup_teardown(escapes_in_names_are_undone, setup, teardown),
        cmocka_unit_test_setup_teardown(what_looks_like_a_boundary_is_body, setup, teardown),
        cmocka_unit_test_setup_teardown(bodies_are_any_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_part_may_end_with_its_head, setup, teardown),
        cmocka_unit_test_setup_teardown(a_form_without_parts_is_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(only_form_data_with_a_boundary_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed_bodies_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(every_cut_of_a_body_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(many_parts_are_taken_up_to_the_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(a_head_has_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_that_runs_out_is_an_error, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
