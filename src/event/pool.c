/* pool.c - see pool.h. One mutex guards the queue and the counts; it is never held while a job runs. */
#include "event/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    IDLE_MS = 10 * 1000,
    STACK_BYTES = 8 * 1024 * 1024 /* SQLite recurses with views and triggers; only what is used costs memory */
};

struct pool {
    struct pool_options opt;
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t work, left;
    struct job *first, **link;
    int queued;        /* jobs in the list */
    int threads, idle; /* idle ones may have been woken already: compare with `queued` */
    bool stopping;
};

struct pool *pool_new(const struct pool_options *opt)
{
    struct pool *p = calloc(1, sizeof(*p));
    pthread_condattr_t attr;

    if (!p)
        abort();
    p->opt = *opt;
    p->link = &p->first;
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->work, &attr);
    pthread_cond_init(&p->left, &attr);
    pthread_condattr_destroy(&attr);
    return p;
}

static void add_ms(struct timespec *t, int ms)
{
    t->tv_sec += ms / 1000;
    t->tv_nsec += ms % 1000 * 1000000L;
    if (t->tv_nsec >= 1000000000) {
        t->tv_sec++;
        t->tv_nsec -= 1000000000;
    }
}

/* The next job, or NULL when this thread should leave. */
static struct job *take_job_locked(struct pool *p)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    add_ms(&until, p->opt.idle_ms > 0 ? p->opt.idle_ms : IDLE_MS);
    while (!p->first) {
        if (p->stopping)
            return NULL;
        p->idle++;
        int rc = pthread_cond_timedwait(&p->work, &p->lock, &until);
        p->idle--;
        if (rc == ETIMEDOUT && !p->first)
            return NULL;
    }
    struct job *job = p->first;
    p->first = job->next;
    if (!p->first)
        p->link = &p->first;
    p->queued--;
    return job;
}

static void set_up_thread(const struct pool *p)
{
    char name[16];

    snprintf(name, sizeof(name), "%.12s", p->opt.name);
    (void)pthread_setname_np(pthread_self(), name); /* only for people who look */
    if (p->opt.nice) {
        /* On Linux niceness is per thread. Failing to be polite is no error. */
        id_t tid = (id_t)syscall(SYS_gettid);
        (void)setpriority(PRIO_PROCESS, tid, p->opt.nice);
    }
}

static void *thread_main(void *arg)
{
    struct pool *p = arg;

    set_up_thread(p);
    pthread_mutex_lock(&p->lock);
    for (struct job *job; (job = take_job_locked(p));) {
        pthread_mutex_unlock(&p->lock);
        job->run(job);
        pthread_mutex_lock(&p->lock);
    }
    p->threads--;
    pthread_cond_broadcast(&p->left);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Signals are the main thread's. */
static int start_thread(struct pool *p)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    int rc = pthread_create(&thread, &attr, thread_main, p);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

void pool_submit(struct pool *p, struct job *job)
{
    pthread_mutex_lock(&p->lock);
    job->next = NULL;
    *p->link = job;
    p->link = &job->next;
    p->queued++;
    bool wake = p->idle >= p->queued;
    if (!wake && p->threads < p->opt.max_threads) {
        p->threads++;
        if (start_thread(p) != 0 && --p->threads == 0) {
            /* Without a single thread the job would wait for ever. */
            fprintf(stderr, "dione: cannot start a thread\n");
            abort();
        }
    }
    pthread_mutex_unlock(&p->lock);
    /* After the unlock, or the thread would wake up only to wait for the lock. */
    if (wake)
        pthread_cond_signal(&p->work);
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->work);
    while (p->threads > 0)
        pthread_cond_wait(&p->left, &p->lock);
    pthread_mutex_unlock(&p->lock);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->left);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
