/*
 * spool.h - request bodies that may be large: they go to an unnamed file as they come, so that many at once cost a piece of
 * memory each, and are then looked at through a mapping of it. Loop thread.
 */
#ifndef DIONE_KV_SPOOL_H
#define DIONE_KV_SPOOL_H

#include "http/http.h"

struct spool;

struct spool_options {
    const char *data_dir;
    struct pool *pool;   /* for the writes */
    uint64_t keep_bytes; /* what comes behind them is counted, not kept */
    /* The whole body is here; the spool is now the callee's, who must answer. */
    void (*whole)(struct http_request *req, struct spool *s);
    /* It could not be kept; must answer. */
    void (*failed)(struct http_request *req, const struct error *err);
};

/* In http_route.begin: whether the body is worth it. Others come in memory, as usual. */
bool spool_wants(const struct http_request *req);
/* In http_route.begin. Uses req->user until the body is whole. */
void spool_begin(struct http_request *req, const struct spool_options *opt);
/* What was kept; lives as long as the spool. */
struct slice spool_bytes(const struct spool *s);
/* What came. */
uint64_t spool_total(const struct spool *s);
/* NULL is fine. */
void spool_free(struct spool *s);

#endif
