/*
 * kv_bulk.c - `dione kv bulk put|get|delete`: many keys from a JSON file, some per request.
 *
 * The file is looked at as a whole before anything is sent, so a slip in its last entry changes nothing.
 */
#include "cli/files.h"
#include "cli/interrupt.h"
#include "cli/kv.h"
#include "cli/print.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* What a request may hold: keys by the API's limits, bytes well below its 100 MB. */
enum { WRITE_KEYS_MAX = 1000, READ_KEYS_MAX = 100, REQUEST_MAX_BYTES = 50 * 1000 * 1000 };
enum { FILE_MAX_BYTES = 1024 * 1024 * 1024, SHOWN_SLIPS_MAX = 10 };

struct bulk_options {
    struct kv_options kv;
    const char *metadata;
    int64_t ttl, expiration;
    bool force;
};

#define FIELD(name) offsetof(struct bulk_options, name)

static const struct option_row put_options[] = {
    { "ttl", 0, OPT_INT, FIELD(ttl), "SECONDS", "for entries without a time of their own", 1, INT64_MAX },
    { "expiration", 0, OPT_INT, FIELD(expiration), "TIME", "the same, in seconds since 1970", 1, INT64_MAX },
    { "metadata", 0, OPT_TEXT, FIELD(metadata), "JSON", "an object, for entries without one of their own", 0, 0 },
    OPTIONS_KV,
    OPTION_JSON,
    OPTIONS_COMMON,
    OPTION_PERSIST_TO,
    { 0 },
};

static const struct option_row get_options[] = {
    OPTIONS_KV, OPTION_JSON, OPTIONS_COMMON, OPTION_PERSIST_TO, { 0 },
};

static const struct option_row delete_options[] = {
    { "force", 'f', OPT_FLAG, FIELD(force), NULL, "do not ask", 0, 0 },
    OPTIONS_KV,
    OPTION_JSON,
    OPTIONS_COMMON,
    OPTION_PERSIST_TO,
    { 0 },
};

/* ---- the file ---- */

struct entries {
    const char *path;
    struct buf text;
    struct arena arena;
    struct json *list; /* an array */
};

static void entries_release(struct entries *e)
{
    arena_release(&e->arena);
    buf_release(&e->text);
}

static enum status entries_read(const char *path, struct entries *e, struct error *err)
{
    *e = (struct entries){ .path = path, .text = { .limit = FILE_MAX_BYTES } };
    arena_init(&e->arena, SIZE_MAX);
    enum status st = file_read_or_stdin(path, &e->text, err);
    if (st != STATUS_OK)
        return st;
    st = json_parse(e->text.ptr ? buf_slice(&e->text) : SLICE_LIT(""), JSON_STRICT, &e->arena, &e->list, err);
    if (st != STATUS_OK)
        return error_prefix(err, "%s", path);
    if (e->list->type != JSON_ARRAY)
        return error_set(err, STATUS_INVALID, 0, "%s must hold a JSON array", path);
    return STATUS_OK;
}

/* Every entry must pass; err names the first that do not, by index as in the file. */
static enum status entries_check(const struct entries *e, bool (*is_good)(const struct json *v), const char *form,
                                 struct error *err)
{
    struct buf slips = { 0 };
    size_t n = 0, i = 0;

    for (const struct json *v = e->list->child; v; v = v->next, i++)
        if (!is_good(v) && n++ < SHOWN_SLIPS_MAX)
            buf_printf(&slips, "%s%zu", n > 1 ? ", " : "", i);
    if (n)
        (void)error_set(err, STATUS_INVALID, 0, "%s: %s; this is not so at index %s%s. Nothing was sent", e->path, form,
                        slips.ptr, n > SHOWN_SLIPS_MAX ? ", ..." : "");
    buf_release(&slips);
    return n ? STATUS_INVALID : STATUS_OK;
}

/* A key by itself, or an object with a name, as `kv key list` prints them. */
static struct slice key_of(const struct json *v)
{
    return v->type == JSON_STRING ? v->text : json_get_text(v, "name");
}

static bool is_key(const struct json *v)
{
    return key_of(v).ptr != NULL;
}

static bool is_absent_or(const struct json *v, enum json_type a, enum json_type b)
{
    return !v || v->type == a || v->type == b;
}

static bool is_pair(const struct json *v)
{
    return json_get_text(v, "key").ptr && json_get_text(v, "value").ptr &&
           is_absent_or(json_get(v, "expiration"), JSON_NUMBER, JSON_NUMBER) &&
           is_absent_or(json_get(v, "expiration_ttl"), JSON_NUMBER, JSON_NUMBER) &&
           is_absent_or(json_get(v, "base64"), JSON_TRUE, JSON_FALSE);
}

/* ---- sending it in parts ---- */

struct bulk {
    struct session session;
    struct kv_target ns;
    struct entries entries;
    const struct bulk_options *options;
    void (*append)(struct bulk *b, const struct json *v, struct buf *body);
    enum status (*send)(struct bulk *b, struct slice items, struct error *err);
    size_t per_request;
    struct buf result; /* get: the members so far */
    size_t n_done;
};

