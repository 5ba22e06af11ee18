/*
 * sql.h - SQLite as D1 has it: connections with a profile's limits and authorizer, a statement cache, running, and rows
 * to JSON.
 *
 * A connection belongs to one thread at a time. Nothing here knows of sockets, queues or files other than the
 * database's own. Statements are known to SQLite by their text; the cache keeps the prepared form of texts that hold
 * exactly one statement.
 */
#ifndef DIONE_SQL_SQL_H
#define DIONE_SQL_SQL_H

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"

/* strict: what works here works on D1 and the other way round. wide: SQLite's own limits. own: no client's SQL comes here,
 * only ours. */
enum sql_profile { SQL_STRICT, SQL_WIDE, SQL_OWN };

enum sql_role {
    SQL_READER,   /* never writes, never checkpoints */
    SQL_WRITER,   /* the database's only writer; checkpoints when told to */
    SQL_IMPORTER, /* a writer for one import: long statements and shadow tables are allowed */
    SQL_INTERNAL, /* our own statements: no authorizer, no limits */
};

struct sql_conn_options {
    const char *path;
    enum sql_role role;
    enum sql_profile profile;
    uint64_t max_bytes;   /* WRITER, IMPORTER: size limit of the database; 0: none */
    int cache_statements; /* kept prepared */
    int cache_kib;        /* page cache */
    bool keep_wal;        /* closing leaves the WAL as it is: quicker, and the next to open takes it up */
};

struct sql_conn;
struct sqlite3_stmt;

/* Opens (a writer also creates) the file in WAL mode. IO, CORRUPT, FULL: err names the file. */
enum status sql_conn_open(const struct sql_conn_options *opt, struct sql_conn **ret, struct error *err) MUST_CHECK;
/* NULL is fine. Never checkpoints, except a WRITER or INTERNAL connection that is the last one. */
void sql_conn_close(struct sql_conn *c);
struct sqlite3 *sql_conn_handle(struct sql_conn *c);
/* A number that the owner of the connection remembers with it. */
void sql_conn_set_tag(struct sql_conn *c, int tag);
int sql_conn_tag(const struct sql_conn *c);
/* While on, nothing that the connection runs can write. Readers are opened like that. */
void sql_conn_set_query_only(struct sql_conn *c, bool on);
/* Page cache; what is above goes at once. */
void sql_conn_set_cache(struct sql_conn *c, int kib);
/* Changes limits and authorizer; drops the statement cache. */
void sql_conn_set_profile(struct sql_conn *c, enum sql_profile profile);

/* Runs fixed text of our own on any connection, past the authorizer. Rows are dropped. */
enum status sql_exec(struct sql_conn *c, const char *text, struct error *err) MUST_CHECK;
/* The first column of the first row of fixed text of our own; 0 when there is no row. */
enum status sql_exec_i64(struct sql_conn *c, const char *text, int64_t *ret, struct error *err) MUST_CHECK;

enum { SQL_OWN_SLOTS = 16 };
/*
 * Fixed text of our own (with an OWN profile), prepared at its first use and kept under `slot`. The caller binds, steps and
 * gives it back with sql_own_done; what is bound statically must live until then.
 */
enum status sql_own(struct sql_conn *c, int slot, const char *text, struct sqlite3_stmt **ret,
                    struct error *err) MUST_CHECK;
void sql_own_done(struct sqlite3_stmt *stmt);

/* Transactions and savepoints, past the authorizer; kept prepared. A savepoint of ours never meets one of a client. */
enum sql_txn {
    SQL_BEGIN, /* a read: its state is taken by the first statement */
    SQL_BEGIN_IMMEDIATE,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_SAVEPOINT,
    SQL_RELEASE,
    SQL_ROLLBACK_TO, /* the savepoint stays */
    SQL_N_TXN,
};
enum status sql_txn(struct sql_conn *c, enum sql_txn op, struct error *err) MUST_CHECK;
/* How many commits of this connection have changed the file since it was opened. */
uint64_t sql_conn_commits(const struct sql_conn *c);

/*
 * From now on statements end with an error once the monotonic clock passes deadline_ns: AGAIN when `may_retry` (the
 * fast path gives up and somebody else runs it from the start), else TIMEOUT. 0: no limit. `now_ns`: what that clock says, if
 * the caller has just asked it; else 0.
 */
void sql_conn_set_deadline(struct sql_conn *c, int64_t now_ns, int64_t deadline_ns, bool may_retry);
/* The same between statements. */
enum status sql_conn_check_deadline(struct sql_conn *c, struct error *err) MUST_CHECK;
/* While *cancelled is true, statements end with TIMEOUT. NULL: no such flag. It must outlive its use here. */
void sql_conn_set_cancel(struct sql_conn *c, const _Atomic bool *cancelled);
/* Ends what the connection runs at the moment, with TIMEOUT. The only call that is allowed from another thread. */
void sql_conn_interrupt(struct sql_conn *c);

