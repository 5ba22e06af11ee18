/* kv_key.c - `dione kv key put|get|list|delete`. Values pass through untouched, whatever their bytes. */
#include "base/base64.h"
#include "base/utf8.h"
#include "cli/files.h"
#include "cli/form.h"
#include "cli/kv.h"
#include "cli/print.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* More than any server takes; what is over its limit is refused in its own words. */
enum { VALUE_MAX_BYTES = 128 * 1024 * 1024 };

struct key_options {
    struct kv_options kv;
    const char *path, *metadata, *prefix;
    int64_t ttl, expiration;
    bool text;
};

#define FIELD(name) offsetof(struct key_options, name)

static const struct option_row put_options[] = {
    { "path", 0, OPT_TEXT, FIELD(path), "FILE", "the value is this file's content; - for standard input", 0, 0 },
    { "ttl", 0, OPT_INT, FIELD(ttl), "SECONDS", "how long it is kept", 1, INT64_MAX },
    { "expiration", 0, OPT_INT, FIELD(expiration), "TIME", "until when, in seconds since 1970", 1, INT64_MAX },
    { "metadata", 0, OPT_TEXT, FIELD(metadata), "JSON", "an object that is kept with the key", 0, 0 },
    OPTIONS_KV,
    OPTION_JSON,
    OPTIONS_COMMON,
    OPTION_PERSIST_TO,
    { 0 },
};

static const struct option_row get_options[] = {
    { "text", 0, OPT_FLAG, FIELD(text), NULL, "as text, with a newline behind it", 0, 0 },
    OPTIONS_KV,
    OPTION_JSON,
    OPTIONS_COMMON,
    OPTION_PERSIST_TO,
    { 0 },
};

static const struct option_row list_options[] = {
    { "prefix", 0, OPT_TEXT, FIELD(prefix), "TEXT", "only keys that start with this", 0, 0 },
    OPTIONS_KV,
    OPTION_JSON,
    OPTIONS_COMMON,
    OPTION_PERSIST_TO,
    { 0 },
};

static const struct option_row delete_options[] = {
    OPTIONS_KV, OPTION_JSON, OPTIONS_COMMON, OPTION_PERSIST_TO, { 0 },
};

static enum status check_key(const char *key, struct error *err)
{
    return *key ? STATUS_OK : error_set(err, STATUS_INVALID, 0, "a key cannot be empty");
}

static void print_key_json(const struct kv_target *n, const char *key)
{
    struct buf text = { 0 };

    buf_append_cstr(&text, "{\"namespace_id\":");
    json_write_cstr(&text, n->id);
    buf_append_cstr(&text, ",\"key\":");
    json_write_cstr(&text, key);
    buf_append_char(&text, '}');
    print_json(buf_slice(&text));
    buf_release(&text);
}

/* ---- put ---- */

static enum status check_put(const struct invocation *in, struct error *err)
{
    const struct key_options *o = in->options;
    enum status st = check_key(in->args[0], err);

    if (st == STATUS_OK)
        st = kv_check_metadata_option(o->metadata, err);
    if (st != STATUS_OK)
        return st;
    if (in->args[1] && o->path)
        return error_set(err, STATUS_INVALID, 0, "give the value, or --path, not both");
    if (!in->args[1] && !o->path)
        return error_set(err, STATUS_INVALID, 0, "the value is missing: `dione kv key put KEY VALUE`, or --path FILE");
    return STATUS_OK;
}

static enum status read_value(const struct invocation *in, struct buf *ret, struct error *err)
{
    const struct key_options *o = in->options;

    ret->limit = VALUE_MAX_BYTES;
    if (!o->path) {
        buf_append_cstr(ret, in->args[1]);
        return STATUS_OK;
    }
    return file_read_or_stdin(o->path, ret, err);
}

static void append_expiry(struct buf *path, const struct key_options *o)
{
    if (o->expiration)
        buf_printf(path, "?expiration=%" PRId64, o->expiration);
    if (o->ttl)
        buf_printf(path, "%cexpiration_ttl=%" PRId64, o->expiration ? '&' : '?', o->ttl);
}

static enum status send_value(struct session *s, const char *path, const struct key_options *o, struct slice value,
                              struct error *err)
{
    struct api_request r = { .method = "PUT", .path = path, .body = value };
    struct api_answer answer = { 0 };
    struct form form = { 0 };

    if (!r.body.ptr)
        r.body = SLICE_LIT("");
    if (o->metadata) {
        form_init(&form);
        form_add(&form, SLICE_LIT("value"), SLICE_NONE, SLICE_NONE, value);
        form_add(&form, SLICE_LIT("metadata"), SLICE_NONE, SLICE_NONE, slice_cstr(o->metadata));
        form_end(&form);
        r.content_type = form.content_type;
        r.body = buf_slice(&form.body);
    } else if (!o->path) {
        r.content_type = "text/plain;charset=UTF-8";
    }
    enum status st = api_send(s->api, &r, &answer, err);
    form_release(&form);
    api_answer_release(&answer);
    return st;
}

