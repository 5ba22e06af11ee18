/*
 * project.h - a Worker project: everything its wrangler configuration, .dev.vars and the command line say about it.
 *
 * What `dione dev` runs and `dione deploy` uploads is made from this. Keys, defaults and the inheritance of environments
 * are wrangler's. All text lives in the project's arena; paths are absolute. Main thread.
 */
#ifndef DIONE_CLI_PROJECT_H
#define DIONE_CLI_PROJECT_H

#include "base/options.h"
#include "cli/config.h"
#include "cli/dotenv.h"
#include "workers/spec.h"

enum project_binding_kind {
    PROJECT_TEXT,    /* value: the text */
    PROJECT_JSON,    /* value: JSON text */
    PROJECT_SECRET,  /* value: the text; from .dev.vars, never from the configuration */
    PROJECT_D1,      /* id: database_id, target: database_name; either may be absent */
    PROJECT_KV,      /* id, may be absent */
    PROJECT_SERVICE, /* target: the other Worker's name; entrypoint; props in `entry` */
    PROJECT_ASSETS,
    PROJECT_VERSION_METADATA,
    PROJECT_WASM,      /* value: path; service-worker format only, like the next two */
    PROJECT_TEXT_FILE, /* value: path */
    PROJECT_DATA_FILE, /* value: path */
    PROJECT_FOREIGN,   /* Dione has nothing like it. target: what it is, "R2 bucket" */
};

struct project_binding {
    enum project_binding_kind kind;
    struct slice name, value, id, target, entrypoint;
    const struct json *entry; /* what the configuration has, for its further keys; NULL: not from there */
};

/* Which imported files are modules of their own, and of which kind. */
struct project_rule {
    enum module_kind kind;
    struct slice glob; /* "**" crosses folders, "*" does not; nothing else is special */
};

struct project_route {
    struct slice pattern;
    const struct json *entry; /* its object, or its text */
};

/* What the command line adds or overrules; zero means nothing. */
struct project_options {
    const char *config, *env;
    const char *main, *name, *compatibility_date, *assets;
    struct option_list compatibility_flags, vars, define, alias, env_files; /* "KEY:VALUE" but for the first and last */
    const char *tsconfig;
    bool minify, no_bundle;
};

struct project {
    struct config config;
    struct slice folder;             /* of the configuration, absolute; paths in it start there */
    struct slice name;               /* of the Worker; absent: not given */
    struct slice main;               /* absent: static assets only */
    struct slice compatibility_date; /* absent: not given */
    struct slice *compatibility_flags;
    size_t n_compatibility_flags;
    struct project_binding *bindings; /* names are unique */
    size_t n_bindings;
    struct project_rule *rules; /* the first that fits counts; wrangler's defaults are at the end */
    size_t n_rules;
    bool has_crons; /* triggers.crons is there, if only to say that there are none */
    struct slice *crons;
    size_t n_crons;
    struct project_route *routes;
    size_t n_routes;
    const struct json *assets;             /* the object; NULL: none */
    struct slice assets_directory;         /* absent: none */
    const struct json *define;             /* of the configuration, an object of text; NULL: none */
    const struct json *alias;              /* the same */
    struct slice tsconfig;                 /* absent: esbuild looks for one */
    struct slice build_command, build_cwd; /* absent: none */
    struct slice *build_watch;             /* what the build command works on: src, unless the configuration says */
    size_t n_build_watch;
    bool minify, no_bundle, keep_names;
    bool find_modules;                        /* files that the rules pick are modules, imported by text or not */
    struct option_list cli_define, cli_alias; /* borrowed from the options */
    struct slice secrets_file;                /* where the secrets came from; absent: there are none */
};

/*
 * Reads the configuration and works out the above. Secrets are not read yet.
 * Errors  INVALID with file and key; NOTFOUND a named file or environment, or nothing at all to run; IO.
 */
enum status project_load(const struct project_options *opt, struct project *ret, struct error *err) MUST_CHECK;
/*
 * Adds what .dev.vars or .env files say, as secrets; they win over vars of the same name. `files`: those of --env-file,
 * empty for the usual ones: .dev.vars.<env>, else .dev.vars, else .env and its kin.
 */
enum status project_read_secrets(struct project *p, const struct option_list *files, struct error *err) MUST_CHECK;
void project_release(struct project *p);
/* Appends a line for each key of the top level that an environment would need for itself: bindings are not inherited. */
void project_append_remarks(const struct project *p, struct buf *out);

/* The binding of that name, or NULL. */
const struct project_binding *project_binding(const struct project *p, struct slice name);
bool project_has_flag(const struct project *p, const char *flag);
/* Whether its compatibility date is that day or later; one without a date runs with the newest. */
bool project_date_reaches(const struct project *p, const char *day);
/* What people call a binding's kind: "D1 database", "R2 bucket". */
const char *project_binding_label(const struct project_binding *b);

#endif
