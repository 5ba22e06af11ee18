/* entrypoints.c - see entrypoints.h. */
#include "workers/entrypoints.h"

#include "workers/hosting.h"

#include <stdio.h>
#include <stdlib.h>

/* A named export of a Worker that others are bound to. */
struct wish {
    struct wish *next;
    size_t n_holders;
    char worker[WORKER_NAME_MAX + 1];
    char entrypoint[];
};

/* ---- names ---- */

bool entrypoints_have(const struct entrypoints *e, struct slice name)
{
    for (size_t i = 0; i < e->n; i++)
        if (slice_eq(e->names[i], name))
            return true;
    return false;
}

bool entrypoints_add(struct entrypoints *e, struct slice name)
{
    if (entrypoints_have(e, name))
        return true;
    if (e->n == ENTRYPOINTS_MAX)
        return false;
    char *copy = malloc(name.len + 1);
    if (!copy)
        abort(); /* a few bytes, on behalf of an administrator */
    memcpy(copy, name.ptr, name.len);
    copy[name.len] = '\0';
    e->names[e->n++] = slice_of(copy, name.len);
    return true;
}

static void remove_at(struct entrypoints *e, size_t i)
{
    free((char *)e->names[i].ptr);
    memmove(&e->names[i], &e->names[i + 1], (e->n - i - 1) * sizeof(e->names[0]));
    e->n--;
}

static bool is_said_missing(const char *words, struct slice name)
{
    struct buf said = { 0 };

    buf_printf(&said, "named entrypoint \"%.*s\", but \"main\" has no such named entrypoint", SLICE_FMT(name));
    bool missing = strstr(words, said.ptr) != NULL;
    buf_release(&said);
    return missing;
}

bool entrypoints_remove_missing(struct entrypoints *e, const char *words)
{
    size_t n_before = e->n;

    for (size_t i = e->n; i-- > 0;)
        if (is_said_missing(words, e->names[i]))
            remove_at(e, i);
    return e->n < n_before;
}

void entrypoints_clear(struct entrypoints *e)
{
    while (e->n)
        remove_at(e, e->n - 1);
}

/* ---- wishes ---- */

bool wishes_binding(const struct worker_spec *spec, const struct worker_binding *b)
{
    return b->kind == BINDING_SERVICE && b->entrypoint.len && !slice_eq(b->value, spec->name);
}

static struct wish **find_locked(struct runtime *rt, const struct worker_binding *b)
{
    struct wish **at = &rt->wishes;

    while (*at &&
           !(slice_eq(slice_cstr((*at)->worker), b->value) && slice_eq(slice_cstr((*at)->entrypoint), b->entrypoint)))
        at = &(*at)->next;
    return at;
}

static size_t count_locked(struct runtime *rt, struct slice worker)
{
    size_t n = 0;

    for (struct wish *w = rt->wishes; w; w = w->next)
        n += slice_eq(slice_cstr(w->worker), worker);
    return n;
}

/* False: the other Worker would have too many. */
static bool take_locked(struct runtime *rt, const struct worker_binding *b)
{
    struct wish *w = *find_locked(rt, b);

    if (w) {
        w->n_holders++;
        return true;
    }
    if (count_locked(rt, b->value) == ENTRYPOINTS_MAX)
        return false;
    w = calloc(1, sizeof(*w) + b->entrypoint.len + 1);
    if (!w)
        abort(); /* as above */
    w->n_holders = 1;
    memcpy(w->worker, b->value.ptr, b->value.len);
    memcpy(w->entrypoint, b->entrypoint.ptr, b->entrypoint.len);
    w->next = rt->wishes;
    rt->wishes = w;
    return true;
}

static void drop_locked(struct runtime *rt, const struct worker_spec *spec, size_t n_bindings)
{
    for (size_t i = 0; i < n_bindings; i++) {
        if (!wishes_binding(spec, &spec->bindings[i]))
            continue;
        struct wish **at = find_locked(rt, &spec->bindings[i]), *w = *at;
        if (--w->n_holders)
            continue;
        *at = w->next;
        free(w);
    }
}

enum status wishes_take(struct runtime *rt, const struct worker_spec *spec, struct error *err)
{
    const struct worker_binding *refused = NULL;

    pthread_mutex_lock(&rt->lock);
    for (size_t i = 0; i < spec->n_bindings && !refused; i++) {
        const struct worker_binding *b = &spec->bindings[i];
        if (!wishes_binding(spec, b) || take_locked(rt, b))
            continue;
        drop_locked(rt, spec, i);
        refused = b;
    }
    pthread_mutex_unlock(&rt->lock);
    if (!refused)
        return STATUS_OK;
    return error_set(err, STATUS_LIMIT, 0,
                     "The service binding '%.*s': other Workers call %d entrypoints of '%.*s' already, which is the "
                     "limit",
                     SLICE_FMT(refused->name), ENTRYPOINTS_MAX, SLICE_FMT(refused->value));
}

void wishes_drop(struct runtime *rt, const struct worker_spec *spec)
{
    pthread_mutex_lock(&rt->lock);
    drop_locked(rt, spec, spec->n_bindings);
    pthread_mutex_unlock(&rt->lock);
}

void wishes_collect(struct runtime *rt, const char *worker, struct entrypoints *ret)
{
    pthread_mutex_lock(&rt->lock);
    for (struct wish *w = rt->wishes; w; w = w->next)
        if (strcmp(w->worker, worker) == 0)
            (void)entrypoints_add(ret, slice_cstr(w->entrypoint)); /* wishes_take has kept to the limit */
    pthread_mutex_unlock(&rt->lock);
}

void wishes_clear(struct runtime *rt)
{
    while (rt->wishes) {
        struct wish *w = rt->wishes;
        rt->wishes = w->next;
        free(w);
    }
}
