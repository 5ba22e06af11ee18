/* files.c - see files.h. */
#include "workers/files.h"

#include "base/buf.h"
#include "base/ids.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

/* A path that does not fit becomes the empty one, which no call takes. */
static void PRINTF_LIKE(2, 3) path_of(char ret[PATH_BYTES], const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(ret, PATH_BYTES, fmt, args);
    va_end(args);
    if (n < 0 || n >= PATH_BYTES)
        ret[0] = '\0';
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* read from, or fsync has reported it */
}

static void close_dir(DIR **dir)
{
    if (*dir)
        (void)closedir(*dir); /* only read */
}

enum status worker_folder_sync(const char *path, struct error *err)
{
    int fd CLEANUP(close_fd) = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd >= 0 && fsync(fd) == 0 ? STATUS_OK : error_errno(err, errno, "cannot sync %s", path);
}

enum status worker_folder_make(const char *path, struct error *err)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST ? STATUS_OK : error_errno(err, errno, "cannot create %s", path);
}

static enum status write_synced(const char *path, struct slice bytes, struct error *err)
{
    int fd CLEANUP(close_fd) = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        return error_errno(err, errno, "cannot create %s", path);
    while (bytes.len) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_errno(err, n < 0 ? errno : ENOSPC, "cannot write %s", path);
        bytes = slice_from(bytes, (size_t)n);
    }
    return fsync(fd) == 0 ? STATUS_OK : error_errno(err, errno, "cannot write %s", path);
}

enum status worker_file_write(const char *folder, const char *name, struct slice bytes, struct error *err)
{
    char path[PATH_BYTES], temporary[PATH_BYTES], id[UUID_LEN + 1];

    uuid_new(id); /* two that write the same file do not meet */
    path_of(path, "%s/%s", folder, name);
    path_of(temporary, "%s/.new-%s", folder, id);
    enum status st = write_synced(temporary, bytes, err);
    if (st == STATUS_OK && rename(temporary, path) != 0)
        st = error_errno(err, errno, "cannot create %s", path);
    if (st != STATUS_OK)
        (void)unlink(temporary); /* the error above is the one to report */
    return st;
}

enum status worker_file_read(const char *path, char **ret_bytes, size_t *ret_len, struct error *err)
{
    int fd CLEANUP(close_fd) = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    size_t len = 0;

    if (fd < 0 || fstat(fd, &info) != 0)
        return error_set(err, STATUS_IO, errno, "cannot read %s: %s", path, strerror(errno));
    char *bytes = malloc((size_t)info.st_size + 1);
    if (!bytes)
        return error_set(err, STATUS_NOMEM, 0, "out of memory");
    while (len < (size_t)info.st_size) {
        ssize_t n = read(fd, bytes + len, (size_t)info.st_size - len);
        if (n <= 0) {
            free(bytes);
            return error_errno(err, n < 0 ? errno : EIO, "cannot read %s", path);
        }
        len += (size_t)n;
    }
    bytes[len] = '\0';
    *ret_bytes = bytes;
    *ret_len = len;
    return STATUS_OK;
}

/* ---- removing ---- */

static int remove_entry(const char *path, const struct stat *info UNUSED, int kind UNUSED, struct FTW *at UNUSED)
{
    if (remove(path) != 0 && errno != ENOENT)
        log_line(LOG_WARN, "cannot remove %s: %s", path, strerror(errno));
    return 0;
}

static void remove_tree(const char *path)
{
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        log_line(LOG_WARN, "cannot remove %s: %s", path, strerror(errno));
}

void version_files_remove(const char *root, struct slice worker, struct slice id)
{
    char path[PATH_BYTES];

    path_of(path, "%s/%.*s/%.*s", root, SLICE_FMT(worker), SLICE_FMT(id));
    remove_tree(path);
    path_of(path, "%s/%.*s", root, SLICE_FMT(worker));
    (void)rmdir(path); /* fails when others are there, as it should */
}

void worker_files_remove(const char *root, struct slice worker)
{
    char path[PATH_BYTES];

    path_of(path, "%s/%.*s", root, SLICE_FMT(worker));
    remove_tree(path);
}

