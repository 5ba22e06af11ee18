/*
 * asset_folder.h - the static assets in a folder: every file below it but those that .assetsignore names.
 *
 * .assetsignore is read as git reads .gitignore; it, _headers and _redirects at the top are no assets themselves. Main
 * thread; aborts when memory runs out.
 */
#ifndef DIONE_CLI_ASSET_FOLDER_H
#define DIONE_CLI_ASSET_FOLDER_H

#include "base/arena.h"
#include "base/error.h"

struct folder_asset {
    struct slice path; /* "/images/a b.png": from the folder, as it is, not encoded */
    struct slice file; /* the path on the disk */
    uint64_t size;
};

struct asset_folder {
    struct arena arena;
    struct folder_asset *items; /* in the order of their paths */
    size_t n;
    struct slice headers, redirects; /* the text of _headers and _redirects; absent: not there */
};

/* Errors  LIMIT a file beyond `max_file_bytes`, named; IO. */
enum status asset_folder_read(const char *folder, uint64_t max_file_bytes, struct asset_folder *ret,
                             struct error *err) MUST_CHECK;
void asset_folder_release(struct asset_folder *a);

/*
 * Whether a path ("images/a.png", without a slash in front) is ignored by the text of an .assetsignore. Pure. Patterns:
 * # comments, ! takes back, / at the end means folders, / elsewhere ties to the top, * ? [] within a name, ** across.
 */
bool asset_folder_ignores(struct slice patterns, struct slice path);

#endif