static enum status put(struct session *s, const struct kv_target *n, struct invocation *in, struct error *err)
{
    struct buf value = { 0 }, path = { 0 };
    char *key_path = kv_target_key_path(n, "values", in->args[0]);

    buf_append_cstr(&path, key_path);
    append_expiry(&path, in->options);
    enum status st = read_value(in, &value, err);
    if (st == STATUS_OK)
        st = send_value(s, path.ptr, in->options, buf_slice(&value), err);
    free(key_path);
    buf_release(&path);
    buf_release(&value);
    return st;
}

static enum status run_put(struct invocation *in, struct error *err)
{
    const struct key_options *o = in->options;
    struct session s = { 0 };
    struct kv_target n = { 0 };

    enum status st = check_put(in, err);
    if (st == STATUS_OK)
        st = kv_target_open(&o->kv, &s, &n, err);
    if (st == STATUS_OK)
        st = put(&s, &n, in, err);
    if (st == STATUS_OK && o->kv.common.json)
        print_key_json(&n, in->args[0]);
    else if (st == STATUS_OK)
        printf("Wrote the key \"%s\" to the namespace with %s.\n", in->args[0], n.display);
    kv_target_release(&n);
    session_close(&s);
    return st;
}

/* ---- get ---- */

static enum status no_key(const char *key, const struct kv_target *n, struct error *err)
{
    return error_set(err, STATUS_NOTFOUND, err->native, "there is no key \"%s\" in the namespace with %s", key,
                     n->display);
}

/* The metadata as JSON, "null" when there is none. */
static enum status append_metadata(struct session *s, const struct kv_target *n, const char *key, struct buf *out,
                                   struct error *err)
{
    char *path = kv_target_key_path(n, "metadata", key);
    struct api_answer answer = { 0 };
    enum status st = api_call(s->api, "GET", path, SLICE_NONE, &answer, err);

    if (st == STATUS_OK && answer.result)
        json_write_value(out, answer.result);
    else if (st == STATUS_OK)
        buf_append_cstr(out, "null");
    api_answer_release(&answer);
    free(path);
    return st;
}

static bool is_utf8(struct slice s)
{
    size_t skip, n;

    for (; s.len; s = slice_from(s, n)) {
        n = utf8_sequence((const unsigned char *)s.ptr, s.len, &skip);
        if (!n)
            return false;
    }
    return true;
}

/* {"key","value","metadata"}; bytes that are no text as base64, marked as `kv bulk put` understands it. */
static enum status print_value_json(struct session *s, const struct kv_target *n, const char *key, struct slice value,
                                    struct error *err)
{
    struct buf text = { 0 }, encoded = { 0 };
    bool is_text = is_utf8(value);

    if (!is_text)
        base64_encode(&encoded, value);
    buf_append_cstr(&text, "{\"key\":");
    json_write_cstr(&text, key);
    buf_append_cstr(&text, ",\"value\":");
    json_write_text(&text, is_text ? value : buf_slice(&encoded));
    buf_append_cstr(&text, is_text ? ",\"metadata\":" : ",\"base64\":true,\"metadata\":");
    enum status st = append_metadata(s, n, key, &text, err);
    buf_append_char(&text, '}');
    if (st == STATUS_OK)
        print_json(buf_slice(&text));
    buf_release(&encoded);
    buf_release(&text);
    return st;
}

static enum status get_json(struct session *s, const struct kv_target *n, const char *key, const char *path,
                            struct error *err)
{
    char *bytes = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&bytes, &size);

    if (!out)
        abort();
    enum status st = api_download(s->api, path, out, NULL, err);
    if (fclose(out) != 0)
        abort(); /* it grows in memory only */
    if (st == STATUS_OK)
        st = print_value_json(s, n, key, slice_of(bytes ? bytes : "", size), err);
    free(bytes);
    return st;
}

static enum status get(struct session *s, const struct kv_target *n, const struct key_options *o, const char *key,
                       struct error *err)
{
    char *path = kv_target_key_path(n, "values", key);
    enum status st = o->kv.common.json ? get_json(s, n, key, path, err) : api_download(s->api, path, stdout, NULL, err);

    if (st == STATUS_OK && o->text && !o->kv.common.json)
        putchar('\n');
    free(path);
    return st;
}

enum { API_KEY_NOT_FOUND = 10009 };

static enum status run_get(struct invocation *in, struct error *err)
{
    struct key_options *o = in->options;
    struct session s = { 0 };
    struct kv_target n = { 0 };

