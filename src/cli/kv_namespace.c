/* kv_namespace.c - `dione kv namespace create|list|delete|rename`. */
#include "cli/kv.h"
#include "cli/print.h"
#include "cli/query.h"

#include <ctype.h>
#include <stdio.h>

struct namespace_options {
    struct kv_options kv;
    const char *jurisdiction, *new_name;
    bool yes;
};

#define FIELD(name) offsetof(struct namespace_options, name)

static const struct option_row create_options[] = {
    { "preview", 0, OPT_FLAG, KV_FIELD(preview), NULL, "for previews: the title ends in _preview", 0, 0 },
    { "binding", 0, OPT_TEXT, KV_FIELD(binding), "NAME", "the binding's name in the entry that is printed", 0, 0 },
    { "jurisdiction", 0, OPT_TEXT, FIELD(jurisdiction), "NAME", "eu, fedramp or us; only noted down", 0, 0 },
    OPTION_JSON,
    OPTIONS_COMMON,
    OPTION_PERSIST_TO,
    { 0 },
};

static const struct option_row list_options[] = {
    OPTION_JSON,
    OPTIONS_COMMON,
    OPTION_PERSIST_TO,
    { 0 },
};

static const struct option_row delete_options[] = {
    { "skip-confirmation", 'y', OPT_FLAG, FIELD(yes), NULL, "do not ask", 0, 0 },
    { "yes", 0, OPT_FLAG, FIELD(yes), NULL, "the same", 0, 0 },
    OPTIONS_KV,
    OPTION_JSON,
    OPTIONS_COMMON,
    OPTION_PERSIST_TO,
    { 0 },
};

static const struct option_row rename_options[] = {
    { "new-name", 0, OPT_TEXT, FIELD(new_name), "TITLE", "the new title", 0, 0 },
    { "namespace-id", 0, OPT_TEXT, KV_FIELD(namespace_id), "ID", "the namespace with this id", 0, 0 },
    OPTION_JSON,
    OPTIONS_COMMON,
    OPTION_PERSIST_TO,
    { 0 },
};

/* ---- create ---- */

/* A JavaScript name made of the namespace's: what is not allowed in one becomes '_'. */
static void append_binding(struct buf *out, const char *name)
{
    size_t from = out->len;

    if (isdigit((unsigned char)name[0]))
        buf_append_char(out, '_');
    for (; *name; name++)
        buf_append_char(out, isalnum((unsigned char)*name) || *name == '$' ? *name : '_');
    if (out->len == from)
        buf_append_cstr(out, "KV");
}

static void print_entry(const struct namespace_options *o, const char *name, struct slice id)
{
    struct buf binding = { 0 }, text = { 0 };

    append_binding(&binding, o->kv.binding ? o->kv.binding : name);
    buf_append_cstr(&text, "{\"kv_namespaces\":[{\"binding\":");
    json_write_text(&text, buf_slice(&binding));
    buf_printf(&text, ",\"%sid\":", o->kv.preview ? "preview_" : "");
    json_write_text(&text, id);
    buf_append_cstr(&text, "}]}");
    print_json(buf_slice(&text));
    buf_release(&binding);
    buf_release(&text);
}

/* "<env>-<name>_preview", the parts that apply. */
static void append_title(struct buf *out, const struct namespace_options *o, const char *name)
{
    if (o->kv.common.env)
        buf_printf(out, "%s-", o->kv.common.env);
    buf_printf(out, "%s%s", name, o->kv.preview ? "_preview" : "");
}

static enum status run_create(struct invocation *in, struct error *err)
{
    const struct namespace_options *o = in->options;
    struct session s = { 0 };
    struct api_answer answer = { 0 };
    struct buf title = { 0 }, body = { 0 };

    enum status st = session_open(&o->kv.common, true, NULL, &s, err);
    if (st != STATUS_OK)
        return st;
    append_title(&title, o, in->args[0]);
    buf_append_cstr(&body, "{\"title\":");
    json_write_text(&body, buf_slice(&title));
    if (o->jurisdiction) {
        buf_append_cstr(&body, ",\"jurisdiction\":");
        json_write_cstr(&body, o->jurisdiction);
    }
    buf_append_char(&body, '}');
    st = api_call(s.api, "POST", KV_NAMESPACES_PATH, buf_slice(&body), &answer, err);
    if (st == STATUS_OK && o->kv.common.json) {
        query_print_json(&answer);
    } else if (st == STATUS_OK) {
        printf("Created the KV namespace \"%s\".\nFor wrangler.jsonc:\n\n", title.ptr);
        print_entry(o, in->args[0], json_get_text(answer.result, "id"));
    }
    buf_release(&title);
    buf_release(&body);
    api_answer_release(&answer);
    session_close(&s);
    return st;
}

/* ---- list ---- */

