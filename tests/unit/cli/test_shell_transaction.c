/* Which statements the shell takes for the ends of a transaction. */
#include "cli/shell_transaction.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum shell_transaction_word word_of(const char *sql)
{
    return shell_transaction_word(slice_cstr(sql));
}

static void the_words_are_known_in_all_their_forms(void **state)
{
    (void)state;
    assert_int_equal(word_of("BEGIN;"), TRANSACTION_WORD_BEGIN);
    assert_int_equal(word_of("begin immediate transaction ;"), TRANSACTION_WORD_BEGIN);
    assert_int_equal(word_of("-- so\n/* it */ Begin /* is */ Exclusive"), TRANSACTION_WORD_BEGIN);
    assert_int_equal(word_of("COMMIT;"), TRANSACTION_WORD_COMMIT);
    assert_int_equal(word_of("end transaction;"), TRANSACTION_WORD_COMMIT);
    assert_int_equal(word_of("ROLLBACK TRANSACTION; -- done"), TRANSACTION_WORD_ROLLBACK);
}

static void what_only_looks_like_them_is_left_to_sqlite(void **state)
{
    (void)state;
    assert_int_equal(word_of(""), TRANSACTION_NO_WORD);
    assert_int_equal(word_of(";"), TRANSACTION_NO_WORD);
    assert_int_equal(word_of("transaction;"), TRANSACTION_NO_WORD);
    assert_int_equal(word_of("beginning;"), TRANSACTION_NO_WORD);
    assert_int_equal(word_of("begintransaction;"), TRANSACTION_NO_WORD);
    assert_int_equal(word_of("begin work;"), TRANSACTION_NO_WORD);
    assert_int_equal(word_of("ROLLBACK TO a;"), TRANSACTION_NO_WORD);
    assert_int_equal(word_of("SELECT 'BEGIN';"), TRANSACTION_NO_WORD);
    assert_int_equal(word_of("BEGIN; SELECT 1;"), TRANSACTION_NO_WORD);
    assert_int_equal(word_of("COMMIT /* never closed"), TRANSACTION_WORD_COMMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_words_are_known_in_all_their_forms),
        cmocka_unit_test(what_only_looks_like_them_is_left_to_sqlite),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
