/*
 * files.h - the folders of versions: <root>/<worker>/<version id>/ with the modules as they were uploaded.
 *
 * A folder is made as .new-<id>, synced, and gets its name last, so a version's folder is whole or not there. Folders that
 * no row of the catalog knows are removed at start. Every function blocks.
 */
#ifndef DIONE_WORKERS_FILES_H
#define DIONE_WORKERS_FILES_H

#include "base/error.h"
#include "base/slice.h"

#include <stdbool.h>

struct version_file {
    struct slice name; /* ours: no '/' */
    struct slice bytes;
    struct slice version; /* instead of bytes: a version of the Worker that has the file, which is linked */
};

/*
 * Writes the files into the folder of a new version; those of the version `like` (NULL: none) come along as links, unless a
 * file of the same name is given. FULL, IO: nothing is left.
 */
enum status version_files_write(const char *root, struct slice worker, struct slice id,
                                const struct version_file *files, size_t n, const struct slice *like,
                                struct error *err) MUST_CHECK;
/* Removes a version's folder, and the Worker's when it is empty then. What cannot be removed is logged. */
void version_files_remove(const char *root, struct slice worker, struct slice id);
/* Removes everything of a Worker. */
void worker_files_remove(const char *root, struct slice worker);
/* Removes folders of Workers and versions for which `is_known` is false (id absent: the Worker itself). At start. */
void worker_files_settle(const char *root, bool (*is_known)(void *arg, struct slice worker, struct slice id),
                         void *arg);

/* Reads a whole file; the caller frees *ret_bytes. */
enum status worker_file_read(const char *path, char **ret_bytes, size_t *ret_len, struct error *err) MUST_CHECK;
/* Writes and syncs a whole new file under a temporary name, then renames it. The folder is still to be synced. */
enum status worker_file_write(const char *folder, const char *name, struct slice bytes, struct error *err) MUST_CHECK;
enum status worker_folder_sync(const char *path, struct error *err) MUST_CHECK;
enum status worker_folder_make(const char *path, struct error *err) MUST_CHECK;

#endif
