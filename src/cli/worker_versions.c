/* worker_versions.c - `dione versions list|view`; the third, upload, is deploy.c's. */
#include "cli/print.h"
#include "cli/query.h"
#include "cli/table.h"
#include "cli/remote_worker.h"

#include <inttypes.h>
#include <stdio.h>

static const struct option_row options[] = {
    OPTION_JSON,
    OPTIONS_WORKER,
    { 0 },
};

static struct slice or_dash(struct slice s)
{
    return s.len ? s : SLICE_LIT("-");
}

/* ---- list ---- */

static void add_version(struct table *t, const struct json *v)
{
    const struct json *metadata = json_get(v, "metadata"), *notes = json_get(v, "annotations");

    table_add_text(t, json_get_text(v, "id"));
    table_add(t, json_get(v, "number"));
    table_add_text(t, json_get_text(metadata, "created_on"));
    table_add_text(t, or_dash(json_get_text(metadata, "source")));
    table_add_text(t, or_dash(json_get_text(notes, "workers/tag")));
    table_add_text(t, or_dash(json_get_text(notes, "workers/message")));
}

static void print_versions(const struct json *items)
{
    static const char *const headings[] = { "version id", "number", "created", "source", "tag", "message" };
    struct table t;

    table_init(&t);
    for (size_t i = 0; i < ARRAY_LEN(headings); i++)
        table_add_column(&t, slice_cstr(headings[i]));
    for (const struct json *v = items->child; v; v = v->next)
        add_version(&t, v);
    table_print(&t);
    table_release(&t);
}

static void print_items(const struct json *items, bool json)
{
    struct buf text = { 0 };

    if (!json) {
        print_versions(items);
        return;
    }
    json_write_value(&text, items);
    print_json(buf_slice(&text));
    buf_release(&text);
}

static enum status run_list(struct invocation *in, struct error *err)
{
    struct worker_options *o = in->options;
    struct session s = { 0 };
    struct remote_worker w = { 0 };
    struct api_answer answer = { 0 };

    enum status st = remote_worker_open(o, NULL, &s, &w, err);
    if (st == STATUS_OK)
        st = remote_worker_call(&s, &w, "GET", "/versions?deployable=true", SLICE_NONE, &answer, err);
    const struct json *items = st == STATUS_OK ? json_get(answer.result, "items") : NULL;
    if (st == STATUS_OK && !json_is(items, JSON_ARRAY))
        st = error_set(err, STATUS_INTERNAL, 0, "the server sent no list of versions");
    if (st == STATUS_OK)
        print_items(items, o->common.json);
    api_answer_release(&answer);
    remote_worker_release(&w);
    session_close(&s);
    return st;
}

/* ---- view ---- */

static void print_line(const char *label, struct slice text)
{
    if (text.len)
        printf("%-16s%.*s\n", label, SLICE_FMT(text));
}

static void print_binding(const struct json *b)
{
    static const char *const targets[] = { "id", "namespace_id", "service", "text", "json" };
    struct buf value = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(targets) && !value.len; i++) {
        const struct json *v = json_get(b, targets[i]);
        if (json_is(v, JSON_STRING))
            buf_append_slice(&value, v->text);
        else if (v)
            json_write_value(&value, v);
    }
    printf("  %.*s (%.*s)%s%s\n", SLICE_FMT(json_get_text(b, "name")), SLICE_FMT(json_get_text(b, "type")),
           value.len ? " " : "", value.len ? value.ptr : "");
    buf_release(&value);
}

static void print_list(const char *label, const struct json *list)
{
    if (!json_is(list, JSON_ARRAY) || list->n == 0)
        return;
    printf("%-16s", label);
    for (const struct json *v = list->child; v; v = v->next)
        printf("%.*s%s", SLICE_FMT(v->text), v->next ? ", " : "\n");
}

static void print_version(const struct json *v)
{
    const struct json *metadata = json_get(v, "metadata"), *notes = json_get(v, "annotations");
    const struct json *resources = json_get(v, "resources"), *bindings = json_get(resources, "bindings");
    const struct json *script = json_get(resources, "script"), *runtime = json_get(resources, "script_runtime");

    print_line("Version ID", json_get_text(v, "id"));
    printf("%-16s%.0f\n", "Number", json_double(json_get(v, "number")));
    print_line("Created", json_get_text(metadata, "created_on"));
    print_line("Author", json_get_text(metadata, "author_email"));
    print_line("Source", json_get_text(metadata, "source"));
    print_line("Tag", json_get_text(notes, "workers/tag"));
    print_line("Message", json_get_text(notes, "workers/message"));
    print_list("Handlers", json_get(script, "handlers"));
    print_line("Compatibility", json_get_text(runtime, "compatibility_date"));
    print_list("Flags", json_get(runtime, "compatibility_flags"));
    if (!json_is(bindings, JSON_ARRAY) || bindings->n == 0)
        return;
    printf("Bindings\n");
    for (const struct json *b = bindings->child; b; b = b->next)
        print_binding(b);
}

static enum status run_view(struct invocation *in, struct error *err)
{
    struct worker_options *o = in->options;
    struct session s = { 0 };
    struct remote_worker w = { 0 };
    struct api_answer answer = { 0 };
    struct buf action = { 0 };

    buf_append_cstr(&action, "/versions/");
    api_append_encoded(&action, slice_cstr(in->args[0]));
    enum status st = remote_worker_open(o, NULL, &s, &w, err);
    if (st == STATUS_OK)
        st = remote_worker_call(&s, &w, "GET", action.ptr, SLICE_NONE, &answer, err);
    if (st == STATUS_OK && o->common.json)
        query_print_json(&answer);
    else if (st == STATUS_OK)
        print_version(answer.result);
    buf_release(&action);
    api_answer_release(&answer);
    remote_worker_release(&w);
    session_close(&s);
    return st;
}

static const struct command list_command = {
    .name = "list",
    .summary = "List the versions that are kept",
    .options = options,
    .options_size = sizeof(struct worker_options),
    .run = run_list,
};

static const struct command view_command = {
    .name = "view",
    .summary = "Show one version: its bindings and settings",
    .args = "VERSION-ID",
    .min_args = 1,
    .max_args = 1,
    .options = options,
    .options_size = sizeof(struct worker_options),
    .run = run_view,
};

static const struct command *const commands[] = { &list_command, &versions_upload_command, &view_command, NULL };

const struct command versions_command = {
    .name = "versions",
    .summary = "List, upload and view the versions of a Worker",
    .subcommands = commands,
};
