/*
 * tokens.c - see tokens.h.
 *
 * Two locks, in this order: `change` is held by whoever changes the table, in the database and in memory, and is the only one
 * that is held while SQLite runs; `lock` guards the table in memory, for moments only.
 * A revoked token stays for a while, so that its user is told why it fails.
 */
#include "store/tokens.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "store/control_sql.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <xxhash.h>

/* Keys are digests, so any four bytes of them are a good hash. */
#define HASH_FUNCTION(key, len, hash) memcpy(&(hash), (key), sizeof(hash))
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum {
    CACHE_MS = 1000,                     /* a cached check is repeated after it, which also notes the use */
    FAILURE_MS = 50,                     /* one failed check in so many is answered in full, ... */
    FAILURE_BURST_MS = 100 * FAILURE_MS, /* ... after the first hundred */
};

struct token {
    struct token_info info; /* but for last_used_ms */
    unsigned char digest[SHA256_BYTES];
    bool is_root;
    int64_t revoked_ms; /* 0: not revoked */
    _Atomic int64_t used_ms;
    int64_t saved_used_ms, saving_used_ms; /* guarded by tokens.change */
    UT_hash_handle hh;
};

struct tokens {
    struct store *store;
    pthread_mutex_t change;
    pthread_rwlock_t lock;
    struct token *table; /* by digest; iterates in order of creation. Changed under both locks */
    size_t n_usable, n_revoked;
    _Atomic uint64_t generation; /* grows when a token stops working */
    _Atomic int64_t failures_until_ms;
};

/* ---- the table in memory ---- */

static struct token *find(struct tokens *t, const unsigned char digest[SHA256_BYTES])
{
    struct token *found;

    HASH_FIND(hh, t->table, digest, SHA256_BYTES, found);
    return found;
}

static struct token *find_id(struct tokens *t, struct slice id)
{
    for (struct token *token = t->table; token; token = token->hh.next)
        if (slice_eq(id, slice_cstr(token->info.grant.id)))
            return token;
    return NULL;
}

static enum status add(struct tokens *t, struct token *token, struct error *err)
{
    pthread_rwlock_wrlock(&t->lock);
    HASH_ADD(hh, t->table, digest, SHA256_BYTES, token);
    bool added = token->hh.tbl != NULL;
    if (added)
        ++*(token->revoked_ms ? &t->n_revoked : &t->n_usable);
    pthread_rwlock_unlock(&t->lock);
    return added ? STATUS_OK : error_set(err, STATUS_NOMEM, 0, "out of memory");
}

/* NULL is fine. */
static void forget(struct tokens *t, struct token *token)
{
    if (!token)
        return;
    pthread_rwlock_wrlock(&t->lock);
    HASH_DEL(t->table, token);
    --*(token->revoked_ms ? &t->n_revoked : &t->n_usable);
    atomic_fetch_add(&t->generation, 1);
    pthread_rwlock_unlock(&t->lock);
    free(token);
}

static void mark_revoked(struct tokens *t, struct token *token, int64_t now_ms)
{
    pthread_rwlock_wrlock(&t->lock);
    token->revoked_ms = now_ms;
    t->n_usable--;
    t->n_revoked++;
    atomic_fetch_add(&t->generation, 1);
    pthread_rwlock_unlock(&t->lock);
}

static bool is_expired(const struct token *token, int64_t now_ms)
{
    return token->info.expires_ms && token->info.expires_ms <= now_ms;
}

static bool has_full_rights(const struct token *token, int64_t now_ms)
{
    return token->info.grant.can_write && !token->info.grant.database[0] && !token->revoked_ms &&
           !is_expired(token, now_ms);
}

static bool others_have_full_rights(struct tokens *t, const struct token *but, int64_t now_ms)
{
    for (struct token *token = t->table; token; token = token->hh.next)
        if (token != but && has_full_rights(token, now_ms))
            return true;
    return false;
}

/* Of those that are of no use any more, the one for the longest; NULL when all can be used. The server's own is remembered for
 * ever: forgotten, it would come back with the next start. */
static struct token *oldest_useless(struct tokens *t, bool revoked, int64_t now_ms)
{
    struct token *oldest = NULL;
    int64_t oldest_ms = INT64_MAX;

