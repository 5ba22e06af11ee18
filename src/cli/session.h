/*
 * session.h - what a command works with: the configuration, the API, and the database that a name means.
 */
#ifndef DIONE_CLI_SESSION_H
#define DIONE_CLI_SESSION_H

#include "cli/api.h"
#include "cli/command.h"
#include "cli/config.h"

struct session {
    struct config config;
    struct api *api;
    bool remote;
};

/*
 * Reads the configuration and opens the API that the options, the environment and the configuration name.
 * A local data directory is made when `create` says so, or when the configuration knows `database` (NULL: none).
 * Errors  INVALID options that contradict each other; else those of config_load and api_open.
 */
enum status session_open(const struct common *common, bool create, const char *database, struct session *ret,
                         struct error *err) MUST_CHECK;
/* The same for a command that stays: a server that starts in this process listens on a free loopback port, and commands
 * on the same data directory find it. */
enum status session_open_serving(const struct common *common, struct session *ret, struct error *err) MUST_CHECK;
/* Reads the configuration again. On failure the old one stays. */
enum status session_reload(struct session *s, const struct common *common, struct error *err) MUST_CHECK;
void session_close(struct session *s);

struct database {
    struct slice id, name;
    bool in_config;
    struct config_database entry; /* when in_config */
    char *path;                   /* "/accounts/local/d1/database/<id>" */
    struct api_answer answer;     /* holds id and name */
};

/*
 * Finds the database that `wanted` names: a name, id or binding of the configuration, or else a name or id
 * the server knows. As with wrangler, a database of the configuration comes to life when it is first used
 * locally.
 * Errors  NODB, saying how to create it; those of the API.
 */
enum status database_find(struct session *s, const char *wanted, struct database *ret, struct error *err) MUST_CHECK;
void database_release(struct database *d);

/* The path of a call on the database, "/query". The caller frees it. */
char *database_path(const struct database *d, const char *action);

#endif
