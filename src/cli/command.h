/*
 * command.h - commands as a tree of tables: finding, parsing, --help and exit codes walk the same rows.
 *
 * A command is a group (subcommands) or a leaf (run). The struct that a leaf's options fill starts with
 * struct common. wrangler's parser takes --skipConfirmation for --skip-confirmation, so this one does too.
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
    const char *args;  /* for the usage line, "NAME MESSAGE" */
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
#define COMMON_FIELD(name) offsetof(struct common, name)

#define OPTION_JSON \
    { \
        "json", 0, OPT_FLAG, COMMON_FIELD(json), NULL, "print JSON, for programs", 0, 0 \
    }

#define OPTIONS_COMMON \
    { "local", 0, OPT_FLAG, COMMON_FIELD(local), NULL, "work on the data directory here (default)", 0, 0 }, \
        { "data", 0, OPT_TEXT, COMMON_FIELD(data), "DIR", "the data directory (DIONE_DATA, else ./data)", 0, 0 }, \
        { "remote", 0, OPT_FLAG, COMMON_FIELD(remote), NULL, "talk to a server", 0, 0 }, \
        { "url", 0, OPT_TEXT, COMMON_FIELD(url), "URL", "of that server (DIONE_URL, else http://127.0.0.1:8310)", 0, 0 }, \
        { "token",  0, \
          OPT_TEXT, COMMON_FIELD(token), \
          "TOKEN",  "for that server (DIONE_TOKEN, else DIR/token on this machine)", \
          0,        0 }, \
        { "config", 'c', OPT_TEXT, COMMON_FIELD(config), "FILE", "instead of wrangler.jsonc or wrangler.toml here", 0, 0 }, \
    { \
        "env", 'e', OPT_TEXT, COMMON_FIELD(env), "NAME", "the environment in that file", 0, 0 \
    }

#endif
