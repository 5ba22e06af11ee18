/* change.c - see change.h. */
#include "workers/change.h"

struct binding_rules change_rules(struct blocking_call *call, const struct worker *w)
{
    return (struct binding_rules){
        .api = api_of(call->req),
        .vault = workers_vault(workers_of(call)),
        .arena = call->req->arena,
        .worker = w->name,
        .base = worker_latest(w)->document,
        .known = w,
    };
}

enum status change_needs_deployed(struct blocking_call *call, const struct worker *w)
{
    if (worker_active(w) == worker_latest(w))
        return STATUS_OK;
    return error_set(
        &call->err, STATUS_UNDEPLOYED, 0,
        "The latest version of the Worker %.*s is not deployed: deploy it first, or make a version with the "
        "change (versions secret put)",
        SLICE_FMT(w->name));
}

enum status change_apply(struct blocking_call *call, const struct worker *w, const struct member *members, size_t n,
                         bool deploy, struct worker **ret)
{
    struct buf document CLEANUP(buf_release) = { 0 };
    struct slice like = worker_latest(w)->id;

    document_copy(&document, worker_latest(w)->document, members, n);
    if (document.overflowed)
        return error_set(&call->err, STATUS_NOMEM, 0, "out of memory");
    struct new_version_request r = { .worker = w->name,
                                     .document = buf_slice(&document),
                                     .like = &like,
                                     .source = call_source(call),
                                     .arena = call->req->arena };
    return deploy ? workers_add_and_deploy(workers_of(call), &r, ret, &call->err)
                  : workers_add_version(workers_of(call), &r, ret, &call->err);
}
