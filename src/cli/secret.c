/* secret.c - `dione secret put|list|delete|bulk`. Values come from a prompt or a pipe, never from the command line. */
#include "cli/files.h"
#include "cli/form.h"
#include "cli/print.h"
#include "cli/query.h"
#include "cli/remote_worker.h"
#include "cli/secrets_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { INPUT_MAX_BYTES = 16 * 1024 * 1024 };

struct secret_options {
    struct worker_options worker;
    const char *format;
};

static const struct option_row options[] = {
    OPTION_JSON,
    OPTIONS_WORKER,
    { 0 },
};

static const struct option_row list_options[] = {
    { "format", 0, OPT_TEXT, offsetof(struct secret_options, format), "FORMAT", "json (default) or pretty", 0, 0 },
    OPTION_JSON,
    OPTIONS_WORKER,
    { 0 },
};

/* ---- a Worker to hold them ---- */

/* Secrets may come before the first deploy: a Worker that does nothing keeps them. */
static enum status create_draft(struct session *s, const struct remote_worker *w, struct error *err)
{
    struct api_answer answer = { 0 };
    struct buf metadata = { 0 };
    struct form form;

    buf_append_cstr(&metadata, "{\"main_module\":");
    json_write_cstr(&metadata, w->name);
    buf_append_cstr(&metadata, ",\"bindings\":[],\"logpush\":false}");
    form_init(&form);
    form_add(&form, SLICE_LIT("metadata"), SLICE_NONE, SLICE_NONE, buf_slice(&metadata));
    form_add(&form, slice_cstr(w->name), slice_cstr(w->name), SLICE_LIT("application/javascript+module"),
             SLICE_LIT("export default { fetch() {} }"));
    form_end(&form);
    const struct api_request r = {
        .method = "PUT",
        .path = w->path,
        .content_type = form.content_type,
        .body = buf_slice(&form.body),
    };
    enum status st = api_send(s->api, &r, &answer, err);
    form_release(&form);
    buf_release(&metadata);
    api_answer_release(&answer);
    return st;
}

static enum status offer_draft(struct session *s, const struct remote_worker *w, struct error *err)
{
    bool ok = false;

    print_note("There is no Worker '%s' on %s yet.", w->name, api_place(s->api));
    enum status st = ask("Make one that does nothing, to hold the secrets until the first deploy?", true, &ok, err);
    if (st == STATUS_OK && !ok)
        st = error_set(err, STATUS_STOPPING, 0, "nothing was stored");
    return st == STATUS_OK ? create_draft(s, w, err) : st;
}

/* A change of secrets; on a Worker that is not there it is tried again when there is one. */
static enum status change(struct session *s, const struct remote_worker *w, const struct api_request *r,
                          struct error *err)
{
    struct api_answer answer = { 0 };
    enum status st = api_send(s->api, r, &answer, err);

    if (st == STATUS_NOTFOUND && err->native == API_NO_SUCH_WORKER) {
        st = offer_draft(s, w, err);
        if (st == STATUS_OK)
            st = api_send(s->api, r, &answer, err);
    }
    api_answer_release(&answer);
    return st;
}

/* ---- put ---- */

static void append_secret(struct buf *body, struct slice name, struct slice value)
{
    buf_append_cstr(body, "{\"name\":");
    json_write_text(body, name);
    buf_append_cstr(body, ",\"text\":");
    json_write_text(body, value);
    buf_append_cstr(body, ",\"type\":\"secret_text\"}");
}

static struct slice without_end_space(struct slice s)
{
    while (s.len && strchr(" \t\r\n", s.ptr[s.len - 1]) && s.ptr[s.len - 1])
        s.len--;
    return s;
}

static enum status read_value(const char *key, struct buf *ret, struct error *err)
{
    struct buf prompt = { 0 };
    enum status st;

    ret->limit = INPUT_MAX_BYTES;
    if (isatty(STDIN_FILENO)) {
        buf_printf(&prompt, "The value of %s: ", key);
        st = ask_secret(prompt.ptr, ret, err);
        buf_release(&prompt);
    } else {
        st = file_read_or_stdin("-", ret, err);
    }
    if (st == STATUS_OK && without_end_space(buf_slice(ret)).len == 0)
        st = error_set(err, STATUS_INVALID, 0, "the secret has no value");
    return st;
}

