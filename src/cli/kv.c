/*
 * kv.c - the group `dione kv`, and which namespace a command means.
 *
 * The rules are wrangler's: --namespace-id, else the title, else the binding of the configuration, whose id and
 * preview_id must not leave a doubt. A binding without an id is looked up in the deployed Worker; locally it has a
 * namespace of its own, under the title that wrangler would provision.
 */
#include "cli/kv.h"

#include "cli/print.h"

#include <stdlib.h>

static const struct command *const commands[] = { &kv_namespace_command, &kv_key_command, &kv_bulk_command, NULL };

const struct command kv_command = {
    .name = "kv",
    .summary = "Work with KV namespaces and their keys",
    .subcommands = commands,
};

enum { PAGE_SIZE = 1000 };

/* ---- the list ---- */

static enum status add_page(struct api *api, int page, struct buf *ret, bool *ret_last, struct error *err)
{
    struct api_answer answer = { 0 };
    char path[128];

    snprintf(path, sizeof(path), KV_NAMESPACES_PATH "?page=%d&per_page=%d&order=title&direction=asc", page, PAGE_SIZE);
    enum status st = api_call(api, "GET", path, SLICE_NONE, &answer, err);
    if (st == STATUS_OK && !json_is(answer.result, JSON_ARRAY))
        st = error_set(err, STATUS_INTERNAL, 0, "the server sent no list of namespaces");
    if (st == STATUS_OK) {
        for (const struct json *n = answer.result->child; n; n = n->next) {
            buf_append_cstr(ret, ret->len > 1 ? "," : "");
            json_write_value(ret, n);
        }
        *ret_last = answer.result->n < PAGE_SIZE;
    }
    api_answer_release(&answer);
    return st;
}

enum status kv_target_list_all(struct api *api, struct buf *ret_list, struct error *err)
{
    enum status st = STATUS_OK;
    bool last = false;

    buf_append_char(ret_list, '[');
    for (int page = 1; st == STATUS_OK && !last; page++)
        st = add_page(api, page, ret_list, &last, err);
    buf_append_char(ret_list, ']');
    return st;
}

/* ---- finding one ---- */

static char *copy_text(struct slice s)
{
    char *copy = strndup(s.ptr ? s.ptr : "", s.len);

    if (!copy)
        abort();
    return copy;
}

static struct kv_target target_new(struct slice id, const char *kind, struct slice name)
{
    struct kv_target n = { .id = copy_text(id) };
    struct buf path = { 0 }, display = { 0 };

    buf_append_cstr(&path, KV_NAMESPACES_PATH "/");
    api_append_encoded(&path, id);
    n.path = path.ptr;
    buf_printf(&display, "%s \"%.*s\"", kind, SLICE_FMT(name));
    if (!slice_eq(id, name))
        buf_printf(&display, " (id %.*s)", SLICE_FMT(id));
    n.display = display.ptr;
    return n;
}

void kv_target_release(struct kv_target *n)
{
    free(n->id);
    free(n->path);
    free(n->display);
    *n = (struct kv_target){ 0 };
}

enum status kv_target_find_title(struct session *s, struct slice title, struct kv_target *ret, struct error *err)
{
    struct buf list = { 0 };
    struct json *root = NULL;
    struct arena arena;

    arena_init(&arena, SIZE_MAX);
    enum status st = kv_target_list_all(s->api, &list, err);
    if (st == STATUS_OK)
        st = json_parse(buf_slice(&list), JSON_STRICT, &arena, &root, err);
    const struct json *n = st == STATUS_OK ? root->child : NULL;
    while (n && !slice_eq(json_get_text(n, "title"), title))
        n = n->next;
    if (n)
        *ret = target_new(json_get_text(n, "id"), "title", title);
    else if (st == STATUS_OK)
        st = error_set(err, STATUS_NOTFOUND, 0,
                       "there is no KV namespace called '%.*s' (%s); `dione kv namespace list` shows all",
                       SLICE_FMT(title), api_place(s->api));
    arena_release(&arena);
    buf_release(&list);
    return st;
}

/* ---- what is configured ---- */

static const struct json *configured(const struct config *c, struct slice binding)
{
    const struct json *list = json_get(c->scope, "kv_namespaces");

    for (const struct json *n = json_is(list, JSON_ARRAY) ? list->child : NULL; n; n = n->next)
        if (slice_eq(json_get_text(n, "binding"), binding))
            return n;
    return NULL;
}

