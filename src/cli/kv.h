/* kv.h - the commands of `dione kv`, one file for each of its groups, and what they share. */
#ifndef DIONE_CLI_KV_H
#define DIONE_CLI_KV_H

#include "cli/session.h"

extern const struct command kv_command;
extern const struct command kv_namespace_command;
extern const struct command kv_key_command;
extern const struct command kv_bulk_command;

#define KV_NAMESPACES_PATH API_ACCOUNT "/storage/kv/namespaces"

/* What every command on keys takes; at the start of its options. */
struct kv_options {
    struct common common;
    const char *binding, *namespace_id, *title;
    bool preview, no_preview;
};

#define KV_FIELD(name) offsetof(struct kv_options, name)

/* clang-format off */
#define OPTIONS_KV \
    { "binding", 0, OPT_TEXT, KV_FIELD(binding), "NAME", "the namespace of this binding in the configuration", 0, 0 }, \
    { "namespace-id", 0, OPT_TEXT, KV_FIELD(namespace_id), "ID", "the namespace with this id", 0, 0 }, \
    { "namespace", 0, OPT_TEXT, KV_FIELD(title), "TITLE", "the namespace with this title", 0, 0 }, \
    { "preview", 0, OPT_FLAG, KV_FIELD(preview), NULL, "the binding's preview_id instead of its id", 0, 0 }, \
    { "no-preview", 0, OPT_FLAG, KV_FIELD(no_preview), NULL, "its id, when both are there", 0, 0 }
#define OPTION_PERSIST_TO \
    { "persist-to", 0, OPT_TEXT, COMMON_FIELD(data), "DIR", "wrangler's name for --data", 0, 0 }
/* clang-format on */

/* For commands that only read: without a word the id is meant, not the preview_id. */
static inline void kv_prefer_id(struct kv_options *o)
{
    o->no_preview = !o->preview;
}

/* A namespace that was found. */
struct kv_target {
    char *id;
    char *path;    /* "/accounts/local/storage/kv/namespaces/<id>" */
    char *display; /* for remarks: 'binding "KV" (id ...)' */
};

/*
 * Opens the session and finds the namespace that the options name. Locally, one that the configuration names is made when
 * it is first used, as `dione dev` does.
 * Errors  INVALID no or contradicting options, nothing configured; NOTFOUND; those of session_open and of the API.
 */
enum status kv_target_open(const struct kv_options *o, struct session *s, struct kv_target *ret,
                           struct error *err) MUST_CHECK;
/* The same in a session that is open. Exactly one of binding, namespace_id and title is set. */
enum status kv_target_find(const struct kv_options *o, struct session *s, struct kv_target *ret,
                           struct error *err) MUST_CHECK;
/* By its title, in a session that is open. NOTFOUND: there is none. */
enum status kv_target_find_title(struct session *s, struct slice title, struct kv_target *ret,
                                 struct error *err) MUST_CHECK;
void kv_target_release(struct kv_target *n);

/* "<namespace>/values/<key>", encoded. The caller frees it. */
char *kv_target_key_path(const struct kv_target *n, const char *kind, const char *key);

/* Appends all namespaces, in the order of their titles, to the JSON array that *ret_list becomes. */
enum status kv_target_list_all(struct api *api, struct buf *ret_list, struct error *err) MUST_CHECK;

/* --metadata: a JSON object. */
enum status kv_check_metadata_option(const char *text, struct error *err) MUST_CHECK;

#endif
