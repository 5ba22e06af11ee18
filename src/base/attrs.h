/* attrs.h - compiler attributes under short names, and scope-bound cleanup. Include only from .c files and headers
 * of src/; the public client header stays plain C11. */
#ifndef DIONE_BASE_ATTRS_H
#define DIONE_BASE_ATTRS_H

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt_arg, first_arg) __attribute__((format(printf, fmt_arg, first_arg)))
#define UNUSED __attribute__((unused))
/* Drops a MUST_CHECK result; say why beside it. (GCC takes no plain cast to void.) */
#define IGNORE_RESULT(expr) ((void)!(expr))

/* Runs fn(&variable) when the variable leaves its scope. Initialise at the declaration; hand over with TAKE_PTR. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))

#define TAKE_PTR(p) \
    ({ \
        __typeof__(p) taken_ = (p); \
        (p) = NULL; \
        taken_; \
    })

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#endif