    for (struct token *token = t->table; token; token = token->hh.next) {
        int64_t since_ms = revoked ? token->revoked_ms : token->info.expires_ms;
        bool fits = revoked ? token->revoked_ms != 0 : !token->revoked_ms && is_expired(token, now_ms);
        if (fits && !token->is_root && since_ms < oldest_ms) {
            oldest = token;
            oldest_ms = since_ms;
        }
    }
    return oldest;
}

/* ---- rows ---- */

static enum status insert_row(sqlite3 *db, const struct token *token, struct error *err)
{
    char hex[SHA256_HEX_LEN + 1];
    sqlite3_stmt *stmt CLEANUP(control_finish) = NULL;
    enum status st = control_prepare(
        db,
        "INSERT INTO tokens(id, name, sha256, scope, database, created_at, expires_at, is_root) "
        "VALUES(?1, ?2, ?3, ?4, nullif(?5, ''), ?6, ?7, ?8)",
        &stmt, err);
    if (st != STATUS_OK)
        return st;
    hex_encode(token->digest, SHA256_BYTES, hex);
    control_bind_slice(stmt, 1, slice_cstr(token->info.grant.id));
    control_bind_slice(stmt, 2, slice_cstr(token->info.name));
    control_bind_slice(stmt, 3, slice_cstr(hex));
    control_bind_slice(stmt, 4, token->info.grant.can_write ? SLICE_LIT("write") : SLICE_LIT("read"));
    control_bind_slice(stmt, 5, slice_cstr(token->info.grant.database));
    sqlite3_bind_int64(stmt, 6, token->info.created_ms);
    control_bind_time(stmt, 7, token->info.expires_ms);
    sqlite3_bind_int(stmt, 8, token->is_root);
    return control_run(stmt, err);
}

/* A time in one column of one row. */
static enum status set_time(sqlite3 *db, const char *sql, const struct token *token, int64_t ms, struct error *err)
{
    sqlite3_stmt *stmt CLEANUP(control_finish) = NULL;
    enum status st = control_prepare(db, sql, &stmt, err);

    if (st != STATUS_OK)
        return st;
    control_bind_slice(stmt, 1, slice_cstr(token->info.grant.id));
    control_bind_time(stmt, 2, ms);
    return control_run(stmt, err);
}

/* NULL is fine. */
static enum status delete_row(sqlite3 *db, const struct token *token, struct error *err)
{
    sqlite3_stmt *stmt CLEANUP(control_finish) = NULL;

    if (!token)
        return STATUS_OK;
    enum status st = control_prepare(db, "DELETE FROM tokens WHERE id = ?1", &stmt, err);
    if (st != STATUS_OK)
        return st;
    control_bind_slice(stmt, 1, slice_cstr(token->info.grant.id));
    return control_run(stmt, err);
}

/* One change of the table: rows go first, since digests are unique. */
struct change {
    struct token *removed[2], *added, *revoked;
    int64_t now_ms;
};

static enum status apply_change(sqlite3 *db, void *arg, struct error *err)
{
    const struct change *c = arg;
    enum status st = STATUS_OK;

    for (size_t i = 0; st == STATUS_OK && i < ARRAY_LEN(c->removed); i++)
        st = delete_row(db, c->removed[i], err);
    if (st == STATUS_OK && c->revoked)
        st = set_time(db, "UPDATE tokens SET revoked_at = ?2 WHERE id = ?1", c->revoked, c->now_ms, err);
    if (st == STATUS_OK && c->added)
        st = insert_row(db, c->added, err);
    return st;
}

/* ---- opening ---- */

static bool hex_decode(const char *hex, unsigned char *ret, size_t len)
{
    static const char digits[] = "0123456789abcdef";

    if (strlen(hex) != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        const char *high = strchr(digits, hex[2 * i]), *low = strchr(digits, hex[2 * i + 1]);
        if (!high || !low)
            return false;
        ret[i] = (unsigned char)((high - digits) << 4 | (low - digits));
    }
    return true;
}

static enum status load_row(struct tokens *t, sqlite3_stmt *row, struct error *err)
{
    struct token *token = calloc(1, sizeof(*token));
    char hex[SHA256_HEX_LEN + 2], scope[8];

