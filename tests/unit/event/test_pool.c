/* Pools: order, as many threads as there is work for and no more, threads that leave, and a free that waits. */
#include "../testing.h"

#include "event/pool.h"

#include <dirent.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

static int count_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    int n = 0;

    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));)
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

struct numbered {
    struct job job;
    int number;
};

static int order[1000];
static _Atomic int n_ran;

static void note_number(struct job *job)
{
    order[atomic_fetch_add(&n_ran, 1)] = CONTAINER_OF(job, struct numbered, job)->number;
}

static void one_thread_runs_jobs_in_the_order_they_came(void **state UNUSED)
{
    static struct numbered jobs[1000];
    struct pool *p = pool_new(&(struct pool_options){ .name = "one", .max_threads = 1 });

    for (int i = 0; i < 1000; i++) {
        jobs[i] = (struct numbered){ .job.run = note_number, .number = i };
        pool_submit(p, &jobs[i].job);
    }
    pool_free(p);
    assert_int_equal(n_ran, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(order[i], i);
}

static _Atomic int n_freed;

static void free_itself(struct job *job)
{
    free(job);
    atomic_fetch_add(&n_freed, 1);
}

struct submitter {
    pthread_t thread;
    struct pool *pool;
};

static void *submit_many(void *arg)
{
    struct submitter *s = arg;

    for (int i = 0; i < 2000; i++) {
        struct job *job = malloc(sizeof(*job));
        job->run = free_itself;
        pool_submit(s->pool, job);
    }
    return NULL;
}

static void free_waits_for_every_job_of_every_thread(void **state UNUSED)
{
    struct pool *p = pool_new(&(struct pool_options){ .name = "many", .max_threads = 4, .nice = 5 });
    struct submitter submitters[3];

    for (int i = 0; i < 3; i++) {
        submitters[i].pool = p;
        assert_int_equal(pthread_create(&submitters[i].thread, NULL, submit_many, &submitters[i]), 0);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(submitters[i].thread, NULL);
    pool_free(p);
    assert_int_equal(n_freed, 6000);
}

/* ---- jobs that wait for each other ---- */

struct meeting {
    struct job job;
    pthread_barrier_t *barrier;
};

static void meet(struct job *job)
{
    pthread_barrier_wait(CONTAINER_OF(job, struct meeting, job)->barrier);
}

/* Three jobs that all must run at the same time end only if each gets a thread, also when they come at once to a pool
 * whose one thread is idle: being idle for the first does not make it free for the second. */
static void jobs_get_a_thread_each_as_long_as_there_are_threads(void **state UNUSED)
{
    struct pool *p = pool_new(&(struct pool_options){ .name = "meet", .max_threads = 3 });
    static struct meeting jobs[3];
    pthread_barrier_t barrier;

    pthread_barrier_init(&barrier, NULL, 4);
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 3; i++) {
            jobs[i] = (struct meeting){ .job.run = meet, .barrier = &barrier };
            pool_submit(p, &jobs[i].job);
        }
        pthread_barrier_wait(&barrier);
    }
    pool_free(p);
    pthread_barrier_destroy(&barrier);
}

struct blocker {
    struct job job;
    sem_t *go;
    _Atomic int *n_running, *most;
};

static void block(struct job *job)
{
    struct blocker *b = CONTAINER_OF(job, struct blocker, job);
    int n = atomic_fetch_add(b->n_running, 1) + 1, most = atomic_load(b->most);

    while (n > most && !atomic_compare_exchange_weak(b->most, &most, n))
        ;
    sem_wait(b->go);
    atomic_fetch_sub(b->n_running, 1);
}

static void there_are_never_more_threads_than_allowed(void **state UNUSED)
{
    struct pool *p = pool_new(&(struct pool_options){ .name = "max", .max_threads = 3 });
    struct blocker jobs[20];
    _Atomic int n_running = 0, most = 0;
    sem_t go;

    sem_init(&go, 0, 0);
    for (int i = 0; i < 20; i++) {
        jobs[i] = (struct blocker){ .job.run = block, .go = &go, .n_running = &n_running, .most = &most };
        pool_submit(p, &jobs[i].job);
    }
    WAIT_UNTIL(atomic_load(&n_running) == 3);
    for (int i = 0; i < 20; i++)
        sem_post(&go);
    pool_free(p);
    assert_int_equal(most, 3);
    sem_destroy(&go);
}

/* ---- leaving ---- */

static void idle_threads_leave_and_come_back_when_needed(void **state UNUSED)
{
    int before = count_threads();
    struct pool *p = pool_new(&(struct pool_options){ .name = "idle", .max_threads = 3, .idle_ms = 1 });
    static struct meeting jobs[3];
    pthread_barrier_t barrier;

    pthread_barrier_init(&barrier, NULL, 4);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 3; i++) {
            jobs[i] = (struct meeting){ .job.run = meet, .barrier = &barrier };
            pool_submit(p, &jobs[i].job);
        }
        pthread_barrier_wait(&barrier);
        WAIT_UNTIL(count_threads() <= before); /* fewer: one of an earlier test was still on its way out */
    }
    pool_free(p);
    pthread_barrier_destroy(&barrier);
}

static void a_pool_that_never_worked_has_no_threads(void **state UNUSED)
{
    int before = count_threads();
    struct pool *p = pool_new(&(struct pool_options){ .name = "unused", .max_threads = 3 });

    assert_true(count_threads() <= before);
    pool_free(p);
    pool_free(NULL);
}

/* ---- jobs that go on ---- */

struct again {
    struct job job;
    struct pool *pool;
    int left;
};

static void submit_again(struct job *job)
{
    struct again *a = CONTAINER_OF(job, struct again, job);

    if (--a->left > 0)
        pool_submit(a->pool, &a->job);
}

static void a_job_may_submit_itself_even_while_the_pool_is_freed(void **state UNUSED)
{
    struct again a = { .job.run = submit_again, .left = 1000 };

    a.pool = pool_new(&(struct pool_options){ .name = "again", .max_threads = 2 });
    pool_submit(a.pool, &a.job);
    pool_free(a.pool);
    assert_int_equal(a.left, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_runs_jobs_in_the_order_they_came),
        cmocka_unit_test(free_waits_for_every_job_of_every_thread),
        cmocka_unit_test(jobs_get_a_thread_each_as_long_as_there_are_threads),
        cmocka_unit_test(there_are_never_more_threads_than_allowed),
        cmocka_unit_test(idle_threads_leave_and_come_back_when_needed),
        cmocka_unit_test(a_pool_that_never_worked_has_no_threads),
        cmocka_unit_test(a_job_may_submit_itself_even_while_the_pool_is_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
