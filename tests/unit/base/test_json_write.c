/*
 * The JSON writer. Doubles must read as JavaScript's String(x) has them: doubles.txt holds the answers of a JavaScript
 * engine. Text is checked at every length around the eight bytes that the writer looks at together.
 */
#include "../testing.h"

#include "base/json.h"

#include <float.h>
#include <math.h>

static double double_of_bits(uint64_t bits)
{
    double v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

static void doubles_are_written_as_javascript_does(void **state UNUSED)
{
    FILE *f = fopen(UNIT_DIR "/base/doubles.txt", "r");
    char line[128], want[64];
    struct buf b = { 0 };
    unsigned long long bits;
    int n = 0, wrong = 0;

    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        if (line[0] == '#' || sscanf(line, "%16llx %63s", &bits, want) != 2)
            continue;
        buf_clear(&b);
        json_write_double(&b, double_of_bits(bits));
        n++;
        if (strcmp(b.ptr, want) != 0) {
            print_error("%016llx: got %s, JavaScript has %s\n", bits, b.ptr, want);
            wrong++;
        }
    }
    fclose(f);
    buf_release(&b);
    assert_true(n > 1500);
    assert_int_equal(wrong, 0);
}

static void check_round_trip(struct buf *b, double v)
{
    buf_clear(b);
    json_write_double(b, v);
    if (strtod(b->ptr, NULL) != v)
        fail_msg("%a was written as %s", v, b->ptr);
    if (b->len > 25)
        fail_msg("%s is longer than JavaScript's longest", b->ptr);
}

static void a_million_random_doubles_read_back(void **state UNUSED)
{
    uint64_t seed = test_seed();
    struct buf b = { 0 };

    for (int i = 0; i < 400000; i++) {
        double v = double_of_bits(test_random(&seed));
        if (isfinite(v))
            check_round_trip(&b, v);
    }
    for (int i = 0; i < 300000; i++) /* short decimals, as people write them */
        check_round_trip(&b, (double)(int64_t)(test_random(&seed) % 1000000000000) / (double)(1 + test_random(&seed) % 1000000));
    for (int i = 0; i < 300000; i++) /* sixteen digits: where two texts may mean the same double */
        check_round_trip(&b, (double)(test_random(&seed) >> 11) / pow(10, (double)(test_random(&seed) % 16)));
    buf_release(&b);
}

static void what_is_not_finite_is_null(void **state UNUSED)
{
    struct buf b = { 0 };

    json_write_double(&b, NAN);
    json_write_double(&b, INFINITY);
    json_write_double(&b, -INFINITY);
    CHECK_SLICE(buf_slice(&b), "nullnullnull");
    buf_release(&b);
}

static void integers_are_written_in_full(void **state UNUSED)
{
    struct buf b = { 0 };

    json_write_i64(&b, INT64_MIN);
    buf_append_char(&b, ' ');
    json_write_i64(&b, INT64_MAX);
    buf_append_char(&b, ' ');
    json_write_i64(&b, -1);
    buf_append_char(&b, ' ');
    json_write_i64(&b, 0);
    buf_append_char(&b, ' ');
    json_write_u64(&b, UINT64_MAX);
    CHECK_SLICE(buf_slice(&b), "-9223372036854775808 9223372036854775807 -1 0 18446744073709551615");
    buf_release(&b);
}

static void milliseconds_have_at_most_four_decimals(void **state UNUSED)
{
    static const struct {
        int64_t ns;
        const char *text;
    } rows[] = { { 0, "0" },         { 99, "0" },           { 100, "0.0001" },       { 199, "0.0001" },
                 { 1000, "0.001" },  { 123456, "0.1234" },  { 1000000, "1" },        { 1500000, "1.5" },
                 { 98765432100, "98765.4321" } };
    struct buf b = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        buf_clear(&b);
        json_write_ms(&b, rows[i].ns);
        assert_string_equal(b.ptr, rows[i].text);
    }
    buf_release(&b);
}

static void bytes_are_arrays_of_numbers(void **state UNUSED)
{
    struct buf b = { 0 }, want = { 0 };
    char all[256];

    json_write_bytes(&b, SLICE_NONE);
    CHECK_SLICE(buf_slice(&b), "[]");
    buf_clear(&b);
    for (int i = 0; i < 256; i++) {
        all[i] = (char)i;
        buf_printf(&want, "%c%d", i ? ',' : '[', i);
    }
    buf_append_char(&want, ']');
    json_write_bytes(&b, slice_of(all, sizeof(all)));
    assert_string_equal(b.ptr, want.ptr);
    buf_release(&b);
    buf_release(&want);
}