static void show_progress(const struct bulk *b)
{
    if (b->entries.list->n > b->per_request && !b->options->kv.common.json)
        print_note("%zu of %zu", b->n_done, b->entries.list->n);
}

static enum status send_all(struct bulk *b, struct error *err)
{
    const struct json *v = b->entries.list->child;
    enum status st = STATUS_OK;
    struct buf items = { 0 };

    while (v && st == STATUS_OK) {
        size_t n = 0;
        buf_clear(&items);
        for (; v && n < b->per_request && items.len < REQUEST_MAX_BYTES; v = v->next, n++) {
            buf_append_char(&items, n ? ',' : '[');
            b->append(b, v, &items);
        }
        buf_append_char(&items, ']');
        st = b->send(b, buf_slice(&items), err);
        if (st == STATUS_OK && interrupt_requested())
            st = interrupt_error(err);
        if (st == STATUS_OK)
            b->n_done += n;
        show_progress(b);
    }
    buf_release(&items);
    if (st != STATUS_OK && st != STATUS_STOPPING && b->n_done)
        return error_prefix(err, "%zu of %zu keys are done, then", b->n_done, b->entries.list->n);
    return st;
}

static enum status send_to(struct bulk *b, const char *method, const char *action, struct slice body,
                           struct api_answer *ret, struct error *err)
{
    struct buf path = { 0 };

    buf_printf(&path, "%s%s", b->ns.path, action);
    enum status st = api_call(b->session.api, method, path.ptr, body, ret, err);
    buf_release(&path);
    return st;
}

/* Keys that the server could not take are an error, with their names. */
static enum status check_successful(const struct api_answer *answer, struct error *err)
{
    const struct json *left = json_get(answer->result, "unsuccessful_keys");
    struct buf names = { 0 };
    size_t n = 0;

    for (const struct json *k = json_is(left, JSON_ARRAY) ? left->child : NULL; k && n < SHOWN_SLIPS_MAX; k = k->next)
        buf_printf(&names, "%s\"%.*s\"", n++ ? ", " : "", SLICE_FMT(k->text));
    if (n)
        (void)error_set(err, STATUS_INVALID, 0, "%zu keys did not succeed: %s", left->n, names.ptr);
    buf_release(&names);
    return n ? STATUS_INVALID : STATUS_OK;
}

static enum status send_write(struct bulk *b, const char *method, struct slice items, struct error *err)
{
    struct api_answer answer = { 0 };
    enum status st = send_to(b, method, "/bulk", items, &answer, err);

    if (st == STATUS_OK)
        st = check_successful(&answer, err);
    api_answer_release(&answer);
    return st;
}

static enum status send_put(struct bulk *b, struct slice items, struct error *err)
{
    return send_write(b, "PUT", items, err);
}

static enum status send_delete(struct bulk *b, struct slice items, struct error *err)
{
    return send_write(b, "DELETE", items, err);
}

static enum status send_get(struct bulk *b, struct slice items, struct error *err)
{
    struct api_answer answer = { 0 };
    struct buf body = { 0 };

    buf_printf(&body, "{\"keys\":%.*s}", SLICE_FMT(items));
    enum status st = send_to(b, "POST", "/bulk/get", buf_slice(&body), &answer, err);
    const struct json *values = st == STATUS_OK ? json_get(answer.result, "values") : NULL;
    if (st == STATUS_OK && !json_is(values, JSON_OBJECT))
        st = error_set(err, STATUS_INTERNAL, 0, "the server sent no values");
    for (const struct json *v = values ? values->child : NULL; v && st == STATUS_OK; v = v->next) {
        buf_append_cstr(&b->result, b->result.len ? "," : "");
        json_write_text(&b->result, v->key);
        buf_append_char(&b->result, ':');
        json_write_value(&b->result, v);
    }
    buf_release(&body);
    api_answer_release(&answer);
    return st;
}

static void append_key(struct bulk *b UNUSED, const struct json *v, struct buf *items)
{
    json_write_text(items, key_of(v));
}

/* The entry as it stands, and behind it what the options add. */
static void append_pair(struct bulk *b, const struct json *v, struct buf *items)
{
    const struct bulk_options *o = b->options;
    bool has_time = json_get(v, "expiration") || json_get(v, "expiration_ttl");

    json_write_value(items, v);
    items->len--; /* the brace: members may follow */
    if (o->ttl && !has_time)
        buf_printf(items, ",\"expiration_ttl\":%" PRId64, o->ttl);
    if (o->expiration && !has_time)
        buf_printf(items, ",\"expiration\":%" PRId64, o->expiration);
    if (o->metadata && !json_get(v, "metadata"))
        buf_printf(items, ",\"metadata\":%s", o->metadata);
    buf_append_char(items, '}');
}

/* ---- the commands ---- */

static void print_count(const struct bulk *b, const char *word, const char *preposition)
{
    if (b->options->kv.common.json)
        printf("{\n  \"successful_key_count\": %zu\n}\n", b->n_done);
    else
        printf("%s %zu key%s %s the namespace with %s.\n", word, b->n_done, b->n_done == 1 ? "" : "s", preposition,
               b->ns.display);
}

