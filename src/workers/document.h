/*
 * document.h - the document of a version (catalog.h), from it to what the runtime takes and to what clients are shown.
 *
 *     {"format":"modules" | "service-worker" | "assets", "main":"index.js",
 *      "modules":[{"name":"index.js","type":"application/javascript+module","file":"5f1d...","size":120}, ...],
 *      "bindings":[{"name":"DB","type":"d1","id":"..."}, {"name":"S","type":"secret_text","sealed":"..."},
 *                  {"name":"LOGO","type":"data_blob","part":"LOGO","file":"0ac3..."}, ...],
 *      "compatibility_date":"2026-01-01","compatibility_flags":[],"usage_model":"standard","limits":{...},"placement":{...},
 *      "annotations":{...},"handlers":["fetch"],"etag":"...","startup_ms":12,
 *      "assets":{"count":3,"config":{...}}}
 *
 * The first module is the main one. "file" names a file in the version's folder, by the SHA-256 of its bytes; the manifest of
 * its assets lies there too.
 */
#ifndef DIONE_WORKERS_DOCUMENT_H
#define DIONE_WORKERS_DOCUMENT_H

#include "workers/catalog.h"
#include "workers/spec.h"
#include "workers/vault.h"

/* Types of modules, as their parts' Content-Type says. */
bool module_kind_of(struct slice content_type, enum module_kind *ret) MUST_CHECK;

/* What the secret of a Worker is sealed for (vault.h). Into the arena; absent: out of memory. */
struct slice secret_context(struct arena *a, struct slice worker, struct slice name);

/*
 * The spec of a version whose files lie in `dir`; it lives in the arena. Secrets are unsealed: CORRUPT when one cannot be.
 */
enum status document_spec(const struct worker *w, const struct version *v, const char *dir, struct vault *vault,
                          struct arena *a, struct worker_spec *ret, struct error *err) MUST_CHECK;

/* One binding, and all of them, as clients see them: without secrets. */
void document_write_binding(struct buf *b, const struct json *binding);
void document_write_bindings(struct buf *b, const struct json *document);
/* The member's JSON, or `fallback`. */
void document_write_member(struct buf *b, const struct json *document, const char *key, const char *fallback);
const struct json *document_binding(const struct json *document, struct slice name);
bool document_is_secret(const struct json *binding);

/* A member that document_copy sets. Absent json: the member is left out. */
struct member {
    const char *key;
    struct slice json;
};
/* Writes the document again with some members replaced or added. */
void document_copy(struct buf *b, const struct json *document, const struct member *with, size_t n);

#endif
