/* transfers.h - the handlers for export and import. Protocols: docs/d1-compatibility.md, "Export" and "Import". */
#ifndef DIONE_D1_TRANSFERS_H
#define DIONE_D1_TRANSFERS_H

#include "base/buf.h"
#include "base/error.h"

struct http_request;

/* POST .../export: starts an export as SQL text, or tells how far one is. */
void exports_poll(struct http_request *req);
/* GET .../export/sqlite: answers with the file. */
void exports_sqlite(struct http_request *req);
/* GET dione/exports/:token/:file: the URL says it all, so it needs no other token. */
void exports_download(struct http_request *req);

/* POST .../import: init, ingest and poll. */
void imports_step(struct http_request *req);
/* PUT dione/imports/:token, as `begin` of its route: the body goes to a file. */
void imports_upload(struct http_request *req);

/* What both polls answer with when they cannot go on: {"success":false,"error":"..."}. */
void transfers_refuse(struct http_request *req, const struct error *err);
/* "http://host" as the client has called us. False: it has answered. */
bool transfers_base_url(struct http_request *req, struct buf *b) MUST_CHECK;

/* How long a poll waits for news: clients ask again at once. */
enum { TRANSFERS_HOLD_MS = 1000 };

#endif