static void bulk_release(struct bulk *b)
{
    buf_release(&b->result);
    entries_release(&b->entries);
    kv_target_release(&b->ns);
    session_close(&b->session);
}

static enum status run_put(struct invocation *in, struct error *err)
{
    struct bulk b = {
        .options = in->options,
        .append = append_pair,
        .send = send_put,
        .per_request = WRITE_KEYS_MAX,
    };

    enum status st = kv_check_metadata_option(b.options->metadata, err);
    if (st == STATUS_OK)
        st = entries_read(in->args[0], &b.entries, err);
    if (st == STATUS_OK)
        st = entries_check(&b.entries, is_pair,
                           "every entry must be {\"key\": text, \"value\": text} and may have the numbers expiration "
                           "and expiration_ttl, metadata, and base64 (true or false)",
                           err);
    if (st == STATUS_OK)
        st = kv_target_open(&b.options->kv, &b.session, &b.ns, err);
    if (st == STATUS_OK)
        st = send_all(&b, err);
    if (st == STATUS_OK)
        print_count(&b, "Wrote", "to");
    bulk_release(&b);
    return st;
}

static const char keys_form[] = "every entry must be a key, or an object with a \"name\"";

static enum status run_get(struct invocation *in, struct error *err)
{
    struct bulk_options *o = in->options;
    struct bulk b = { .options = o, .append = append_key, .send = send_get, .per_request = READ_KEYS_MAX };
    struct buf text = { 0 };

    kv_prefer_id(&o->kv);
    enum status st = entries_read(in->args[0], &b.entries, err);
    if (st == STATUS_OK)
        st = entries_check(&b.entries, is_key, keys_form, err);
    if (st == STATUS_OK)
        st = kv_target_open(&b.options->kv, &b.session, &b.ns, err);
    if (st == STATUS_OK)
        st = send_all(&b, err);
    if (st == STATUS_OK) {
        buf_append_char(&text, '{');
        buf_append_slice(&text, buf_slice(&b.result));
        buf_append_char(&text, '}');
        print_json(buf_slice(&text));
    }
    buf_release(&text);
    bulk_release(&b);
    return st;
}

static enum status confirm(const struct bulk *b, bool *ret, struct error *err)
{
    print_note("About to delete the %zu keys of %s from the namespace with %s.", b->entries.list->n, b->entries.path,
               b->ns.display);
    return ask("Ok to proceed?", true, ret, err);
}

static enum status run_delete(struct invocation *in, struct error *err)
{
    struct bulk b = {
        .options = in->options,
        .append = append_key,
        .send = send_delete,
        .per_request = WRITE_KEYS_MAX,
    };
    bool ok = b.options->force;

    enum status st = entries_read(in->args[0], &b.entries, err);
    if (st == STATUS_OK)
        st = entries_check(&b.entries, is_key, keys_form, err);
    if (st == STATUS_OK)
        st = kv_target_open(&b.options->kv, &b.session, &b.ns, err);
    if (st == STATUS_OK && !ok)
        st = confirm(&b, &ok, err);
    if (st == STATUS_OK && !ok)
        st = error_set(err, STATUS_STOPPING, 0, "not deleted (-f deletes without asking)");
    if (st == STATUS_OK)
        st = send_all(&b, err);
    if (st == STATUS_OK)
        print_count(&b, "Deleted", "from");
    bulk_release(&b);
    return st;
}

static const struct command put_command = {
    .name = "put",
    .summary = "Write many keys from a JSON file",
    .args = "FILE",
    .min_args = 1,
    .max_args = 1,
    .options = put_options,
    .options_size = sizeof(struct bulk_options),
    .run = run_put,
    .notes = "FILE (- for standard input): [{\"key\":\"k\",\"value\":\"v\",\"expiration_ttl\":60,\"metadata\":{},"
             "\"base64\":false}, ...]\n"
             "Up to 1000 keys go in one request; each request takes effect as a whole.",
};

static const struct command get_command = {
    .name = "get",
    .summary = "Read many keys, as a JSON object",
    .args = "FILE",
    .min_args = 1,
    .max_args = 1,
    .options = get_options,
    .options_size = sizeof(struct bulk_options),
    .run = run_get,
    .notes = "FILE (- for standard input): [\"key\", ...], or what `dione kv key list` prints. Keys that are not\n"
             "there have the value null.",
};

static const struct command delete_command = {
    .name = "delete",
    .summary = "Delete many keys",
    .args = "FILE",
    .min_args = 1,
    .max_args = 1,
    .options = delete_options,
    .options_size = sizeof(struct bulk_options),
    .run = run_delete,
    .notes = "FILE (- for standard input): [\"key\", ...], or what `dione kv key list` prints.\n"
             "Without a terminal nothing is asked: only n or no on standard input stops it.",
};

static const struct command *const commands[] = { &put_command, &get_command, &delete_command, NULL };

const struct command kv_bulk_command = {
    .name = "bulk",
    .summary = "Write, read and delete many keys",
    .subcommands = commands,
};
