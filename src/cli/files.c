/* files.c - see files.h. */
#include "cli/files.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <libgen.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static enum status read_stream(FILE *in, const char *path, struct buf *ret, struct error *err)
{
    char chunk[16 * 1024];
    size_t n;

    while ((n = fread(chunk, 1, sizeof(chunk), in)) > 0) {
        buf_append(ret, chunk, n);
        if (ret->overflowed)
            return error_set(err, STATUS_TOOBIG, 0, "%s is larger than %zu bytes", path, ret->limit);
    }
    return ferror(in) ? error_errno(err, errno, "cannot read %s", path) : STATUS_OK;
}

enum status file_read(const char *path, struct buf *ret, struct error *err)
{
    FILE *in = fopen(path, "re");

    if (!in)
        return error_errno(err, errno, "cannot read %s", path);
    enum status st = read_stream(in, path, ret, err);
    (void)fclose(in); /* nothing was written to it */
    return st;
}

enum status file_read_or_stdin(const char *path, struct buf *ret, struct error *err)
{
    return strcmp(path, "-") == 0 ? read_stream(stdin, "standard input", ret, err) : file_read(path, ret, err);
}

enum status folder_make(const char *path, unsigned mode, struct error *err)
{
    char *copy = strdup(path);
    int failed = 0;

    if (!copy)
        abort();
    for (char *p = copy + 1; !failed && *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        failed = mkdir(copy, mode) != 0 && errno != EEXIST ? errno : 0;
        *p = '/';
    }
    if (!failed && mkdir(copy, mode) != 0 && errno != EEXIST)
        failed = errno;
    free(copy);
    return failed ? error_errno(err, failed, "cannot make the folder %s", path) : STATUS_OK;
}

bool folder_exists(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

enum status folder_make_temporary(const char *prefix, char **ret, struct error *err)
{
    const char *parent = getenv("TMPDIR");
    char *path;

    if (asprintf(&path, "%s/%s-XXXXXX", parent && *parent == '/' ? parent : "/tmp", prefix) < 0)
        abort();
    if (!mkdtemp(path)) {
        enum status st = error_errno(err, errno, "cannot make a folder like %s", path);
        free(path);
        return st;
    }
    *ret = path;
    return STATUS_OK;
}

void folder_remove(const char *path)
{
    char *const roots[] = { (char *)(uintptr_t)path, NULL }; /* fts's type lacks a const */
    FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);

    if (!fts)
        return;
    for (FTSENT *e; (e = fts_read(fts));)
        if (e->fts_info != FTS_D)
            (void)remove(e->fts_accpath); /* see files.h */
    (void)fts_close(fts);
}

/* mkstemp makes files that only their owner reads; this one should be what open() would have made. */
static void apply_umask(int fd)
{
    mode_t mask = umask(0);

    (void)umask(mask);
    (void)fchmod(fd, 0666 & ~mask); /* at worst the file stays private */
}

/* /dev/null, a pipe: there is nothing to replace, and renaming over it would do harm. */
static enum status open_special(const char *path, struct new_file *ret, struct error *err)
{
    FILE *stream = fopen(path, "we");

    if (!stream)
        return error_errno(err, errno, "cannot write %s", path);
    *ret = (struct new_file){ .stream = stream, .path = strdup(path) };
    if (!ret->path)
        abort();
    return STATUS_OK;
}

/* Through a symbolic link to what it names, so that the link survives. */
static char *real_path(const char *path)
{
    char *real = realpath(path, NULL);

    if (!real)
        real = strdup(path); /* a new file */
    if (!real)
        abort();
    return real;
}

enum status new_file_open(const char *path, struct new_file *ret, struct error *err)
{
    struct new_file f = { 0 };
    struct stat info;

    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return error_set(err, STATUS_INVALID, 0, "'%s' is a folder; name a file", path);
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return open_special(path, ret, err);
    f.path = real_path(path);
    if (asprintf(&f.temp_path, "%s.XXXXXX", f.path) < 0)
        abort();
    int fd = mkostemp(f.temp_path, O_CLOEXEC);
    if (fd < 0) {
        enum status st = error_errno(err, errno, "cannot write beside %s", path);
        free(f.path);
        free(f.temp_path);
        return st;
    }
    apply_umask(fd);
    f.stream = fdopen(fd, "w");
    if (!f.stream)
        abort();
    *ret = f;
    return STATUS_OK;
}

/* Makes the rename itself survive a power cut. */
static int sync_folder_of(const char *path)
{
    char *copy = strdup(path);

    if (!copy)
        abort();
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (fd < 0)
        return errno;
    int failed = fsync(fd) != 0 ? errno : 0;
    (void)close(fd); /* opened for reading */
    return failed;
}

/* Everything is on the disk and closed; 0 or an errno. */
static int finish_stream(struct new_file *f)
{
    int failed = 0;

    if (fflush(f->stream) != 0 || (f->temp_path && fsync(fileno(f->stream)) != 0))
        failed = errno;
    if (fclose(f->stream) != 0 && !failed)
        failed = errno;
    f->stream = NULL;
    return failed;
}

enum status new_file_commit(struct new_file *f, struct error *err)
{
    int failed = finish_stream(f);
    enum status st = STATUS_OK;

    if (!failed && f->temp_path) {
        failed = rename(f->temp_path, f->path) != 0 ? errno : 0;
        if (!failed) {
            free(f->temp_path);
            f->temp_path = NULL;
            failed = sync_folder_of(f->path);
        }
    }
    if (failed)
        st = error_errno(err, failed, "cannot write %s", f->path);
    new_file_release(f);
    return st;
}

void new_file_release(struct new_file *f)
{
    if (f->stream)
        (void)fclose(f->stream); /* about to be removed */
    if (f->temp_path)
        (void)unlink(f->temp_path);
    free(f->temp_path);
    free(f->path);
    *f = (struct new_file){ 0 };
}
