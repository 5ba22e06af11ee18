/*
 * sqlite_file.c - see sqlite_file.h.
 *
 * Out: sqlite3_backup, which reads through the reader's snapshot and so sees one commit, however long it takes. (VACUUM INTO
 * would give a smaller file, but cannot run inside the transaction that holds the snapshot.)
 *
 * In: sqlite3_backup cannot write into a transaction that is already open, and the commit number must be
 * written in the same one; so pages go in through sqlite_dbpage, which is SQLite's own pager: limits, journal,
 * spilling to the WAL and rollback work as for any write. Readers see the old database or the new one.
 *
 * Page 1 is the only one that differs from the file: WAL mode, our two header values, and a schema cookie that
 * is sure to be another than before, since that is how other connections learn that the schema has changed.
 */
#include "store/sqlite_file.h"

#include "dione_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PAGE_BYTES = 4096,
    STEP_PAGES = 1024,                       /* copied between two looks at the cancel flag */
    LOCK_PAGE = 0x40000000 / PAGE_BYTES + 1, /* holds SQLite's locks, never data */
    CHECK_OPS = 100000,
    /* In the header on page 1. */
    AT_PAGE_SIZE = 16,
    AT_WRITE_VERSION = 18,
    AT_READ_VERSION = 19,
    AT_PAGE_COUNT = 28,
    AT_FREE_PAGES = 36,
    AT_SCHEMA_COOKIE = 40,
    AT_AUTO_VACUUM = 52,
    AT_ENCODING = 56,
    AT_USER_VERSION = 60,
    AT_APPLICATION_ID = 68,
    HEADER_BYTES = 100,
};

bool sqlite_file_is(struct slice head)
{
    return head.len >= SQLITE_FILE_MAGIC_LEN && memcmp(head.ptr, "SQLite format 3", SQLITE_FILE_MAGIC_LEN) == 0;
}

static uint32_t get_be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_be32(unsigned char *p, uint32_t v)
{
    p[0] = (unsigned char)(v >> 24);
    p[1] = (unsigned char)(v >> 16);
    p[2] = (unsigned char)(v >> 8);
    p[3] = (unsigned char)v;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* what matters was synced or only read */
}

/* ---- out ---- */

static enum status backup_error(sqlite3 *to, int rc, struct error *err)
{
    enum status st = rc == SQLITE_FULL ? STATUS_FULL : rc == SQLITE_NOMEM ? STATUS_NOMEM : STATUS_IO;

    return error_set(err, st, rc, "cannot copy the database: %s", to ? sqlite3_errmsg(to) : sqlite3_errstr(rc));
}

static enum status copy_pages(struct sql_conn *c, sqlite3 *to, struct progress *p, struct error *err)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", sql_conn_handle(c), "main");
    int rc = SQLITE_OK;

    if (!backup)
        return backup_error(to, sqlite3_errcode(to), err);
    while (rc == SQLITE_OK && !progress_is_cancelled(p)) {
        rc = sqlite3_backup_step(backup, STEP_PAGES);
        int done = sqlite3_backup_pagecount(backup) - sqlite3_backup_remaining(backup);
        atomic_store_explicit(&p->bytes, (uint64_t)done * PAGE_BYTES, memory_order_relaxed);
    }
    sqlite3_backup_finish(backup); /* repeats rc */
    if (rc == SQLITE_DONE)
        return STATUS_OK;
    if (rc == SQLITE_OK)
        return error_set(err, STATUS_STOPPING, 0, "The export was cancelled");
    return backup_error(to, rc, err);
}

/* What is ours in the header goes; the copy is an ordinary file in rollback mode. */
static enum status make_plain(const char *path, struct error *err)
{
    static const unsigned char rollback_mode[2] = { 1, 1 }, zero[4];
    CLEANUP(close_fd) int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return error_errno(err, errno, "cannot open the copy");
    if (pwrite(fd, rollback_mode, 2, AT_WRITE_VERSION) != 2 || pwrite(fd, zero, 4, AT_USER_VERSION) != 4 ||
        pwrite(fd, zero, 4, AT_APPLICATION_ID) != 4)
        return error_errno(err, errno, "cannot write the copy");
    return STATUS_OK;
}

enum status sqlite_file_write(struct sql_conn *c, const char *path, struct progress *p, struct error *err)
{
    sqlite3 *to = NULL;
    int rc = sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

