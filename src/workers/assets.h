/*
 * assets.h - static assets as they are served: which file a path means, and the answer.
 *
 * A site is the assets of one version (or of one folder, under `dione dev`): an index of paths, in memory, and its
 * configuration. The server knows sites by id, which is what a request's x-dione-assets header says. Requests come from the
 * public listener, for paths that asset_server_choose gives to the assets, and from a Worker's env.ASSETS.fetch().
 * What a path means follows Cloudflare's asset Worker: html_handling, not_found_handling, _redirects, _headers.
 */
#ifndef DIONE_WORKERS_ASSETS_H
#define DIONE_WORKERS_ASSETS_H

#include "base/json.h"
#include "http/http.h"
#include "workers/runtime.h"

#define ASSETS_HEADER "x-dione-assets"

struct asset_server;
struct asset_site;

/* Never NULL but when memory is out. */
struct asset_server *asset_server_new(void);
void asset_server_free(struct asset_server *s);

struct asset_file {
    struct slice path; /* "/a/b.txt", decoded */
    struct slice file; /* absolute */
    struct slice etag; /* without quotes */
    struct slice type; /* Content-Type; empty: none */
    uint64_t size;
};

struct asset_site_options {
    const struct asset_file *files;
    size_t n_files;
    const struct json *config; /* html_handling, not_found_handling, run_worker_first, _headers, _redirects; or NULL */
    bool has_worker;           /* what is no asset goes to a script */
    bool navigation_first;     /* navigations get what not_found_handling says before the Worker is asked */
};

/* Copies all. INVALID: what is wrong with the configuration. Any thread. */
enum status asset_site_new(const struct asset_site_options *opt, struct asset_site **ret, struct error *err) MUST_CHECK;
void asset_site_unref(struct asset_site *site);

/* Takes the site; one of the same id is replaced. Any thread. */
enum status asset_server_put(struct asset_server *s, struct slice id, struct asset_site *site,
                             struct error *err) MUST_CHECK;
void asset_server_drop(struct asset_server *s, struct slice id);

/* As runtime_options.choose_asset wants it; arg is the asset server. Any loop. */
enum asset_choice asset_server_choose(void *arg, const struct asset_question *q);

/* Answers the request from the site that its header names. Loop thread. */
void asset_serve(struct asset_server *s, struct http_request *req);

/* ---- what a path means; for tests ---- */

struct asset_intent {
    const struct asset_file *file; /* NULL: nothing, unless redirect */
    int status;                    /* 200 or 404 */
    struct slice redirect;         /* decoded path, in the arena; absent: none */
};

enum asset_fallback { FALLBACK_NONE, FALLBACK_AS_CONFIGURED };
struct asset_intent asset_site_intent(const struct asset_site *site, struct slice decoded_path,
                                      enum asset_fallback fallback, struct arena *a);

#endif
