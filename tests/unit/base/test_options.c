/* Option tables: every way to write an option, and an error that names the word and what was meant. */
#include "../testing.h"

#include "base/options.h"

#include <unistd.h>

struct filled {
    bool loud, quick;
    const char *file;
    int64_t count;
    struct option_list tags;
};

static const struct option_row table[] = {
    { .name = "loud", .letter = 'l', .type = OPT_FLAG, .offset = offsetof(struct filled, loud), .help = "noise" },
    { .name = "quick", .type = OPT_FLAG, .offset = offsetof(struct filled, quick), .help = "haste" },
    { .name = "file", .letter = 'f', .type = OPT_TEXT, .offset = offsetof(struct filled, file), .value_name = "PATH" },
    { .name = "count", .type = OPT_INT, .offset = offsetof(struct filled, count), .value_name = "N", .min = -5, .max = 70 },
    { .name = "tag", .letter = 't', .type = OPT_LIST, .offset = offsetof(struct filled, tags), .value_name = "TAG" },
    { 0 },
};

static const char *words[4];
static size_t n_words;
static struct error err;

#define PARSE(into, ...)                                                                           \
    parse((into), sizeof((const char *[]){ "program", __VA_ARGS__ }) / sizeof(char *),             \
          (const char *[]){ "program", __VA_ARGS__ })

static enum status parse(struct filled *into, size_t argc, const char **argv)
{
    err = (struct error){ 0 };
    n_words = 99;
    return options_parse(table, (int)argc, (char **)argv, into, words, ARRAY_LEN(words), &n_words, &err);
}

static void all_ways_to_write_an_option(void **state UNUSED)
{
    struct filled f = { 0 };

    assert_int_equal(PARSE(&f, "--file", "a", "--count=-5", "-l", "one", "-t", "x", "--tag=y", "-t", "-z", "--quick", "two"),
                     STATUS_OK);
    assert_string_equal(f.file, "a");
    assert_int_equal(f.count, -5);
    assert_true(f.loud);
    assert_true(f.quick);
    assert_int_equal(f.tags.n, 3);
    assert_string_equal(f.tags.items[0], "x");
    assert_string_equal(f.tags.items[1], "y");
    assert_string_equal(f.tags.items[2], "-z");
    assert_int_equal(n_words, 2);
    assert_string_equal(words[0], "one");
    assert_string_equal(words[1], "two");
    option_list_release(&f.tags);
}

static void flags_can_be_taken_back(void **state UNUSED)
{
    struct filled f = { .loud = true, .quick = true };

    assert_int_equal(PARSE(&f, "--no-loud", "--quick=false"), STATUS_OK);
    assert_false(f.loud);
    assert_false(f.quick);
    assert_int_equal(PARSE(&f, "--quick=true", "--loud=1"), STATUS_OK);
    assert_true(f.loud);
    assert_true(f.quick);
}

static void behind_two_dashes_everything_is_a_word(void **state UNUSED)
{
    struct filled f = { 0 };

    assert_int_equal(PARSE(&f, "--", "--loud", "-l", "--"), STATUS_OK);
    assert_false(f.loud);
    assert_int_equal(n_words, 3);
    assert_string_equal(words[2], "--");
    assert_int_equal(PARSE(&f, "-"), STATUS_OK);
    assert_string_equal(words[0], "-");
}

static void values_may_be_empty_or_look_like_options(void **state UNUSED)
{
    struct filled f = { 0 };

    assert_int_equal(PARSE(&f, "--file="), STATUS_OK);
    assert_string_equal(f.file, "");
    assert_int_equal(PARSE(&f, "--file=a=b"), STATUS_OK);
    assert_string_equal(f.file, "a=b");
    assert_int_equal(PARSE(&f, "-f", "--loud"), STATUS_OK);
    assert_string_equal(f.file, "--loud");
}

static void errors_name_the_word_and_the_nearest_option(void **state UNUSED)
{
    struct filled f = { .count = 3 };

    assert_int_equal(PARSE(&f, "--coutn", "3"), STATUS_INVALID);
    assert_string_equal(err.msg, "unknown option '--coutn'; did you mean --count?");
    assert_int_equal(PARSE(&f, "--zzz"), STATUS_INVALID);
    assert_string_equal(err.msg, "unknown option '--zzz'; see --help");
    assert_int_equal(PARSE(&f, "-x"), STATUS_INVALID);
    assert_string_equal(err.msg, "unknown option '-x'; see --help");
    assert_int_equal(PARSE(&f, "-lf"), STATUS_INVALID);
    assert_int_equal(PARSE(&f, "--file"), STATUS_INVALID);
    assert_string_equal(err.msg, "--file needs a value: --file PATH");
    assert_int_equal(PARSE(&f, "--loud=maybe"), STATUS_INVALID);
    assert_string_equal(err.msg, "--loud takes no value");
    assert_int_equal(PARSE(&f, "--no-file"), STATUS_INVALID);
    assert_int_equal(PARSE(&f, "--no-loud=1"), STATUS_INVALID);
    assert_int_equal(PARSE(&f, "a", "b", "c", "d", "e"), STATUS_INVALID);
    assert_string_equal(err.msg, "unexpected argument 'e'; see --help");
}

static void numbers_are_whole_and_within_their_limits(void **state UNUSED)
{
    static const char *const bad[] = { "", "x", "1x", "1.5", "71", "-6", "99999999999999999999", "0x10", "1e1" };
    struct filled f = { .count = 3 };
    char word[64];

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(word, sizeof(word), "--count=%s", bad[i]);
        assert_int_equal(PARSE(&f, word), STATUS_INVALID);
        assert_int_equal(f.count, 3);
        assert_non_null(strstr(err.msg, "--count takes a whole number from -5 to 70"));
    }
    assert_int_equal(PARSE(&f, "--count", "70"), STATUS_OK);
    assert_int_equal(f.count, 70);
}

static void help_has_a_line_for_every_row(void **state UNUSED)
{
    char name[] = "/tmp/dione-unit-help-XXXXXX", text[2048];
    int fd = mkstemp(name), before;

    assert_true(fd >= 0);
    fflush(stdout);
    before = dup(STDOUT_FILENO);
    dup2(fd, STDOUT_FILENO);
    options_print_help(table);
    fflush(stdout);
    dup2(before, STDOUT_FILENO);
    close(before);
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    close(fd);
    unlink(name);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "-l, --loud"));
    assert_non_null(strstr(text, "    --quick"));
    assert_non_null(strstr(text, "-f, --file PATH"));
    assert_non_null(strstr(text, "haste"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_ways_to_write_an_option),
        cmocka_unit_test(flags_can_be_taken_back),
        cmocka_unit_test(behind_two_dashes_everything_is_a_word),
        cmocka_unit_test(values_may_be_empty_or_look_like_options),
        cmocka_unit_test(errors_name_the_word_and_the_nearest_option),
        cmocka_unit_test(numbers_are_whole_and_within_their_limits),
        cmocka_unit_test(help_has_a_line_for_every_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
