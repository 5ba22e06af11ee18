/* config.c - see config.h. */
#include "cli/config.h"

#include "cli/files.h"
#include "cli/toml.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Far more than any configuration; a tree of this text stays below the arena's limit. */
enum { CONFIG_MAX_BYTES = 1024 * 1024, CONFIG_TREE_BYTES = 256 * 1024 * 1024 };

/* The order in which wrangler looks. */
static const char *const names[] = { "wrangler.json", "wrangler.jsonc", "wrangler.toml" };

static const char *find_file(void)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (access(names[i], F_OK) == 0)
            return names[i];
    return NULL;
}

static bool has_suffix(const char *path, const char *suffix)
{
    size_t len = strlen(path), n = strlen(suffix);

    return len >= n && strcmp(path + len - n, suffix) == 0;
}

static enum status parse(struct config *c, struct slice text, struct error *err)
{
    struct json *root = NULL;
    enum status st = has_suffix(c->path, ".toml") ? toml_parse(text, &c->arena, &root, err)
                                                  : json_parse(text, JSON_RELAXED, &c->arena, &root, err);

    if (st == STATUS_OK && root->type != JSON_OBJECT)
        st = error_set(err, STATUS_INVALID, 0, "an object expected");
    if (st != STATUS_OK)
        return error_prefix(err, "%s", c->path);
    c->root = c->scope = root;
    return STATUS_OK;
}

static enum status read_file(struct config *c, struct error *err)
{
    struct buf text = { .limit = CONFIG_MAX_BYTES };
    enum status st = file_read(c->path, &text, err);

    if (st != STATUS_OK) {
        buf_release(&text);
        return st;
    }
    c->text = text.ptr; /* the tree points into it */
    return parse(c, buf_slice(&text), err);
}

static enum status choose_env(struct config *c, const char *env, struct error *err)
{
    if (!env && c->root)
        env = getenv("CLOUDFLARE_ENV");
    if (!env || !*env)
        return STATUS_OK;
    c->env = env;
    c->scope = json_get(json_get(c->root, "env"), env);
    if (json_is(c->scope, JSON_OBJECT))
        return STATUS_OK;
    return error_set(err, STATUS_NOTFOUND, 0, "there is no environment '%s' in %s", env,
                     c->path ? c->path : "the configuration: no wrangler.jsonc or wrangler.toml here");
}

enum status config_load(const char *path, const char *env, struct config *ret, struct error *err)
{
    struct config c = { .folder = SLICE_LIT(".") };
    enum status st = STATUS_OK;

    if (!path)
        path = find_file();
    arena_init(&c.arena, CONFIG_TREE_BYTES);
    if (path) {
        const char *slash = strrchr(path, '/');
        c.path = strdup(path);
        if (!c.path)
            abort();
        if (slash)
            c.folder = slash == path ? SLICE_LIT("/") : slice_of(c.path, (size_t)(slash - path));
        st = read_file(&c, err);
    }
    if (st == STATUS_OK)
        st = choose_env(&c, env, err);
    if (st != STATUS_OK) {
        config_release(&c);
        return st;
    }
    *ret = c;
    return STATUS_OK;
}

void config_release(struct config *c)
{
    arena_release(&c->arena);
    free(c->text);
    free(c->path);
    *c = (struct config){ 0 };
}

static const struct json *unless_null(const struct json *v)
{
    return json_is(v, JSON_NULL) ? NULL : v;
}

const struct json *config_get(const struct config *c, const char *key)
{
    const struct json *own = unless_null(json_get(c->scope, key));

    return own ? own : unless_null(json_get(c->root, key));
}

struct slice config_worker_name(struct config *c)
{
    struct slice own = json_get_text(c->scope, "name"), top = json_get_text(c->root, "name");

    if (own.len || !top.len || !c->env)
        return own;
    struct slice name = arena_copy(&c->arena, top);
    name = arena_join(&c->arena, name, SLICE_LIT("-"));
    name = arena_join(&c->arena, name, slice_cstr(c->env));
    if (!name.ptr)
        abort();
    return name;
}

struct slice config_provisioned_name(struct config *c, struct slice binding)
{
    struct slice worker = config_worker_name(c);
    struct buf name = { 0 };

    if (!worker.len)
        return binding;
    buf_printf(&name, "%.*s-%.*s", SLICE_FMT(worker), SLICE_FMT(binding));
    for (size_t i = name.len - binding.len; i < name.len; i++)
        name.ptr[i] = name.ptr[i] == '_' ? '-' : (char)tolower((unsigned char)name.ptr[i]);
    struct slice kept = arena_copy(&c->arena, buf_slice(&name));
    buf_release(&name);
    if (!kept.ptr)
        abort();
    return kept;
}

bool config_find_database(const struct config *c, struct slice wanted, struct config_database *ret)
{
    const struct json *list = json_get(c->scope, "d1_databases");

    for (const struct json *d = json_is(list, JSON_ARRAY) ? list->child : NULL; d; d = d->next) {
        struct config_database found = {
            .binding = json_get_text(d, "binding"),
            .name = json_get_text(d, "database_name"),
            .id = json_get_text(d, "database_id"),
            .migrations_dir = json_get_text(d, "migrations_dir"),
            .migrations_table = json_get_text(d, "migrations_table"),
            .migrations_pattern = json_get_text(d, "migrations_pattern"),
        };
        if (slice_eq(wanted, found.name) || slice_eq(wanted, found.binding) || slice_eq(wanted, found.id)) {
            *ret = found;
            return true;
        }
    }
    return false;
}

struct slice config_url(const struct config *c)
{
    return json_get_text(json_get(c->root, "dione"), "url");
}
