/* burst.c - see burst.h. */
#include "http/burst.h"

#include <liburing.h>
#include <stdlib.h>
#include <string.h>

struct burst {
    struct io_uring ring;
    unsigned n;
    int fds[BURST_MAX];
    struct iovec bufs[BURST_MAX][2];
    struct msghdr messages[BURST_MAX];
};

struct burst *burst_new(void)
{
    struct burst *b = calloc(1, sizeof(*b));

    if (b && io_uring_queue_init(BURST_MAX, &b->ring, 0) == 0)
        return b;
    free(b);
    return NULL;
}

void burst_free(struct burst *b)
{
    if (!b)
        return;
    io_uring_queue_exit(&b->ring);
    free(b);
}

void burst_add(struct burst *b, int fd, const uv_buf_t *bufs, unsigned n)
{
    unsigned i = b->n++;

    for (unsigned k = 0; k < n; k++)
        b->bufs[i][k] = (struct iovec){ .iov_base = bufs[k].base, .iov_len = bufs[k].len };
    b->messages[i] = (struct msghdr){ .msg_iov = b->bufs[i], .msg_iovlen = n };
    b->fds[i] = fd;
}

/* Takes the results that are there. */
static unsigned reap(struct burst *b, int *ret)
{
    struct io_uring_cqe *cqe;
    unsigned head, n = 0;

    io_uring_for_each_cqe(&b->ring, head, cqe)
    {
        ret[cqe->user_data] = cqe->res;
        n++;
    }
    io_uring_cq_advance(&b->ring, n);
    return n;
}

void burst_send(struct burst *b, int *ret)
{
    unsigned n = b->n, done = 0;

    for (unsigned i = 0; i < n; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&b->ring); /* never NULL: the ring has BURST_MAX and is empty */
        io_uring_prep_sendmsg(sqe, b->fds[i], &b->messages[i], MSG_DONTWAIT | MSG_NOSIGNAL);
        sqe->user_data = i;
    }
    /* MSG_DONTWAIT sends end at once, so this waits for nobody; what a signal cut short goes on. */
    while (done < n) {
        int rc = io_uring_submit_and_wait(&b->ring, n - done);
        done += reap(b, ret);
        if (rc < 0 && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY) {
            /* Cannot happen with a ring that once worked; going on would leave sends in the air. */
            abort();
        }
    }
    b->n = 0;
}
