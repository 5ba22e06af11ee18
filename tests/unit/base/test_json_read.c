/* The JSON reader: what is JSON and what is not, decoding, numbers, limits, and every cut of a text. */
#include "../testing.h"

#include "base/json.h"

static struct arena arena;
static struct error err;

static int setup(void **state UNUSED)
{
    arena_init(&arena, 4 << 20);
    return 0;
}

static int teardown(void **state UNUSED)
{
    arena_release(&arena);
    return 0;
}

static const struct json *parse_slice(struct slice text, enum json_mode mode)
{
    struct json *v = NULL;
    /* A copy of exactly this length, so that the sanitizer sees a read behind the end. */
    char *copy = malloc(text.len ? text.len : 1);

    err = (struct error){ 0 };
    memcpy(copy, text.len ? text.ptr : "", text.len);
    enum status st = json_parse(slice_of(copy, text.len), mode, &arena, &v, &err);
    if (st == STATUS_OK) {
        /* The tree points into the text, so it is written and read again from the arena's copy. */
        struct buf b = { 0 };
        json_write_value(&b, v);
        struct slice kept = arena_copy(&arena, buf_slice(&b));
        buf_release(&b);
        assert_int_equal(json_parse(kept, JSON_STRICT, &arena, &v, &err), STATUS_OK);
    }
    bool bom = slice_starts(text, SLICE_LIT("\xEF\xBB\xBF"));
    if (mode == JSON_STRICT && st != STATUS_NOMEM)
        assert_int_equal(json_is_valid(slice_of(copy, text.len)), st == STATUS_OK && !bom);
    free(copy);
    return st == STATUS_OK ? v : NULL;
}

static const struct json *parse(const char *text)
{
    return parse_slice(slice_cstr(text), JSON_STRICT);
}

static void values_of_every_type(void **state UNUSED)
{
    const struct json *v = parse(" {\"a\" : [ null , true,false,-1.5e+3,\"x\\n\" , {} , [] ] } ");

    assert_non_null(v);
    assert_int_equal(v->type, JSON_OBJECT);
    assert_int_equal(v->n, 1);
    const struct json *a = json_get(v, "a"), *e = a->child;
    assert_int_equal(a->n, 7);
    static const enum json_type types[] = { JSON_NULL, JSON_TRUE, JSON_FALSE, JSON_NUMBER, JSON_STRING, JSON_OBJECT, JSON_ARRAY };
    for (size_t i = 0; i < ARRAY_LEN(types); i++, e = e->next)
        assert_int_equal(e->type, types[i]);
    assert_null(e);
    assert_true(json_double(a->child->next->next->next) == -1500.0);
    CHECK_SLICE(a->child->next->next->next->next->text, "x\n");
}

static void what_is_not_json_is_refused_with_its_place(void **state UNUSED)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        { "", "unexpected end at byte 0" },
        { "  ", "unexpected end at byte 2" },
        { "nul", "unexpected character at byte 0" },
        { "True", "unexpected character at byte 0" },
        { "[1,]", "unexpected character at byte 3" },
        { "[1 2]", "',' or ']' expected at byte 3" },
        { "{\"a\":1 \"b\":2}", "',' or '}' expected at byte 7" },
        { "{a:1}", "member name expected at byte 1" },
        { "{\"a\" 1}", "':' expected at byte 5" },
        { "{\"a\":1,}", "member name expected at byte 7" },
        { "[", "unexpected end at byte 1" },
        { "1 2", "text after the value at byte 2" },
        { "01", "text after the value at byte 1" },
        { "-", "unexpected character at byte 1" },
        { "+1", "unexpected character at byte 0" },
        { ".5", "unexpected character at byte 0" },
        { "1.", "digits missing after the decimal point at byte 2" },
        { "1.e3", "digits missing after the decimal point at byte 2" },
        { "1e", "digits missing in the exponent at byte 2" },
        { "1e+", "digits missing in the exponent at byte 3" },
        { "NaN", "unexpected character at byte 0" },
        { "\"a", "unterminated string at byte 2" },
        { "\"a\\", "unterminated string at byte 3" },
        { "\"a\\\"", "unterminated string at byte 4" },
        { "\"a\nb\"", "control character in a string at byte 2" },
        { "\"\\x\"", "invalid escape in a string at byte 1" },
        { "\"ab\\u12g4\"", "invalid escape in a string at byte 3" },
        { "\"\\u12\"", "invalid escape in a string at byte 1" },
        { "\"a\x80\"", "text that is not UTF-8 at byte 2" },
        { "// x\n1", "unexpected character at byte 0" },
        { "'a'", "unexpected character at byte 0" },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_null(parse(rows[i].text));
        assert_int_equal(err.status, STATUS_INVALID);
        assert_string_equal(err.msg, rows[i].message);
    }
    assert_null(parse_slice(slice_of("1\0", 2), JSON_STRICT));
    assert_null(parse_slice(slice_of("\"\\\0\"", 4), JSON_STRICT));
}

