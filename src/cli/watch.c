/* watch.c - see watch.h. */
#include "cli/watch.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_DELAY_FACTOR = 10 };

struct folder {
    uv_fs_event_t events;
    struct watch *watch;
    struct folder *next;
    bool wanted;
    dev_t device;
    ino_t inode;
    char path[];
};

struct watch {
    uv_timer_t timer;
    struct folder *folders;
    struct watch_options opt;
    uint64_t first_ms; /* of a burst; 0: none is under way */
};

static void on_quiet(uv_timer_t *timer)
{
    struct watch *w = timer->data;

    w->first_ms = 0;
    w->opt.on_change(w->opt.arg);
}

static bool ends_with(const char *name, const char *end)
{
    size_t len = strlen(name), n = strlen(end);

    return len >= n && strcmp(name + len - n, end) == 0;
}

/* What editors keep beside a file while it is open. */
static bool is_editor_file(const char *name)
{
    return ends_with(name, "~") || ends_with(name, ".swp") || ends_with(name, ".swx") || strncmp(name, ".#", 2) == 0 ||
           strcmp(name, "4913") == 0;
}

/* Without a name (the kernel lost count of the events) anything may have changed. */
static bool matters(const struct folder *f, const char *name)
{
    const struct watch *w = f->watch;
    char path[PATH_MAX];

    if (!name || is_editor_file(name))
        return !name;
    snprintf(path, sizeof(path), "%s/%s", f->path, name);
    return !w->opt.matters || w->opt.matters(w->opt.arg, path);
}

static void on_event(uv_fs_event_t *events, const char *name, int kinds, int status)
{
    const struct folder *f = events->data;
    struct watch *w = f->watch;
    uint64_t now = uv_now(w->timer.loop), wait_ms = w->opt.quiet_ms;

    (void)kinds;
    if (status != 0 || !matters(f, name))
        return; /* a folder that can no longer be watched was removed, and watch_set takes it up again */
    if (!w->first_ms)
        w->first_ms = now ? now : 1;
    uint64_t latest = w->first_ms + (uint64_t)w->opt.quiet_ms * MAX_DELAY_FACTOR;
    if (now + wait_ms > latest)
        wait_ms = latest > now ? latest - now : 0;
    (void)uv_timer_start(&w->timer, on_quiet, wait_ms, 0); /* fails on a closing timer only */
}

struct watch *watch_new(uv_loop_t *loop, const struct watch_options *opt)
{
    struct watch *w = calloc(1, sizeof(*w));

    if (!w)
        abort();
    w->opt = *opt;
    (void)uv_timer_init(loop, &w->timer); /* cannot fail */
    w->timer.data = w;
    return w;
}

static void on_folder_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* Takes *at out of the list. */
static void drop(struct folder **at)
{
    struct folder *f = *at;

    *at = f->next;
    uv_close((uv_handle_t *)&f->events, on_folder_closed);
}

static struct folder *find(struct watch *w, struct slice path)
{
    for (struct folder *f = w->folders; f; f = f->next)
        if (slice_eq(slice_cstr(f->path), path))
            return f;
    return NULL;
}

/* 0, or a negative code of libuv. */
static int add(struct watch *w, struct slice path)
{
    struct folder *f = calloc(1, sizeof(*f) + path.len + 1);
    struct stat info;

    if (!f)
        abort();
    memcpy(f->path, path.ptr, path.len);
    if (stat(f->path, &info) != 0 || !S_ISDIR(info.st_mode)) {
        free(f);
        return 0;
    }
    f->watch = w;
    f->device = info.st_dev;
    f->inode = info.st_ino;
    f->wanted = true;
    f->next = w->folders;
    w->folders = f;
    (void)uv_fs_event_init(w->timer.loop, &f->events); /* cannot fail */
    f->events.data = f;
    int rc = uv_fs_event_start(&f->events, on_event, f->path, 0);
    if (rc != 0)
        drop(&w->folders);
    return rc == UV_ENOENT ? 0 : rc;
}

static bool is_same_folder(const struct folder *f)
{
    struct stat info;

    return stat(f->path, &info) == 0 && info.st_dev == f->device && info.st_ino == f->inode;
}

enum status watch_set(struct watch *w, const struct slice *folders, size_t n, struct error *err)
{
    size_t n_failed = 0;
    int failed = 0;

    for (struct folder *f = w->folders; f; f = f->next)
        f->wanted = false;
    for (size_t i = 0; i < n; i++) {
        struct folder *f = find(w, folders[i]);
        if (f)
            f->wanted = is_same_folder(f);
    }
    for (struct folder **at = &w->folders; *at;) {
        if ((*at)->wanted)
            at = &(*at)->next;
        else
            drop(at);
    }
    for (size_t i = 0; i < n; i++) {
        int rc = find(w, folders[i]) ? 0 : add(w, folders[i]);
        n_failed += rc != 0;
        failed = rc != 0 ? rc : failed;
    }
    if (!n_failed)
        return STATUS_OK;
    return error_set(err, STATUS_FULL, -failed, "%zu of %zu folders cannot be watched for changes: %s", n_failed, n,
                     failed == UV_ENOSPC ? "fs.inotify.max_user_watches is used up" : uv_strerror(failed));
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void watch_free(struct watch *w)
{
    if (!w)
        return;
    while (w->folders)
        drop(&w->folders);
    uv_close((uv_handle_t *)&w->timer, on_timer_closed);
}
