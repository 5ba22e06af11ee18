/*
 * command.h - commands as a tree of tables: finding, parsing, --help and exit codes walk the same rows.
 *
 * A command is a group (subcommands) or a leaf (run). The struct that a leaf's options fill starts with struct common.
 * wrangler's parser takes --skipConfirmation for --skip-confirmation, so this one does too.
 */
#ifndef DIONE_CLI_COMMAND_H
#define DIONE_CLI_COMMAND_H

#include "base/options.h"

/* What leaves that work on databases share: where those are, and for whom the output is. */
struct common {
    bool json;
    bool remote, local;
    const char *url, *token, *data;
    const char *config, *env;
};

enum { COMMAND_MAX_ARGS = 4 };

struct invocation {
    const struct command *command;
    const char *args[COMMAND_MAX_ARGS]; /* positional; those not given are NULL */
    size_t n_args;
    void *options; /* the command's own struct, zeroed and filled */
};

struct command {
    const char *name, *summary;
    const struct command *const *subcommands; /* group: NULL ends the list */
    /* Leaf: */
    const char *args; /* for the usage line, "NAME MESSAGE" */
    const char *notes; /* below the options in --help; NULL: none */
    size_t min_args, max_args;
    const struct option_row *options;
    size_t options_size;
    enum status (*run)(struct invocation *in, struct error *err);
    int (*run_raw)(int argc, char **argv); /* instead of run: a command that reads its own arguments */
};

/*
 * Runs what argv names below `root`; argv[0] is the program. Returns the exit code: 0, or 1 with the reason on
 * standard error (and as {"error": ...} on standard output when --json was asked for).
 */
int command_main(const struct command *root, int argc, char **argv);

/* Rows for the tables of leaves; struct common is at the start of what they fill. */
#define OPTION_JSON                                                                                            \
    { .name = "json", .type = OPT_FLAG, .offset = offsetof(struct common, json),                               \
      .help = "print JSON, for programs" }

#define OPTIONS_COMMON                                                                                         \
    { .name = "local", .type = OPT_FLAG, .offset = offsetof(struct common, local),                             \
      .help = "work on the data folder here (default)" },                                                      \
    { .name = "data", .type = OPT_TEXT, .offset = offsetof(struct common, data), .value_name = "DIR",          \
      .help = "the data folder (DIONE_DATA, else ./data)" },                                                   \
    { .name = "remote", .type = OPT_FLAG, .offset = offsetof(struct common, remote),                           \
      .help = "talk to a server" },                                                                            \
    { .name = "url", .type = OPT_TEXT, .offset = offsetof(struct common, url), .value_name = "URL",            \
      .help = "of that server (DIONE_URL, else http://127.0.0.1:8310)" },                                      \
    { .name = "token", .type = OPT_TEXT, .offset = offsetof(struct common, token), .value_name = "TOKEN",      \
      .help = "for that server (DIONE_TOKEN)" },                                                               \
    { .name = "config", .letter = 'c', .type = OPT_TEXT, .offset = offsetof(struct common, config),            \
      .value_name = "FILE", .help = "instead of wrangler.jsonc or wrangler.toml here" },                       \
    { .name = "env", .letter = 'e', .type = OPT_TEXT, .offset = offsetof(struct common, env),                  \
      .value_name = "NAME", .help = "the environment in that file" }

#endif
