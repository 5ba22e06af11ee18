/* target.c - see target.h. */
#include "workers/target.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct target *target_new(const char *path, int n_loops)
{
    struct target *t = calloc(1, sizeof(*t) + (size_t)n_loops * sizeof(struct upstream *));
    size_t len = strlen(path);

    if (!t || len >= sizeof(t->path)) {
        free(t);
        return NULL;
    }
    memcpy(t->path, path, len + 1);
    t->n_loops = n_loops;
    t->refs = 1;
    return t;
}

struct target *target_ref(struct target *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void target_unref(struct target *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (int i = 0; i < t->n_loops; i++)
        assert(!t->idle[i]);
    free(t->inject);
    free(t);
}
