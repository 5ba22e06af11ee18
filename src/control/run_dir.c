/*
 * run_dir.c - see run_dir.h.
 *
 * A folder is made under a name that the clean-up of others does not look at, locked, and only then renamed: nobody takes
 * it for an abandoned one in between.
 */
#include "control/run_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char prefix[] = "dione-run-", new_prefix[] = ".dione-run-";

static int remove_entry(const char *path, const struct stat *st UNUSED, int type, struct FTW *ftw UNUSED)
{
    /* What cannot be removed now is left to the next start. */
    (void)(type == FTW_DP ? rmdir(path) : unlink(path));
    return 0;
}

static void remove_tree(const char *path)
{
    (void)nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS); /* as far as it goes */
}

/* The folder's lock, or -1: somebody has it, or it is no folder of ours. `flags`: O_CREAT for a new one. */
static int lock_dir(const char *dir, int flags)
{
    char path[512];
    struct stat st;

    if (snprintf(path, sizeof(path), "%s/lock", dir) >= (int)sizeof(path))
        return -1;
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    (void)close(fd); /* only looked at */
    return -1;
}

static void remove_if_abandoned(const char *base, const char *name)
{
    char path[512];

    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0 || strlen(name) != sizeof(prefix) - 1 + 6 ||
        snprintf(path, sizeof(path), "%s/%s", base, name) >= (int)sizeof(path))
        return;
    int fd = lock_dir(path, 0);
    if (fd < 0)
        return;
    remove_tree(path);
    (void)close(fd); /* and with it the lock */
}

static void remove_abandoned(const char *base)
{
    DIR *dir = opendir(base);

    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));)
        remove_if_abandoned(base, e->d_name);
    (void)closedir(dir); /* only read from */
}

static bool make_in(const char *base, struct run_dir *ret)
{
    char path[RUN_DIR_MAX + 2];

    if (snprintf(path, sizeof(path), "%s/%sXXXXXX", base, new_prefix) >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (!mkdtemp(path))
        return false;
    ret->lock_fd = lock_dir(path, O_CREAT);
    snprintf(ret->path, sizeof(ret->path), "%s/%s%s", base, prefix, path + strlen(path) - 6);
    if (ret->lock_fd >= 0 && rename(path, ret->path) == 0)
        return true;
    int why = errno;
    if (ret->lock_fd >= 0)
        (void)close(ret->lock_fd); /* nobody knows it yet */
    remove_tree(path);
    errno = why;
    return false;
}

enum status run_dir_make(struct run_dir *ret, struct error *err)
{
    const char *bases[] = { getenv("XDG_RUNTIME_DIR"), "/tmp" };
    struct run_dir d;

    for (size_t i = 0; i < ARRAY_LEN(bases); i++) {
        if (!bases[i] || bases[i][0] != '/')
            continue;
        remove_abandoned(bases[i]);
        if (make_in(bases[i], &d)) {
            *ret = d;
            return STATUS_OK;
        }
    }
    return error_errno(err, errno,
                       "cannot make a private folder for sockets in /tmp (nor in XDG_RUNTIME_DIR, if it is set)");
}

void run_dir_remove(struct run_dir *d)
{
    if (!d->path[0])
        return;
    remove_tree(d->path);
    (void)close(d->lock_fd); /* and with it the lock */
    *d = (struct run_dir){ 0 };
}
