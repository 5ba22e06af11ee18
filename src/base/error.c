/* error.c - see error.h. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *text;
    int http, code;
} statuses[] = {
#define X(name, text, http, code) { text, http, code },
    STATUS_MAP(X)
#undef X
};

const char *status_text(enum status st)
{
    return statuses[st].text;
}

int status_http(enum status st)
{
    return statuses[st].http;
}

int status_code(enum status st)
{
    return statuses[st].code;
}

/* Cuts at a UTF-8 boundary and says so. */
static void mark_cut(char *msg, size_t cap)
{
    size_t at = cap - 4;

    while (at && ((unsigned char)msg[at] & 0xC0) == 0x80)
        at--;
    memcpy(msg + at, "...", 4);
}

static void set_text(struct error *err, const char *fmt, va_list args)
{
    int n = vsnprintf(err->msg, sizeof(err->msg), fmt, args);

    if (n >= (int)sizeof(err->msg))
        mark_cut(err->msg, sizeof(err->msg));
}

enum status error_set(struct error *err, enum status st, int native, const char *fmt, ...)
{
    va_list args;

    if (!err)
        return st;
    err->status = st;
    err->native = native;
    va_start(args, fmt);
    set_text(err, fmt, args);
    va_end(args);
    return st;
}

static enum status status_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        return STATUS_FULL;
    case ENOMEM:
        return STATUS_NOMEM;
    case ENOENT:
        return STATUS_NOTFOUND;
    default:
        return STATUS_IO;
    }
}

enum status error_errno(struct error *err, int errnum, const char *fmt, ...)
{
    enum status st = status_of_errno(errnum);
    va_list args;

    if (!err)
        return st;
    err->status = st;
    err->native = errnum;
    va_start(args, fmt);
    set_text(err, fmt, args);
    va_end(args);
    size_t len = strlen(err->msg);
    int n = snprintf(err->msg + len, sizeof(err->msg) - len, ": %s", strerror(errnum));
    if (n >= (int)(sizeof(err->msg) - len))
        mark_cut(err->msg, sizeof(err->msg));
    return st;
}

enum status error_prefix(struct error *err, const char *fmt, ...)
{
    char below[ERROR_MSG_MAX];
    va_list args;

    if (!err)
        return STATUS_INTERNAL;
    memcpy(below, err->msg, sizeof(below));
    va_start(args, fmt);
    set_text(err, fmt, args);
    va_end(args);
    size_t len = strlen(err->msg);
    int n = snprintf(err->msg + len, sizeof(err->msg) - len, ": %s", below);
    if (n >= (int)(sizeof(err->msg) - len))
        mark_cut(err->msg, sizeof(err->msg));
    return err->status;
}
