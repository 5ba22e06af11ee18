/*
 * transfers.h - the exports and imports that run or wait to be fetched: who asked, how far they are, where their files lie.
 *
 * A transfer is known by an id of 128 random bits, which is all that a signed URL needs to hold. Its file is in
 * <data>/tmp, which is emptied when the server starts; transfers and files are forgotten an hour after they were last asked for.
 *
 *     export:                                      RUNNING --> DONE | FAILED
 *     import:  AWAITING --> UPLOADING --> UPLOADED --> RUNNING --> DONE | FAILED
 *                 ^____________/  (aborted, or not the promised bytes)
 *
 * Threads: every function may be called from any thread unless it says otherwise; a mutex guards all of it. struct transfer is
 * reference-counted: who gets one from here gives it back with transfer_unref. The work runs on threads of its own,
 * so that it keeps no thread from short jobs, and waiting for it takes no thread at all.
 */
#ifndef DIONE_STORE_TRANSFERS_H
#define DIONE_STORE_TRANSFERS_H

#include "store/load.h"
#include "store/store.h"

struct transfers;
struct transfer;

enum { TRANSFER_ID_LEN = 32 };

enum transfer_kind { TRANSFER_EXPORT_SQL, TRANSFER_EXPORT_SQLITE, TRANSFER_IMPORT };

enum transfer_state {
    TRANSFER_AWAITING,
    TRANSFER_UPLOADING,
    TRANSFER_UPLOADED,
    TRANSFER_RUNNING,
    TRANSFER_DONE,
    TRANSFER_FAILED,
};

/* A copy of what there is to say about a transfer. */
struct transfer_view {
    char id[TRANSFER_ID_LEN + 1];
    enum transfer_state state;
    /* RUNNING: stands for the transfer and has a bookmark's form. DONE: of the commit that was exported or made. */
    char bookmark[BOOKMARK_LEN + 1];
    uint64_t bytes, statements; /* so far */
    struct load_result result;  /* imports that are DONE */
    struct error err;           /* FAILED */
};

/* Empties <data>/tmp. Blocking; the store must outlive it. */
enum status transfers_open(struct store *s, struct transfers **ret, struct error *err) MUST_CHECK;
/* Ends what runs, soon, and answers everybody who waits; nothing new is taken. Before the loops stop. */
void transfers_cancel_all(struct transfers *t);
/* Waits for the ends; the store's pools and the loops must still work. NULL is fine. Blocking. */
void transfers_drain(struct transfers *t);
/* After transfers_drain. NULL is fine. Removes what is left of files. Blocking. */
void transfers_close(struct transfers *t);
/* Cancels the transfers of a database that is about to go. Any thread. */
void transfers_cancel_database(struct transfers *t, const struct database *db);
/* Forgets what is old and cancels exports that nobody asks for. About once a minute. May remove files: blocking. */
void transfers_sweep(struct transfers *t);
/* Threads for writing uploads. */
struct pool *transfers_upload_pool(struct transfers *t);

struct transfer *transfer_ref(struct transfer *x);
void transfer_unref(struct transfer *x);
void transfer_view(struct transfer *x, struct transfer_view *ret);
/* The transfer of this id, or whose current bookmark this is, when it is of `db` (NULL: of any). NULL: none. */
struct transfer *transfers_find(struct transfers *t, const struct database *db, enum transfer_kind kind,
                                struct slice id_or_bookmark);

/*
 * Calls fn(arg) on `loop`, whose thread this is, when the transfer ends or timeout_ms have passed (0: no limit). False: it
 * is not running, or no memory; fn is not called.
 */
bool transfer_wait(struct transfer *x, struct loop *loop, uint64_t timeout_ms, void (*fn)(void *arg),
                   void *arg) MUST_CHECK;

/* ---- exports ---- */

struct transfer_export {
    enum transfer_kind kind;
    bool no_schema, no_data;
    const struct slice *tables; /* copied */
    size_t n_tables;
};

enum status transfers_export(struct transfers *t, struct database *db, const struct transfer_export *opt,
                             struct transfer **ret, struct error *err) MUST_CHECK;
/* Opens the file of a finished export. NOTFOUND: not finished, or gone. */
enum status transfer_open_file(struct transfer *x, int *ret_fd, uint64_t *ret_size, struct error *err) MUST_CHECK;
/* Forgets a transfer that is not running, and its file (which stays readable for those who have it open). */
void transfer_forget(struct transfer *x);
void transfer_database_uuid(const struct transfer *x, char ret[UUID_LEN + 1]);

/* ---- imports ---- */

/* An uploaded file of this database with this MD5 (lower-case hex), or else a new transfer that awaits one. */
enum status transfers_import(struct transfers *t, struct database *db, struct slice etag, struct transfer **ret,
                             struct error *err) MUST_CHECK;
/* AWAITING or UPLOADED becomes UPLOADING. BUSY: another upload or the import is under way. */
enum status transfer_upload_begin(struct transfer *x, struct error *err) MUST_CHECK;
/* Where an upload goes. Lives as long as the reference. */
const char *transfer_path(const struct transfer *x);
const char *transfer_etag(const struct transfer *x);
/* The file is complete and is what was promised, or else was removed. */
void transfer_upload_end(struct transfer *x, bool complete);
/* Starts the import of an uploaded file; does nothing when it has started already. INVALID: not uploaded. */
enum status transfer_ingest(struct transfer *x, struct error *err) MUST_CHECK;

#endif