static enum status put(struct session *s, const struct remote_worker *w, const char *key, struct slice value,
                       struct error *err)
{
    struct buf body = { 0 };
    char *path = remote_worker_path(w, "/secrets");

    append_secret(&body, slice_cstr(key), value);
    const struct api_request r = {
        .method = "PUT",
        .path = path,
        .content_type = "application/json",
        .body = buf_slice(&body),
    };
    enum status st = change(s, w, &r, err);
    free(path);
    explicit_bzero(body.ptr, body.len);
    buf_release(&body);
    return st;
}

static void print_done(const struct remote_worker *w, const char *key, const char *verb, bool json)
{
    struct buf text = { 0 };

    if (!json) {
        printf("%s the secret %s of the Worker '%s'.\n", verb, key, w->name);
        return;
    }
    buf_append_cstr(&text, "{\"name\":");
    json_write_cstr(&text, key);
    buf_append_cstr(&text, ",\"type\":\"secret_text\"}");
    print_json(buf_slice(&text));
    buf_release(&text);
}

static enum status run_put(struct invocation *in, struct error *err)
{
    struct worker_options *o = in->options;
    struct session s = { 0 };
    struct remote_worker w = { 0 };
    struct buf value = { 0 };

    enum status st = remote_worker_open(o, NULL, &s, &w, err);
    if (st == STATUS_OK)
        st = read_value(in->args[0], &value, err);
    if (st == STATUS_OK)
        st = put(&s, &w, in->args[0], without_end_space(buf_slice(&value)), err);
    if (st == STATUS_OK)
        print_done(&w, in->args[0], "Stored", o->common.json);
    if (value.ptr)
        explicit_bzero(value.ptr, value.len);
    buf_release(&value);
    remote_worker_release(&w);
    session_close(&s);
    return st;
}

/* ---- list ---- */

static enum status run_list(struct invocation *in, struct error *err)
{
    struct secret_options *o = in->options;
    bool pretty = o->format && strcmp(o->format, "pretty") == 0;
    struct session s = { 0 };
    struct remote_worker w = { 0 };
    struct api_answer answer = { 0 };

    if (o->format && !pretty && strcmp(o->format, "json") != 0)
        return error_set(err, STATUS_INVALID, 0, "--format is json or pretty, not '%s'", o->format);
    enum status st = remote_worker_open(&o->worker, NULL, &s, &w, err);
    if (st == STATUS_OK)
        st = remote_worker_call(&s, &w, "GET", "/secrets", SLICE_NONE, &answer, err);
    if (st == STATUS_OK && !json_is(answer.result, JSON_ARRAY))
        st = error_set(err, STATUS_INTERNAL, 0, "the server sent no list of secrets");
    if (st == STATUS_OK && !pretty)
        query_print_json(&answer);
    else if (st == STATUS_OK)
        for (const struct json *secret = answer.result->child; secret; secret = secret->next)
            printf("%.*s\n", SLICE_FMT(json_get_text(secret, "name")));
    api_answer_release(&answer);
    remote_worker_release(&w);
    session_close(&s);
    return st;
}

/* ---- delete ---- */

static enum status remove_secret(struct session *s, const struct remote_worker *w, const char *key, struct error *err)
{
    struct api_answer answer = { 0 };
    struct buf action = { 0 };

    buf_append_cstr(&action, "/secrets/");
    api_append_encoded(&action, slice_cstr(key));
    buf_append_cstr(&action, "?url_encoded=true");
    enum status st = remote_worker_call(s, w, "DELETE", action.ptr, SLICE_NONE, &answer, err);
    buf_release(&action);
    api_answer_release(&answer);
    return st;
}

static enum status run_delete(struct invocation *in, struct error *err)
{
    struct worker_options *o = in->options;
    struct session s = { 0 };
    struct remote_worker w = { 0 };
    bool ok = false;

