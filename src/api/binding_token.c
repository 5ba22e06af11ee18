/* binding_token.c - see binding_token.h. */
#include "api/binding_token.h"

#include "base/buf.h"
#include "base/ids.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum { SEEN_MAX = 64, SEEN_RESOURCE_MAX = 64 };

/* A token costs more to make than a point read; a loop serves few resources at a time. */
struct seen {
    char key[TOKEN_LEN + 1];
    const char *header;
    size_t len;
    char resource[SEEN_RESOURCE_MAX];
    char token[BINDING_TOKEN_LEN + 1];
};

void binding_token(const char *key, const char *header, struct slice resource, char ret[BINDING_TOKEN_LEN + 1])
{
    unsigned char mac[SHA256_BYTES];
    struct buf text = { 0 };

    buf_printf(&text, "%s: %.*s", header, SLICE_FMT(resource));
    hmac_sha256(slice_cstr(key), buf_slice(&text), mac);
    buf_release(&text);
    hex_encode(mac, sizeof(mac), ret);
}

static size_t place_of(struct slice resource)
{
    size_t hash = 5381;

    for (size_t i = 0; i < resource.len; i++)
        hash = hash * 33 + (unsigned char)resource.ptr[i];
    return hash % SEEN_MAX;
}

static const char *token_of(const char *key, const char *header, struct slice resource,
                            char room[BINDING_TOKEN_LEN + 1])
{
    static _Thread_local struct seen seen[SEEN_MAX];
    struct seen *s = &seen[place_of(resource)];

    if (resource.len > SEEN_RESOURCE_MAX) {
        binding_token(key, header, resource, room);
        return room;
    }
    if (s->header == header && slice_eq(slice_of(s->resource, s->len), resource) && strcmp(s->key, key) == 0)
        return s->token;
    binding_token(key, header, resource, s->token);
    s->header = header;
    s->len = resource.len;
    if (resource.len)
        memcpy(s->resource, resource.ptr, resource.len);
    snprintf(s->key, sizeof(s->key), "%s", key);
    return s->token;
}

bool binding_token_is_good(const char *key, const char *header, struct slice resource, struct slice secret)
{
    char room[BINDING_TOKEN_LEN + 1];

    return secret.len == BINDING_TOKEN_LEN &&
           CRYPTO_memcmp(secret.ptr, token_of(key, header, resource, room), BINDING_TOKEN_LEN) == 0;
}