    if (!token)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    control_column_text(row, 0, token->info.grant.id, sizeof(token->info.grant.id));
    control_column_text(row, 1, token->info.name, sizeof(token->info.name));
    control_column_text(row, 2, hex, sizeof(hex));
    control_column_text(row, 3, scope, sizeof(scope));
    control_column_text(row, 4, token->info.grant.database, sizeof(token->info.grant.database));
    token->info.created_ms = sqlite3_column_int64(row, 5);
    token->info.expires_ms = sqlite3_column_int64(row, 6);
    token->revoked_ms = sqlite3_column_int64(row, 7);
    token->saved_used_ms = sqlite3_column_int64(row, 8);
    token->is_root = sqlite3_column_int(row, 9) != 0;
    token->info.grant.can_write = strcmp(scope, "write") == 0;
    atomic_init(&token->used_ms, token->saved_used_ms);
    enum status st = hex_decode(hex, token->digest, SHA256_BYTES)
                         ? add(t, token, err)
                         : error_set(err, STATUS_CORRUPT, 0, "control database: token %s has no digest",
                                     token->info.grant.id);
    if (st != STATUS_OK)
        free(token);
    return st;
}

static enum status load(sqlite3 *db, void *arg, struct error *err)
{
    sqlite3_stmt *stmt CLEANUP(control_finish) = NULL;
    enum status st = control_exec(
        db,
        "CREATE TABLE IF NOT EXISTS tokens(id TEXT PRIMARY KEY, name TEXT NOT NULL, "
        "sha256 TEXT NOT NULL UNIQUE, scope TEXT NOT NULL, database TEXT, created_at INTEGER NOT NULL, "
        "expires_at INTEGER, revoked_at INTEGER, last_used_at INTEGER, is_root INTEGER NOT NULL) STRICT",
        err);
    if (st == STATUS_OK)
        st = control_prepare(
            db,
            "SELECT id, name, sha256, scope, database, created_at, expires_at, revoked_at, last_used_at, "
            "is_root FROM tokens ORDER BY created_at, rowid",
            &stmt, err);
    for (bool has_row = true; st == STATUS_OK && has_row;) {
        st = control_step(stmt, &has_row, err);
        if (st == STATUS_OK && has_row)
            st = load_row(arg, stmt, err);
    }
    return st;
}

enum status tokens_open(struct store *s, struct tokens **ret, struct error *err)
{
    struct tokens *t = calloc(1, sizeof(*t));

    if (!t)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    t->store = s;
    atomic_init(&t->generation, 1);
    pthread_mutex_init(&t->change, NULL);
    pthread_rwlock_init(&t->lock, NULL);
    enum status st = store_control(s, load, t, err);
    if (st != STATUS_OK)
        tokens_close(t);
    else
        *ret = t;
    return st;
}

void tokens_close(struct tokens *t)
{
    if (!t)
        return;
    for (struct token *token = t->table, *next; token; token = next) {
        next = token->hh.next;
        HASH_DEL(t->table, token);
        free(token);
    }
    pthread_rwlock_destroy(&t->lock);
    pthread_mutex_destroy(&t->change);
    free(t);
}

/* ---- last use ---- */

static enum status save_used(sqlite3 *db, void *arg, struct error *err)
{
    struct tokens *t = arg;
    enum status st = STATUS_OK;

    for (struct token *token = t->table; token && st == STATUS_OK; token = token->hh.next) {
        token->saving_used_ms = atomic_load_explicit(&token->used_ms, memory_order_relaxed);
        if (token->saving_used_ms != token->saved_used_ms)
            st = set_time(db, "UPDATE tokens SET last_used_at = ?2 WHERE id = ?1", token, token->saving_used_ms, err);
    }
    return st;
}

static bool was_used(struct tokens *t)
{
    for (struct token *token = t->table; token; token = token->hh.next)
        if (atomic_load_explicit(&token->used_ms, memory_order_relaxed) != token->saved_used_ms)
            return true;
    return false;
}

enum status tokens_flush(struct tokens *t, struct error *err)
{
    enum status st = STATUS_OK;

    pthread_mutex_lock(&t->change);
    if (was_used(t)) {
        st = store_control(t->store, save_used, t, err);
        for (struct token *token = t->table; token && st == STATUS_OK; token = token->hh.next)
            token->saved_used_ms = token->saving_used_ms;
    }
    pthread_mutex_unlock(&t->change);
    return st;
}

