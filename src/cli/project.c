/*
 * project.c - see project.h.
 *
 * A wrong value is refused here with its key, so that nothing further on has to doubt what it reads. Keys that Dione does
 * not know are left alone: wrangler has many that mean nothing outside Cloudflare.
 */
#include "cli/project.h"

#include "cli/project_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- small helpers ---- */

struct slice project_keep(struct project *p, struct slice s)
{
    struct slice kept = arena_copy(&p->config.arena, s);

    if (!kept.ptr)
        abort();
    return kept;
}

void *project_alloc(struct project *p, size_t n, size_t size)
{
    void *memory = arena_zalloc(&p->config.arena, n * size + 1);

    if (!memory)
        abort();
    return memory;
}

static void append_segment(struct buf *out, struct slice segment)
{
    if (!segment.len || slice_eq(segment, SLICE_LIT(".")))
        return;
    if (slice_eq(segment, SLICE_LIT(".."))) {
        while (out->len && out->ptr[out->len - 1] != '/')
            out->len--;
        out->len -= out->len > 0;
        return;
    }
    buf_append_char(out, '/');
    buf_append_slice(out, segment);
}

struct slice project_path(struct project *p, struct slice folder, struct slice path)
{
    struct buf out = { 0 };

    for (struct slice rest = path.len && path.ptr[0] == '/' ? SLICE_NONE : folder; rest.ptr;)
        append_segment(&out, slice_cut(&rest, '/'));
    for (struct slice rest = path; rest.ptr;)
        append_segment(&out, slice_cut(&rest, '/'));
    struct slice kept = project_keep(p, out.len ? buf_slice(&out) : SLICE_LIT("/"));
    buf_release(&out);
    return kept;
}

enum status project_invalid(const struct project *p, struct error *err, const char *fmt, ...)
{
    char text[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return error_set(err, STATUS_INVALID, 0, "%s%s%s", p->config.path ? p->config.path : "", p->config.path ? ": " : "",
                     text);
}

/* An inherited key that must be text when it is there. */
static enum status take_text(struct project *p, const char *key, struct slice *ret, struct error *err)
{
    const struct json *v = config_get(&p->config, key);

    if (!v)
        return STATUS_OK;
    if (v->type != JSON_STRING)
        return project_invalid(p, err, "'%s' must be text", key);
    *ret = v->text;
    return STATUS_OK;
}

static enum status take_flag(struct project *p, const char *key, bool *ret, struct error *err)
{
    const struct json *v = config_get(&p->config, key);

    if (!v)
        return STATUS_OK;
    if (v->type != JSON_TRUE && v->type != JSON_FALSE)
        return project_invalid(p, err, "'%s' must be true or false", key);
    *ret = v->type == JSON_TRUE;
    return STATUS_OK;
}

static enum status take_texts(struct project *p, const char *key, const struct json *list, struct slice **ret,
                              size_t *ret_n, struct error *err)
{
    if (list->type != JSON_ARRAY)
        return project_invalid(p, err, "'%s' must be a list of texts", key);
    *ret = project_alloc(p, list->n, sizeof(**ret));
    *ret_n = 0;
    for (const struct json *v = list->child; v; v = v->next) {
        if (v->type != JSON_STRING)
            return project_invalid(p, err, "'%s' must be a list of texts", key);
        (*ret)[(*ret_n)++] = v->text;
    }
    return STATUS_OK;
}

/* ---- keys ---- */

/* Without symbolic links, as esbuild sees it: its paths are relative to this. */
static enum status find_folder(struct project *p, struct error *err)
{
    char *given = strndup(p->config.folder.ptr, p->config.folder.len);
    char *real = given ? realpath(given, NULL) : NULL;

    free(given);
    if (!real)
        return error_errno(err, errno, "cannot enter the project's folder %.*s", SLICE_FMT(p->config.folder));
    p->folder = project_keep(p, slice_cstr(real));
    free(real);
    return STATUS_OK;
}

/* A path of the command line starts where the command runs. */
static struct slice from_here(struct project *p, const char *path)
{
    char *cwd = getcwd(NULL, 0);

    if (!cwd)
        abort(); /* realpath has just worked here */
    struct slice full = project_path(p, slice_cstr(cwd), slice_cstr(path));
    free(cwd);
    return full;
}

static enum status read_name(struct project *p, const struct project_options *opt, struct error *err)
{
    const struct json *name = config_get(&p->config, "name");

