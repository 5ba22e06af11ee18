/* folder.c - see folder.h. */
#include "store/folder.h"

#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARK_NEW ".new-"
#define MARK_GONE ".gone-"

static enum status sync_dir(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fsync(fd);
    enum status st = rc == 0 ? STATUS_OK : error_errno(err, errno, "cannot sync folder %s", path);

    if (fd >= 0)
        (void)close(fd); /* only synced */
    return st;
}

/* <folder>/<mark><id> */
static void marked_path(const struct store *s, const struct store_kind *kind, const char *mark, const char *id,
                        char ret[PATH_MAX])
{
    snprintf(ret, PATH_MAX, "%s/%s/%s%s", store_dir(s), kind->folder, mark, id);
}

static void parent_path(const struct store *s, const struct store_kind *kind, char ret[PATH_MAX])
{
    snprintf(ret, PATH_MAX, "%s/%s", store_dir(s), kind->folder);
}

static enum status rename_dir(const char *from, const char *to, struct error *err)
{
    if (rename(from, to) == 0)
        return STATUS_OK;
    return error_errno(err, errno, "cannot rename folder %s", from);
}

/* Only what we put there; what stays behind is reported. */
static void remove_dir(const char *dir)
{
    static const char *const names[] = { "db.sqlite-wal", "db.sqlite-shm", "db.sqlite-journal", "db.sqlite" };
    char path[PATH_MAX + 32];

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        if (unlink(path) != 0 && errno != ENOENT)
            log_line(LOG_WARN, "cannot remove %s: %s; it is no longer needed", path, strerror(errno));
    }
    if (rmdir(dir) != 0 && errno != ENOENT)
        log_line(LOG_WARN, "cannot remove %s: %s; it is no longer needed", dir, strerror(errno));
}

/* ---- coming ---- */

/* Choosing WAL mode writes page 1. */
static enum status make_file(const char *path, const struct store_kind *kind, enum sql_profile profile,
                             struct error *err)
{
    struct sql_conn *c = NULL;
    struct sql_conn_options opt = { .path = path, .role = SQL_WRITER, .profile = profile, .cache_kib = 64 };
    enum status st = sql_conn_open(&opt, &c, err);

    if (st == STATUS_OK && kind->schema)
        st = sql_exec(c, kind->schema, err);
    sql_conn_close(c);
    return st;
}

enum status database_folder_make(struct store *s, const struct store_kind *kind, const struct database_info *info,
                                 struct error *err)
{
    char dir[PATH_MAX], parent[PATH_MAX], path[PATH_MAX + 32];

    marked_path(s, kind, MARK_NEW, info->uuid, dir);
    parent_path(s, kind, parent);
    snprintf(path, sizeof(path), "%s/db.sqlite", dir);
    if (mkdir(dir, 0700) != 0)
        return error_errno(err, errno, "cannot make folder %s", dir);
    enum status st = make_file(path, kind, info->profile, err);
    if (st == STATUS_OK)
        st = sync_dir(dir, err);
    if (st == STATUS_OK)
        st = sync_dir(parent, err);
    if (st != STATUS_OK)
        remove_dir(dir);
    return st;
}

enum status database_folder_keep(struct store *s, const struct store_kind *kind, const char *id, struct error *err)
{
    char marked[PATH_MAX], plain[PATH_MAX];

    marked_path(s, kind, MARK_NEW, id, marked);
    marked_path(s, kind, "", id, plain);
    return rename_dir(marked, plain, err);
}

void database_folder_drop_new(struct store *s, const struct store_kind *kind, const char *id)
{
    char marked[PATH_MAX];

    marked_path(s, kind, MARK_NEW, id, marked);
    remove_dir(marked);
}

/* ---- going ---- */

enum status database_folder_mark_gone(struct store *s, const struct store_kind *kind, const char *id, struct error *err)
{
    char plain[PATH_MAX], gone[PATH_MAX];

    marked_path(s, kind, "", id, plain);
    marked_path(s, kind, MARK_GONE, id, gone);
    return rename_dir(plain, gone, err);
}

void database_folder_unmark_gone(struct store *s, const struct store_kind *kind, const char *id)
{
    char plain[PATH_MAX], gone[PATH_MAX];

    marked_path(s, kind, "", id, plain);
    marked_path(s, kind, MARK_GONE, id, gone);
    if (rename(gone, plain) != 0)
        log_line(LOG_ERROR, "cannot rename %s back: %s; the next start will", gone, strerror(errno));
}

void database_folder_drop_gone(struct store *s, const struct store_kind *kind, const char *id)
{
    char gone[PATH_MAX];

    marked_path(s, kind, MARK_GONE, id, gone);
    remove_dir(gone);
}

/* ---- after a crash ---- */

static void settle_one(struct store *s, const struct store_kind *kind, const char *mark, const char *id, bool wanted)
{
    char marked[PATH_MAX], plain[PATH_MAX];
    struct error err;

    marked_path(s, kind, mark, id, marked);
    marked_path(s, kind, "", id, plain);
    if (!wanted)
        remove_dir(marked);
    else if (rename_dir(marked, plain, &err) != STATUS_OK)
        log_line(LOG_ERROR, "%s", err.msg);
}

enum status store_settle(struct store *s, const struct store_kind *kind, bool (*is_known)(void *arg, struct slice id),
                         void *arg, struct error *err)
{
    static const char *const marks[] = { MARK_NEW, MARK_GONE };
    char parent[PATH_MAX];

    parent_path(s, kind, parent);
    if (mkdir(parent, 0700) != 0 && errno != EEXIST)
        return error_errno(err, errno, "cannot make folder %s", parent);
    DIR *dir = opendir(parent);
    if (!dir)
        return error_errno(err, errno, "cannot read folder %s", parent);
    for (struct dirent *e; (e = readdir(dir));) {
        for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
            const char *id = e->d_name + strlen(marks[i]);
            if (slice_starts(slice_cstr(e->d_name), slice_cstr(marks[i])))
                settle_one(s, kind, marks[i], id, is_known(arg, slice_cstr(id)));
        }
    }
    (void)closedir(dir); /* was only read */
    return STATUS_OK;
}
