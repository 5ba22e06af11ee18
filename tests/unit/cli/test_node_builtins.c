/* The table of Node's modules. */
#include "../testing.h"

#include "cli/node_builtins.h"

static void imports_lead_to_their_module(void **state)
{
    (void)state;
    assert_string_equal(node_builtin_of(SLICE_LIT("node:fs"))->name, "fs");
    assert_string_equal(node_builtin_of(SLICE_LIT("node:fs/promises"))->flag, "enable_nodejs_fs_module");
    assert_null(node_builtin_of(SLICE_LIT("node:events"))->flag);
    assert_null(node_builtin_of(SLICE_LIT("fs")));
    assert_null(node_builtin_of(SLICE_LIT("node:nothing")));
    assert_null(node_builtin_of(SLICE_LIT("cloudflare:workers")));
}

static void every_row_is_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < NODE_BUILTINS; i++) {
        const struct node_builtin *n = &node_builtins[i];
        assert_non_null(n->name);
        assert_true((n->flag == NULL) == (n->since == NULL));
        if (n->flag) {
            assert_int_equal(strncmp(n->flag, "enable_nodejs_", 14), 0);
            assert_int_equal(strlen(n->since), 10);
        }
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(n->name, node_builtins[j].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(imports_lead_to_their_module),
        cmocka_unit_test(every_row_is_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
