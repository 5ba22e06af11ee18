/* files.h - the few file operations that several commands share. */
#ifndef DIONE_CLI_FILES_H
#define DIONE_CLI_FILES_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdio.h>

/* Appends the whole file to *ret. TOOBIG when it is longer than ret->limit. */
enum status file_read(const char *path, struct buf *ret, struct error *err) MUST_CHECK;
/* The same; "-" is standard input, whatever that is. */
enum status file_read_or_stdin(const char *path, struct buf *ret, struct error *err) MUST_CHECK;

/* Makes the folder and those above it, like mkdir -p; existing ones are fine. */
enum status folder_make(const char *path, unsigned mode, struct error *err) MUST_CHECK;

bool folder_exists(const char *path);
/* An empty folder of our own below $TMPDIR (/tmp). The caller frees *ret, after folder_remove. */
enum status folder_make_temporary(const char *prefix, char **ret, struct error *err) MUST_CHECK;
/* With everything in it; what cannot be removed stays. */
void folder_remove(const char *path);

/*
 * A file that appears under its name only when it is complete: written beside it, synced, then renamed over
 * it. What was there before stays until then, and for good when the writing fails.
 */
struct new_file {
    FILE *stream; /* write here */
    char *path, *temp_path;
};

enum status new_file_open(const char *path, struct new_file *ret, struct error *err) MUST_CHECK;
/* Puts it in place. After a failure nothing is left but what was there before. */
enum status new_file_commit(struct new_file *f, struct error *err) MUST_CHECK;
/* Removes what was written; nothing to do after a commit. */
void new_file_release(struct new_file *f);

#endif
