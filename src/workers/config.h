/*
 * config.h - a Worker version as workerd's configuration, in Cap'n Proto text. Pure.
 *
 * Code is embedded by absolute path (workerd gets -I/), so the text can be handed over in memory and secrets in it never
 * touch a disk. What comes from people is quoted; nothing of it becomes syntax.
 */
#ifndef DIONE_WORKERS_CONFIG_H
#define DIONE_WORKERS_CONFIG_H

#include "base/buf.h"
#include "workers/spec.h"

/* The CONNECT host under which a process takes Cap'n Proto calls: RPC between Workers, and cron. */
#define CONFIG_RPC_HOST "dione-rpc"
/* Carries request.cf from the proxy to workerd, which takes it off. */
#define CONFIG_CF_HEADER "x-dione-cf"

enum { CONFIG_SOCKET_MAX = 108 };

struct config_options {
    const char *binding_address;     /* "unix:/path" or "HOST:PORT", for databases and namespaces */
    const char *binding_token;       /* of that server; NULL: it is ours, and takes what binding_key makes */
    const char *binding_key;         /* api/binding_token.h */
    const char *assets_address;      /* of our own server */
    const char *run_dir;             /* has the sockets of the other Workers */
    const char *tail_mark;           /* NULL: no tail Worker; else each of its lines begins with this */
    bool allow_private;              /* fetch() may reach private and loopback addresses */
    bool probe;                      /* a Worker that only tells the handlers of the script, as JSON */
    const struct slice *entrypoints; /* named exports that other Workers call: socket "entry-N" each */
    size_t n_entrypoints;
};

/* Where a Worker (its default export, or a named one) takes calls of others, whatever its version. */
void config_worker_socket(const char *run_dir, struct slice name, struct slice entrypoint, char ret[CONFIG_SOCKET_MAX]);
/* Appends the configuration. Its sockets are "http", "cron" and "entry-0", ...; they have no
 * addresses, since they are handed over open. */
void config_write(struct buf *b, const struct worker_spec *spec, const struct config_options *opt);

/* The same sockets before an empty script with the spec's date and flags, and nothing that is experimental. */
void config_write_flags_only(struct buf *b, const struct worker_spec *spec);

#endif
