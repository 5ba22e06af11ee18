/*
 * config.h - what the commands read from wrangler.json, wrangler.jsonc or wrangler.toml in the current folder.
 *
 * The same keys as wrangler: `name`, `d1_databases` and `env.<name>.d1_databases`. One key of our own,
 * `dione.url`, names the server for --remote; wrangler warns about it and goes on.
 */
#ifndef DIONE_CLI_CONFIG_H
#define DIONE_CLI_CONFIG_H

#include "base/json.h"

struct config {
    char *path;          /* of the file; NULL: there is none. Relative paths in it start at its folder */
    struct slice folder; /* of `path`, without a slash at the end; "." when there is none */
    struct arena arena;  /* holds everything below */
    char *text;
    const struct json *root;  /* NULL: no file */
    const struct json *scope; /* where d1_databases are looked up: root, or env.<name> */
    const char *env;          /* name of that environment, borrowed; NULL: none */
};

/* One entry of d1_databases. Absent members are the absent slice. */
struct config_database {
    struct slice binding, name, id;
    struct slice migrations_dir, migrations_table, migrations_pattern;
};

/*
 * Reads `path`, or when that is NULL the first of the three files that exists; none is fine. `env` (NULL:
 * what CLOUDFLARE_ENV says; "": none) must then exist in it.
 * Errors  INVALID with file and line; NOTFOUND a named file or environment is not there; IO.
 */
enum status config_load(const char *path, const char *env, struct config *ret, struct error *err) MUST_CHECK;
void config_release(struct config *c);

/* Fills *ret from the entry whose name, binding or id is `wanted`. False: no such entry. */
bool config_find_database(const struct config *c, struct slice wanted, struct config_database *ret);
/*
 * A key that environments inherit: the environment's own value, or else the top level's. Bindings, vars and define are
 * not inherited: those are looked up in `scope`. NULL: not there, or null.
 */
const struct json *config_get(const struct config *c, const char *key);
/* The Worker's name; an environment without a name of its own has "<name>-<env>". Absent: the file has none. */
struct slice config_worker_name(struct config *c);
/* What a database or namespace without a name is called: wrangler provisions "<worker>-<binding>", in lower case. */
struct slice config_provisioned_name(struct config *c, struct slice binding);
/* dione.url, or the absent slice. */
struct slice config_url(const struct config *c);

#endif