static void settle_worker(const char *root, const char *worker,
                          bool (*is_known)(void *arg, struct slice worker, struct slice id), void *arg)
{
    char path[PATH_BYTES];

    path_of(path, "%s/%s", root, worker);
    DIR *dir CLEANUP(close_dir) = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strcmp(e->d_name, "assets") == 0 ||
            is_known(arg, slice_cstr(worker), slice_cstr(e->d_name)))
            continue;
        path_of(path, "%s/%s/%s", root, worker, e->d_name);
        log_line(LOG_INFO, "removing %s, which a crash has left", path);
        remove_tree(path);
    }
}

void worker_files_settle(const char *root, bool (*is_known)(void *arg, struct slice worker, struct slice id), void *arg)
{
    DIR *dir CLEANUP(close_dir) = opendir(root);

    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        if (is_known(arg, slice_cstr(e->d_name), SLICE_NONE)) {
            settle_worker(root, e->d_name, is_known, arg);
            continue;
        }
        log_line(LOG_INFO, "removing %s/%s, which belongs to no Worker", root, e->d_name);
        worker_files_remove(root, slice_cstr(e->d_name));
    }
}

/* ---- a new version ---- */

static enum status link_files(const char *from, const char *to, struct error *err)
{
    char source[PATH_BYTES], target[PATH_BYTES];
    DIR *dir CLEANUP(close_dir) = opendir(from);

    if (!dir)
        return error_errno(err, errno, "cannot read %s", from);
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        path_of(source, "%s/%s", from, e->d_name);
        path_of(target, "%s/%s", to, e->d_name);
        if (link(source, target) != 0 && errno != EEXIST)
            return error_errno(err, errno, "cannot link %s", target);
    }
    return STATUS_OK;
}

static enum status add_file(const char *parent, const char *folder, const struct version_file *f, struct error *err)
{
    char path[PATH_BYTES], source[PATH_BYTES];

    path_of(path, "%s/%.*s", folder, SLICE_FMT(f->name));
    if (!f->version.ptr)
        return write_synced(path, f->bytes, err);
    path_of(source, "%s/%.*s/%.*s", parent, SLICE_FMT(f->version), SLICE_FMT(f->name));
    return link(source, path) == 0 || errno == EEXIST ? STATUS_OK : error_errno(err, errno, "cannot link %s", source);
}

static enum status fill_folder(const char *parent, const char *folder, const struct version_file *files, size_t n,
                               const char *like, struct error *err)
{
    enum status st = STATUS_OK;

    for (size_t i = 0; st == STATUS_OK && i < n; i++)
        st = add_file(parent, folder, &files[i], err);
    if (st == STATUS_OK && like)
        st = link_files(like, folder, err);
    return st == STATUS_OK ? worker_folder_sync(folder, err) : st;
}

enum status version_files_write(const char *root, struct slice worker, struct slice id,
                                const struct version_file *files, size_t n, const struct slice *like, struct error *err)
{
    char parent[PATH_BYTES], folder[PATH_BYTES], final[PATH_BYTES], source[PATH_BYTES];

    path_of(parent, "%s/%.*s", root, SLICE_FMT(worker));
    path_of(folder, "%s/.new-%.*s", parent, SLICE_FMT(id));
    path_of(final, "%s/%.*s", parent, SLICE_FMT(id));
    if (like)
        path_of(source, "%s/%.*s", parent, SLICE_FMT(*like));
    enum status st = worker_folder_make(parent, err);
    if (st == STATUS_OK)
        st = worker_folder_make(folder, err);
    if (st == STATUS_OK)
        st = fill_folder(parent, folder, files, n, like ? source : NULL, err);
    if (st == STATUS_OK && rename(folder, final) != 0)
        st = error_errno(err, errno, "cannot create %s", final);
    if (st == STATUS_OK)
        st = worker_folder_sync(parent, err);
    if (st == STATUS_OK)
        st = worker_folder_sync(root, err);
    if (st != STATUS_OK) {
        remove_tree(folder);
        version_files_remove(root, worker, id);
    }
    return st;
}
