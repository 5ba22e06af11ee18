/* Messages to loops: every one arrives, on the right thread, in the order of its sender. */
#include "../testing.h"

#include "event/loop.h"

#include <pthread.h>
#include <stdatomic.h>

enum { SENDERS = 4, MESSAGES = 5000, LOOPS = 2 };

struct note {
    struct loop_msg msg;
    struct loop *loop;
    int sender, number;
};

static _Atomic int n_arrived, n_wrong;
static int last_number[LOOPS][SENDERS]; /* owned by: the loop */

static void on_note(struct loop_msg *msg)
{
    struct note *n = CONTAINER_OF(msg, struct note, msg);

    if (loop_current() != n->loop || n->number != last_number[n->loop->index][n->sender] + 1)
        atomic_fetch_add(&n_wrong, 1);
    last_number[n->loop->index][n->sender] = n->number;
    free(n);
    atomic_fetch_add(&n_arrived, 1);
}

static void send_note(struct loop *loop, int sender, int number)
{
    struct note *n = malloc(sizeof(*n));

    *n = (struct note){ .msg.deliver = on_note, .loop = loop, .sender = sender, .number = number };
    loop_post(loop, &n->msg);
}

struct sender {
    pthread_t thread;
    struct loop *loops;
    int index;
};

static void *send_many(void *arg)
{
    struct sender *s = arg;

    for (int i = 1; i <= MESSAGES; i++)
        for (int l = 0; l < LOOPS; l++)
            send_note(&s->loops[l], s->index, i);
    return NULL;
}

static void messages_of_each_sender_arrive_in_order(void **state UNUSED)
{
    struct loop *loops = loops_start(LOOPS);
    struct sender senders[SENDERS];

    assert_null(loop_current());
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){ .loops = loops, .index = i };
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_many, &senders[i]), 0);
    }
    for (int i = 0; i < SENDERS; i++)
        pthread_join(senders[i].thread, NULL);
    WAIT_UNTIL(atomic_load(&n_arrived) == SENDERS * MESSAGES * LOOPS);
    assert_int_equal(n_wrong, 0);
    loops_stop(loops, LOOPS);
}

/* ---- messages that send messages ---- */

struct chain {
    struct loop_msg msg;
    struct loop *loops;
    int left;
    uv_sem_t done;
};

static void on_chain(struct loop_msg *msg)
{
    struct chain *c = CONTAINER_OF(msg, struct chain, msg);

    if (--c->left == 0)
        uv_sem_post(&c->done);
    else
        loop_post(&c->loops[c->left % LOOPS], &c->msg); /* to itself and to the other in turn */
}

static void a_message_may_be_posted_again_while_it_is_delivered(void **state UNUSED)
{
    struct loop *loops = loops_start(LOOPS);
    struct chain c = { .msg.deliver = on_chain, .loops = loops, .left = 2000 };

    uv_sem_init(&c.done, 0);
    loop_post(&loops[0], &c.msg);
    uv_sem_wait(&c.done);
    uv_sem_destroy(&c.done);
    loops_stop(loops, LOOPS);
}

static void on_self(struct loop_msg *msg)
{
    struct chain *c = CONTAINER_OF(msg, struct chain, msg);

    if (--c->left == 0)
        uv_sem_post(&c->done);
    else
        loop_post(loop_current(), &c->msg);
}

static void a_loop_may_post_to_itself(void **state UNUSED)
{
    struct loop *loops = loops_start(1);
    struct chain c = { .msg.deliver = on_self, .loops = loops, .left = 2000 };

    uv_sem_init(&c.done, 0);
    loop_post(&loops[0], &c.msg);
    uv_sem_wait(&c.done);
    uv_sem_destroy(&c.done);
    loops_stop(loops, 1);
}

/* ---- the end ---- */

static _Atomic int n_closed;

static void on_timer(uv_timer_t *timer UNUSED)
{
}

static void start_timer(struct loop_msg *msg)
{
    static uv_timer_t timers[LOOPS];
    uv_timer_t *t = &timers[loop_current()->index];

    uv_timer_init(&loop_current()->uv, t);
    uv_timer_start(t, on_timer, 1, 1);
    free(msg);
    atomic_fetch_add(&n_closed, 1);
}

static void stopping_closes_what_is_left_behind_messages_that_wait(void **state UNUSED)
{
    struct loop *loops = loops_start(LOOPS);

    for (int i = 0; i < LOOPS; i++) {
        struct loop_msg *msg = calloc(1, sizeof(*msg));
        msg->deliver = start_timer;
        loop_post(&loops[i], msg);
    }
    loops_stop(loops, LOOPS); /* the timers would keep the loops alive */
    assert_int_equal(n_closed, LOOPS);
}

static void loops_start_and_stop_many_times(void **state UNUSED)
{
    for (int i = 0; i < 20; i++)
        loops_stop(loops_start(3), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_each_sender_arrive_in_order),
        cmocka_unit_test(a_message_may_be_posted_again_while_it_is_delivered),
        cmocka_unit_test(a_loop_may_post_to_itself),
        cmocka_unit_test(stopping_closes_what_is_left_behind_messages_that_wait),
        cmocka_unit_test(loops_start_and_stop_many_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
