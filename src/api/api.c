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

static void forbid(struct error *err, enum api_right right, const char *what)
{
    IGNORE_RESULT(error_set(err, STATUS_FORBIDDEN, 0, "Authentication error: this token may not %s %s",
                            right == API_WRITE ? "write to" : "read", what)); /* fills err */
}

struct database *api_find_database(struct http_request *req, struct slice id_or_name, enum api_right right,
                                   struct error *err)
{
    struct database *db = store_find(api_of(req)->store, id_or_name);

    if (db && grant_allows(req->auth, database_uuid(db), right == API_WRITE))
        return db;
    /* A token for one database learns nothing of the others, not even which there are. */
    if (db || !grant_allows(req->auth, NULL, false))
        forbid(err, right, "this database");
    else
        IGNORE_RESULT(error_set(err, STATUS_NODB, 0, "The database %.*s could not be found",
                                SLICE_FMT(id_or_name))); /* fills err */
    if (db)
        database_unref(db);
    return NULL;
}

struct database *api_database(struct http_request *req, enum api_right right)
{
    struct error err;
    struct database *db = api_find_database(req, req->params[1], right, &err);

    if (!db)
        envelope_error(req, &err);
    return db;
}

bool api_account(struct http_request *req, enum api_right right)
{
    struct error err;

    if (grant_allows(req->auth, NULL, right == API_WRITE))
        return true;
    forbid(&err, right, "the whole account");
    envelope_error(req, &err);
    return false;
}

bool api_keep_body(struct http_request *req, const struct json **ret)
{
    if (http_request_keep(req))
        return envelope_body(req, ret);
    api_fail(req, STATUS_NOMEM, "out of memory");
    return false;
}
