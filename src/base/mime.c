/* mime.c - see mime.h. */
#include "base/mime.h"

#include "base/attrs.h"

#define UTF8 "; charset=utf-8"

static const struct {
    const char *suffix, *type;
} kinds[] = {
    { "html", "text/html" UTF8 },
    { "htm", "text/html" UTF8 },
    { "css", "text/css" UTF8 },
    { "js", "text/javascript" UTF8 },
    { "mjs", "text/javascript" UTF8 },
    { "cjs", "application/node" },
    { "json", "application/json" },
    { "map", "application/json" },
    { "jsonld", "application/ld+json" },
    { "webmanifest", "application/manifest+json" },
    { "txt", "text/plain" UTF8 },
    { "text", "text/plain" UTF8 },
    { "log", "text/plain" UTF8 },
    { "md", "text/markdown" UTF8 },
    { "markdown", "text/markdown" UTF8 },
    { "csv", "text/csv" UTF8 },
    { "tsv", "text/tab-separated-values" UTF8 },
    { "ics", "text/calendar" UTF8 },
    { "vtt", "text/vtt" UTF8 },
    { "xml", "text/xml" UTF8 },
    { "xhtml", "application/xhtml+xml" },
    { "rss", "application/rss+xml" },
    { "atom", "application/atom+xml" },
    { "yaml", "text/yaml" UTF8 },
    { "yml", "text/yaml" UTF8 },
    { "toml", "application/toml" },
    { "sql", "application/sql" },
    { "wasm", "application/wasm" },
    { "pdf", "application/pdf" },
    { "svg", "image/svg+xml" },
    { "png", "image/png" },
    { "jpg", "image/jpeg" },
    { "jpeg", "image/jpeg" },
    { "gif", "image/gif" },
    { "webp", "image/webp" },
    { "avif", "image/avif" },
    { "ico", "image/vnd.microsoft.icon" },
    { "bmp", "image/bmp" },
    { "tif", "image/tiff" },
    { "tiff", "image/tiff" },
    { "heic", "image/heic" },
    { "woff", "font/woff" },
    { "woff2", "font/woff2" },
    { "ttf", "font/ttf" },
    { "otf", "font/otf" },
    { "eot", "application/vnd.ms-fontobject" },
    { "mp3", "audio/mpeg" },
    { "wav", "audio/wav" },
    { "ogg", "audio/ogg" },
    { "oga", "audio/ogg" },
    { "opus", "audio/ogg" },
    { "m4a", "audio/mp4" },
    { "aac", "audio/aac" },
    { "flac", "audio/x-flac" },
    { "weba", "audio/webm" },
    { "mp4", "video/mp4" },
    { "m4v", "video/x-m4v" },
    { "webm", "video/webm" },
    { "ogv", "video/ogg" },
    { "mov", "video/quicktime" },
    { "mpeg", "video/mpeg" },
    { "avi", "video/x-msvideo" },
    { "zip", "application/zip" },
    { "gz", "application/gzip" },
    { "tar", "application/x-tar" },
    { "7z", "application/x-7z-compressed" },
    { "epub", "application/epub+zip" },
    { "rtf", "application/rtf" },
    { "doc", "application/msword" },
    { "docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document" },
    { "xls", "application/vnd.ms-excel" },
    { "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" },
    { "ppt", "application/vnd.ms-powerpoint" },
    { "pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation" },
    { "glb", "model/gltf-binary" },
    { "gltf", "model/gltf+json" },
    { "bin", "application/octet-stream" },
};

struct slice mime_of(struct slice path)
{
    size_t dot = path.len;

    while (dot && path.ptr[dot - 1] != '.' && path.ptr[dot - 1] != '/')
        dot--;
    if (!dot || path.ptr[dot - 1] != '.')
        return SLICE_NONE;
    struct slice suffix = slice_from(path, dot);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (slice_eq_nocase(suffix, slice_cstr(kinds[i].suffix)))
            return slice_cstr(kinds[i].type);
    return SLICE_NONE;
}
