/* api.c - see api.h. */
#include "api/api.h"

#include <stdarg.h>
#include <stdio.h>

void api_fail(struct http_request *req, enum status st, const char *fmt, ...)
{
    struct error err;
    char text[ERROR_MSG_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    IGNORE_RESULT(error_set(&err, st, 0, "%s", text)); /* fills err */
    envelope_error(req, &err);
}

static void forbid(struct http_request *req, enum api_right right, const char *what)
{
    api_fail(req, STATUS_FORBIDDEN, "Authentication error: this token may not %s %s",
             right == API_WRITE ? "write to" : "read", what);
}

struct database *api_database(struct http_request *req, enum api_right right)
{
    struct database *db = store_find(api_of(req)->store, req->params[1]);

    /* A token for one database learns nothing of the others, not even which there are. */
    if (!db && !grant_allows(req->auth, NULL, false)) {
        forbid(req, right, "this database");
        return NULL;
    }
    if (!db) {
        api_fail(req, STATUS_NODB, "The database %.*s could not be found", SLICE_FMT(req->params[1]));
        return NULL;
    }
    if (grant_allows(req->auth, database_uuid(db), right == API_WRITE))
        return db;
    database_unref(db);
    forbid(req, right, "this database");
    return NULL;
}

bool api_account(struct http_request *req, enum api_right right)
{
    if (grant_allows(req->auth, NULL, right == API_WRITE))
        return true;
    forbid(req, right, "the whole account");
    return false;
}

bool api_keep_body(struct http_request *req, const struct json **ret)
{
    if (http_request_keep(req))
        return envelope_body(req, ret);
    api_fail(req, STATUS_NOMEM, "out of memory");
    return false;
}
