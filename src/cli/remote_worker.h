/*
 * remote_worker.h - what the commands on deployed Workers share: the server, the Worker's name, its place in the API.
 *
 * Deployed Workers belong to a server, so these commands talk to one unless --local or --data says otherwise.
 */
#ifndef DIONE_CLI_REMOTE_WORKER_H
#define DIONE_CLI_REMOTE_WORKER_H

#include "cli/session.h"

extern const struct command secret_command;
extern const struct command versions_command;
extern const struct command deployments_command;
extern const struct command rollback_command;
extern const struct command worker_delete_command;
extern const struct command deploy_command;
extern const struct command versions_upload_command;
extern const struct command tail_command;

/* At the start of the options of each. */
struct worker_options {
    struct common common;
    const char *name;
};

#define WORKER_FIELD(name) offsetof(struct worker_options, name)

/* clang-format off */
#define OPTIONS_SERVER \
    { "url", 0, OPT_TEXT, COMMON_FIELD(url), "URL", "of the server (DIONE_URL, else http://127.0.0.1:8310)", 0, 0 }, \
    { "token", 0, OPT_TEXT, COMMON_FIELD(token), "TOKEN", "for it (DIONE_TOKEN, else DIR/token on this machine)", 0, 0 }, \
    { "remote", 0, OPT_FLAG, COMMON_FIELD(remote), NULL, "talk to a server (default)", 0, 0 }, \
    { "local", 0, OPT_FLAG, COMMON_FIELD(local), NULL, "the server that has the data directory here", 0, 0 }, \
    { "data", 0, OPT_TEXT, COMMON_FIELD(data), "DIR", "that data directory (DIONE_DATA, else ./data); implies --local", 0, 0 }, \
    { "config", 'c', OPT_TEXT, COMMON_FIELD(config), "FILE", "instead of wrangler.jsonc or wrangler.toml here", 0, 0 }, \
    { "env", 'e', OPT_TEXT, COMMON_FIELD(env), "NAME", "the environment in that file", 0, 0 }
#define OPTIONS_WORKER \
    { "name", 0, OPT_TEXT, WORKER_FIELD(name), "NAME", "of the Worker (else the configuration's)", 0, 0 }, \
    OPTIONS_SERVER
/* clang-format on */

/* Codes of the API's errors. */
enum { API_NO_SUCH_WORKER = 10007 };

struct remote_worker {
    char *name;
    char *path; /* "/accounts/local/workers/scripts/<name>" */
};

/* Local or remote, as the options say, and then as session_open. */
enum status remote_worker_session(struct common *common, struct session *s, struct error *err) MUST_CHECK;
/*
 * The same, and the Worker that `name` (NULL: --name, or else the configuration) says. INVALID: nobody says a name.
 * Whether it exists is not asked.
 */
enum status remote_worker_open(struct worker_options *o, const char *name, struct session *s, struct remote_worker *ret,
                               struct error *err) MUST_CHECK;
void remote_worker_release(struct remote_worker *w);

/* The path of a call on the Worker, "/secrets". The caller frees it. */
char *remote_worker_path(const struct remote_worker *w, const char *action);
/* One call on it. NOTFOUND says which Worker there is not. */
enum status remote_worker_call(struct session *s, const struct remote_worker *w, const char *method, const char *action,
                               struct slice body, struct api_answer *ret, struct error *err) MUST_CHECK;

/* The first version of the newest deployment, or the absent slice; `deployments` is an answer of GET deployments. */
struct slice remote_worker_active_version(const struct api_answer *deployments);
/* POST deployments: all requests to one version. */
enum status remote_worker_activate(struct session *s, const struct remote_worker *w, struct slice version_id,
                                   const char *message, const char *triggered_by, struct error *err) MUST_CHECK;

#endif