    if (name && name->type != JSON_STRING)
        return project_invalid(p, err, "'name' must be text");
    p->name = opt->name ? slice_cstr(opt->name) : config_worker_name(&p->config);
    if (!p->name.len || worker_name_is_valid(p->name))
        return STATUS_OK;
    return project_invalid(
        p, err,
        "'%.*s' is no name for a Worker: up to 63 lower-case letters, digits, dashes and underscores, "
        "starting and ending with a letter or digit",
        SLICE_FMT(p->name));
}

static enum status read_flags(struct project *p, const struct project_options *opt, struct error *err)
{
    const struct json *flags = config_get(&p->config, "compatibility_flags");
    const struct option_list *given = &opt->compatibility_flags;

    if (!given->n)
        return flags ? take_texts(p, "compatibility_flags", flags, &p->compatibility_flags, &p->n_compatibility_flags,
                                  err)
                     : STATUS_OK;
    p->compatibility_flags = project_alloc(p, given->n, sizeof(*p->compatibility_flags));
    for (size_t i = 0; i < given->n; i++)
        p->compatibility_flags[p->n_compatibility_flags++] = slice_cstr(given->items[i]);
    return STATUS_OK;
}

static enum status read_crons(struct project *p, struct error *err)
{
    const struct json *triggers = config_get(&p->config, "triggers");
    const struct json *crons = json_get(triggers, "crons");

    if (triggers && triggers->type != JSON_OBJECT)
        return project_invalid(p, err, "'triggers' must be an object such as { \"crons\": [\"0 3 * * *\"] }");
    if (!crons || crons->type == JSON_NULL)
        return STATUS_OK;
    p->has_crons = true;
    return take_texts(p, "triggers.crons", crons, &p->crons, &p->n_crons, err);
}

static enum status add_route(struct project *p, const struct json *v, struct error *err)
{
    struct slice pattern = v->type == JSON_STRING ? v->text : json_get_text(v, "pattern");

    if (!pattern.len)
        return project_invalid(p, err, "a route must be a pattern such as \"example.com/*\", or an object with one");
    p->routes[p->n_routes++] = (struct project_route){ pattern, v };
    return STATUS_OK;
}

static enum status read_routes(struct project *p, struct error *err)
{
    const struct json *list = config_get(&p->config, "routes"), *one = config_get(&p->config, "route");

