/* listening.c - the address at which Workers are reached. */
#include "workers/hosting.h"

#include "base/log.h"
#include "http/server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_ADDRESS "127.0.0.1:8787"

/* The habitual port when it is free, else any. `err` is not NULL. */
static enum status open_default(int *ret_fd, int *ret_port, struct error *err)
{
    enum status st = http_open_listener(DEFAULT_ADDRESS, "--workers-listen", ret_fd, ret_port, err);

    if (st == STATUS_OK || err->native != EADDRINUSE)
        return st;
    st = http_open_listener("127.0.0.1:0", "--workers-listen", ret_fd, ret_port, err);
    if (st == STATUS_OK)
        log_line(LOG_WARN,
                 DEFAULT_ADDRESS " is in use; Workers answer at 127.0.0.1:%d instead. Choose an address with "
                                 "--workers-listen",
                 *ret_port);
    return st;
}

enum status listening_open(const struct runtime_options *opt, int *ret_fd, int *ret_port, struct error *err)
{
    const char *option = opt->listen_option ? opt->listen_option : "--workers-listen";

    return opt->listen ? http_open_listener(opt->listen, option, ret_fd, ret_port, err)
                       : open_default(ret_fd, ret_port, err);
}

void listening_begin_locked(struct runtime *rt, int fd, int port)
{
    const char *address = rt->opt.listen ? rt->opt.listen : DEFAULT_ADDRESS;
    int host_len = (int)(strrchr(address, ':') - address);

    proxy_listen(rt->proxy, fd, port);
    snprintf(rt->url, sizeof(rt->url), "http://%.*s:%d", host_len, address, port);
    log_line(LOG_INFO, "Workers answer at %s", rt->url);
}

enum status listening_ensure(struct runtime *rt, struct error *err)
{
    enum status st = STATUS_OK;
    int fd, port;

    pthread_mutex_lock(&rt->lock);
    if (!rt->url[0]) {
        st = listening_open(&rt->opt, &fd, &port, err);
        if (st == STATUS_OK)
            listening_begin_locked(rt, fd, port);
    }
    pthread_mutex_unlock(&rt->lock);
    return st;
}

const char *runtime_url(struct runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    const char *url = rt->url[0] ? rt->url : NULL;
    pthread_mutex_unlock(&rt->lock);
    return url;
}