static enum status not_configured(const struct config *c, const char *binding, struct error *err)
{
    if (!c->path)
        return error_set(err, STATUS_INVALID, 0,
                         "there is no wrangler.jsonc or wrangler.toml here that could say what --binding %s is; "
                         "use --namespace-id or --namespace",
                         binding);
    return error_set(err, STATUS_INVALID, 0,
                     "%s has no \"%s\" among its kv_namespaces; use --namespace-id or --namespace", c->path, binding);
}

/* The id that is meant; absent when the entry has none. */
static enum status choose_id(const struct kv_options *o, const struct json *entry, struct slice *ret, struct error *err)
{
    struct slice id = json_get_text(entry, "id"), preview = json_get_text(entry, "preview_id");

    if (o->preview && !preview.len)
        return error_set(err, STATUS_INVALID, 0, "the binding \"%s\" has no preview_id in the configuration",
                         o->binding);
    if (!o->preview && !o->no_preview && id.len && preview.len)
        return error_set(err, STATUS_INVALID, 0,
                         "the binding \"%s\" has an id and a preview_id: say --preview or --no-preview", o->binding);
    *ret = o->preview || !id.len ? preview : id;
    return STATUS_OK;
}

/* Of a binding without an id: what the Worker of that name was deployed with. */
static enum status find_deployed(const struct kv_options *o, struct session *s, struct kv_target *ret,
                                 struct error *err)
{
    struct slice worker = config_worker_name(&s->config);
    struct api_answer answer = { 0 };
    struct buf path = { 0 };

    if (!worker.len)
        return error_set(err, STATUS_INVALID, 0,
                         "the binding \"%s\" has no id, and %s names no Worker that was deployed with it", o->binding,
                         s->config.path);
    buf_append_cstr(&path, API_ACCOUNT "/workers/scripts/");
    api_append_encoded(&path, worker);
    buf_append_cstr(&path, "/settings");
    enum status st = api_call(s->api, "GET", path.ptr, SLICE_NONE, &answer, err);
    buf_release(&path);
    const struct json *bindings = st == STATUS_OK ? json_get(answer.result, "bindings") : NULL;
    const struct json *b = json_is(bindings, JSON_ARRAY) ? bindings->child : NULL;
    while (b && !(slice_eq(json_get_text(b, "name"), slice_cstr(o->binding)) &&
                  slice_eq(json_get_text(b, "type"), SLICE_LIT("kv_namespace"))))
        b = b->next;
    if (b)
        *ret = target_new(json_get_text(b, "namespace_id"), "binding", slice_cstr(o->binding));
    else if (st == STATUS_OK || st == STATUS_NOTFOUND)
        st = error_set(err, STATUS_NOTFOUND, 0,
                       "the binding \"%s\" has no id, and the Worker '%.*s' is not deployed with it yet; deploy it, "
                       "or use --namespace-id",
                       o->binding, SLICE_FMT(worker));
    api_answer_release(&answer);
    return st;
}

static bool is_namespace_id(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!strchr("0123456789abcdef", s.ptr[i]) || !s.ptr[i])
            return false;
    return s.len == 32;
}

static enum status create_local(const struct kv_options *o, struct session *s, struct slice id, struct slice title,
                                struct kv_target *ret, struct error *err)
{
    struct api_answer answer = { 0 };
    struct buf body = { 0 };

    buf_append_cstr(&body, "{\"title\":");
    json_write_text(&body, title);
    if (is_namespace_id(id)) { /* what else stands there, "local" say, names nothing */
        buf_append_cstr(&body, ",\"id\":");
        json_write_text(&body, id);
    }
    buf_append_char(&body, '}');
    enum status st = api_call(s->api, "POST", KV_NAMESPACES_PATH, buf_slice(&body), &answer, err);
    buf_release(&body);
    if (st == STATUS_OK) {
        print_note("Created the KV namespace '%.*s' in %s, as %s names it.", SLICE_FMT(title), api_place(s->api),
                   s->config.path);
        *ret = target_new(json_get_text(answer.result, "id"), "binding", slice_cstr(o->binding));
    }
    api_answer_release(&answer);
    return st;
}

