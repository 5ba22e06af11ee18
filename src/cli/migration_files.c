/* migration_files.c - see migration_files.h. */
#include "cli/migration_files.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int64_t migration_number(const char *name)
{
    int64_t n = 0;

    if (*name < '0' || *name > '9')
        return -1;
    for (; *name >= '0' && *name <= '9'; name++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *name - '0', &n))
            return INT64_MAX;
    return n;
}

/* The end of the path segment that starts at p. */
static const char *segment_end(const char *p)
{
    return strchrnul(p, '/');
}

/* One segment of each: by number, then by bytes; a segment without a number comes after. */
static int compare_segments(const char *a, const char *b)
{
    int64_t na = migration_number(a), nb = migration_number(b);
    size_t la = (size_t)(segment_end(a) - a), lb = (size_t)(segment_end(b) - b);

    if (na != nb && na >= 0 && nb >= 0)
        return na < nb ? -1 : 1;
    if (na != nb)
        return na >= 0 ? -1 : 1;
    int order = memcmp(a, b, la < lb ? la : lb);
    return order ? order : (la > lb) - (la < lb);
}

static int compare_names(const void *left, const void *right)
{
    const char *a = *(char *const *)left, *b = *(char *const *)right;

    for (;;) {
        int order = compare_segments(a, b);
        if (order)
            return order;
        a = segment_end(a);
        b = segment_end(b);
        if (!*a || !*b)
            return (*a != 0) - (*b != 0);
        a++;
        b++;
    }
}

/* The folder's own name may hold characters that mean something in a pattern. */
static char *full_pattern(const char *folder, const char *pattern)
{
    char *full = malloc(strlen(folder) * 2 + strlen(pattern) + 2), *p = full;

    if (!full)
        abort();
    for (; *folder; folder++) {
        if (strchr("*?[]\\", *folder))
            *p++ = '\\';
        *p++ = *folder;
    }
    *p++ = '/';
    memcpy(p, pattern, strlen(pattern) + 1);
    return full;
}

static void keep_files(const glob_t *found, size_t prefix_len, struct migration_files *ret)
{
    struct stat info;

    ret->names = calloc(found->gl_pathc + 1, sizeof(*ret->names));
    if (!ret->names)
        abort();
    for (size_t i = 0; i < found->gl_pathc; i++) {
        if (stat(found->gl_pathv[i], &info) != 0 || !S_ISREG(info.st_mode))
            continue;
        ret->names[ret->n] = strdup(found->gl_pathv[i] + prefix_len);
        if (!ret->names[ret->n++])
            abort();
    }
    qsort(ret->names, ret->n, sizeof(*ret->names), compare_names);
}

enum status migration_files_find(const char *folder, const char *pattern, struct migration_files *ret,
                                 struct error *err)
{
    struct stat info;
    glob_t found = { 0 };

    if (stat(folder, &info) != 0)
        return error_errno(err, errno, "no migrations folder '%s'", folder);
    if (!S_ISDIR(info.st_mode))
        return error_set(err, STATUS_INVALID, 0, "'%s' is no folder", folder);
    char *full = full_pattern(folder, pattern);
    int rc = glob(full, GLOB_NOSORT | GLOB_ERR, NULL, &found);
    free(full);
    if (rc != 0 && rc != GLOB_NOMATCH) {
        globfree(&found);
        return error_set(err, STATUS_IO, 0, "cannot list the migrations in '%s'", folder);
    }
    struct migration_files files = { 0 };
    keep_files(&found, strlen(folder) + 1, &files);
    globfree(&found);
    *ret = files;
    return STATUS_OK;
}

void migration_files_release(struct migration_files *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->names[i]);
    free(f->names);
    *f = (struct migration_files){ 0 };
}
