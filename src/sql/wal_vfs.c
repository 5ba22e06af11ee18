/*
 * wal_vfs.c - see wal_vfs.h.
 *
 * SQLite writes each frame of a WAL with two calls, 24 bytes and then a page: a hundred small writes for a transaction of
 * fifty pages. They follow each other in the file, so we gather them and hand them to the system in one call, at the latest
 * when SQLite syncs.
 *
 * Why nothing is lost or seen too early by it: our connections run with synchronous=FULL, so SQLite syncs the WAL at
 * every commit, after the last frame and before it publishes the frames in the WAL's index. Until then nobody else reads
 * them, and a crash may take them anyway. Whatever this connection itself asks of the file (read, size, cut) hands over
 * first. An error of the delayed write is that of the sync, and the commit fails.
 *
 * Only the WAL is wrapped; every other file is the base VFS's own.
 */
#include "sql/wal_vfs.h"

#include "dione_sqlite.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* The Unix VFS takes the length of a write modulo 128 KiB. */
enum { GATHER_BYTES = 124 * 1024 };

struct wal_file {
    sqlite3_file file;  /* what SQLite sees */
    char *bytes;        /* GATHER_BYTES, made at the first write */
    size_t len;         /* waiting */
    sqlite3_int64 at;   /* where bytes[0] belongs */
    sqlite3_file *base; /* behind this struct */
};

static sqlite3_vfs vfs;
static sqlite3_io_methods methods;

static struct wal_file *wal_of(sqlite3_file *file)
{
    return (struct wal_file *)(void *)file;
}

static int hand_over(struct wal_file *w)
{
    if (w->len == 0)
        return SQLITE_OK;
    int rc = w->base->pMethods->xWrite(w->base, w->bytes, (int)w->len, w->at);
    /* Also after an error: SQLite undoes the transaction and writes these frames again or never. */
    w->len = 0;
    return rc;
}

static int wal_write(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 at)
{
    struct wal_file *w = wal_of(file);
    size_t len = (size_t)n;
    int rc = SQLITE_OK;

    if (w->len && (at != w->at + (sqlite3_int64)w->len || w->len + len > GATHER_BYTES))
        rc = hand_over(w);
    if (rc != SQLITE_OK)
        return rc;
    if (!w->bytes)
        w->bytes = malloc(GATHER_BYTES);
    if (!w->bytes || len > GATHER_BYTES)
        return w->base->pMethods->xWrite(w->base, bytes, n, at);
    if (w->len == 0)
        w->at = at;
    memcpy(w->bytes + w->len, bytes, len);
    w->len += len;
    return SQLITE_OK;
}

static int wal_read(sqlite3_file *file, void *bytes, int n, sqlite3_int64 at)
{
    struct wal_file *w = wal_of(file);
    int rc = hand_over(w);

    return rc == SQLITE_OK ? w->base->pMethods->xRead(w->base, bytes, n, at) : rc;
}

static int wal_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct wal_file *w = wal_of(file);
    int rc = hand_over(w);

    return rc == SQLITE_OK ? w->base->pMethods->xTruncate(w->base, size) : rc;
}

static int wal_sync(sqlite3_file *file, int flags)
{
    struct wal_file *w = wal_of(file);
    int rc = hand_over(w);

    return rc == SQLITE_OK ? w->base->pMethods->xSync(w->base, flags) : rc;
}

static int wal_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    struct wal_file *w = wal_of(file);
    int rc = hand_over(w);

    return rc == SQLITE_OK ? w->base->pMethods->xFileSize(w->base, ret) : rc;
}

static int wal_close(sqlite3_file *file)
{
    struct wal_file *w = wal_of(file);
    int rc = hand_over(w), close_rc = w->base->pMethods->xClose(w->base);

    free(w->bytes);
    return rc == SQLITE_OK ? close_rc : rc;
}

static int wal_control(sqlite3_file *file, int op, void *arg)
{
    struct wal_file *w = wal_of(file);

    return w->base->pMethods->xFileControl(w->base, op, arg);
}

static int wal_sector_size(sqlite3_file *file)
{
    struct wal_file *w = wal_of(file);

    return w->base->pMethods->xSectorSize(w->base);
}

static int wal_characteristics(sqlite3_file *file)
{
    struct wal_file *w = wal_of(file);

    return w->base->pMethods->xDeviceCharacteristics(w->base);
}

/* SQLite locks the database's file, never the WAL. */
static int wal_no_lock(sqlite3_file *file, int level)
{
    (void)file;
    (void)level;
    return SQLITE_OK;
}

static int wal_no_reserved_lock(sqlite3_file *file, int *ret)
{
    (void)file;
    *ret = 0;
    return SQLITE_OK;
}

static int open_file(sqlite3_vfs *self, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    sqlite3_vfs *base = self->pAppData;
    struct wal_file *w = wal_of(file);

    if (!(flags & SQLITE_OPEN_WAL))
        return base->xOpen(base, name, file, flags, ret_flags);
    *w = (struct wal_file){ .base = (sqlite3_file *)(void *)(w + 1) };
    int rc = base->xOpen(base, name, w->base, flags, ret_flags);
    if (rc == SQLITE_OK)
        w->file.pMethods = &methods;
    return rc;
}

static void register_vfs(void)
{
    sqlite3_vfs *base = sqlite3_vfs_find(NULL);

    if (!base)
        return;
    methods = (sqlite3_io_methods){
        .iVersion = 1,
        .xClose = wal_close,
        .xRead = wal_read,
        .xWrite = wal_write,
        .xTruncate = wal_truncate,
        .xSync = wal_sync,
        .xFileSize = wal_size,
        .xLock = wal_no_lock,
        .xUnlock = wal_no_lock,
        .xCheckReservedLock = wal_no_reserved_lock,
        .xFileControl = wal_control,
        .xSectorSize = wal_sector_size,
        .xDeviceCharacteristics = wal_characteristics,
    };
    vfs = *base; /* everything but opening is the base's */
    vfs.pNext = NULL;
    vfs.zName = "dione";
    vfs.pAppData = base;
    vfs.szOsFile = (int)sizeof(struct wal_file) + base->szOsFile;
    vfs.xOpen = open_file;
    if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK)
        vfs.zName = NULL;
}

const char *wal_vfs_name(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, register_vfs);
    return vfs.zName;
}