/* By its id when it has one that can be an id here, else under the title that wrangler would provision. */
static enum status find_local(const struct kv_options *o, struct session *s, struct slice id, struct kv_target *ret,
                              struct error *err)
{
    struct slice title = is_namespace_id(id) ? id : config_provisioned_name(&s->config, slice_cstr(o->binding));
    enum status st = STATUS_NOTFOUND;

    if (is_namespace_id(id)) {
        struct kv_target n = target_new(id, "binding", slice_cstr(o->binding));
        struct api_answer answer = { 0 };
        st = api_call(s->api, "GET", n.path, SLICE_NONE, &answer, err);
        api_answer_release(&answer);
        if (st == STATUS_OK)
            *ret = n;
        else
            kv_target_release(&n);
    } else {
        st = kv_target_find_title(s, title, ret, err);
    }
    return st == STATUS_NOTFOUND ? create_local(o, s, id, title, ret, err) : st;
}

static enum status find_configured(const struct kv_options *o, struct session *s, struct kv_target *ret,
                                   struct error *err)
{
    const struct json *entry = configured(&s->config, slice_cstr(o->binding));
    struct slice id = SLICE_NONE;

    if (!entry)
        return not_configured(&s->config, o->binding, err);
    enum status st = choose_id(o, entry, &id, err);
    if (st != STATUS_OK)
        return st;
    if (!s->remote)
        return find_local(o, s, id, ret, err);
    if (!id.len)
        return find_deployed(o, s, ret, err);
    *ret = target_new(id, "binding", slice_cstr(o->binding));
    return STATUS_OK;
}

static enum status check_choice(const struct kv_options *o, struct error *err)
{
    int n = (o->binding != NULL) + (o->namespace_id != NULL) + (o->title != NULL);

    if (n == 0)
        return error_set(err, STATUS_INVALID, 0,
                         "say which KV namespace: --binding NAME, --namespace-id ID or --namespace TITLE");
    if (n > 1)
        return error_set(err, STATUS_INVALID, 0, "give only one of --binding, --namespace-id and --namespace");
    if (o->preview && o->no_preview)
        return error_set(err, STATUS_INVALID, 0, "--preview and --no-preview do not go together");
    return STATUS_OK;
}

enum status kv_target_find(const struct kv_options *o, struct session *s, struct kv_target *ret, struct error *err)
{
    if (o->title)
        return kv_target_find_title(s, slice_cstr(o->title), ret, err);
    if (o->binding)
        return find_configured(o, s, ret, err);
    *ret = target_new(slice_cstr(o->namespace_id), "id", slice_cstr(o->namespace_id));
    return STATUS_OK;
}

/* Only then a data directory is made; what is wrong with the file is said when it is read for good. */
static bool is_configured(const struct kv_options *o)
{
    struct config config;
    struct error ignored;

    if (!o->binding || config_load(o->common.config, o->common.env, &config, &ignored) != STATUS_OK)
        return false;
    bool is = configured(&config, slice_cstr(o->binding)) != NULL;
    config_release(&config);
    return is;
}

enum status kv_target_open(const struct kv_options *o, struct session *s, struct kv_target *ret, struct error *err)
{
    enum status st = check_choice(o, err);

    if (st == STATUS_OK)
        st = session_open(&o->common, is_configured(o), NULL, s, err);
    if (st == STATUS_OK)
        st = kv_target_find(o, s, ret, err);
    return st;
}

/* ---- small things ---- */

char *kv_target_key_path(const struct kv_target *n, const char *kind, const char *key)
{
    struct buf path = { 0 };

    buf_printf(&path, "%s/%s/", n->path, kind);
    api_append_encoded(&path, slice_cstr(key));
    return path.ptr;
}

enum status kv_check_metadata_option(const char *text, struct error *err)
{
    struct arena arena;
    struct json *root = NULL;
    struct error why;

    if (!text)
        return STATUS_OK;
    arena_init(&arena, SIZE_MAX);
    enum status st = json_parse(slice_cstr(text), JSON_STRICT, &arena, &root, &why);
    bool is_object = st == STATUS_OK && root->type == JSON_OBJECT;
    arena_release(&arena);
    if (st != STATUS_OK)
        return error_set(err, STATUS_INVALID, 0, "--metadata is not valid JSON: %s", why.msg);
    return is_object ? st : error_set(err, STATUS_INVALID, 0, "--metadata takes a JSON object, not '%s'", text);
}