    kv_prefer_id(&o->kv);
    enum status st = check_key(in->args[0], err);
    if (st == STATUS_OK)
        st = kv_target_open(&o->kv, &s, &n, err);
    if (st == STATUS_OK) {
        st = get(&s, &n, o, in->args[0], err);
        if (st == STATUS_NOTFOUND && err->native == API_KEY_NOT_FOUND)
            st = no_key(in->args[0], &n, err);
    }
    kv_target_release(&n);
    session_close(&s);
    return st;
}

/* ---- list ---- */

/* Appends a page; *cursor is where the next one starts, empty at the end. */
static enum status add_page(struct session *s, const struct kv_target *n, const char *prefix, struct buf *cursor,
                            struct buf *list, struct error *err)
{
    struct api_answer answer = { 0 };
    struct buf path = { 0 };

    buf_printf(&path, "%s/keys?limit=1000&prefix=", n->path);
    api_append_encoded(&path, slice_cstr(prefix ? prefix : ""));
    if (cursor->len) {
        buf_append_cstr(&path, "&cursor=");
        api_append_encoded(&path, buf_slice(cursor));
    }
    enum status st = api_call(s->api, "GET", path.ptr, SLICE_NONE, &answer, err);
    buf_release(&path);
    if (st == STATUS_OK && !json_is(answer.result, JSON_ARRAY))
        st = error_set(err, STATUS_INTERNAL, 0, "the server sent no list of keys");
    if (st == STATUS_OK) {
        for (const struct json *k = answer.result->child; k; k = k->next) {
            buf_append_cstr(list, list->len > 1 ? "," : "");
            json_write_value(list, k);
        }
        buf_clear(cursor);
        buf_append_slice(cursor, json_get_text(json_get(answer.root, "result_info"), "cursor"));
    }
    api_answer_release(&answer);
    return st;
}

static enum status run_list(struct invocation *in, struct error *err)
{
    struct key_options *o = in->options;
    struct session s = { 0 };
    struct kv_target n = { 0 };
    struct buf list = { 0 }, cursor = { 0 };

    kv_prefer_id(&o->kv);
    enum status st = kv_target_open(&o->kv, &s, &n, err);
    buf_append_char(&list, '[');
    if (st == STATUS_OK)
        do
            st = add_page(&s, &n, o->prefix, &cursor, &list, err);
        while (st == STATUS_OK && cursor.len);
    buf_append_char(&list, ']');
    if (st == STATUS_OK)
        print_json(buf_slice(&list));
    buf_release(&list);
    buf_release(&cursor);
    kv_target_release(&n);
    session_close(&s);
    return st;
}

/* ---- delete ---- */

static enum status run_delete(struct invocation *in, struct error *err)
{
    const struct key_options *o = in->options;
    struct session s = { 0 };
    struct kv_target n = { 0 };
    struct api_answer answer = { 0 };

    enum status st = check_key(in->args[0], err);
    if (st == STATUS_OK)
        st = kv_target_open(&o->kv, &s, &n, err);
    if (st == STATUS_OK) {
        char *path = kv_target_key_path(&n, "values", in->args[0]);
        st = api_call(s.api, "DELETE", path, SLICE_NONE, &answer, err);
        free(path);
    }
    if (st == STATUS_OK && o->kv.common.json)
        print_key_json(&n, in->args[0]);
    else if (st == STATUS_OK)
        printf("Deleted the key \"%s\" from the namespace with %s.\n", in->args[0], n.display);
    api_answer_release(&answer);
    kv_target_release(&n);
    session_close(&s);
    return st;
}

static const struct command put_command = {
    .name = "put",
    .summary = "Write a key",
    .args = "KEY [VALUE]",
    .min_args = 1,
    .max_args = 2,
    .options = put_options,
    .options_size = sizeof(struct key_options),
    .run = run_put,
    .notes = "A value that starts with a dash goes behind --: `dione kv key put KEY --binding KV -- -5`.",
};

static const struct command get_command = {
    .name = "get",
    .summary = "Read a key: its bytes go to standard output as they are",
    .args = "KEY",
    .min_args = 1,
    .max_args = 1,
    .options = get_options,
    .options_size = sizeof(struct key_options),
    .run = run_get,
    .notes = "A key that is not there is an error, with exit code 1. --json prints key, value and metadata; a value\n"
             "that is no text is in base64 then.",
};

static const struct command list_command = {
    .name = "list",
    .summary = "List the keys, as JSON",
    .options = list_options,
    .options_size = sizeof(struct key_options),
    .run = run_list,
};

static const struct command delete_command = {
    .name = "delete",
    .summary = "Delete a key; one that is not there is fine",
    .args = "KEY",
    .min_args = 1,
    .max_args = 1,
    .options = delete_options,
    .options_size = sizeof(struct key_options),
    .run = run_delete,
};

static const struct command *const commands[] = { &put_command, &get_command, &list_command, &delete_command, NULL };

const struct command kv_key_command = {
    .name = "key",
    .summary = "Write, read, list and delete single keys",
    .subcommands = commands,
};
