/*
 * options.h - command-line options as tables: parsing and --help walk the same rows.
 *
 * Accepts --name VALUE, --name=VALUE, -x VALUE, --flag, --no-flag, and "--" before what only looks like an option.
 * Values are borrowed from argv. Meant for start-up: aborts when memory runs out.
 */
#ifndef DIONE_BASE_OPTIONS_H
#define DIONE_BASE_OPTIONS_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_type {
    OPT_FLAG, /* bool */
    OPT_TEXT, /* const char * */
    OPT_INT,  /* int64_t, within [min, max] */
    OPT_LIST, /* struct option_list: may be given more than once */
};

struct option_list {
    const char **items; /* owned; free with option_list_release */
    size_t n;
};

struct option_row {
    const char *name; /* without dashes; NULL ends the table */
    char letter;      /* 0: none */
    enum option_type type;
    size_t offset; /* of the field in the struct that is filled */
    const char *value_name, *help;
    int64_t min, max; /* OPT_INT only */
};

/*
 * Fills `into` from argv[1..argc). What is no option goes to positional[0..max_positional) and is counted in
 * *ret_n_positional. INVALID says which word is wrong, with the nearest known option where there is one.
 */
enum status options_parse(const struct option_row *table, int argc, char **argv, void *into, const char **positional,
                          size_t max_positional, size_t *ret_n_positional, struct error *err) MUST_CHECK;
/* One line a row, aligned, to standard output. */
void options_print_help(const struct option_row *table);
void option_list_release(struct option_list *list);

#endif
