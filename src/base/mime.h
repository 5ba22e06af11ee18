/* mime.h - the content type of a file by the end of its name, as static servers and bundlers have it. Pure; any thread. */
#ifndef DIONE_BASE_MIME_H
#define DIONE_BASE_MIME_H

#include "base/slice.h"

/* "text/html; charset=utf-8" for "/a/index.html"; text types come with their charset. Absent: an unknown kind. */
struct slice mime_of(struct slice path);

#endif