static enum status run_list(struct invocation *in, struct error *err)
{
    const struct common *common = in->options;
    struct session s = { 0 };
    struct buf list = { 0 };

    enum status st = session_open(common, false, NULL, &s, err);
    if (st == STATUS_OK)
        st = kv_target_list_all(s.api, &list, err);
    if (st == STATUS_OK)
        print_json(buf_slice(&list));
    buf_release(&list);
    session_close(&s);
    return st;
}

/* ---- delete ---- */

static enum status confirm(const struct session *s, const struct kv_target *n, bool *ret, struct error *err)
{
    print_note("About to delete the KV namespace with %s (%s) and all its keys.\nThis cannot be undone.", n->display,
               api_place(s->api));
    return ask("Ok to proceed?", true, ret, err); /* where nobody can be asked it goes on, as wrangler does */
}

static void print_deleted(const struct kv_target *n, bool json)
{
    struct buf text = { 0 };

    if (!json) {
        printf("Deleted the KV namespace with %s.\n", n->display);
        return;
    }
    buf_append_cstr(&text, "{\"id\":");
    json_write_cstr(&text, n->id);
    buf_append_char(&text, '}');
    print_json(buf_slice(&text));
    buf_release(&text);
}

static enum status run_delete(struct invocation *in, struct error *err)
{
    struct namespace_options *o = in->options;
    struct session s = { 0 };
    struct kv_target n = { 0 };
    struct api_answer answer = { 0 };
    bool ok = o->yes;

    if (in->args[0] && o->kv.title)
        return error_set(err, STATUS_INVALID, 0, "give the title once");
    if (in->args[0])
        o->kv.title = in->args[0];
    enum status st = kv_target_open(&o->kv, &s, &n, err);
    if (st == STATUS_OK && !ok)
        st = confirm(&s, &n, &ok, err);
    if (st == STATUS_OK && !ok)
        st = error_set(err, STATUS_STOPPING, 0, "not deleted (-y deletes without asking)");
    if (st == STATUS_OK)
        st = api_call(s.api, "DELETE", n.path, SLICE_NONE, &answer, err);
    if (st == STATUS_OK)
        print_deleted(&n, o->kv.common.json);
    api_answer_release(&answer);
    kv_target_release(&n);
    session_close(&s);
    return st;
}

/* ---- rename ---- */

static enum status run_rename(struct invocation *in, struct error *err)
{
    struct namespace_options *o = in->options;
    struct session s = { 0 };
    struct kv_target n = { 0 };
    struct api_answer answer = { 0 };
    struct buf body = { 0 };

    if (!o->new_name)
        return error_set(err, STATUS_INVALID, 0, "say the new title: --new-name TITLE");
    o->kv.title = in->args[0];
    enum status st = kv_target_open(&o->kv, &s, &n, err);
    if (st == STATUS_OK) {
        buf_append_cstr(&body, "{\"title\":");
        json_write_cstr(&body, o->new_name);
        buf_append_char(&body, '}');
        st = api_call(s.api, "PUT", n.path, buf_slice(&body), &answer, err);
    }
    if (st == STATUS_OK && o->kv.common.json)
        query_print_json(&answer);
    else if (st == STATUS_OK)
        printf("The KV namespace %s is called \"%s\" now.\n", n.id, o->new_name);
    buf_release(&body);
    api_answer_release(&answer);
    kv_target_release(&n);
    session_close(&s);
    return st;
}

static const struct command create_command = {
    .name = "create",
    .summary = "Create a namespace",
    .args = "NAME",
    .min_args = 1,
    .max_args = 1,
    .options = create_options,
    .options_size = sizeof(struct namespace_options),
    .run = run_create,
    .notes = "With --env the title is ENV-NAME.",
};

static const struct command list_command = {
    .name = "list",
    .summary = "List all namespaces, as JSON",
    .options = list_options,
    .options_size = sizeof(struct namespace_options),
    .run = run_list,
};

static const struct command delete_command = {
    .name = "delete",
    .summary = "Delete a namespace and all its keys",
    .args = "[TITLE]",
    .max_args = 1,
    .options = delete_options,
    .options_size = sizeof(struct namespace_options),
    .run = run_delete,
    .notes = "Without a terminal nothing is asked: only n or no on standard input stops it.",
};

static const struct command rename_command = {
    .name = "rename",
    .summary = "Give a namespace another title",
    .args = "[TITLE] --new-name TITLE",
    .max_args = 1,
    .options = rename_options,
    .options_size = sizeof(struct namespace_options),
    .run = run_rename,
};

static const struct command *const commands[] = { &create_command, &list_command, &delete_command, &rename_command,
                                                  NULL };

const struct command kv_namespace_command = {
    .name = "namespace",
    .summary = "Create, list, rename and delete namespaces",
    .subcommands = commands,
};
