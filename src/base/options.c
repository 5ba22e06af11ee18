/* options.c - see options.h. */
#include "base/options.h"

#include "base/slice.h"

#include <stdio.h>
#include <stdlib.h>

static void *field(const struct option_row *row, void *into)
{
    return (char *)into + row->offset;
}

static const struct option_row *find_name(const struct option_row *table, struct slice name)
{
    for (; table->name; table++)
        if (slice_eq(slice_cstr(table->name), name))
            return table;
    return NULL;
}

static const struct option_row *find_letter(const struct option_row *table, char letter)
{
    for (; table->name; table++)
        if (table->letter == letter)
            return table;
    return NULL;
}

/* Length of the common start: enough to guess what was meant. */
static const char *nearest(const struct option_row *table, struct slice name)
{
    const char *best = NULL;
    size_t best_len = 1;

    for (; table->name; table++) {
        size_t n = 0;
        while (n < name.len && table->name[n] == name.ptr[n])
            n++;
        if (n > best_len) {
            best_len = n;
            best = table->name;
        }
    }
    return best;
}

static enum status unknown(const struct option_row *table, const char *word, struct slice name, struct error *err)
{
    const char *guess = nearest(table, name);

    if (guess)
        return error_set(err, STATUS_INVALID, 0, "unknown option '%s'; did you mean --%s?", word, guess);
    return error_set(err, STATUS_INVALID, 0, "unknown option '%s'; see --help", word);
}

static enum status set_int(const struct option_row *row, const char *value, int64_t *ret, struct error *err)
{
    char *end;
    long long v = strtoll(value, &end, 10);

    if (*end || end == value || v < row->min || v > row->max)
        return error_set(err, STATUS_INVALID, 0, "--%s takes a whole number from %lld to %lld, not '%s'", row->name,
                         (long long)row->min, (long long)row->max, value);
    *ret = v;
    return STATUS_OK;
}

static void list_add(struct option_list *list, const char *value)
{
    const char **grown = realloc(list->items, (list->n + 1) * sizeof(*grown));

    if (!grown)
        abort();
    list->items = grown;
    list->items[list->n++] = value;
}

void option_list_release(struct option_list *list)
{
    free(list->items);
    *list = (struct option_list){ 0 };
}

static enum status set_value(const struct option_row *row, const char *value, void *into, struct error *err)
{
    switch (row->type) {
    case OPT_TEXT:
        *(const char **)field(row, into) = value;
        return STATUS_OK;
    case OPT_INT:
        return set_int(row, value, field(row, into), err);
    case OPT_LIST:
        list_add(field(row, into), value);
        return STATUS_OK;
    case OPT_FLAG:
        break;
    }
    return error_set(err, STATUS_INVALID, 0, "--%s takes no value", row->name);
}

static enum status set_flag(const struct option_row *row, struct slice value, void *into, struct error *err)
{
    bool on = !value.ptr || slice_eq(value, SLICE_LIT("true")) || slice_eq(value, SLICE_LIT("1"));

    if (!on && !slice_eq(value, SLICE_LIT("false")) && !slice_eq(value, SLICE_LIT("0")))
        return error_set(err, STATUS_INVALID, 0, "--%s takes no value", row->name);
    *(bool *)field(row, into) = on;
    return STATUS_OK;
}

struct words {
    int argc, at;
    char **argv;
};

/* The option's value: behind '=', or the next word. */
static enum status take_value(struct words *w, const struct option_row *row, struct slice inline_value,
                              const char **ret, struct error *err)
{
    if (inline_value.ptr) {
        *ret = inline_value.ptr;
        return STATUS_OK;
    }
    if (w->at >= w->argc)
        return error_set(err, STATUS_INVALID, 0, "--%s needs a value: --%s %s", row->name, row->name, row->value_name);
    *ret = w->argv[w->at++];
    return STATUS_OK;
}

static enum status take_option(const struct option_row *table, struct words *w, void *into, struct error *err)
{
    const char *word = w->argv[w->at++], *value = NULL;
    const struct option_row *row;
    struct slice rest = slice_cstr(word + 2), name = SLICE_NONE;

    if (word[1] == '-') {
        name = slice_cut(&rest, '=');
        row = find_name(table, name);
        if (!row && slice_starts(name, SLICE_LIT("no-")) && !rest.ptr) {
            row = find_name(table, slice_from(name, 3));
            if (row && row->type == OPT_FLAG) {
                *(bool *)field(row, into) = false;
                return STATUS_OK;
            }
            row = NULL;
        }
    } else {
        row = word[2] ? NULL : find_letter(table, word[1]);
        rest = SLICE_NONE;
        name = slice_cstr(word + 1);
    }
    if (!row)
        return unknown(table, word, name, err);
    if (row->type == OPT_FLAG)
        return set_flag(row, rest, into, err);
    enum status st = take_value(w, row, rest, &value, err);
    return st == STATUS_OK ? set_value(row, value, into, err) : st;
}

enum status options_parse(const struct option_row *table, int argc, char **argv, void *into, const char **positional,
                          size_t max_positional, size_t *ret_n_positional, struct error *err)
{
    struct words w = { argc, 1, argv };
    size_t n = 0;
    bool only_words = false;

    while (w.at < argc) {
        const char *word = argv[w.at];
        if (!only_words && strcmp(word, "--") == 0) {
            only_words = true;
            w.at++;
        } else if (!only_words && word[0] == '-' && word[1]) {
            enum status st = take_option(table, &w, into, err);
            if (st != STATUS_OK)
                return st;
        } else {
            if (n == max_positional)
                return error_set(err, STATUS_INVALID, 0, "unexpected argument '%s'; see --help", word);
            positional[n++] = word;
            w.at++;
        }
    }
    *ret_n_positional = n;
    return STATUS_OK;
}

void options_print_help(const struct option_row *table)
{
    for (; table->name; table++) {
        char left[64], letter[8] = "    ";
        if (table->letter)
            snprintf(letter, sizeof(letter), "-%c, ", table->letter);
        snprintf(left, sizeof(left), "%s--%s %s", letter, table->name, table->value_name ? table->value_name : "");
        printf("  %-34s %s\n", left, table->help);
    }
}