static void relaxed_text_may_have_comments_and_trailing_commas(void **state UNUSED)
{
    const struct json *v =
        parse_slice(SLICE_LIT("// one\n{ /* two; \" */ \"a\": [1, 2, /**/ ], // three\n \"b\": {\"c\": \"//x\",}, } // four"),
                    JSON_RELAXED);

    assert_non_null(v);
    assert_int_equal(json_get(v, "a")->n, 2);
    CHECK_SLICE(json_get_text(json_get(v, "b"), "c"), "//x");
    assert_null(parse_slice(SLICE_LIT("[,]"), JSON_RELAXED));
    assert_null(parse_slice(SLICE_LIT("[1,,]"), JSON_RELAXED));
    assert_null(parse_slice(SLICE_LIT("[1, /* never closed"), JSON_RELAXED));
    assert_null(parse_slice(SLICE_LIT("[1] /"), JSON_RELAXED));
    assert_non_null(parse_slice(SLICE_LIT("[1] /**"), JSON_RELAXED));
}

static void escapes_are_decoded(void **state UNUSED)
{
    const struct json *v = parse("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\", \"\\u0041\\u00e4\\u20AC\\ud83d\\ude00\", \"\\u0000\"]");

    assert_non_null(v);
    CHECK_SLICE(v->child->text, "\"\\/\b\f\n\r\t");
    CHECK_SLICE(v->child->next->text, "A\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80");
    assert_int_equal(v->child->next->next->text.len, 1);
    assert_int_equal(v->child->next->next->text.ptr[0], 0);
}

static void lone_surrogates_become_the_replacement_character(void **state UNUSED)
{
    static const struct {
        const char *text, *decoded;
    } rows[] = {
        { "\"\\ud83d\"", "\xEF\xBF\xBD" },
        { "\"\\ude00\"", "\xEF\xBF\xBD" },
        { "\"\\ud83dx\"", "\xEF\xBF\xBDx" },
        { "\"\\ud83d\\n\"", "\xEF\xBF\xBD\n" },
        { "\"\\ud83d\\ud83d\\ude00\"", "\xEF\xBF\xBD\xF0\x9F\x98\x80" },
        { "\"\\ud83d\\u0041\"", "\xEF\xBF\xBD" "A" },
        { "\"\\uDBFF\\uDFFF\"", "\xF4\x8F\xBF\xBF" },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct json *v = parse(rows[i].text);
        assert_non_null(v);
        CHECK_SLICE(v->text, rows[i].decoded);
    }
}

static void a_byte_order_mark_is_skipped_once(void **state UNUSED)
{
    assert_non_null(parse("\xEF\xBB\xBF 1"));
    assert_null(parse("\xEF\xBB\xBF\xEF\xBB\xBF" "1"));
}

static void depth_is_bounded(void **state UNUSED)
{
    char text[2 * JSON_MAX_DEPTH + 8];

    for (int depth = JSON_MAX_DEPTH; depth <= JSON_MAX_DEPTH + 1; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = '\0';
        if (depth <= JSON_MAX_DEPTH) {
            assert_non_null(parse(text));
        } else {
            assert_null(parse(text));
            assert_non_null(strstr(err.msg, "nested too deeply"));
        }
    }
    /* Depth counts what is open, not what was. */
    struct buf b = { 0 };
    for (int i = 0; i < 200; i++)
        buf_append_cstr(&b, i ? ",[{}]" : "[[{}]");
    buf_append_cstr(&b, "]");
    assert_non_null(parse(b.ptr));
    buf_release(&b);
}

static void the_last_member_of_a_name_wins(void **state UNUSED)
{
    const struct json *v = parse("{\"a\":1,\"b\":\"x\",\"a\":2}");
    int64_t i;

    assert_true(json_i64(json_get(v, "a"), &i));
    assert_int_equal(i, 2);
    assert_null(json_get(v, "c"));
    assert_null(json_get(NULL, "c"));
    assert_null(json_get(v->child, "c"));
    assert_null(json_get_text(v, "a").ptr);
    CHECK_SLICE(json_get_text(v, "b"), "x");
}

