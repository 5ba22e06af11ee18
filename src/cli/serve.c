/* serve.c - `dione serve`: starts the server, says where it is, and stops it on SIGTERM or SIGINT. */
#include "cli/serve.h"

#include "base/ids.h"
#include "base/log.h"
#include "base/options.h"
#include "control/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct serve_options {
    struct server_options server;
    bool help, quiet;
    int64_t max_body_mib, worker_memory_mib;
};

#define FIELD(name) offsetof(struct serve_options, name)

static const struct option_row table[] = {
    { "data", 0, OPT_TEXT, FIELD(server.data_dir), "DIR", "data directory (default ./data)", 0, 0 },
    { "listen", 0, OPT_TEXT, FIELD(server.listen), "HOST:PORT",
      "address (default 127.0.0.1:8310; port 0: any free one)", 0, 0 },
    { "threads", 0, OPT_INT, FIELD(server.threads), "N", "event loops (default: one a core)", 1, 256 },
    { "statement-timeout", 0, OPT_INT, FIELD(server.statement_timeout_ms), "MS",
      "limit of one request's SQL (default 30000)", 1, 3600000 },
    { "request-timeout", 0, OPT_INT, FIELD(server.request_timeout_ms), "MS",
      "limit for a client to send a request (default 30000)", 10, 3600000 },
    { "max-body", 0, OPT_INT, FIELD(max_body_mib), "MIB", "largest JSON body (default 100)", 1, 4096 },
    { "max-database-size", 0, OPT_INT, FIELD(server.max_database_bytes), "BYTES",
      "size limit of each database (default 10000000000)", 1 << 20, 1LL << 46 },
    { "workers-listen", 0, OPT_TEXT, FIELD(server.workers_listen), "HOST:PORT",
      "address at which Workers answer (default 127.0.0.1:8787 once there is one)", 0, 0 },
    { "worker-memory", 0, OPT_INT, FIELD(worker_memory_mib), "MIB", "limit of each Worker's process (default 512)", 64,
      1 << 20 },
    { "worker-cpu", 0, OPT_INT, FIELD(server.worker_cpu_ms), "MS",
      "processor time a Worker may take without any answer moving (default 30000)", 100, 3600000 },
    { "workerd", 0, OPT_TEXT, FIELD(server.workerd), "PATH", "the program that runs Workers (default: found)", 0, 0 },
    { "allow-plaintext", 0, OPT_FLAG, FIELD(server.allow_plaintext), NULL, "listen beyond loopback without TLS", 0, 0 },
    { "quiet", 'q', OPT_FLAG, FIELD(quiet), NULL, "print nothing but the ready line and errors", 0, 0 },
    { "help", 'h', OPT_FLAG, FIELD(help), NULL, "this text", 0, 0 },
    { NULL, 0, OPT_FLAG, 0, NULL, NULL, 0, 0 },
};

static void print_help(void)
{
    printf("Usage: dione serve [options]\n\n"
           "Serves what a data directory holds: databases and KV namespaces over Cloudflare's REST API, and\n"
           "Workers, which answer at an address of their own. Prints one line,\n"
           "\"ready http://HOST:PORT\", on standard output once it accepts; stops on SIGTERM.\n\n"
           "Options:\n");
    options_print_help(table);
    printf("\nEnvironment:\n"
           "  DIONE_TOKEN   the token with full rights, 32 characters or more; without it the one in\n"
           "                DIR/token, made at the first start\n"
           "  DIONE_SECRETS_KEY_FILE\n"
           "                the key that seals Workers' secrets (default DIR/secrets.key, made when needed)\n");
}

/* What to do next. The token is shown, as whoever reads this may read its file; --quiet keeps it out of logs. */
static void print_welcome(const struct server *s, const struct serve_options *opt)
{
    const char *url = server_url(s), *dir = opt->server.data_dir ? opt->server.data_dir : "./data";
    bool chosen = opt->server.token != NULL;
    char read_token[4096];

    snprintf(read_token, sizeof(read_token), chosen ? "(that token)" : "$(cat '%s/token')", dir);
    fprintf(stderr,
            "\nDione serves %s\n\n"
            "  URL      %s\n"
            "  account  local\n"
            "  token    %s%s%s%s\n\n"
            "Try, in another terminal:\n\n"
            "  export CLOUDFLARE_API_BASE_URL=%s/client/v4 CLOUDFLARE_ACCOUNT_ID=local \\\n"
            "         CLOUDFLARE_API_TOKEN=%s\n"
            "  npx wrangler d1 create demo\n"
            "  npx wrangler d1 execute demo --remote --command \"SELECT 'hello' AS word\"\n"
            "  curl -H \"X-API-Key: $CLOUDFLARE_API_TOKEN\" %s/accounts/local/d1/database\n\n"
            "Ctrl-C stops it.\n\n",
            dir, url, chosen ? "the one in DIONE_TOKEN" : server_token(s), chosen ? "" : "  (kept in ",
            chosen ? "" : dir, chosen ? "" : "/token)", url, read_token, url);
}

static int fail(const struct error *err)
{
    fprintf(stderr, "dione serve: %s\n", err->msg);
    return 1;
}

static void wait_for_signal(const sigset_t *set)
{
    int sig;

    while (sigwait(set, &sig) != 0)
        ;
    log_line(LOG_INFO, "stopping on signal %d", sig);
}

static bool read_options(int argc, char **argv, struct serve_options *opt, struct error *err)
{
    size_t n;
    const char *none;

    if (options_parse(table, argc, argv, opt, &none, 0, &n, err) != STATUS_OK)
        return false;
    if (!opt->server.listen)
        opt->server.listen = "127.0.0.1:8310";
    opt->server.max_body_bytes = opt->max_body_mib << 20;
    opt->server.worker_memory_bytes = opt->worker_memory_mib << 20;
    opt->server.runs_workers = true;
    opt->server.token = getenv("DIONE_TOKEN");
    if (opt->server.token && !*opt->server.token)
        opt->server.token = NULL;
    return true;
}

int serve_main(int argc, char **argv)
{
    struct serve_options opt = { 0 };
    struct server *s;
    struct error err;
    sigset_t set;

    if (!read_options(argc, argv, &opt, &err))
        return fail(&err);
    if (opt.help) {
        print_help();
        return 0;
    }
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    log_set_level(opt.quiet ? LOG_WARN : LOG_INFO);
    if (server_start(&opt.server, &s, &err) != STATUS_OK)
        return fail(&err);
    printf("ready %s\n", server_url(s));
    fflush(stdout);
    if (!opt.quiet)
        print_welcome(s, &opt);
    wait_for_signal(&set);
    server_stop(s);
    return 0;
}
