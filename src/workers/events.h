/*
 * events.h - what a Worker did, as JSON: the last events for late readers, and those who are told of each one.
 *
 * Any thread; one mutex, under which subscribers are told, so once events_unsubscribe has returned nobody is.
 */
#ifndef DIONE_WORKERS_EVENTS_H
#define DIONE_WORKERS_EVENTS_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>

struct events;
struct events_subscriber;

struct events *events_new(void);
/* Nobody may be subscribed any more. NULL is fine. */
void events_free(struct events *e);

/*
 * Takes workerd's array of trace items, and tells and keeps each with the Worker's name and version written in.
 * Returns how many of them there were.
 */
size_t events_take_items(struct events *e, struct slice items, struct slice worker, struct slice version);
/* One event that Dione made itself: a JSON object. */
void events_take(struct events *e, struct slice json);
/* Appends a JSON array, oldest first. */
void events_recent(struct events *e, struct buf *ret);

/* `filters`: as the tail API has them, or absent. INVALID. `on_event` must not block, nor call back in here. */
enum status events_subscribe(struct events *e, struct slice filters, void (*on_event)(void *arg, struct slice json),
                             void *arg, struct events_subscriber **ret, struct error *err) MUST_CHECK;
/* Returns how many are left. */
size_t events_unsubscribe(struct events *e, struct events_subscriber *s);

#endif