    if (list && list->type != JSON_ARRAY)
        return project_invalid(p, err, "'routes' must be a list");
    p->routes = project_alloc(p, (list ? list->n : 0) + 1, sizeof(*p->routes));
    if (!list)
        return one && !(one->type == JSON_STRING && !one->text.len) ? add_route(p, one, err) : STATUS_OK;
    for (const struct json *v = list->child; v; v = v->next) {
        enum status st = add_route(p, v, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

static enum status read_assets(struct project *p, const struct project_options *opt, struct error *err)
{
    const struct json *assets = config_get(&p->config, "assets");

    if (assets && assets->type != JSON_OBJECT)
        return project_invalid(p, err, "'assets' must be an object such as { \"directory\": \"public\" }");
    p->assets = assets;
    struct slice directory = json_get_text(assets, "directory");
    if (opt->assets)
        p->assets_directory = from_here(p, opt->assets);
    else if (directory.len)
        p->assets_directory = project_path(p, p->folder, directory);
    if (!p->assets_directory.len || access(p->assets_directory.ptr, R_OK | X_OK) == 0)
        return STATUS_OK;
    return error_errno(err, errno, "cannot read the folder of static assets %.*s", SLICE_FMT(p->assets_directory));
}

static enum status read_main(struct project *p, const struct project_options *opt, struct error *err)
{
    struct slice main = SLICE_NONE;
    enum status st = take_text(p, "main", &main, err);

    if (st != STATUS_OK)
        return st;
    if (opt->main)
        p->main = from_here(p, opt->main);
    else if (main.len)
        p->main = project_path(p, p->folder, main);
    if (p->main.len > 3 && slice_eq(slice_from(p->main, p->main.len - 3), SLICE_LIT(".py")))
        return error_set(err, STATUS_NOTIMPL, 0, "%.*s: Workers in Python are not available", SLICE_FMT(p->main));
    if (!p->main.len && !p->assets_directory.len)
        return error_set(err, STATUS_NOTFOUND, 0, "there is nothing to run: %s%s 'main' or 'assets.directory'%s",
                         p->config.path ? p->config.path : "no wrangler.jsonc or wrangler.toml here",
                         p->config.path ? " names neither" : " that names",
                         p->config.path ? "" : ", and no file was given");
    bool is_made = json_get_text(config_get(&p->config, "build"), "command").len > 0; /* by that command, perhaps */
    if (p->main.len && !is_made && access(p->main.ptr, R_OK) != 0)
        return error_errno(err, errno, "cannot read the Worker's entry file %.*s", SLICE_FMT(p->main));
    return STATUS_OK;
}

/* define and alias: objects whose values are text. */
static enum status take_map(struct project *p, const char *key, const struct json *map, const struct json **ret,
                            struct error *err)
{
    if (!map || map->type == JSON_NULL)
        return STATUS_OK;
    if (map->type != JSON_OBJECT)
        return project_invalid(p, err, "'%s' must be an object", key);
    for (const struct json *v = map->child; v; v = v->next)
        if (v->type != JSON_STRING)
            return project_invalid(p, err, "'%s.%.*s' must be text", key, SLICE_FMT(v->key));
    *ret = map;
    return STATUS_OK;
}

static enum status read_build_watch(struct project *p, const struct json *dirs, struct error *err)
{
    const struct json fallback = { .type = JSON_STRING, .text = SLICE_LIT("src") };
    const struct json *first = !dirs || dirs->type == JSON_NULL ? &fallback : dirs;

    if (first->type == JSON_ARRAY)
        first = first->child;
    p->build_watch = project_alloc(p, (dirs ? dirs->n : 0) + 1, sizeof(*p->build_watch));
    for (const struct json *d = first; d; d = dirs && dirs->type == JSON_ARRAY ? d->next : NULL) {
        if (d->type != JSON_STRING)
            return project_invalid(p, err, "'build.watch_dir' must be a path or a list of paths");
        p->build_watch[p->n_build_watch++] = project_path(p, p->folder, d->text);
    }
    return STATUS_OK;
}

static enum status read_build(struct project *p, struct error *err)
{
    const struct json *build = config_get(&p->config, "build");

    if (!build)
        return STATUS_OK;
    if (build->type != JSON_OBJECT)
        return project_invalid(p, err, "'build' must be an object");
    p->build_command = json_get_text(build, "command");
    p->build_cwd = project_path(p, p->folder, json_get_text(build, "cwd"));
    return read_build_watch(p, json_get(build, "watch_dir"), err);
}

static enum status read_bundling(struct project *p, const struct project_options *opt, struct error *err)
{
    struct slice tsconfig = SLICE_NONE;
    enum status st = take_map(p, "define", json_get(p->config.scope, "define"), &p->define, err);

    p->keep_names = true;
    if (st == STATUS_OK)
        st = take_map(p, "alias", json_get(p->config.root, "alias"), &p->alias, err);
    if (st == STATUS_OK)
        st = take_text(p, "tsconfig", &tsconfig, err);
    if (st == STATUS_OK)
        st = take_flag(p, "minify", &p->minify, err);
    if (st == STATUS_OK)
        st = take_flag(p, "no_bundle", &p->no_bundle, err);
    if (st == STATUS_OK)
        st = take_flag(p, "keep_names", &p->keep_names, err);
    p->find_modules = p->no_bundle || opt->no_bundle;
    if (st == STATUS_OK)
        st = take_flag(p, "find_additional_modules", &p->find_modules, err);
    if (st == STATUS_OK)
        st = read_build(p, err);
    if (st != STATUS_OK)
        return st;
    p->minify |= opt->minify;
    p->no_bundle |= opt->no_bundle;
    if (opt->tsconfig)
        p->tsconfig = from_here(p, opt->tsconfig);
    else if (tsconfig.len)
        p->tsconfig = project_path(p, p->folder, tsconfig);
    p->cli_define = opt->define;
    p->cli_alias = opt->alias;
    return STATUS_OK;
}

/* ---- rules ---- */

static const struct {
    const char *type;
    enum module_kind kind;
} rule_types[] = {
    { "ESModule", MODULE_ES }, { "CommonJS", MODULE_COMMON_JS }, { "Text", MODULE_TEXT },
    { "Data", MODULE_DATA },   { "CompiledWasm", MODULE_WASM },
};

static const struct project_rule default_rules[] = {
    { MODULE_TEXT, { "**/*.txt", 8 } },  { MODULE_TEXT, { "**/*.html", 9 } },
    { MODULE_TEXT, { "**/*.sql", 8 } },  { MODULE_DATA, { "**/*.bin", 8 } },
    { MODULE_WASM, { "**/*.wasm", 9 } }, { MODULE_WASM, { "**/*.wasm?module", 16 } },
};

static bool rule_kind(struct slice type, enum module_kind *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(rule_types); i++)
        if (slice_eq(type, slice_cstr(rule_types[i].type))) {
            *ret = rule_types[i].kind;
            return true;
        }
    return false;
}

/* As in wrangler, a rule that does not say "fallthrough" is the last of its kind, so it puts the defaults out of force. */
static enum status add_rule(struct project *p, const struct json *rule, unsigned *complete, struct error *err)
{
    const struct json *globs = json_get(rule, "globs");
    struct slice type = json_get_text(rule, "type");
    enum module_kind kind;

    if (!json_is(globs, JSON_ARRAY))
        return project_invalid(p, err, "a rule needs \"type\" and a list of \"globs\"");
    if (!rule_kind(type, &kind))
        return project_invalid(p, err, "rules: Dione has no modules of type '%.*s'", SLICE_FMT(type));
    for (const struct json *g = globs->child; g; g = g->next) {
        if (g->type != JSON_STRING)
            return project_invalid(p, err, "the globs of a rule must be texts");
        if (!(*complete & 1U << kind))
            p->rules[p->n_rules++] = (struct project_rule){ kind, g->text };
    }
    if (!json_is(json_get(rule, "fallthrough"), JSON_TRUE))
        *complete |= 1U << kind;
    return STATUS_OK;
}

static size_t count_globs(const struct json *rules)
{
    size_t n = ARRAY_LEN(default_rules);

    for (const struct json *r = rules ? rules->child : NULL; r; r = r->next) {
        const struct json *globs = json_get(r, "globs");
        n += json_is(globs, JSON_ARRAY) ? globs->n : 0;
    }
    return n;
}

static enum status read_rules(struct project *p, struct error *err)
{
    const struct json *rules = config_get(&p->config, "rules");
    unsigned complete = 0;

    if (rules && rules->type != JSON_ARRAY)
        return project_invalid(p, err, "'rules' must be a list");
    p->rules = project_alloc(p, count_globs(rules), sizeof(*p->rules));
    for (const struct json *r = rules ? rules->child : NULL; r; r = r->next) {
        enum status st = add_rule(p, r, &complete, err);
        if (st != STATUS_OK)
            return st;
    }
    for (size_t i = 0; i < ARRAY_LEN(default_rules); i++)
        if (!(complete & 1U << default_rules[i].kind))
            p->rules[p->n_rules++] = default_rules[i];
    return STATUS_OK;
}

/* ---- all of it ---- */

static enum status refuse_other_products(const struct project *p, struct error *err)
{
    if (config_get(&p->config, "pages_build_output_dir"))
        return project_invalid(p, err, "this is a Pages project (pages_build_output_dir); Dione runs Workers");
    if (config_get(&p->config, "site"))
        return project_invalid(p, err, "'site' (Workers Sites) is not available: use 'assets' for static files");
    return STATUS_OK;
}

static enum status read_all(struct project *p, const struct project_options *opt, struct error *err)
{
    enum status st = refuse_other_products(p, err);

    if (st == STATUS_OK)
        st = find_folder(p, err);
    if (st == STATUS_OK)
        st = read_name(p, opt, err);
    if (st == STATUS_OK)
        st = take_text(p, "compatibility_date", &p->compatibility_date, err);
    if (st == STATUS_OK)
        st = read_flags(p, opt, err);
    if (st == STATUS_OK)
        st = read_crons(p, err);
    if (st == STATUS_OK)
        st = read_routes(p, err);
    if (st == STATUS_OK)
        st = read_assets(p, opt, err);
    if (st == STATUS_OK)
        st = read_main(p, opt, err);
    if (st == STATUS_OK)
        st = read_bundling(p, opt, err);
    if (st == STATUS_OK)
        st = read_rules(p, err);
    if (st == STATUS_OK)
        st = project_read_bindings(p, &opt->vars, err);
    if (opt->compatibility_date)
        p->compatibility_date = slice_cstr(opt->compatibility_date);
    return st;
}

enum status project_load(const struct project_options *opt, struct project *ret, struct error *err)
{
    struct project p = { 0 };
    enum status st = config_load(opt->config, opt->env, &p.config, err);

    if (st != STATUS_OK)
        return st;
    st = read_all(&p, opt, err);
    if (st != STATUS_OK) {
        project_release(&p);
        return st;
    }
    *ret = p;
    return STATUS_OK;
}

void project_release(struct project *p)
{
    config_release(&p->config);
    *p = (struct project){ 0 };
}

bool project_has_flag(const struct project *p, const char *flag)
{
    for (size_t i = 0; i < p->n_compatibility_flags; i++)
        if (slice_eq(p->compatibility_flags[i], slice_cstr(flag)))
            return true;
    return false;
}

bool project_date_reaches(const struct project *p, const char *day)
{
    size_t len = strlen(day);

    return !p->compatibility_date.len ||
           (p->compatibility_date.len == len && memcmp(p->compatibility_date.ptr, day, len) >= 0);
}
