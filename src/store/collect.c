/* collect.c - see collect.h. Each statement cache is read by the thread that owns it: loops get a message, writers a turn. */
#include "store/collect.h"

#include "store/internal.h"

#include <stdlib.h>

/* ---- readers ---- */

struct loop_collect {
    struct loop_msg msg;
    struct loop_state *ls;
    struct database *db; /* NULL: all */
    uv_sem_t *done;
};

static void deliver_collect(struct loop_msg *msg)
{
    struct loop_collect *c = CONTAINER_OF(msg, struct loop_collect, msg);

    for (struct loop_reader *lr = c->ls->newest; lr; lr = lr->older)
        if (!c->db || c->db == lr->db)
            database_collect(lr->db, lr->conn);
    uv_sem_post(c->done); /* c is gone now */
}

static void collect_readers(struct store *s, struct database *db)
{
    int n = s->opt.n_loops;
    struct loop_collect *messages = calloc((size_t)n, sizeof(*messages));
    uv_sem_t done;

    if (!messages)
        return; /* the sweep of every second does it */
    uv_sem_init(&done, 0);
    for (int i = 0; i < n; i++) {
        messages[i] = (struct loop_collect){ { .deliver = deliver_collect }, &s->loops[i], db, &done };
        loop_post(s->loops[i].loop, &messages[i].msg);
    }
    for (int i = 0; i < n; i++)
        uv_sem_wait(&done);
    uv_sem_destroy(&done);
    free(messages);
}

/* ---- writers ---- */

static enum status collect_turn(struct sql_conn *c, void *arg, struct error *err)
{
    (void)err; /* store_turn's; nothing fails here */
    if (c)
        database_collect(arg, c);
    return STATUS_OK;
}

/* An idle writer handed everything out before it became idle; one that is held by a transaction may be so for long. */
static void collect_writer(struct database *db)
{
    pthread_mutex_lock(&db->lock);
    bool draining = db->state == WRITER_DRAINING;
    pthread_mutex_unlock(&db->lock);
    if (draining)
        IGNORE_RESULT(
            store_turn(db, collect_turn, db, NULL)); /* fails for a deleted database, which has nothing left */
}

/* The databases whose writers may be open, each with a reference; NULL: none, or out of memory. */
static struct database **list_open(struct store *s, size_t *ret_n)
{
    size_t n = 0;

    pthread_mutex_lock(&s->open_lock);
    for (struct database *db = s->open; db; db = db->next_open)
        n++;
    struct database **list = n ? calloc(n, sizeof(struct database *)) : NULL;
    n = 0;
    for (struct database *db = s->open; list && db; db = db->next_open)
        list[n++] = database_ref(db);
    pthread_mutex_unlock(&s->open_lock);
    *ret_n = n;
    return list;
}

static void collect_writers(struct store *s)
{
    size_t n;
    struct database **list = list_open(s, &n);

    for (size_t i = 0; i < n; i++) {
        collect_writer(list[i]);
        database_unref(list[i]);
    }
    free(list);
}

void store_collect_now(struct store *s, struct database *db)
{
    if (!s->opt.on_stats)
        return;
    collect_readers(s, db);
    if (db)
        collect_writer(db);
    else
        collect_writers(s);
}