/* ---- statements ---- */

enum sql_stmt_flags {
    SQL_STMT_WRITES = 1, /* may change the file */
    SQL_STMT_NEEDS_WRITER =
        2, /* reads or sets what belongs to the writing connection: changes(), PRAGMA foreign_keys = ... */
    SQL_STMT_SETS_STATE = 4, /* a pragma whose effect must end with the request */
    SQL_STMT_MAY_STALL = 8,  /* calls a function that can take very long at one go: not on a loop */
};

/* What insights keep of a statement; owned by the thread that owns the connection. */
struct sql_stmt_stats {
    uint64_t count, duration_ns, rows_read, rows_written, rows_returned;
};

struct sql_stmt;

/*
 * Prepares the first statement of text. *ret_stmt is NULL when there is none (blank, comments, ';'). *ret_consumed is
 * how much of text it took, trailing white space included. Errors carry D1's text; offsets count from text's start.
 */
enum status sql_prepare(struct sql_conn *c, struct slice text, struct sql_stmt **ret_stmt, size_t *ret_consumed,
                        struct error *err) MUST_CHECK;
/* After sql_prepare or sql_run failed on a reader: whether the statement is one for the writer. */
bool sql_conn_wants_writer(const struct sql_conn *c);
/*
 * SQLite notices another connection's schema change when a statement starts, not when one is prepared. So whenever `epoch`
 * differs from the last call's, this makes the connection load the schema as it is now, and drops its cached statements.
 */
enum status sql_conn_use_schema(struct sql_conn *c, int epoch, struct error *err) MUST_CHECK;
/* Ends use of the statement: back to the cache, or gone. NULL is fine. */
void sql_stmt_done(struct sql_conn *c, struct sql_stmt *s);
unsigned sql_stmt_flags(const struct sql_stmt *s);
int sql_stmt_n_params(const struct sql_stmt *s);
struct slice sql_stmt_text(const struct sql_stmt *s);
/* A mark that this text was too slow for the fast path; set and read by the connection's owner. */
unsigned char *sql_stmt_slow(struct sql_stmt *s);
/* The cached statement of exactly this text, or NULL: a look, no use. */
struct sql_stmt *sql_cache_find(struct sql_conn *c, struct slice text);
/* Calls fn for each cached statement that ran since the last call, and clears its statistics. */
void sql_cache_collect(struct sql_conn *c,
                       void (*fn)(struct slice text, const struct sql_stmt_stats *stats, bool is_write, void *arg),
                       void *arg);

/* ---- running ---- */

enum sql_format { SQL_OBJECTS /* [{"a":1}] */, SQL_ARRAYS /* {"columns":["a"],"rows":[[1]]} */ };

/* D1's meta of one statement. */
struct sql_meta {
    int64_t duration_ns;
    int64_t changes, last_row_id;
    bool changed_db;
    int64_t size_after; /* bytes in use */
    uint64_t rows_read, rows_written, rows_returned;
    size_t at; /* where its JSON begins in the answer; behind it comes the result's closing brace */
};

/* What a reader can't know of itself. */
struct sql_shared_state {
    int64_t last_row_id, size_bytes;
};

/*
 * Binds and runs s to its end and appends D1's result object of it, {"results":...,"success":true,"meta":{...}}, to out.
 * params: the first of n JSON values (siblings). `shared` is for readers, NULL on a writer. On an error `out` is
 * back at its former length. INVALID: a value that can't be bound; SQL: SQLite's error in D1's words; AGAIN and
 * TIMEOUT: see sql_conn_set_deadline; TOOBIG: out's limit.
 */
enum status sql_run(struct sql_conn *c, struct sql_stmt *s, const struct json *params, size_t n, enum sql_format format,
                    const struct sql_shared_state *shared, struct buf *out, struct sql_meta *ret_meta,
                    struct error *err) MUST_CHECK;

/* Writes *m over the meta of out's last result, which was at m->at. TOOBIG: out's limit. */
enum status sql_rewrite_meta(struct buf *out, const struct sql_meta *m, struct error *err) MUST_CHECK;

/* Undoes what pragmas of the request have set. Only does something after a statement with SETS_STATE. */
void sql_conn_reset_state(struct sql_conn *c);

/* SQLite's error of the last call on c in D1's words: "<message> at offset N: SQLITE_X (extended: SQLITE_X_Y)". */
enum status sql_error(struct sql_conn *c, int rc, struct error *err);
/* Whether the error ended the connection's whole transaction (its BEGIN is gone). */
bool sql_conn_in_transaction(struct sql_conn *c);
/* Bytes in use: pages less free pages, as the connection's transaction sees them. */
enum status sql_conn_size(struct sql_conn *c, int64_t *ret_bytes, struct error *err) MUST_CHECK;

/* Frames in the WAL after this connection's last commit. */
int sql_conn_wal_pages(const struct sql_conn *c);

#endif
