/*
 * tokens.h - who may do what: the tokens of the account.
 *
 * A token is a random secret; only its SHA-256 is kept, in the control database and in memory. It may read, or read and
 * write, the whole account or one database, until it expires or is revoked. Every request is checked here, on the loops,
 * so checking takes no disk; a caller that keeps a token_cache also skips the digest and the lock most of the time.
 * The secrets are random, so nobody guesses one; the limit on failed checks keeps a client in a wrong loop cheap.
 */
#ifndef DIONE_STORE_TOKENS_H
#define DIONE_STORE_TOKENS_H

#include "store/store.h"

struct tokens;

enum {
    TOKEN_NAME_MAX = 100, /* bytes */
    TOKEN_SECRET_MAX = 512,
    TOKENS_MAX = 10000,        /* that can be used */
    TOKENS_REVOKED_MAX = 1000, /* remembered, to tell their users why they fail */
};

/* What a valid token allows. */
struct token_grant {
    char id[UUID_LEN + 1];
    char database[UUID_LEN + 1]; /* "": the whole account */
    bool can_write;
};

struct token_info {
    struct token_grant grant;
    char name[TOKEN_NAME_MAX + 1];
    int64_t created_ms, expires_ms, last_used_ms; /* wall clock; 0: never */
};

/* Loads the table, making it first when it is missing. Blocking. */
enum status tokens_open(struct store *s, struct tokens **ret, struct error *err) MUST_CHECK;
/* Nobody may check any more. NULL is fine. Does not write: call tokens_flush before. */
void tokens_close(struct tokens *t);
/* Writes when tokens were last used, where that changed. Blocking. */
enum status tokens_flush(struct tokens *t, struct error *err) MUST_CHECK;

/*
 * Makes `secret` the server's own token, with full rights; the one before, if it was another, stops working.
 * INVALID: shorter than 32 characters, or not fit for a header. A secret that was revoked stays revoked as long as another
 * token with full rights works. Blocking.
 */
enum status tokens_ensure_root(struct tokens *t, struct slice secret, struct error *err) MUST_CHECK;
/*
 * The secret in DIR/token; makes the file (mode 0600) with a new one when there is none. Warns when others may read it.
 * Call it while the store is open: its lock keeps a second server out. Blocking.
 */
enum status token_file_load_or_create(const char *dir, char ret_secret[TOKEN_SECRET_MAX + 1],
                                      struct error *err) MUST_CHECK;

/* ---- checking: any thread, never blocks for long ---- */

/* The checks that one loop did last. Owned by: one thread at a time. Zero it before the first use. */
enum { TOKEN_CACHE_ENTRIES = 16, TOKEN_CACHE_SECRET_MAX = 64 };
struct token_cache {
    struct token_cache_entry {
        uint64_t generation; /* 0: empty */
        int64_t from_ms, until_ms;
        size_t len;
        char secret[TOKEN_CACHE_SECRET_MAX];
        struct token_grant grant;
    } entries[TOKEN_CACHE_ENTRIES];
};

/*
 * UNAUTH: no secret (absent slice), unknown, expired or revoked; the text says which. RATE: the same, after too many such
 * answers in a short time; a valid token is never held up.
 */
enum status tokens_check(struct tokens *t, struct slice secret, int64_t now_ms, struct token_grant *ret,
                         struct error *err) MUST_CHECK;
/* The same through a cache; a revoked token is refused from the moment tokens_revoke returns. */
enum status tokens_check_cached(struct tokens *t, struct token_cache *cache, struct slice secret, int64_t now_ms,
                                struct token_grant *ret, struct error *err) MUST_CHECK;
/* May the grant's holder read (or write) this database? uuid NULL: the account as a whole. A NULL grant allows nothing. */
bool grant_allows(const struct token_grant *g, const char *uuid, bool write);

/* ---- managing: blocking ---- */

/*
 * name, can_write, database and expires_ms are taken from *info; the rest of it is filled. INVALID: expires_ms is in the
 * past. LIMIT: too many tokens.
 */
enum status tokens_create(struct tokens *t, struct token_info *info, char ret_secret[TOKEN_LEN + 1],
                          struct error *err) MUST_CHECK;
/* NOTFOUND: no such token, or revoked before. INVALID: it is the last one with full rights. */
enum status tokens_revoke(struct tokens *t, struct slice id, struct error *err) MUST_CHECK;
/* The tokens of a database that was deleted. They are not remembered. */
enum status tokens_revoke_database(struct tokens *t, const char *uuid, struct error *err) MUST_CHECK;
/* Those that are not revoked, oldest first, from `offset` on; *ret is freed by the caller. Expired ones are listed too. */
enum status tokens_list(struct tokens *t, size_t offset, size_t limit, struct token_info **ret, size_t *ret_n,
                        size_t *ret_total, struct error *err) MUST_CHECK;

#endif