    enum status st = remote_worker_open(o, NULL, &s, &w, err);
    if (st == STATUS_OK) {
        print_note("About to delete the secret %s of the Worker '%s' (%s).", in->args[0], w.name, api_place(s.api));
        st = ask("Ok to proceed?", true, &ok, err);
    }
    if (st == STATUS_OK && !ok)
        st = error_set(err, STATUS_STOPPING, 0, "not deleted");
    if (st == STATUS_OK)
        st = remove_secret(&s, &w, in->args[0], err);
    if (st == STATUS_OK)
        print_done(&w, in->args[0], "Deleted", o->common.json);
    remote_worker_release(&w);
    session_close(&s);
    return st;
}

/* ---- bulk ---- */

static enum status bulk_send(const struct secrets *secrets, struct session *s, const struct remote_worker *w,
                             struct error *err)
{
    struct buf body = { 0 };
    char *path = remote_worker_path(w, "/secrets-bulk");

    buf_append_cstr(&body, "{\"secrets\":{");
    for (size_t i = 0; i < secrets->n; i++) {
        buf_append_cstr(&body, i ? "," : "");
        json_write_text(&body, secrets->items[i].name);
        buf_append_char(&body, ':');
        if (secrets->items[i].value.ptr)
            append_secret(&body, secrets->items[i].name, secrets->items[i].value);
        else
            buf_append_cstr(&body, "null");
    }
    buf_append_cstr(&body, "}}");
    const struct api_request r = {
        .method = "PATCH",
        .path = path,
        .content_type = "application/merge-patch+json",
        .body = buf_slice(&body),
    };
    enum status st = change(s, w, &r, err);
    free(path);
    explicit_bzero(body.ptr, body.len);
    buf_release(&body);
    return st;
}

static enum status run_bulk(struct invocation *in, struct error *err)
{
    struct worker_options *o = in->options;
    struct session s = { 0 };
    struct remote_worker w = { 0 };
    struct secrets secrets = { 0 };
    size_t n_deleted = 0;

    enum status st = secrets_read(in->args[0], &secrets, err);
    if (st == STATUS_OK)
        st = remote_worker_open(o, NULL, &s, &w, err);
    if (st == STATUS_OK)
        st = bulk_send(&secrets, &s, &w, err);
    for (size_t i = 0; i < secrets.n; i++)
        n_deleted += secrets.items[i].value.ptr == NULL;
    if (st == STATUS_OK && o->common.json)
        printf("{\n  \"stored\": %zu,\n  \"deleted\": %zu\n}\n", secrets.n - n_deleted, n_deleted);
    else if (st == STATUS_OK)
        printf("Stored %zu and deleted %zu secrets of the Worker '%s'.\n", secrets.n - n_deleted, n_deleted, w.name);
    secrets_release(&secrets);
    remote_worker_release(&w);
    session_close(&s);
    return st;
}

static const struct command put_command = {
    .name = "put",
    .summary = "Store a secret",
    .args = "KEY",
    .min_args = 1,
    .max_args = 1,
    .options = options,
    .options_size = sizeof(struct secret_options),
    .run = run_put,
    .notes =
        "The value is typed unseen, or read from standard input: `dione secret put API_KEY < key.txt`. White space\n"
        "at its end is dropped. The Worker gets it at once, in a new version.",
};

static const struct command list_command = {
    .name = "list",
    .summary = "List the names of a Worker's secrets",
    .options = list_options,
    .options_size = sizeof(struct secret_options),
    .run = run_list,
};

static const struct command delete_command = {
    .name = "delete",
    .summary = "Delete a secret",
    .args = "KEY",
    .min_args = 1,
    .max_args = 1,
    .options = options,
    .options_size = sizeof(struct secret_options),
    .run = run_delete,
    .notes = "Without a terminal nothing is asked: only n or no on standard input stops it.",
};

static const struct command bulk_command = {
    .name = "bulk",
    .summary = "Store and delete many secrets at once",
    .args = "[FILE]",
    .max_args = 1,
    .options = options,
    .options_size = sizeof(struct secret_options),
    .run = run_bulk,
    .notes = "FILE (else standard input) is JSON, {\"KEY\":\"value\",\"OLD\":null}, where null deletes; or has lines\n"
             "KEY=VALUE, as .env files do. All of it takes effect or nothing.",
};

static const struct command *const commands[] = { &put_command, &list_command, &delete_command, &bulk_command, NULL };

const struct command secret_command = {
    .name = "secret",
    .summary = "Store what a Worker must know and nobody may read",
    .subcommands = commands,
};