/* ---- checking ---- */

/*
 * A failed check that came too fast? The classic bucket as one number: the time until which earlier failures have used up
 * what may fail.
 */
static bool fails_too_often(struct tokens *t, int64_t now_ms)
{
    int64_t until = atomic_load_explicit(&t->failures_until_ms, memory_order_relaxed), next;

    do {
        next = until < now_ms ? now_ms : until;
        /* Further ahead than the burst: the clock was set back. */
        if (next > now_ms + FAILURE_BURST_MS + FAILURE_MS)
            next = now_ms;
        if (next > now_ms + FAILURE_BURST_MS - FAILURE_MS)
            return true;
        next += FAILURE_MS;
    } while (!atomic_compare_exchange_weak_explicit(&t->failures_until_ms, &until, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return false;
}

static enum status explain(const struct token *token, struct error *err)
{
    char when[CLOCK_ISO_LEN + 1];

    if (!token)
        return error_set(err, STATUS_UNAUTH, 0, "Authentication error: this token is unknown");
    if (token->revoked_ms)
        return error_set(err, STATUS_UNAUTH, 0, "Authentication error: the token was revoked");
    clock_iso(token->info.expires_ms, when);
    return error_set(err, STATUS_UNAUTH, 0, "Authentication error: the token has expired (%s)", when);
}

static void note_use(struct token *token, int64_t now_ms)
{
    /* Two loops may write at once; either time is right. */
    if (atomic_load_explicit(&token->used_ms, memory_order_relaxed) < now_ms)
        atomic_store_explicit(&token->used_ms, now_ms, memory_order_relaxed);
}

/* *ret_expires_ms may be NULL. */
static enum status check(struct tokens *t, struct slice secret, int64_t now_ms, struct token_grant *ret,
                         int64_t *ret_expires_ms, struct error *err)
{
    unsigned char digest[SHA256_BYTES];
    enum status st = STATUS_OK;

    if (!secret.ptr)
        return error_set(
            err, STATUS_UNAUTH, 0,
            "Authentication error: send the token as \"Authorization: Bearer TOKEN\" or \"X-API-Key: TOKEN\"");
    /* Looking up by digest takes a time that depends on the digest; which tells nothing about any secret. */
    sha256(secret, digest);
    pthread_rwlock_rdlock(&t->lock);
    struct token *token = find(t, digest);
    if (token && !token->revoked_ms && !is_expired(token, now_ms)) {
        *ret = token->info.grant;
        if (ret_expires_ms)
            *ret_expires_ms = token->info.expires_ms;
        note_use(token, now_ms);
    } else {
        st = explain(token, err);
    }
    pthread_rwlock_unlock(&t->lock);
    if (st != STATUS_OK && fails_too_often(t, now_ms))
        return error_set(err, STATUS_RATE, 0, "Authentication error: too many failed attempts; wait a second");
    return st;
}

enum status tokens_check(struct tokens *t, struct slice secret, int64_t now_ms, struct token_grant *ret,
                         struct error *err)
{
    return check(t, secret, now_ms, ret, NULL, err);
}

enum status tokens_check_cached(struct tokens *t, struct token_cache *cache, struct slice secret, int64_t now_ms,
                                struct token_grant *ret, struct error *err)
{
    uint64_t generation = atomic_load_explicit(&t->generation, memory_order_acquire);
    int64_t expires_ms = 0;

    if (!secret.ptr || secret.len > TOKEN_CACHE_SECRET_MAX)
        return check(t, secret, now_ms, ret, NULL, err);
    struct token_cache_entry *e = &cache->entries[XXH3_64bits(secret.ptr, secret.len) % TOKEN_CACHE_ENTRIES];
    if (e->generation == generation && now_ms >= e->from_ms && now_ms < e->until_ms && e->len == secret.len &&
        CRYPTO_memcmp(e->secret, secret.ptr, secret.len) == 0) {
        *ret = e->grant;
        return STATUS_OK;
    }
    enum status st = check(t, secret, now_ms, ret, &expires_ms, err);
    if (st != STATUS_OK)
        return st; /* and the entry stays: wrong secrets must not push out right ones */
    e->generation = generation;
    e->from_ms = now_ms;
    e->until_ms = expires_ms && expires_ms < now_ms + CACHE_MS ? expires_ms : now_ms + CACHE_MS;
    e->len = secret.len;
    memcpy(e->secret, secret.ptr, secret.len);
    e->grant = *ret;
    return STATUS_OK;
}

bool grant_allows(const struct token_grant *g, const char *uuid, bool write)
{
    if (!g || (write && !g->can_write))
        return false;
    return !g->database[0] || (uuid && strcmp(uuid, g->database) == 0);
}

/* ---- managing ---- */

/*
 * Writes the change and brings the table in memory in line. What is added goes to memory first: nobody has its secret before
 * we return, and so nothing can fail behind the commit. Under t->change; frees c->added when it fails.
 */
static enum status commit_change(struct tokens *t, struct change *c, struct error *err)
{
    enum status st = c->added ? add(t, c->added, err) : STATUS_OK;

    if (st != STATUS_OK) {
        free(c->added);
        return st;
    }
    st = store_control(t->store, apply_change, c, err);
    if (st != STATUS_OK) {
        forget(t, c->added);
        return st;
    }
    if (c->revoked)
        mark_revoked(t, c->revoked, c->now_ms);
    for (size_t i = 0; i < ARRAY_LEN(c->removed); i++)
        forget(t, c->removed[i]);
    return STATUS_OK;
}

static struct token *token_alloc(const struct token_info *info, struct slice secret, int64_t now_ms)
{
    struct token *token = calloc(1, sizeof(*token));

    if (!token)
        return NULL;
    token->info = *info;
    token->info.created_ms = now_ms;
    token->info.last_used_ms = 0;
    uuid_new(token->info.grant.id);
    sha256(secret, token->digest);
    return token;
}

static enum status create_under_change(struct tokens *t, struct token_info *info, struct slice secret,
                                       struct error *err)
{
    int64_t now = clock_wall_ms();
    struct change c = { .now_ms = now };

    if (info->expires_ms && info->expires_ms <= now)
        return error_set(err, STATUS_INVALID, 0, "expires_at is in the past");
    if (t->n_usable >= TOKENS_MAX) {
        c.removed[0] = oldest_useless(t, false, now);
        if (!c.removed[0])
            return error_set(err, STATUS_LIMIT, 0, "there are %d tokens, the most there can be: revoke some",
                             TOKENS_MAX);
    }
    c.added = token_alloc(info, secret, now);
    if (!c.added)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    enum status st = commit_change(t, &c, err);
    if (st == STATUS_OK)
        *info = c.added->info;
    return st;
}

enum status tokens_create(struct tokens *t, struct token_info *info, char ret_secret[TOKEN_LEN + 1], struct error *err)
{
    char secret[TOKEN_LEN + 1];

    token_new(secret);
    pthread_mutex_lock(&t->change);
    enum status st = create_under_change(t, info, slice_of(secret, TOKEN_LEN), err);
    pthread_mutex_unlock(&t->change);
    if (st == STATUS_OK)
        memcpy(ret_secret, secret, sizeof(secret));
    return st;
}

static enum status revoke_under_change(struct tokens *t, struct slice id, struct error *err)
{
    int64_t now = clock_wall_ms();
    struct token *token = find_id(t, id);

    if (!token || token->revoked_ms)
        return error_set(err, STATUS_NOTFOUND, 0, "there is no token %.*s", id.len > UUID_LEN ? UUID_LEN : (int)id.len,
                         id.ptr);
    if (has_full_rights(token, now) && !others_have_full_rights(t, token, now))
        return error_set(err, STATUS_INVALID, 0,
                         "this is the last token that may do everything: create another one before revoking it");
    struct change c = { .revoked = token, .now_ms = now };
    if (t->n_revoked >= TOKENS_REVOKED_MAX)
        c.removed[0] = oldest_useless(t, true, now);
    return commit_change(t, &c, err);
}

enum status tokens_revoke(struct tokens *t, struct slice id, struct error *err)
{
    pthread_mutex_lock(&t->change);
    enum status st = revoke_under_change(t, id, err);
    pthread_mutex_unlock(&t->change);
    return st;
}

static enum status delete_rows_of(sqlite3 *db, void *arg, struct error *err)
{
    sqlite3_stmt *stmt CLEANUP(control_finish) = NULL;
    enum status st = control_prepare(db, "DELETE FROM tokens WHERE database = ?1", &stmt, err);

    if (st != STATUS_OK)
        return st;
    control_bind_slice(stmt, 1, slice_cstr(arg));
    return control_run(stmt, err);
}

static bool belongs_to(const struct token *token, const char *uuid)
{
    return strcmp(token->info.grant.database, uuid) == 0;
}

enum status tokens_revoke_database(struct tokens *t, const char *uuid, struct error *err)
{
    enum status st = STATUS_OK;
    bool any = false;

    pthread_mutex_lock(&t->change);
    for (struct token *token = t->table; token && !any; token = token->hh.next)
        any = belongs_to(token, uuid);
    if (any)
        st = store_control(t->store, delete_rows_of, (void *)(uintptr_t)uuid, err);
    for (struct token *token = st == STATUS_OK && any ? t->table : NULL, *next; token; token = next) {
        next = token->hh.next;
        if (belongs_to(token, uuid))
            forget(t, token);
    }
    pthread_mutex_unlock(&t->change);
    return st;
}

static enum status check_root_secret(struct slice secret, struct error *err)
{
    if (secret.len < TOKEN_MIN_LEN || secret.len > TOKEN_SECRET_MAX)
        return error_set(err, STATUS_INVALID, 0, "DIONE_TOKEN must have %d to %d characters, it has %zu", TOKEN_MIN_LEN,
                         TOKEN_SECRET_MAX, secret.len);
    for (size_t i = 0; i < secret.len; i++)
        if (secret.ptr[i] <= ' ' || secret.ptr[i] > '~')
            return error_set(
                err, STATUS_INVALID, 0,
                "DIONE_TOKEN can't be sent in a header: it may only have printable ASCII characters and no spaces");
    return STATUS_OK;
}

static enum status ensure_root_under_change(struct tokens *t, struct slice secret, struct error *err)
{
    static const struct token_info server = { .grant = { .can_write = true }, .name = "server" };
    unsigned char digest[SHA256_BYTES];
    int64_t now = clock_wall_ms();
    struct change c = { .now_ms = now };

    sha256(secret, digest);
    struct token *same = find(t, digest);
    if (same && same->is_root && has_full_rights(same, now))
        return STATUS_OK;
    if (same && same->revoked_ms && others_have_full_rights(t, same, now)) {
        log_line(LOG_WARN,
                 "the token in DIONE_TOKEN or the token file was revoked and stays so: other tokens have full rights");
        return STATUS_OK;
    }
    c.removed[0] = same;
    for (struct token *token = t->table; token; token = token->hh.next)
        if (token != same && token->is_root && !token->revoked_ms)
            c.removed[1] = token;
    c.added = token_alloc(&server, secret, now);
    if (!c.added)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    c.added->is_root = true;
    return commit_change(t, &c, err);
}

enum status tokens_ensure_root(struct tokens *t, struct slice secret, struct error *err)
{
    enum status st = check_root_secret(secret, err);

    if (st != STATUS_OK)
        return st;
    pthread_mutex_lock(&t->change);
    st = ensure_root_under_change(t, secret, err);
    pthread_mutex_unlock(&t->change);
    return st;
}

enum status tokens_list(struct tokens *t, size_t offset, size_t limit, struct token_info **ret, size_t *ret_n,
                        size_t *ret_total, struct error *err)
{
    size_t total = 0, n = 0;

    pthread_rwlock_rdlock(&t->lock);
    struct token_info *list = calloc((limit < t->n_usable ? limit : t->n_usable) + 1, sizeof(*list));
    for (struct token *token = t->table; list && token; token = token->hh.next) {
        if (token->revoked_ms || total++ < offset || n >= limit)
            continue;
        list[n] = token->info;
        list[n++].last_used_ms = atomic_load_explicit(&token->used_ms, memory_order_relaxed);
    }
    pthread_rwlock_unlock(&t->lock);
    if (!list)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    *ret = list;
    *ret_n = n;
    *ret_total = total;
    return STATUS_OK;
}
