/* curl_lib.c - see curl_lib.h. */
#include "cli/curl_lib.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

#define LIBRARY "libcurl.so.4"

static struct curl_lib lib;

static const struct {
    const char *name;
    void *field; /* a function pointer inside `lib` */
} symbols[] = {
    { "curl_easy_init", &lib.easy_init },           { "curl_easy_cleanup", &lib.easy_cleanup },
    { "curl_easy_reset", &lib.easy_reset },         { "curl_easy_setopt", &lib.easy_setopt },
    { "curl_easy_perform", &lib.easy_perform },     { "curl_easy_getinfo", &lib.easy_getinfo },
    { "curl_easy_strerror", &lib.easy_strerror },   { "curl_slist_append", &lib.slist_append },
    { "curl_slist_free_all", &lib.slist_free_all }, { "curl_easy_send", &lib.easy_send },
    { "curl_easy_recv", &lib.easy_recv },
};

static enum status open_library(struct error *err)
{
    void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

    if (!handle)
        return error_set(err, STATUS_NOTFOUND, 0, "this command needs libcurl (Debian: apt install libcurl4): %s",
                         dlerror());
    for (size_t i = 0; i < ARRAY_LEN(symbols); i++) {
        void *found = dlsym(handle, symbols[i].name);
        if (!found)
            return error_set(err, STATUS_NOTFOUND, 0, LIBRARY " has no %s; it is too old", symbols[i].name);
        memcpy(symbols[i].field, &found, sizeof(found)); /* POSIX's way from object to function pointer */
    }
    return STATUS_OK;
}

enum status curl_lib_get(const struct curl_lib **ret, struct error *err)
{
    static bool opened;

    if (!opened) {
        enum status st = open_library(err);
        if (st != STATUS_OK)
            return st;
        opened = true;
    }
    *ret = &lib;
    return STATUS_OK;
}
