/* value.c - see value.h. */
#include "kv/value.h"

#include <stdatomic.h>
#include <stdlib.h>

struct kv_value *kv_value_new(size_t bytes_len, size_t metadata_len)
{
    struct kv_value *v = malloc(sizeof(*v) + bytes_len + metadata_len);

    if (v)
        *v = (struct kv_value){ .refs = 1,
                                .size = bytes_len,
                                .bytes_len = bytes_len,
                                .metadata_len = metadata_len,
                                .has_metadata = metadata_len > 0 };
    return v;
}

struct kv_value *kv_value_copy(struct slice bytes, struct slice metadata)
{
    struct kv_value *v = kv_value_new(bytes.len, metadata.len);

    if (v && bytes.len)
        memcpy(v->bytes, bytes.ptr, bytes.len);
    if (v && metadata.len)
        memcpy(v->bytes + bytes.len, metadata.ptr, metadata.len);
    return v;
}

struct kv_value *kv_value_absent(void)
{
    struct kv_value *v = kv_value_new(0, 0);

    if (v)
        v->absent = true;
    return v;
}

struct kv_value *kv_value_ref(struct kv_value *v)
{
    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    return v;
}

void kv_value_unref(struct kv_value *v)
{
    if (v && atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) == 1)
        free(v);
}