    /* Nobody reads the file before it is complete, and a crash empties the folder it is in. */
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(to, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF", NULL, NULL, NULL);
    enum status st = rc == SQLITE_OK ? copy_pages(c, to, p, err) : backup_error(to, rc, err);
    sqlite3_close(to);
    if (st == STATUS_OK)
        st = make_plain(path, err);
    if (st != STATUS_OK)
        (void)unlink(path); /* may not exist */
    return st;
}

/* ---- checking what came in ---- */

struct check {
    sqlite3 *db;
    const char *path;
    struct progress *p;
    struct error *err;
};

static int on_check_progress(void *arg)
{
    struct check *k = arg;

    return progress_is_cancelled(k->p);
}

static enum status refuse(struct check *k, const char *what)
{
    return error_set(k->err, STATUS_SQL, 0, "The SQLite file cannot be imported: %s", what);
}

static enum status check_error(struct check *k, int rc)
{
    if (progress_is_cancelled(k->p))
        return error_set(k->err, STATUS_STOPPING, 0, "The import was cancelled");
    if (rc == SQLITE_FULL || rc == SQLITE_IOERR)
        return error_set(k->err, rc == SQLITE_FULL ? STATUS_FULL : STATUS_IO, rc, "cannot check the SQLite file: %s",
                         sqlite3_errmsg(k->db));
    return refuse(k, sqlite3_errmsg(k->db));
}

/* The text of the first row, when there is one, becomes the refusal: "<before><text><behind>". */
static enum status refuse_if_row(struct check *k, const char *sql, const char *before, const char *behind)
{
    sqlite3_stmt *stmt = NULL;
    char what[512];
    int rc = sqlite3_prepare_v2(k->db, sql, -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    enum status st = STATUS_OK;
    if (rc == SQLITE_ROW) {
        snprintf(what, sizeof(what), "%s%.300s%s", before, (const char *)sqlite3_column_text(stmt, 0), behind);
        st = refuse(k, what);
    } else if (rc != SQLITE_DONE) {
        st = check_error(k, rc);
    }
    sqlite3_finalize(stmt); /* repeats rc */
    return st;
}

static enum status read_header(struct check *k, unsigned char head[HEADER_BYTES], int64_t *ret_size)
{
    CLEANUP(close_fd) int fd = open(k->path, O_RDONLY | O_CLOEXEC);
    struct stat info;

    if (fd < 0 || fstat(fd, &info) != 0)
        return error_errno(k->err, errno, "cannot read the SQLite file");
    if (pread(fd, head, HEADER_BYTES, 0) != HEADER_BYTES)
        return refuse(k, "it is shorter than the header of a database");
    *ret_size = info.st_size;
    return STATUS_OK;
}

static enum status check_header(struct check *k, const unsigned char *head, int64_t size)
{
    unsigned page_bytes = (unsigned)head[AT_PAGE_SIZE] << 8 | head[AT_PAGE_SIZE + 1];

    if (page_bytes == 1)
        page_bytes = 65536;
    if (page_bytes < 512 || page_bytes & (page_bytes - 1))
        return refuse(k, "its page size is not one that SQLite knows");
    if (get_be32(head + AT_ENCODING) > 1)
        return refuse(k, "its text is in UTF-16; D1 databases are in UTF-8");
    if (size % page_bytes != 0)
        return refuse(k, "it is cut short");
    return STATUS_OK;
}

/* Every table must be one that can be read here: its virtual table module exists. */
static enum status check_tables(struct check *k)
{
    sqlite3_stmt *names = NULL;
    enum status st = STATUS_OK;
    int rc = sqlite3_prepare_v2(k->db, "SELECT name FROM sqlite_schema WHERE type = 'table'", -1, &names, NULL);

    if (rc != SQLITE_OK)
        return check_error(k, rc);
    while (st == STATUS_OK && (rc = sqlite3_step(names)) == SQLITE_ROW) {
        sqlite3_stmt *probe = NULL;
        char *sql = sqlite3_mprintf("SELECT 1 FROM \"%w\"", sqlite3_column_text(names, 0));
        int probe_rc = sql ? sqlite3_prepare_v2(k->db, sql, -1, &probe, NULL) : SQLITE_NOMEM;
        if (probe_rc != SQLITE_OK)
            st = check_error(k, probe_rc);
        sqlite3_finalize(probe); /* never stepped */
        sqlite3_free(sql);
    }
    sqlite3_finalize(names); /* repeats rc */
    return st != STATUS_OK || rc == SQLITE_DONE ? st : check_error(k, rc);
}

static enum status check_content(struct check *k)
{
    enum status st = refuse_if_row(
        k, "SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok' LIMIT 1",
        "it is damaged: ", "");

