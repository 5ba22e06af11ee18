/*
 * loop.c - see loop.h.
 *
 * The inbox is a stack that senders push with one compare-and-swap; only the push that finds it empty wakes the loop,
 * so a burst of answers costs one write to the eventfd. The eventfd is our own: uv_async_t makes the woken loop spin until
 * the sender, which it may just have taken the processor from, is back from its write.
 */
#include "event/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static _Thread_local struct loop *current;

struct loop *loop_current(void)
{
    return current;
}

void loop_post_chain(struct loop *loop, struct loop_msg *newest, struct loop_msg *oldest)
{
    struct loop_msg *head = atomic_load_explicit(&loop->inbox, memory_order_relaxed);

    do {
        oldest->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&loop->inbox, &head, newest, memory_order_release,
                                                    memory_order_relaxed));
    if (!head && eventfd_write(loop->wake_fd, 1) != 0)
        abort(); /* only a count of 2^64 could make it fail */
}

void loop_post(struct loop *loop, struct loop_msg *msg)
{
    loop_post_chain(loop, msg, msg);
}

static void on_wake(uv_poll_t *wake, int rc UNUSED, int events UNUSED)
{
    struct loop *loop = wake->data;
    eventfd_t n;

    IGNORE_RESULT(eventfd_read(loop->wake_fd, &n)); /* before the inbox is emptied: what comes later wakes again */
    struct loop_msg *newest = atomic_exchange_explicit(&loop->inbox, NULL, memory_order_acquire);
    struct loop_msg *oldest = NULL;

    while (newest) {
        struct loop_msg *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct loop_msg *next = oldest->next;
        oldest->deliver(oldest);
        oldest = next;
    }
}

static void *loop_main(void *arg)
{
    struct loop *loop = arg;
    char name[16];

    snprintf(name, sizeof(name), "loop-%d", loop->index);
    (void)pthread_setname_np(pthread_self(), name);
    current = loop;
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    current = NULL;
    return NULL;
}

static void require(int rc, const char *what)
{
    if (rc == 0)
        return;
    fprintf(stderr, "dione: cannot start an event loop: %s: %s\n", what, uv_strerror(rc < 0 ? rc : -rc));
    abort();
}

struct loop *loops_start(int n)
{
    struct loop *loops = calloc((size_t)n, sizeof(*loops));
    sigset_t all, before;

    if (!loops)
        abort();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
    for (int i = 0; i < n; i++) {
        struct loop *loop = &loops[i];
        loop->index = i;
        require(uv_loop_init(&loop->uv), "uv_loop_init");
        loop->uv.data = loop;
        loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        require(loop->wake_fd < 0 ? -errno : 0, "eventfd");
        require(uv_poll_init(&loop->uv, &loop->wake, loop->wake_fd), "uv_poll_init");
        require(uv_poll_start(&loop->wake, UV_READABLE, on_wake), "uv_poll_start");
        loop->wake.data = loop;
        require(pthread_create(&loop->thread, NULL, loop_main, loop), "pthread_create");
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return loops;
}

static void close_handle(uv_handle_t *handle, void *arg UNUSED)
{
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void close_all(struct loop_msg *msg)
{
    free(msg);
    uv_walk(&loop_current()->uv, close_handle, NULL);
}

void loops_stop(struct loop *loops, int n)
{
    for (int i = 0; i < n; i++) {
        struct loop_msg *msg = calloc(1, sizeof(*msg));
        if (!msg)
            abort();
        msg->deliver = close_all;
        loop_post(&loops[i], msg);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(loops[i].thread, NULL);
        require(uv_loop_close(&loops[i].uv), "uv_loop_close");
        (void)close(loops[i].wake_fd); /* nothing is written back */
    }
    free(loops);
}
