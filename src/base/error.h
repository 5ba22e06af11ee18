/*
 * error.h - the one error vocabulary of the program.
 *
 * A function that can fail returns enum status and fills struct error (last argument, NULL allowed) only on failure;
 * outputs are written only on success. Library code reports; only an edge (HTTP handler, command, main) logs or answers.
 * Each row gives the HTTP status and the code of the API's error entry that a client sees for it.
 */
#ifndef DIONE_BASE_ERROR_H
#define DIONE_BASE_ERROR_H

#include "base/attrs.h"

/* clang-format off */
/*    name          text                              HTTP  API code */
#define STATUS_MAP(X)                                                                              \
    X(OK,           "ok",                             200,  0)                                     \
    X(INVALID,      "request is malformed",           400,  7400)                                  \
    X(UNAUTH,       "authentication error",           401,  10000)                                 \
    X(BADTOKEN,     "invalid API token",              401,  1000)                                  \
    X(FORBIDDEN,    "not allowed for this token",     403,  10000)                                 \
    X(ACCOUNT,      "account unknown",                403,  7403)                                  \
    X(NOROUTE,      "no such route",                  404,  7003)                                  \
    X(METHOD,       "method not allowed",             405,  7003)                                  \
    X(NOTFOUND,     "not found",                      404,  7404)                                  \
    X(NODB,         "database not found",             404,  7404)                                  \
    X(EXISTS,       "name already in use",            400,  7502)                                  \
    X(LIMIT,        "limit reached",                  400,  7406)                                  \
    X(WORKER,       "Worker not found",               404,  10007)                                 \
    X(NOSERVICE,    "Worker not found",               404,  10090)                                 \
    X(VERSION,      "Worker version not found",       404,  100146)                                \
    X(SCRIPT,       "script is invalid",              400,  10021)                                 \
    X(SCRIPTNAME,   "Worker name is invalid",         400,  10016)                                 \
    X(SCRIPTSIZE,   "script is too large",            413,  10027)                                 \
    X(FORM,         "form could not be parsed",       400,  10026)                                 \
    X(TAKEN,        "binding name already in use",    400,  10053)                                 \
    X(INHERIT,      "inherited binding is invalid",   400,  10057)                                 \
    X(KVBINDING,    "bound namespace not found",      400,  10041)                                 \
    X(SERVICE,      "bound service not found",        400,  10143)                                 \
    X(UNDEPLOYED,   "latest version is not deployed", 400,  10215)                                 \
    X(SECRET,       "secret not found",               404,  10056)                                 \
    X(INUSE,        "Worker is bound by another",     400,  10064)                                 \
    X(ROUTE,        "route already exists",           409,  10020)                                 \
    X(CRON,         "invalid cron string",            400,  10100)                                 \
    X(KVNOKEY,      "key not found",                  404,  10009)                                 \
    X(KVNONAMESPACE, "namespace not found",           404,  10013)                                 \
    X(KVTITLE,      "namespace title in use",         400,  10014)                                 \
    X(KVKEY,        "key too long",                   414,  10030)                                 \
    X(KVVALUE,      "value or metadata too large",    413,  10022)                                 \
    X(KVINVALID,    "not possible for a key",         400,  10033)                                 \
    X(CHANGED,      "a condition of the request is not met", 412, 10412)                           \
    X(SQL,          "SQL error",                      400,  7500)                                  \
    X(TIMEOUT,      "time limit exceeded",            400,  7500)                                  \
    X(FULL,         "no space left",                  400,  7500)                                  \
    X(NOSPACE,      "no space left for values",       507,  7507)                                  \
    X(SLOW,         "request took too long to arrive", 408, 7400)                                  \
    X(TOOBIG,       "request too large",              413,  7400)                                  \
    X(HEAD,         "request head too large",         431,  7400)                                  \
    X(RATE,         "too many requests",              429,  10429)                                 \
    X(NOTIMPL,      "not available",                  501,  7501)                                  \
    X(AGAIN,        "to be run again elsewhere",      503,  7503)                                  \
    X(BUSY,         "busy",                           503,  7503)                                  \
    X(STOPPING,     "server is stopping",             503,  7503)                                  \
    X(NOMEM,        "out of memory",                  503,  7503)                                  \
    X(IO,           "input/output error",             500,  7500)                                  \
    X(CORRUPT,      "stored data corrupt",            500,  7500)                                  \
    X(INTERNAL,     "internal error",                 500,  7500)
/* clang-format on */

enum status {
#define X(name, text, http, code) STATUS_##name,
    STATUS_MAP(X)
#undef X
};

enum { ERROR_MSG_MAX = 2048 };

struct error {
    enum status status;
    int native;              /* SQLite's extended code or errno; 0: none */
    char msg[ERROR_MSG_MAX]; /* UTF-8, cut with "..." when longer */
};

const char *status_text(enum status st);
int status_http(enum status st);
int status_code(enum status st);

/* Fills err (when not NULL) and returns st, so a caller can `return error_set(...)`. */
enum status error_set(struct error *err, enum status st, int native, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The same with the text of an errno at the end: "<text>: <strerror>". ENOSPC becomes STATUS_FULL. */
enum status error_errno(struct error *err, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Puts "<text>: " before the message that is there: what this layer alone knows. */
enum status error_prefix(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
