/*
 * handlers.h - the handlers of the Workers API, named after their routes (control/routes.c has the table; A is
 * accounts/:account, W is A/workers/scripts/:name).
 *
 *     GET    A/workers/scripts               scripts_list        GET    W/secrets                    secrets_list
 *     PUT    W                               scripts_put         PUT    W/secrets                    secrets_put
 *     GET    W                               scripts_get         GET    W/secrets/:secret            secrets_get
 *     DELETE W                               scripts_delete      DELETE W/secrets/:secret            secrets_delete
 *     PUT    W/content                       scripts_content     PATCH  W/secrets-bulk               secrets_bulk
 *     GET    W/content/v2                    scripts_get         PATCH  A/workers/workers/:name/versions/latest
 *     GET    W/references                    scripts_references                                      versions_patch
 *     GET    A/workers/services/:name        services_get        GET    W/versions                   versions_list
 *     DELETE A/workers/services/:name        scripts_delete      POST   W/versions                   versions_upload
 *     GET    A/workers/workers               workers_list        GET    W/versions/:id               versions_get
 *     GET    A/workers/workers/:name         workers_get         GET    W/deployments                deployments_list
 *     GET    W/settings                      settings_get        POST   W/deployments                deployments_create
 *     PATCH  W/settings                      settings_patch      GET    W/deployments/:id            deployments_get
 *                                                                DELETE W/deployments/:id            deployments_delete
 *     GET    W/script-settings               script_settings_get
 *     PATCH  W/script-settings               script_settings_patch
 *     GET    W/subdomain                     host_get            GET    W/schedules                  crons_get
 *     POST   W/subdomain                     host_set            PUT    W/schedules                  crons_set
 *     DELETE W/subdomain                     host_delete         POST   W/dione/scheduled            crons_run
 *     GET    A/workers/subdomain             subdomain_get       PUT    W/routes                     routes_set
 *     PUT    A/workers/subdomain             subdomain_set       GET    W/routes                     routes_get
 *     GET    A/workers/subdomains/:sub       subdomain_check     POST   W/domains/changeset          domains_changeset
 *     GET    A/workers/domains               domains_list        PUT    W/domains/records            domains_set
 *     GET    zones                           zones_list          GET    zones/:zone/workers/routes   zones_routes
 *     GET    W/tails                         tails_list          POST   W/tails                      tails_create
 *     DELETE W/tails/:id                     tails_delete        GET    dione/tails/:id              tails_follow
 *     GET    W/dione/events                  events_list
 *     GET    A/workers/tails/by-consumer/:name, A/workers/durable_objects/namespaces   workers_nothing
 *
 *     POST   W/assets-upload-session         assets_session      POST   A/workers/assets/upload      assets_upload
 *                                                                POST   A/workers/assets/upload/:hash assets_upload_one
 *
 * Each checks the token, works on the job pool, and answers exactly once. Loop thread.
 */
#ifndef DIONE_WORKERS_HANDLERS_H
#define DIONE_WORKERS_HANDLERS_H

#include <stdbool.h>

struct http_request;
struct http_route;

void scripts_list(struct http_request *req);
void scripts_put(struct http_request *req);
void scripts_get(struct http_request *req);
void scripts_delete(struct http_request *req);
void scripts_content(struct http_request *req);
void scripts_references(struct http_request *req);
void services_get(struct http_request *req);
void workers_list(struct http_request *req);
void workers_get(struct http_request *req);
void workers_nothing(struct http_request *req);

void versions_list(struct http_request *req);
void versions_upload(struct http_request *req);
void versions_get(struct http_request *req);
void versions_patch(struct http_request *req);
void deployments_list(struct http_request *req);
void deployments_create(struct http_request *req);
void deployments_get(struct http_request *req);
void deployments_delete(struct http_request *req);

void settings_get(struct http_request *req);
void settings_patch(struct http_request *req);
void script_settings_get(struct http_request *req);
void script_settings_patch(struct http_request *req);

void secrets_list(struct http_request *req);
void secrets_get(struct http_request *req);
void secrets_put(struct http_request *req);
void secrets_delete(struct http_request *req);
void secrets_bulk(struct http_request *req);

void tails_list(struct http_request *req);
void tails_create(struct http_request *req);
void tails_delete(struct http_request *req);
void tails_follow(struct http_request *req);
void events_list(struct http_request *req);

void assets_session(struct http_request *req);
/* Whether the request carries the token of an upload session; else it has answered. At the end of the head: strangers' bodies
 * are not taken. */
bool assets_admit(struct http_request *req);
void assets_upload(struct http_request *req);
void assets_upload_one(struct http_request *req);

/* Requests with the header x-dione-assets (assets.h), of any method and path. */
extern const struct http_route assets_routes[];

void host_get(struct http_request *req);
void host_set(struct http_request *req);
void host_delete(struct http_request *req);
void subdomain_get(struct http_request *req);
void subdomain_set(struct http_request *req);
void subdomain_check(struct http_request *req);
void crons_get(struct http_request *req);
void crons_set(struct http_request *req);
void crons_run(struct http_request *req);
void routes_get(struct http_request *req);
void routes_set(struct http_request *req);
void domains_list(struct http_request *req);
void domains_changeset(struct http_request *req);
void domains_set(struct http_request *req);
void zones_list(struct http_request *req);
void zones_routes(struct http_request *req);

#endif
