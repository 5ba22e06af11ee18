/*
 * asset_store.h - uploaded assets: sessions, files by hash, and the manifest of a version.
 *
 * A session begins with a manifest (path, hash and size of each file). Files that the Worker has already are not asked for;
 * the others come in as many uploads as there are buckets, each with the session's token, and the answer to the last one has
 * the token that a deploy hands in. Files lie in <root>/<worker>/assets/<hash>; the manifest of a version, with what a
 * server needs to know of each file, in assets.json of its folder. Every function blocks.
 */
#ifndef DIONE_WORKERS_ASSET_STORE_H
#define DIONE_WORKERS_ASSET_STORE_H

#include "workers/assets.h"
#include "workers/workers.h"

enum {
    ASSET_MAX_BYTES = 25 * 1024 * 1024,
    ASSETS_MAX = 100000,
    ASSET_HASH_LEN = 32,
    ASSET_BUCKET_BYTES = 8 * 1024 * 1024,
    ASSET_BUCKET_FILES = 250,
    ASSET_SESSION_S = 3600,
};

/* Makes the tables (after the catalog's) and forgets old sessions. */
enum status asset_store_open(struct workers *w, struct error *err) MUST_CHECK;
/* Whether a session of this Worker is open: its files wait for a deploy. */
bool asset_store_expects(struct workers *w, struct slice worker);

/* Begins a session; appends {"jwt":..,"buckets":[[hash,..],..]}. INVALID: the manifest. */
enum status asset_session_begin(struct workers *w, struct slice worker, const struct json *manifest, struct arena *a,
                                struct buf *ret, struct error *err) MUST_CHECK;

/* Whom an upload token is for. UNAUTH: it is none, or expired. */
struct asset_session {
    struct slice worker, id;
    const struct json *manifest;
    struct arena *arena; /* where it lives */
};
/* Whether the token is ours and has not expired. Does not block, but for reading the key once. */
bool asset_token_is_good(struct workers *w, struct slice token, struct arena *a);
enum status asset_session_find(struct workers *w, struct slice token, struct arena *a, struct asset_session *ret,
                               struct error *err) MUST_CHECK;
struct asset_upload {
    struct slice hash, type, bytes;
};
/* Stores files of the session, all or none. INVALID: one is not in the manifest, or of another size. */
enum status asset_session_add(struct workers *w, const struct asset_session *s, const struct asset_upload *files,
                              size_t n, struct error *err) MUST_CHECK;
/* Appends {"jwt":".."} when all files are there, else {}. */
enum status asset_session_finish(struct workers *w, const struct asset_session *s, struct buf *ret, bool *ret_complete,
                                 struct error *err) MUST_CHECK;

/* The assets.json of a version, from the token of a complete session. SCRIPT: the token is no good. */
enum status asset_manifest_from_token(struct workers *w, struct slice worker, struct slice token, struct arena *a,
                                      struct slice *ret, size_t *ret_count, struct error *err) MUST_CHECK;
/* The site of a version whose folder has an assets.json. */
enum status asset_site_of_version(struct workers *w, const struct worker *worker, const struct version *v,
                                  struct arena *a, struct asset_site **ret, struct error *err) MUST_CHECK;
/* Removes files that no version and no open session of the Worker needs. */
void asset_store_collect(struct workers *w, struct slice worker);
/* Forgets a Worker that goes: rows; its folder is somebody else's. For a function that store_control runs. */
enum status asset_store_forget(struct sqlite3 *db, struct slice worker, struct error *err) MUST_CHECK;

#endif
