/* interrupt.c - see interrupt.h. */
#include "cli/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

static pthread_t main_thread;
static volatile sig_atomic_t received; /* signal number, 0: none */

static void on_signal(int number)
{
    /* The kernel picks any thread; only the main one has calls to wake. */
    if (!pthread_equal(pthread_self(), main_thread)) {
        (void)pthread_kill(main_thread, number); /* cannot fail: the main thread outlives the others */
        return;
    }
    if (received) {
        (void)signal(number, SIG_DFL);
        (void)raise(number); /* delivered on return from this handler */
    }
    received = number;
}

void interrupt_install(void)
{
    struct sigaction action = { .sa_handler = on_signal }; /* no SA_RESTART: reads return */

    main_thread = pthread_self();
    (void)sigaction(SIGINT, &action, NULL); /* valid arguments, so neither fails */
    (void)sigaction(SIGTERM, &action, NULL);
}

bool interrupt_requested(void)
{
    return received != 0;
}

void interrupt_clear(void)
{
    received = 0;
}

enum status interrupt_error(struct error *err)
{
    return error_set(err, STATUS_STOPPING, 0, "interrupted");
}

void interrupt_reraise(void)
{
    int number = received;

    if (!number)
        return;
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}
