/* A binding's token is good for the one resource that it was made for. */
#include "../testing.h"

#include "api/binding_token.h"

static bool is_good(const char *key, const char *header, const char *resource, const char *secret)
{
    return binding_token_is_good(key, header, slice_cstr(resource), slice_cstr(secret));
}

static void a_token_is_good_for_what_it_was_made_for(void **state UNUSED)
{
    char token[BINDING_TOKEN_LEN + 1], name[20];

    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "db-%d", i);
        binding_token("key", "x-a", slice_cstr(name), token);
        assert_true(is_good("key", "x-a", name, token));
        assert_true(is_good("key", "x-a", name, token)); /* as it is remembered */
        assert_false(is_good("key", "x-b", name, token));
        assert_false(is_good("yek", "x-a", name, token));
        assert_false(is_good("key", "x-a", "db", token));
        assert_false(is_good("key", "x-a", BINDING_ANY, token));
    }
}

static void what_is_no_token_is_refused(void **state UNUSED)
{
    char token[BINDING_TOKEN_LEN + 1], longer[BINDING_TOKEN_LEN + 2], resource[300];

    binding_token("key", "x-a", SLICE_LIT("db"), token);
    snprintf(longer, sizeof(longer), "%sa", token);
    assert_false(is_good("key", "x-a", "db", longer));
    assert_false(is_good("key", "x-a", "db", ""));
    assert_false(binding_token_is_good("key", "x-a", SLICE_LIT("db"), SLICE_NONE));
    token[5] = token[5] == 'a' ? 'b' : 'a';
    assert_false(is_good("key", "x-a", "db", token));
    memset(resource, 'r', sizeof(resource));
    resource[sizeof(resource) - 1] = '\0';
    binding_token("key", "x-a", slice_cstr(resource), token);
    assert_true(is_good("key", "x-a", resource, token));
    resource[0] = 's';
    assert_false(is_good("key", "x-a", resource, token));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_good_for_what_it_was_made_for),
        cmocka_unit_test(what_is_no_token_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