    if (st == STATUS_OK)
        st = refuse_if_row(
            k,
            "SELECT name FROM sqlite_schema WHERE name LIKE '\\_cf\\_%' ESCAPE '\\' OR tbl_name LIKE '\\_cf\\_%' "
            "ESCAPE '\\' LIMIT 1",
            "the name ", " begins with _cf_, which is reserved");
    return st == STATUS_OK ? check_tables(k) : st;
}

/* Our pages are 4 KiB and never auto-vacuumed: open connections count on both. VACUUM INTO keeps rowids. */
static enum status convert(struct check *k)
{
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s.4k", k->path);

    if (n < 0 || (size_t)n >= sizeof(path))
        return error_set(k->err, STATUS_IO, 0, "the path of the data directory is too long");
    char *sql = sqlite3_mprintf("PRAGMA auto_vacuum=0; PRAGMA page_size=4096; VACUUM INTO %Q", path);
    int rc = sql ? sqlite3_exec(k->db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
    enum status st = rc == SQLITE_OK ? STATUS_OK : check_error(k, rc);
    sqlite3_free(sql);
    if (st == STATUS_OK && rename(path, k->path) != 0)
        st = error_errno(k->err, errno, "cannot replace the SQLite file by its converted form");
    if (st != STATUS_OK)
        (void)unlink(path); /* may not exist */
    return st;
}

static enum status open_to_check(struct check *k)
{
    int rc = sqlite3_open_v2(k->path, &k->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

    if (rc != SQLITE_OK)
        return check_error(k, rc);
    /* A stranger's schema: nothing in it may have effects while we look. */
    sqlite3_db_config(k->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(k->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(k->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_progress_handler(k->db, CHECK_OPS, on_check_progress, k);
    /* A WAL file did not come with it; leaving the mode behind is a matter of two bytes. */
    rc = sqlite3_exec(k->db, "PRAGMA cell_size_check=1; PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
    return rc == SQLITE_OK ? STATUS_OK : check_error(k, rc);
}

enum status sqlite_file_check(const char *path, struct progress *p, struct error *err)
{
    struct check k = { .path = path, .p = p, .err = err };
    unsigned char head[HEADER_BYTES];
    int64_t size = 0;
    enum status st = read_header(&k, head, &size);

    if (st == STATUS_OK)
        st = check_header(&k, head, size);
    if (st == STATUS_OK)
        st = open_to_check(&k);
    if (st == STATUS_OK)
        st = check_content(&k);
    bool is_4k = head[AT_PAGE_SIZE] == PAGE_BYTES >> 8 && head[AT_PAGE_SIZE + 1] == 0;
    if (st == STATUS_OK && (!is_4k || get_be32(head + AT_AUTO_VACUUM)))
        st = convert(&k);
    sqlite3_close(k.db);
    return st;
}

/* ---- in ---- */

/* What stays of the database that is replaced. */
struct kept {
    uint32_t user_version, application_id;
    int64_t schema_version;
    uint32_t pages;
};

static enum status look_at_old(struct sql_conn *c, struct kept *ret, struct error *err)
{
    sqlite3 *db = sql_conn_handle(c);
    int rc = dione_db_meta_get(db, DIONE_META_USER_VERSION, &ret->user_version);

    if (rc == SQLITE_OK)
        rc = dione_db_meta_get(db, DIONE_META_APPLICATION_ID, &ret->application_id);
    if (rc == SQLITE_OK)
        rc = dione_db_pages(db, &ret->pages, NULL);
    if (rc != SQLITE_OK)
        return error_set(err, STATUS_IO, rc, "cannot read the database: %s", sqlite3_errstr(rc));
    return sql_exec_i64(c, "PRAGMA schema_version", &ret->schema_version, err);
}

static void adapt_page_1(unsigned char *page, uint32_t pages, const struct kept *kept)
{
    put_be32(page + AT_PAGE_COUNT, pages);              /* SQLite before 3.7 left it wrong */
    page[AT_WRITE_VERSION] = page[AT_READ_VERSION] = 2; /* WAL */
    put_be32(page + AT_SCHEMA_COOKIE, (uint32_t)kept->schema_version + 1);
    put_be32(page + AT_USER_VERSION, kept->user_version);
    put_be32(page + AT_APPLICATION_ID, kept->application_id);
}

static int write_page(sqlite3_stmt *insert, uint32_t number, const void *page)
{
    sqlite3_bind_int64(insert, 1, number);
    if (page)
        sqlite3_bind_blob(insert, 2, page, PAGE_BYTES, SQLITE_STATIC);
    else
        sqlite3_bind_null(insert, 2);
    sqlite3_step(insert); /* its error comes from reset */
    return sqlite3_reset(insert);
}

struct copy {
    struct sql_conn *c;
    sqlite3_stmt *insert;
    int fd;
    uint32_t pages;
    struct progress *p;
    struct error *err;
};

static enum status read_page(struct copy *k, uint32_t number, unsigned char page[PAGE_BYTES])
{
    ssize_t n = pread(k->fd, page, PAGE_BYTES, (off_t)(number - 1) * PAGE_BYTES);

    if (n == PAGE_BYTES)
        return STATUS_OK;
    if (n < 0)
        return error_errno(k->err, errno, "cannot read the SQLite file");
    return error_set(k->err, STATUS_IO, 0, "the SQLite file became shorter while it was read");
}

static enum status put_page(struct copy *k, uint32_t number, const void *page)
{
    int rc = write_page(k->insert, number, page);

    return rc == SQLITE_OK ? STATUS_OK : sql_error(k->c, rc, k->err);
}

/*
 * Page 1 comes last: it holds the schema's cookie, and SQLite, seeing another one, would load the schema between two
 * pages, from a file that is half of each.
 */
static enum status write_pages(struct copy *k, const struct kept *kept)
{
    unsigned char page[PAGE_BYTES];
    enum status st = STATUS_OK;

    for (uint32_t number = 2; st == STATUS_OK && number <= k->pages; number++) {
        if (number == LOCK_PAGE)
            continue;
        if (progress_is_cancelled(k->p))
            return error_set(k->err, STATUS_STOPPING, 0, "The import was cancelled");
        st = read_page(k, number, page);
        if (st == STATUS_OK)
            st = put_page(k, number, page);
        atomic_store_explicit(&k->p->bytes, (uint64_t)number * PAGE_BYTES, memory_order_relaxed);
    }
    /* NULL cuts the database off in front of that page, when the transaction commits. */
    if (st == STATUS_OK && kept->pages > k->pages)
        st = put_page(k, k->pages + 1, NULL);
    if (st == STATUS_OK)
        st = read_page(k, 1, page);
    if (st != STATUS_OK)
        return st;
    adapt_page_1(page, k->pages, kept);
    return put_page(k, 1, page);
}

static enum status apply_fd(struct sql_conn *c, int fd, int64_t size, struct progress *p, struct error *err)
{
    struct kept kept = { 0 };
    sqlite3_stmt *insert = NULL;
    enum status st = look_at_old(c, &kept, err);

    if (st != STATUS_OK)
        return st;
    int rc = dione_dbpage_enable(sql_conn_handle(c));
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(sql_conn_handle(c), "INSERT INTO sqlite_dbpage(pgno, data) VALUES(?, ?)", -1, &insert,
                                NULL);
    if (rc != SQLITE_OK)
        return sql_error(c, rc, err);
    struct copy copy = { c, insert, fd, (uint32_t)(size / PAGE_BYTES), p, err };
    st = write_pages(&copy, &kept);
    sqlite3_finalize(insert); /* reset has reported */
    return st;
}

enum status sqlite_file_apply(struct sql_conn *c, const char *path, struct progress *p, int64_t *ret_size,
                              struct error *err)
{
    CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    unsigned char head[HEADER_BYTES];
    struct stat info;

    if (fd < 0 || fstat(fd, &info) != 0 || pread(fd, head, HEADER_BYTES, 0) < 0)
        return error_errno(err, errno, "cannot read the SQLite file");
    if (info.st_size < PAGE_BYTES || info.st_size % PAGE_BYTES)
        return error_set(err, STATUS_SQL, 0, "The SQLite file cannot be imported: it is cut short");
    sql_conn_set_deadline(c, 0, 0, false);
    enum status st = apply_fd(c, fd, info.st_size, p, err);
    if (st == STATUS_OK)
        *ret_size = info.st_size - (int64_t)get_be32(head + AT_FREE_PAGES) * PAGE_BYTES; /* less the free pages */
    return st;
}
