/*
 * curl_lib.h - libcurl, opened when the first request is made.
 *
 * Linking it would map some thirty libraries into `dione serve`, which never uses it. The types and options
 * come from curl's own header; only the calls go through this table.
 */
#ifndef DIONE_CLI_CURL_LIB_H
#define DIONE_CLI_CURL_LIB_H

#include "base/error.h"

#include <curl/curl.h>

struct curl_lib {
    CURL *(*easy_init)(void);
    void (*easy_cleanup)(CURL *);
    void (*easy_reset)(CURL *);
    CURLcode (*easy_setopt)(CURL *, CURLoption, ...);
    CURLcode (*easy_perform)(CURL *);
    CURLcode (*easy_getinfo)(CURL *, CURLINFO, ...);
    CURLcode (*easy_send)(CURL *, const void *, size_t, size_t *);
    CURLcode (*easy_recv)(CURL *, void *, size_t, size_t *);
    const char *(*easy_strerror)(CURLcode);
    struct curl_slist *(*slist_append)(struct curl_slist *, const char *);
    void (*slist_free_all)(struct curl_slist *);
};

/* The library, opened once; it stays. Main thread. NOTFOUND: not installed, or too old; err says what to install. */
enum status curl_lib_get(const struct curl_lib **ret, struct error *err) MUST_CHECK;

#endif
