/*
 * change.h - a version made from the latest one by changing its bindings or settings, not its code: secrets, settings.
 */
#ifndef DIONE_WORKERS_CHANGE_H
#define DIONE_WORKERS_CHANGE_H

#include "workers/bindings.h"
#include "workers/call.h"
#include "workers/document.h"

/* Rules for the bindings of a version that follows the Worker's latest one. */
struct binding_rules change_rules(struct blocking_call *call, const struct worker *w);
/*
 * Stores a copy of the latest version with these members, and deploys it when `deploy`. The modules come along. *ret is the
 * Worker as it is then. Under the Worker's lock.
 */
enum status change_apply(struct blocking_call *call, const struct worker *w, const struct member *members, size_t n,
                         bool deploy, struct worker **ret) MUST_CHECK;
/* UNDEPLOYED when the latest version is not the active one: a change would deploy code that nobody asked for. */
enum status change_needs_deployed(struct blocking_call *call, const struct worker *w) MUST_CHECK;

#endif
