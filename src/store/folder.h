/*
 * folder.h - how the folder of a database comes and goes, so that a crash leaves no doubt. Private to src/store.
 *
 * A database is made in a folder `.new-<id>`, and leaves through one called `.gone-<id>`; its row in control.db, written in
 * between, decides. So after a crash each such folder is known to be wanted (it gets its name) or not (it goes), and a row
 * never lacks its file. A folder without row and mark is nobody's business but a person's.
 */
#ifndef DIONE_STORE_FOLDER_H
#define DIONE_STORE_FOLDER_H

#include "store/store.h"

/* Makes `.new-<id>` with a file as it will stay: WAL mode, the kind's schema, synced. Blocking. */
enum status database_folder_make(struct store *s, const struct store_kind *kind, const struct database_info *info,
                                 struct error *err) MUST_CHECK;
/* Its row is there: it gets its name. */
enum status database_folder_keep(struct store *s, const struct store_kind *kind, const char *id,
                                 struct error *err) MUST_CHECK;
/* Its row is not: it goes. */
void database_folder_drop_new(struct store *s, const struct store_kind *kind, const char *id);

/* Out of the way, before the row goes; and back when the row could not. */
enum status database_folder_mark_gone(struct store *s, const struct store_kind *kind, const char *id,
                                      struct error *err) MUST_CHECK;
void database_folder_unmark_gone(struct store *s, const struct store_kind *kind, const char *id);
void database_folder_drop_gone(struct store *s, const struct store_kind *kind, const char *id);

#endif
