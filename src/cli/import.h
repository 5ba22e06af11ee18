/*
 * import.h - a file of SQL into a database: the import protocol of D1 (init, upload, ingest, poll).
 *
 * Applied atomically by the server, whatever the file's size; the file is never held in memory.
 */
#ifndef DIONE_CLI_IMPORT_H
#define DIONE_CLI_IMPORT_H

#include "cli/session.h"

/*
 * Imports the file at `path`, "-" for standard input. *ret is the final answer: result.result has num_queries,
 * final_bookmark and meta.
 * Errors  those of reading; SQL or INVALID with the server's text (the database is as before); STOPPING after Ctrl-C
 *         (what has been ingested by then is decided by the server).
 */
enum status import_file(struct session *s, const struct database *d, const char *path, struct api_answer *ret,
                        struct error *err) MUST_CHECK;

#endif