static void text_that_needs_care_is_found_at_every_place(void **state UNUSED)
{
    static const struct {
        const char *raw, *written;
    } rows[] = {
        { "\"", "\\\"" },       { "\\", "\\\\" },           { "\n", "\\n" },           { "\t", "\\t" },
        { "\b", "\\b" },        { "\f", "\\f" },            { "\r", "\\r" },           { "\x01", "\\u0001" },
        { "\x0b", "\\u000b" },  { "\x1f", "\\u001f" },      { "\x7f", "\x7f" },        { "\xC3\xA4", "\xC3\xA4" },
        { "\x80", "\xEF\xBF\xBD" }, { "\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" },
        { "\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80" }, { "\xE2\x82", "\xEF\xBF\xBD" }, { " !#[]~", " !#[]~" },
    };
    struct buf raw = { 0 }, b = { 0 }, want = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (int before = 0; before < 20; before++) {
            for (int after = 0; after < 10; after++) {
                buf_clear(&raw);
                buf_clear(&want);
                buf_clear(&b);
                for (int k = 0; k < before; k++)
                    buf_append_char(&raw, (char)('a' + k));
                buf_append_cstr(&raw, rows[i].raw);
                for (int k = 0; k < after; k++)
                    buf_append_char(&raw, (char)('A' + k));
                buf_printf(&want, "\"%.*s%s%.*s\"", before, "abcdefghijklmnopqrst", rows[i].written, after, "ABCDEFGHIJ");
                /* Of exactly this length, so that the sanitizer sees a read behind the end. */
                char *exact = malloc(raw.len);
                memcpy(exact, raw.ptr, raw.len);
                json_write_text(&b, slice_of(exact, raw.len));
                free(exact);
                assert_string_equal(b.ptr, want.ptr);
            }
        }
    }
    buf_release(&raw);
    buf_release(&b);
    buf_release(&want);
}

static void a_nul_is_a_character_like_any_other(void **state UNUSED)
{
    struct buf b = { 0 };

    json_write_text(&b, slice_of("a\0b", 3));
    CHECK_SLICE(buf_slice(&b), "\"a\\u0000b\"");
    buf_release(&b);
}

static void any_text_reads_back_when_it_is_utf8(void **state UNUSED)
{
    static const char *const parts[] = { "a", "\"", "\\", "\n", "\x1f", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "/", "\x7f" };
    uint64_t seed = test_seed();
    struct buf raw = { 0 }, b = { 0 };

    for (int i = 0; i < 5000; i++) {
        struct arena a;
        struct json *v = NULL;
        struct error err;
        buf_clear(&raw);
        buf_clear(&b);
        for (uint64_t n = test_random(&seed) % 40; n; n--)
            buf_append_cstr(&raw, parts[test_random(&seed) % ARRAY_LEN(parts)]);
        json_write_text(&b, buf_slice(&raw));
        arena_init(&a, 1 << 16);
        assert_int_equal(json_parse(buf_slice(&b), JSON_STRICT, &a, &v, &err), STATUS_OK);
        assert_true(slice_eq(v->text, buf_slice(&raw)));
        arena_release(&a);
    }
    buf_release(&raw);
    buf_release(&b);
}

static void a_tree_is_written_compact(void **state UNUSED)
{
    struct json *v = NULL;
    struct buf b = { 0 };
    struct arena a;
    struct error err;

    arena_init(&a, 1 << 16);
    assert_int_equal(json_parse(SLICE_LIT(" { \"a\" : [ 1.50 , null, true , false,\"x\\u000a\" ] , \"\" : { } } "), JSON_STRICT,
                                &a, &v, &err),
                     STATUS_OK);
    json_write_value(&b, v);
    CHECK_SLICE(buf_slice(&b), "{\"a\":[1.50,null,true,false,\"x\\n\"],\"\":{}}");
    arena_release(&a);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_are_written_as_javascript_does),
        cmocka_unit_test(a_million_random_doubles_read_back),
        cmocka_unit_test(what_is_not_finite_is_null),
        cmocka_unit_test(integers_are_written_in_full),
        cmocka_unit_test(milliseconds_have_at_most_four_decimals),
        cmocka_unit_test(bytes_are_arrays_of_numbers),
        cmocka_unit_test(text_that_needs_care_is_found_at_every_place),
        cmocka_unit_test(a_nul_is_a_character_like_any_other),
        cmocka_unit_test(any_text_reads_back_when_it_is_utf8),
        cmocka_unit_test(a_tree_is_written_compact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
