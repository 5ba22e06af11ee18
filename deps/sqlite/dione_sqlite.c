/*
 * SQLite and Dione's additions to it, as one translation unit.
 *
 * The amalgamation is included rather than compiled beside this file because the additions look
 * inside its private structures (Vdbe, Btree). That keeps dione.patch down to what has to stand in
 * the middle of SQLite's own functions; everything else is here, in C that a compiler checks against
 * the pinned version. The contracts are in dione_sqlite.h.
 *
 * "sqlite3_patched.inc" is the copy of sqlite3.c that the build patches; the pinned original is never
 * changed.
 */
#include "sqlite3_patched.inc"

#include "dione_sqlite.h"

#ifndef DIONE_ROWS_READ
#error "this SQLite was not patched with dione.patch"
#endif
_Static_assert(DIONE_META_USER_VERSION == BTREE_USER_VERSION, "position of user_version");
_Static_assert(DIONE_META_APPLICATION_ID == BTREE_APPLICATION_ID, "position of application_id");

void dione_stmt_rows(sqlite3_stmt *stmt, uint64_t *ret_read, uint64_t *ret_written, int reset)
{
    Vdbe *v = (Vdbe *)stmt;

    if (ret_read != NULL)
        *ret_read = v->nDioneRead;
    if (ret_written != NULL)
        *ret_written = v->nDioneWritten;
    if (reset) {
        v->nDioneRead = 0;
        v->nDioneWritten = 0;
    }
}

/* Holds the connection and the b-tree of `main`, in a transaction that is either the caller's or
 * one that main_leave() ends. */
struct main_view {
    sqlite3 *db;
    Btree *bt;
    int is_own_txn;
};

static int main_enter(struct main_view *view, sqlite3 *db)
{
    int rc = SQLITE_OK;

    sqlite3_mutex_enter(db->mutex);
    *view = (struct main_view){ .db = db, .bt = db->aDb[0].pBt };
    sqlite3BtreeEnter(view->bt);
    if (sqlite3BtreeTxnState(view->bt) == SQLITE_TXN_NONE) {
        rc = sqlite3BtreeBeginTrans(view->bt, 0, NULL);
        view->is_own_txn = rc == SQLITE_OK;
    }
    return rc;
}

static int main_leave(struct main_view *view, int rc)
{
    if (view->is_own_txn) {
        /* Ends a read transaction, which has nothing to write and so nothing to fail with. */
        int end_rc = sqlite3BtreeCommit(view->bt);
        if (rc == SQLITE_OK)
            rc = end_rc;
    }
    sqlite3BtreeLeave(view->bt);
    sqlite3_mutex_leave(view->db->mutex);
    return rc;
}

int dione_db_pages(sqlite3 *db, uint32_t *ret_pages, uint32_t *ret_free)
{
    struct main_view view;
    u32 n_pages = 0, n_free = 0;
    int rc = main_enter(&view, db);

    if (rc == SQLITE_OK) {
        n_pages = sqlite3BtreeLastPage(view.bt);
        sqlite3BtreeGetMeta(view.bt, BTREE_FREE_PAGE_COUNT, &n_free);
    }
    rc = main_leave(&view, rc);
    if (rc == SQLITE_OK && ret_pages != NULL)
        *ret_pages = n_pages;
    if (rc == SQLITE_OK && ret_free != NULL)
        *ret_free = n_free;
    return rc;
}

static int is_application_meta(int idx)
{
    return idx == DIONE_META_USER_VERSION || idx == DIONE_META_APPLICATION_ID;
}

int dione_db_meta_get(sqlite3 *db, int idx, uint32_t *ret_value)
{
    struct main_view view;
    u32 value = 0;
    int rc;

    if (!is_application_meta(idx) && idx != DIONE_META_SCHEMA_VERSION)
        return SQLITE_RANGE;
    rc = main_enter(&view, db);
    if (rc == SQLITE_OK)
        sqlite3BtreeGetMeta(view.bt, idx, &value);
    rc = main_leave(&view, rc);
    if (rc == SQLITE_OK)
        *ret_value = value;
    return rc;
}

int dione_db_meta_set(sqlite3 *db, int idx, uint32_t value)
{
    Btree *bt = db->aDb[0].pBt;
    int rc;

    if (!is_application_meta(idx))
        return SQLITE_RANGE;
    sqlite3_mutex_enter(db->mutex);
    sqlite3BtreeEnter(bt);
    if (sqlite3BtreeTxnState(bt) != SQLITE_TXN_WRITE)
        rc = SQLITE_MISUSE;
    else
        /* Joins the open transaction. SAVEPOINT only takes a note; it is this call that makes the
         * pager keep the pages a ROLLBACK TO needs. */
        rc = sqlite3BtreeBeginTrans(bt, 1, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3BtreeUpdateMeta(bt, idx, value);
    sqlite3BtreeLeave(bt);
    sqlite3_mutex_leave(db->mutex);
    return rc;
}

int dione_virtual_in_transaction(sqlite3 *db)
{
    return db->nVTrans > 0;
}

int64_t dione_deferred_fks(sqlite3 *db)
{
    return db->nDeferredCons + db->nDeferredImmCons;
}

int dione_dbpage_enable(sqlite3 *db)
{
    int rc;

    sqlite3_mutex_enter(db->mutex);
    rc = sqlite3DbpageRegister(db);
    sqlite3_mutex_leave(db->mutex);
    return rc;
}

void dione_query_only(sqlite3 *db, int on)
{
    sqlite3_mutex_enter(db->mutex);
    if (on)
        db->flags |= SQLITE_QueryOnly;
    else
        db->flags &= ~(u64)SQLITE_QueryOnly;
    sqlite3_mutex_leave(db->mutex);
}