static void integers_are_exact_or_refused(void **state UNUSED)
{
    static const struct {
        const char *text;
        bool fits;
        int64_t value;
    } rows[] = {
        { "0", true, 0 },
        { "-0", true, 0 },
        { "9223372036854775807", true, INT64_MAX },
        { "-9223372036854775808", true, INT64_MIN },
        { "9223372036854775808", false, 0 },
        { "-9223372036854775809", false, 0 },
        { "99999999999999999999999", false, 0 },
        { "1.0", false, 0 },
        { "1e3", false, 0 },
        { "\"1\"", false, 0 },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t v = 77;
        assert_int_equal(json_i64(parse(rows[i].text), &v), rows[i].fits);
        assert_int_equal(v, rows[i].fits ? rows[i].value : 77);
    }
    assert_false(json_i64(NULL, &(int64_t){ 0 }));
}

static void doubles_are_read_as_the_c_library_reads_them(void **state UNUSED)
{
    char zeros[400];

    assert_true(json_double(parse("1e308")) == 1e308);
    assert_true(json_double(parse("1e400")) > 1e308);
    assert_true(json_double(parse("4.9e-324")) == 4.9e-324);
    assert_true(json_double(parse("\"1\"")) == 0);
    assert_true(json_double(NULL) == 0);
    snprintf(zeros, sizeof(zeros), "0.%0300d5e301", 0);
    assert_true(json_double(parse(zeros)) == 5);
}

static void every_prefix_of_a_text_is_refused_and_nothing_is_read_behind_it(void **state UNUSED)
{
    struct slice text = SLICE_LIT("{\"k\\u00e4y\":[1.5e-3,\"\xE2\x82\xAC\\ud83d\\ude00\",true,null,{\"a\":{}},-0],\"x\":\"\"}");

    for (size_t len = 0; len < text.len; len++)
        assert_null(parse_slice(slice_of(text.ptr, len), JSON_STRICT));
    assert_non_null(parse_slice(text, JSON_STRICT));
}

static void any_byte_in_any_place_gives_a_tree_or_an_error(void **state UNUSED)
{
    struct slice text = SLICE_LIT("{\"k\\u00e4y\":[1.5e-3,\"\xE2\x82\xAC\\ud83d\"],\"x\":true}");
    uint64_t seed = test_seed();
    char copy[128];

    for (size_t at = 0; at < text.len; at++) {
        for (int byte = 0; byte < 256; byte++) {
            memcpy(copy, text.ptr, text.len);
            copy[at] = (char)byte;
            if (test_random(&seed) % 4 == 0)
                copy[test_random(&seed) % text.len] = (char)test_random(&seed);
            bool ok = parse_slice(slice_of(copy, text.len), test_random(&seed) % 2 ? JSON_STRICT : JSON_RELAXED);
            assert_true(ok == (err.status == STATUS_OK));
            arena_reset(&arena);
        }
    }
}

static void without_memory_it_says_so_at_every_step(void **state UNUSED)
{
    struct buf text = { 0 };
    bool done = false;
    size_t refused = 0;

    for (int i = 0; i < 200; i++)
        buf_printf(&text, "%c{\"name\\n%d\":[%d,\"v\\t\",null]}", i ? ',' : '[', i, i);
    buf_append_cstr(&text, "]");
    for (size_t limit = 0; !done; limit += 1000) {
        struct arena small;
        struct json *v = NULL;
        arena_init(&small, limit);
        enum status st = json_parse(buf_slice(&text), JSON_STRICT, &small, &v, &err);
        done = st == STATUS_OK;
        if (!done) {
            assert_int_equal(st, STATUS_NOMEM);
            assert_null(v);
            refused++;
        }
        arena_release(&small);
    }
    assert_true(refused > 10);
    buf_release(&text);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(values_of_every_type),
        TEST(what_is_not_json_is_refused_with_its_place),
        TEST(relaxed_text_may_have_comments_and_trailing_commas),
        TEST(escapes_are_decoded),
        TEST(lone_surrogates_become_the_replacement_character),
        TEST(a_byte_order_mark_is_skipped_once),
        TEST(depth_is_bounded),
        TEST(the_last_member_of_a_name_wins),
        TEST(integers_are_exact_or_refused),
        TEST(doubles_are_read_as_the_c_library_reads_them),
        TEST(every_prefix_of_a_text_is_refused_and_nothing_is_read_behind_it),
        TEST(any_byte_in_any_place_gives_a_tree_or_an_error),
        TEST(without_memory_it_says_so_at_every_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
