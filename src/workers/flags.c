/*
 * flags.c - keeps Workers from experimental compatibility flags.
 *
 * Their processes run with --experimental (config.c says why), which would let such flags pass silently. So each list of
 * flags is first given to a process without it, around an empty script: what that refuses, with workerd's own words, is
 * refused here. A list that passed is remembered until Dione ends.
 */
#include "workers/hosting.h"

#include <stdio.h>
#include <stdlib.h>

struct worker_flags {
    struct worker_flags *next;
    char text[];
};

static void write_key(struct buf *b, const struct worker_spec *spec)
{
    buf_append_slice(b, spec->compatibility_date);
    for (size_t i = 0; i < spec->n_compatibility_flags; i++) {
        buf_append_char(b, ' ');
        buf_append_slice(b, spec->compatibility_flags[i]);
    }
}

static bool is_known(struct runtime *rt, const char *key)
{
    bool known = false;

    pthread_mutex_lock(&rt->lock);
    for (const struct worker_flags *f = rt->flags; f && !known; f = f->next)
        known = strcmp(f->text, key) == 0;
    pthread_mutex_unlock(&rt->lock);
    return known;
}

static void remember(struct runtime *rt, const char *key)
{
    size_t len = strlen(key);
    struct worker_flags *f = malloc(sizeof(*f) + len + 1);

    if (!f)
        return; /* asked again next time */
    memcpy(f->text, key, len + 1);
    pthread_mutex_lock(&rt->lock);
    f->next = rt->flags;
    rt->flags = f;
    pthread_mutex_unlock(&rt->lock);
}

static enum status ask(struct runtime *rt, const struct worker_spec *spec, struct error *err)
{
    struct worker_spec empty = { .name = spec->name,
                                 .compatibility_date = spec->compatibility_date,
                                 .compatibility_flags = spec->compatibility_flags,
                                 .n_compatibility_flags = spec->n_compatibility_flags };
    struct instance_options opt = hosting_instance_options(rt, &empty);
    struct instance *in;

    opt.stable_only = true;
    enum status st = instance_new(&opt, &in, err);
    if (st != STATUS_OK)
        return st;
    config_write_flags_only(&in->config, &empty);
    st = supervisor_start_instance(rt, in, err);
    if (st == STATUS_OK)
        supervisor_retire(rt, in);
    return st;
}

enum status flags_check(struct runtime *rt, const struct worker_spec *spec, struct error *err)
{
    struct buf key = { 0 };
    enum status st = STATUS_OK;

    write_key(&key, spec);
    if (spec->n_compatibility_flags && !is_known(rt, key.ptr)) {
        st = ask(rt, spec, err);
        if (st == STATUS_OK)
            remember(rt, key.ptr);
    }
    buf_release(&key);
    return st;
}

void flags_forget(struct runtime *rt)
{
    while (rt->flags) {
        struct worker_flags *f = rt->flags;
        rt->flags = f->next;
        free(f);
    }
}
