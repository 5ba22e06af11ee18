/*
 * loop.h - event-loop threads, and messages to them.
 *
 * A loop is one thread around one uv_loop_t. What a loop owns is touched by its thread only; everybody else posts it a
 * message. A message is embedded in what it is about; posting gives that object away to the loop.
 */
#ifndef DIONE_EVENT_LOOP_H
#define DIONE_EVENT_LOOP_H

#include "base/error.h"

#include <pthread.h>
#include <stdbool.h>
#include <uv.h>

struct loop_msg {
    void (*deliver)(struct loop_msg *msg); /* on the loop's thread; may free msg */
    struct loop_msg *next;
};

struct loop {
    uv_loop_t uv;
    int index; /* 0 .. number of loops - 1 */
    pthread_t thread;
    int wake_fd; /* eventfd: the inbox has something */
    uv_poll_t wake;
    struct loop_msg *_Atomic inbox; /* newest first; turned round when it is emptied */
};

/* Starts n loop threads, loops[0..n). Aborts when the system cannot give them: start-up only. */
struct loop *loops_start(int n);
/* Closes what is left on the loops, ends the threads and frees the array. Main thread. */
void loops_stop(struct loop *loops, int n);

/* Any thread. Messages of one sender arrive in order. */
void loop_post(struct loop *loop, struct loop_msg *msg);
/* Several at one go, linked from the newest to the oldest: the loop wakes once. */
void loop_post_chain(struct loop *loop, struct loop_msg *newest, struct loop_msg *oldest);
/* The loop whose thread this is, or NULL. */
struct loop *loop_current(void);

#endif
