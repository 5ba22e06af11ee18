/* command.c - see command.h. */
#include "cli/command.h"

#include "base/buf.h"
#include "base/json.h"
#include "cli/interrupt.h"
#include "cli/print.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Codes of the API start here; errno and libcurl's codes, which `native` may hold too, are below. */
enum { API_CODE_MIN = 1000 };

/* "dione d1 migrations": how far the words have led. */
struct trail {
    char text[96];
};

static void trail_add(struct trail *t, const char *word)
{
    size_t len = strlen(t->text);

    snprintf(t->text + len, sizeof(t->text) - len, "%s%s", len ? " " : "", word);
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

/* ---- help ---- */

static void print_group_help(const struct command *group, const struct trail *trail)
{
    printf("%s\n\nUsage: %s COMMAND ...\n\nCommands:\n", group->summary, trail->text);
    for (const struct command *const *c = group->subcommands; *c; c++)
        printf("  %-12s %s\n", (*c)->name, (*c)->summary);
    printf("\n`%s COMMAND --help` tells more about each.\n", trail->text);
    if (group->notes)
        printf("\n%s\n", group->notes);
}

static void print_leaf_help(const struct command *leaf, const struct trail *trail)
{
    printf("%s\n\nUsage: %s%s%s [options]\n\nOptions:\n", leaf->summary, trail->text, leaf->args ? " " : "",
           leaf->args ? leaf->args : "");
    options_print_help(leaf->options);
    if (leaf->notes)
        printf("\n%s\n", leaf->notes);
}

/* ---- words ---- */

/* --skipConfirmation -> --skip-confirmation; values stay as they are. */
static char *kebab_option(const char *word)
{
    char *out = malloc(strlen(word) * 2 + 1), *p = out;

    if (!out)
        abort();
    for (; *word && *word != '='; word++) {
        if (isupper((unsigned char)*word))
            *p++ = '-';
        *p++ = (char)tolower((unsigned char)*word);
    }
    memcpy(p, word, strlen(word) + 1);
    return out;
}

static bool is_long_option(const char *word)
{
    return word[0] == '-' && word[1] == '-' && word[2];
}

struct words {
    char **items; /* items[0]: the command; long options are copies */
    int n;
};

static struct words words_copy(int argc, char **argv)
{
    struct words w = { calloc((size_t)argc + 1, sizeof(*w.items)), argc };
    bool only_args = false;

    if (!w.items)
        abort();
    for (int i = 0; i < argc; i++) {
        only_args |= strcmp(argv[i], "--") == 0;
        w.items[i] = !only_args && is_long_option(argv[i]) ? kebab_option(argv[i]) : strdup(argv[i]);
        if (!w.items[i])
            abort();
    }
    return w;
}

static void words_release(struct words *w)
{
    for (int i = 0; i < w->n; i++)
        free(w->items[i]);
    free(w->items);
}

/* ---- running a leaf ---- */

static void print_error_json(const struct error *err)
{
    struct buf text = { 0 };

    buf_append_cstr(&text, "{\"error\":{\"text\":");
    json_write_cstr(&text, err->msg);
    if (err->native >= API_CODE_MIN)
        buf_printf(&text, ",\"code\":%d", err->native);
    buf_append_cstr(&text, "}}");
    print_json(buf_slice(&text));
    buf_release(&text);
}

/* Piped to `head`, say, which has seen enough. */
static bool nobody_reads(void)
{
    struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };

    return poll(&out, 1, 0) > 0 && (out.revents & POLLERR);
}

static void end_by_sigpipe(void)
{
    (void)signal(SIGPIPE, SIG_DFL); /* the server in this process had it ignored */
    (void)raise(SIGPIPE);
}

static int report(enum status st, const struct error *err, bool json)
{
    if (st == STATUS_OK && fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    if (interrupt_requested())
        return 1; /* whoever pressed Ctrl-C knows */
    if ((st == STATUS_OK || err->native == EPIPE) && nobody_reads())
        end_by_sigpipe();
    if (st == STATUS_OK) {
        fprintf(stderr, "dione: cannot write the output\n");
        return 1;
    }
    if (json)
        print_error_json(err);
    fflush(stdout);
    fprintf(stderr, "dione: %s\n", err->msg);
    return 1;
}

static enum status check_args(const struct command *leaf, size_t n, const struct trail *trail, struct error *err)
{
    if (n >= leaf->min_args)
        return STATUS_OK;
    return error_set(err, STATUS_INVALID, 0, "something is missing: %s %s (see --help)", trail->text, leaf->args);
}

static void options_release(const struct option_row *row, void *options)
{
    for (; row->name; row++)
        if (row->type == OPT_LIST)
            option_list_release((struct option_list *)((char *)options + row->offset));
}

/* Asked of the words themselves: after a usage error not all options have been read. */
static bool wants_json(const struct words *w)
{
    for (int i = 1; i < w->n && strcmp(w->items[i], "--") != 0; i++)
        if (strcmp(w->items[i], "--json") == 0)
            return true;
    return false;
}

static int run_leaf(const struct command *leaf, const struct trail *trail, int argc, char **argv)
{
    struct words words = words_copy(argc, argv);
    struct invocation in = { .command = leaf, .options = calloc(1, leaf->options_size) };
    struct error err = { 0 };

    if (!in.options)
        abort();
    enum status st = options_parse(leaf->options, words.n, words.items, in.options, in.args, leaf->max_args, &in.n_args,
                                   &err);
    if (st == STATUS_OK)
        st = check_args(leaf, in.n_args, trail, &err);
    if (st == STATUS_OK)
        st = leaf->run(&in, &err);
    int code = report(st, &err, ((const struct common *)in.options)->json || wants_json(&words));
    options_release(leaf->options, in.options);
    free(in.options);
    words_release(&words);
    return code;
}

/* ---- finding it ---- */

static const struct command *find(const struct command *group, const char *word)
{
    for (const struct command *const *c = group->subcommands; *c; c++)
        if (strcmp((*c)->name, word) == 0)
            return *c;
    return NULL;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

int command_main(const struct command *root, int argc, char **argv)
{
    struct trail trail = { "" };
    const struct command *c = root;

    trail_add(&trail, root->name);
    while (c->subcommands) {
        if (argc < 2 || is_help(argv[1])) {
            print_group_help(c, &trail);
            return 0;
        }
        const struct command *next = find(c, argv[1]);
        if (!next) {
            fprintf(stderr, "dione: there is no command '%s %s'; `%s --help` lists them\n", trail.text, argv[1],
                    trail.text);
            return 1;
        }
        c = next;
        trail_add(&trail, c->name);
        argc--;
        argv++;
    }
    if (c->run_raw)
        return c->run_raw(argc, argv);
    if (wants_help(argc, argv)) {
        print_leaf_help(c, &trail);
        return 0;
    }
    interrupt_install();
    int code = run_leaf(c, &trail, argc, argv);
    interrupt_reraise();
    return code;
}
