/* asset_types.c - Content-Types by file name, for assets that come from a folder. Uploaded ones bring their own. */
#include "workers/assets.h"

static const char *const types[][2] = {
    { "html", "text/html; charset=utf-8" },
    { "htm", "text/html; charset=utf-8" },
    { "css", "text/css; charset=utf-8" },
    { "js", "text/javascript; charset=utf-8" },
    { "mjs", "text/javascript; charset=utf-8" },
    { "json", "application/json" },
    { "map", "application/json" },
    { "webmanifest", "application/manifest+json" },
    { "xml", "text/xml; charset=utf-8" },
    { "txt", "text/plain; charset=utf-8" },
    { "md", "text/markdown; charset=utf-8" },
    { "csv", "text/csv; charset=utf-8" },
    { "svg", "image/svg+xml" },
    { "png", "image/png" },
    { "jpg", "image/jpeg" },
    { "jpeg", "image/jpeg" },
    { "gif", "image/gif" },
    { "webp", "image/webp" },
    { "avif", "image/avif" },
    { "ico", "image/vnd.microsoft.icon" },
    { "bmp", "image/bmp" },
    { "woff", "font/woff" },
    { "woff2", "font/woff2" },
    { "ttf", "font/ttf" },
    { "otf", "font/otf" },
    { "wasm", "application/wasm" },
    { "pdf", "application/pdf" },
    { "zip", "application/zip" },
    { "gz", "application/gzip" },
    { "mp3", "audio/mpeg" },
    { "ogg", "audio/ogg" },
    { "wav", "audio/wav" },
    { "mp4", "video/mp4" },
    { "webm", "video/webm" },
    { "ics", "text/calendar; charset=utf-8" },
    { "rtf", "text/rtf; charset=utf-8" },
    { "rss", "application/rss+xml" },
    { "atom", "application/atom+xml" },
    { "bin", "application/octet-stream" },
};

struct slice asset_type_of(struct slice file_name)
{
    size_t dot = file_name.len;

    while (dot && file_name.ptr[dot - 1] != '.' && file_name.ptr[dot - 1] != '/')
        dot--;
    if (!dot || file_name.ptr[dot - 1] == '/')
        return SLICE_NONE;
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (slice_eq_nocase(slice_from(file_name, dot), slice_cstr(types[i][0])))
            return slice_cstr(types[i][1]);
    return SLICE_NONE;
}
