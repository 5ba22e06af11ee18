/* Commands as tables: finding the leaf, filling its options, exit codes. */
#include "cli/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct cook_options {
    struct common common;
    const char *sauce;
    struct option_list extras;
    bool skip_dessert;
};

#define FIELD(name) offsetof(struct cook_options, name)

static const struct option_row options[] = {
    { "sauce", 0, OPT_TEXT, FIELD(sauce), "S", "s", 0, 0 },
    { "extra", 0, OPT_LIST, FIELD(extras), "E", "e", 0, 0 },
    { "skip-dessert", 'd', OPT_FLAG, FIELD(skip_dessert), NULL, "d", 0, 0 },
    OPTION_JSON,
    OPTIONS_COMMON,
    { 0 },
};

static struct {
    int runs, raw_argc;
    char dish[32], sauce[32];
    size_t n_args, n_extras;
    bool skip_dessert, json, fail;
} seen;

static enum status run(struct invocation *in, struct error *err)
{
    const struct cook_options *o = in->options;

    seen.runs++;
    seen.n_args = in->n_args;
    snprintf(seen.dish, sizeof(seen.dish), "%s", in->args[0]);
    snprintf(seen.sauce, sizeof(seen.sauce), "%s", o->sauce ? o->sauce : "");
    seen.n_extras = o->extras.n;
    seen.skip_dessert = o->skip_dessert;
    seen.json = o->common.json;
    return seen.fail ? error_set(err, STATUS_SQL, 7500, "burnt") : STATUS_OK;
}

static int run_raw(int argc, char **argv)
{
    seen.raw_argc = argc;
    return strcmp(argv[0], "raw") == 0 ? 0 : 1;
}

static const struct command cook = {
    .name = "cook", .summary = "c", .args = "DISH [SIDE]", .min_args = 1, .max_args = 2, .options = options,
    .options_size = sizeof(struct cook_options), .run = run,
};
static const struct command raw = { .name = "raw", .summary = "r", .run_raw = run_raw };
static const struct command *const kitchen_commands[] = { &cook, NULL };
static const struct command kitchen = { .name = "kitchen", .summary = "k", .subcommands = kitchen_commands };
static const struct command *const root_commands[] = { &kitchen, &raw, NULL };
static const struct command root = { .name = "house", .summary = "h", .subcommands = root_commands };

#define MAIN(...)                                                                                                      \
    ({                                                                                                                 \
        const char *argv_[] = { "house", __VA_ARGS__, NULL };                                                          \
        memset(&seen, 0, sizeof(seen));                                                                                \
        command_main(&root, (int)(sizeof(argv_) / sizeof(argv_[0])) - 1, (char **)argv_);                             \
    })

static void a_leaf_gets_its_words_and_options(void **state)
{
    (void)state;
    assert_int_equal(MAIN("kitchen", "cook", "--sauce=pesto", "pasta", "--extra", "a", "--extra", "b", "-d"),
                     0);
    assert_int_equal(seen.runs, 1);
    assert_string_equal(seen.dish, "pasta");
    assert_string_equal(seen.sauce, "pesto");
    assert_int_equal(seen.n_extras, 2);
    assert_int_equal(seen.n_args, 1);
    assert_true(seen.skip_dessert);
    assert_false(seen.json);
}

static void camel_case_options_are_taken_as_in_wrangler(void **state)
{
    (void)state;
    assert_int_equal(MAIN("kitchen", "cook", "--skipDessert", "--sauce", "camelCase", "X"), 0);
    assert_true(seen.skip_dessert);
    assert_string_equal(seen.sauce, "camelCase");
    assert_string_equal(seen.dish, "X");
    assert_int_equal(MAIN("kitchen", "cook", "--", "--skipDessert"), 0);
    assert_string_equal(seen.dish, "--skipDessert");
}

static void mistakes_end_with_1_and_run_nothing(void **state)
{
    (void)state;
    assert_int_equal(MAIN("bathroom"), 1);
    assert_int_equal(MAIN("kitchen", "clean"), 1);
    assert_int_equal(MAIN("kitchen", "cook"), 1);
    assert_int_equal(MAIN("kitchen", "cook", "a", "b", "c"), 1);
    assert_int_equal(MAIN("kitchen", "cook", "a", "--salt"), 1);
    assert_int_equal(MAIN("kitchen", "cook", "a", "--sauce"), 1);
    assert_int_equal(seen.runs, 0);
}

static void a_failing_command_ends_with_1(void **state)
{
    const char *argv[] = { "house", "kitchen", "cook", "a", NULL };

    (void)state;
    memset(&seen, 0, sizeof(seen));
    seen.fail = true;
    assert_int_equal(command_main(&root, 4, (char **)argv), 1);
    assert_int_equal(seen.runs, 1);
}

static void help_is_everywhere_and_runs_nothing(void **state)
{
    (void)state;
    assert_int_equal(MAIN("--help"), 0);
    assert_int_equal(MAIN("kitchen"), 0);
    assert_int_equal(MAIN("kitchen", "-h"), 0);
    assert_int_equal(MAIN("kitchen", "cook", "a", "--help"), 0);
    assert_int_equal(seen.runs, 0);
}

static void a_raw_command_reads_its_own_words(void **state)
{
    (void)state;
    assert_int_equal(MAIN("raw", "--help", "--anything"), 0);
    assert_int_equal(seen.raw_argc, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leaf_gets_its_words_and_options),
        cmocka_unit_test(camel_case_options_are_taken_as_in_wrangler),
        cmocka_unit_test(mistakes_end_with_1_and_run_nothing),
        cmocka_unit_test(a_failing_command_ends_with_1),
        cmocka_unit_test(help_is_everywhere_and_runs_nothing),
        cmocka_unit_test(a_raw_command_reads_its_own_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
