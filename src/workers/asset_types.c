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
    { "cjs", "application/node" },
    { "jsonld", "application/ld+json" },
    { "text", "text/plain; charset=utf-8" },
    { "log", "text/plain; charset=utf-8" },
    { "markdown", "text/markdown; charset=utf-8" },
    { "tsv", "text/tab-separated-values; charset=utf-8" },
    { "vtt", "text/vtt; charset=utf-8" },
    { "xhtml", "application/xhtml+xml" },
    { "yaml", "text/yaml; charset=utf-8" },
    { "yml", "text/yaml; charset=utf-8" },
    { "toml", "application/toml" },
    { "sql", "application/sql" },
    { "tif", "image/tiff" },
    { "tiff", "image/tiff" },
    { "heic", "image/heic" },
    { "eot", "application/vnd.ms-fontobject" },
    { "oga", "audio/ogg" },
    { "opus", "audio/ogg" },
    { "m4a", "audio/mp4" },
    { "aac", "audio/aac" },
    { "flac", "audio/x-flac" },
    { "weba", "audio/webm" },
    { "m4v", "video/x-m4v" },
    { "ogv", "video/ogg" },
    { "mov", "video/quicktime" },
    { "mpeg", "video/mpeg" },
    { "avi", "video/x-msvideo" },
    { "tar", "application/x-tar" },
    { "7z", "application/x-7z-compressed" },
    { "epub", "application/epub+zip" },
    { "doc", "application/msword" },
    { "docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document" },
    { "xls", "application/vnd.ms-excel" },
    { "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" },
    { "ppt", "application/vnd.ms-powerpoint" },
    { "pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation" },
    { "glb", "model/gltf-binary" },
    { "gltf", "model/gltf+json" },
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
