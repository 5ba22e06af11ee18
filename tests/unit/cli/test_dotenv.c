/* .dev.vars and .env files, as the dotenv package reads them. */
#include "../testing.h"

#include "base/buf.h"
#include "cli/dotenv.h"

static struct arena arena;
static struct dotenv vars;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    vars = (struct dotenv){ 0 };
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

static void read_text(const char *text)
{
    dotenv_parse(slice_cstr(text), &arena, &vars);
}

static void check(const char *key, const char *expected)
{
    struct dotenv_entry *e = dotenv_find(&vars, slice_cstr(key));

    assert_non_null(e);
    if (!slice_eq(e->value, slice_cstr(expected)))
        fail_msg("%s is '%.*s', expected '%s'", key, SLICE_FMT(e->value), expected);
}

static void lines_hold_a_key_and_a_value(void **state)
{
    (void)state;
    read_text("# a remark\nA=1\n  B = two words \r\nexport C=3\n\nD=\nE: yaml\nF.G-H=dots\nA=again\n");
    check("A", "again");
    check("B", "two words");
    check("C", "3");
    check("D", "");
    check("E", "yaml");
    check("F.G-H", "dots");
    assert_int_equal(vars.unread_line, 0);
}

static void a_remark_ends_an_unquoted_value_only(void **state)
{
    (void)state;
    read_text("A=x # y\nB='x # y' # z\nC=\"x # y\"\nD=a#b\n");
    check("A", "x");
    check("B", "x # y");
    check("C", "x # y");
    check("D", "a");
}

static void quotes_hold_line_ends(void **state)
{
    (void)state;
    read_text("KEY=\"-----BEGIN\nline\n-----END\"\nTICKS=`it's \"so\"`\nNEXT=1\nLIT='a\\nb'\nESC=\"a\\nb\\rc\"\n");
    check("KEY", "-----BEGIN\nline\n-----END");
    check("TICKS", "it's \"so\"");
    check("NEXT", "1");
    check("LIT", "a\\nb");
    check("ESC", "a\nb\rc");
}

static void an_open_quote_is_part_of_the_value(void **state)
{
    (void)state;
    read_text("A=\"open\nB=2\n");
    check("A", "\"open");
    check("B", "2");
}

static void what_says_nothing_is_counted_by_line(void **state)
{
    (void)state;
    read_text("\xEF\xBB\xBF"
              "A=1\nno value here\nB=2");
    check("A", "1");
    check("B", "2");
    assert_int_equal(vars.unread_line, 2);
}

static void references_are_replaced_on_demand(void **state)
{
    (void)state;
    read_text("HOST=example.com\nURL=https://${HOST}/$PATH_\nPATH_=x\nNONE=[${MISSING}]\nOR=${MISSING:-a${HOST}b}\n"
              "PLAIN=\\$HOST and 5$\nCIRCLE=${CIRCLE}\nEMPTY=\nE=${EMPTY:-filled}\n");
    check("URL", "https://${HOST}/$PATH_");
    assert_true(dotenv_expand(&vars, &arena));
    check("URL", "https://example.com/x");
    check("NONE", "[]");
    check("OR", "aexample.comb");
    check("PLAIN", "$HOST and 5$");
    check("CIRCLE", "");
    check("E", "filled");
}

static void references_that_multiply_are_refused(void **state)
{
    struct buf text = { 0 };

    (void)state;
    for (int i = 14; i > 0; i--) /* the other way round each would be done before it is used */
        buf_printf(&text, "V%d=$V%d$V%d$V%d$V%d\n", i, i - 1, i - 1, i - 1, i - 1);
    buf_append_cstr(&text, "V0=\n");
    dotenv_parse(buf_slice(&text), &arena, &vars);
    assert_false(dotenv_expand(&vars, &arena));
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_hold_a_key_and_a_value, begin, end),
        cmocka_unit_test_setup_teardown(a_remark_ends_an_unquoted_value_only, begin, end),
        cmocka_unit_test_setup_teardown(quotes_hold_line_ends, begin, end),
        cmocka_unit_test_setup_teardown(an_open_quote_is_part_of_the_value, begin, end),
        cmocka_unit_test_setup_teardown(what_says_nothing_is_counted_by_line, begin, end),
        cmocka_unit_test_setup_teardown(references_are_replaced_on_demand, begin, end),
        cmocka_unit_test_setup_teardown(references_that_multiply_are_refused, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
