/* token_file.c - DIR/token, which holds the server's own token for the people who may read the data directory. */
#include "base/log.h"
#include "store/tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* nothing was written, or fsync has reported it */
}

static enum status read_secret(int fd, const char *path, char ret[TOKEN_SECRET_MAX + 1], struct error *err)
{
    char text[TOKEN_SECRET_MAX + 64];
    struct stat info;
    ssize_t n = read(fd, text, sizeof(text));

    if (n < 0 || fstat(fd, &info) != 0)
        return error_errno(err, errno, "cannot read %s", path);
    if (info.st_mode & 077)
        log_line(LOG_WARN,
                 "%s can be read by others: chmod 600 it, and replace the token if one of them shouldn't have it",
                 path);
    struct slice secret = slice_trim(slice_of(text, (size_t)n));
    if (secret.len < TOKEN_MIN_LEN || secret.len > TOKEN_SECRET_MAX)
        return error_set(err, STATUS_INVALID, 0,
                         "%s holds no token of %d to %d characters; remove it and a new one is made", path,
                         TOKEN_MIN_LEN, TOKEN_SECRET_MAX);
    memcpy(ret, secret.ptr, secret.len);
    ret[secret.len] = '\0';
    return STATUS_OK;
}

static enum status write_durably(int fd, const char *secret, const char *path, struct error *err)
{
    char line[TOKEN_LEN + 2];
    int len = snprintf(line, sizeof(line), "%s\n", secret);
    ssize_t n = write(fd, line, (size_t)len);

    if (n != len || fsync(fd) != 0)
        return error_errno(err, n >= 0 && n != len ? ENOSPC : errno, "cannot write %s", path);
    return STATUS_OK;
}

/* Under another name first, so that a crash never leaves an empty token file. */
static enum status create_file(int dir_fd, const char *path, const char *secret, struct error *err)
{
    static const char temporary[] = "token.new";

    (void)unlinkat(dir_fd, temporary, 0); /* what a crash has left; usually nothing */
    int fd CLEANUP(close_fd) = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(err, errno, "cannot create %s", path);
    enum status st = write_durably(fd, secret, path, err);
    if (st == STATUS_OK && (renameat(dir_fd, temporary, dir_fd, "token") != 0 || fsync(dir_fd) != 0))
        st = error_errno(err, errno, "cannot create %s", path);
    if (st != STATUS_OK)
        (void)unlinkat(dir_fd, temporary, 0); /* the error above is the one to report */
    return st;
}

enum status token_file_load_or_create(const char *dir, char ret_secret[TOKEN_SECRET_MAX + 1], struct error *err)
{
    char path[4096];
    char secret[TOKEN_LEN + 1];

    snprintf(path, sizeof(path), "%s/token", dir); /* only for messages */
    int dir_fd CLEANUP(close_fd) = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return error_errno(err, errno, "cannot open %s", dir);
    int fd CLEANUP(close_fd) = openat(dir_fd, "token", O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        return read_secret(fd, path, ret_secret, err);
    if (errno != ENOENT)
        return error_errno(err, errno, "cannot open %s", path);
    token_new(secret);
    enum status st = create_file(dir_fd, path, secret, err);
    if (st == STATUS_OK)
        memcpy(ret_secret, secret, sizeof(secret));
    return st;
}
