/*
 * bundle_esbuild.c - runs esbuild over the entry file and reads its metafile.
 *
 * Some of what wrangler does with plugins in esbuild's process is done here with flags and, where the first result tells
 * that it is needed, by running it again (a bundle takes some ten milliseconds):
 *
 * - An imported file of a rule (text, data, WebAssembly) is copied beside the bundle by the `copy` loader and becomes a
 *   module. Loaders go by extension, so a rule is applied by the end of its glob.
 * - `require("node:x")` inside CommonJS packages has no meaning in an ES module: then those modules are imported first, and
 *   a `require` of our own hands out their default exports, which are what Node's `require` gives. (workerd's createRequire
 *   gives namespaces: require("events") would be no class.)
 * - With nodejs_compat, "buffer" is an alias of "node:buffer".
 * - A bundle without exports is a service-worker script, which must not be an ES module.
 */
#include "cli/bundle_internal.h"
#include "cli/files.h"
#include "cli/node_builtins.h"
#include "cli/subprocess.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define META_NAME "bundle-meta.json"
#define NODE_PREFIX "node:"

enum { META_MAX_BYTES = 256 * 1024 * 1024 };

/* What the passes so far have taught. */
struct lessons {
    bool service_worker;
    struct slice required[NODE_BUILTINS * 2]; /* "node:x", by CommonJS; in the bundle's arena */
    size_t n_required;
};

/* ---- the program ---- */

static bool try_program(char *path, char **ret)
{
    if (access(path, X_OK) == 0) {
        *ret = path;
        return true;
    }
    free(path);
    return false;
}

static char *format(const char *fmt, ...) PRINTF_LIKE(1, 2);

static char *format(const char *fmt, ...)
{
    va_list args;
    char *text;

    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        abort();
    va_end(args);
    return text;
}

#if defined(__aarch64__)
#define ESBUILD_PACKAGE "@esbuild/linux-arm64"
#else
#define ESBUILD_PACKAGE "@esbuild/linux-x64"
#endif

/* DIONE_ESBUILD, else what lies beside this program, else PATH. The caller frees it. */
static enum status find_esbuild(char **ret, struct error *err)
{
    const char *named = getenv("DIONE_ESBUILD"), *path = getenv("PATH");
    char self[PATH_MAX];

    if (named && *named) {
        if (try_program(format("%s", named), ret))
            return STATUS_OK;
        return error_errno(err, errno, "DIONE_ESBUILD is '%s', which cannot be run", named);
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    int folder_len = slash ? (int)(slash - self) : 0;
    if (slash &&
        (try_program(format("%.*s/esbuild", folder_len, self), ret) ||
         try_program(format("%.*s/../deps/node_modules/" ESBUILD_PACKAGE "/bin/esbuild", folder_len, self), ret)))
        return STATUS_OK;
    for (struct slice rest = slice_cstr(path); rest.ptr;) {
        struct slice folder = slice_cut(&rest, ':');
        if (folder.len && try_program(format("%.*s/esbuild", SLICE_FMT(folder)), ret))
            return STATUS_OK;
    }
    return error_set(err, STATUS_NOTFOUND, 0,
                     "no esbuild: `./run --build` installs it in deps/, DIONE_ESBUILD names another, and "
                     "\"no_bundle\": true does without");
}

/* ---- arguments ---- */

static bool has_node_compat(const struct project *p)
{
    return project_has_flag(p, "nodejs_compat") || project_has_flag(p, "nodejs_compat_v2");
}

/* From this date on the flag means Node's modules without prefix, and its globals. */
static bool has_node_names(const struct project *p)
{
    if (project_has_flag(p, "nodejs_compat_v2"))
        return true;
    return project_has_flag(p, "nodejs_compat") && !project_has_flag(p, "no_nodejs_compat_v2") &&
           project_date_reaches(p, "2024-09-23");
}

static bool has_navigator(const struct project *p)
{
    if (project_has_flag(p, "global_navigator"))
        return true;
    return !project_has_flag(p, "no_global_navigator") && project_date_reaches(p, "2022-03-21");
}

static void add_defines(struct arguments *args, const struct bundle_work *w)
{
    static const char *const names[] = { "process.env.NODE_ENV", "global.process.env.NODE_ENV",
                                         "globalThis.process.env.NODE_ENV" };
    const char *mode = getenv("NODE_ENV");
    const struct project *p = w->project;
    struct buf value = { 0 };

    json_write_cstr(&value, mode && *mode ? mode : w->opt->development ? "development" : "production");
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        arguments_add(args, "--define:%s=%s", names[i], value.ptr);
    buf_release(&value);
    if (has_navigator(p))
        arguments_add(args, "--define:navigator.userAgent=\"Cloudflare-Workers\"");
    for (const struct json *v = p->define ? p->define->child : NULL; v; v = v->next)
        arguments_add(args, "--define:%.*s=%.*s", SLICE_FMT(v->key), SLICE_FMT(v->text));
}

/* "KEY:VALUE" of the command line. */
static enum status add_pairs(struct arguments *args, const char *option, const struct option_list *pairs,
                             struct error *err)
{
    for (size_t i = 0; i < pairs->n; i++) {
        struct slice value = slice_cstr(pairs->items[i]), key = slice_cut(&value, ':');
        if (!key.len || !value.len)
            return error_set(err, STATUS_INVALID, 0, "--%s takes KEY:VALUE, not '%s'", option, pairs->items[i]);
        arguments_add(args, "--%s:%.*s=%.*s", option, SLICE_FMT(key), SLICE_FMT(value));
    }
    return STATUS_OK;
}

static void add_aliases(struct arguments *args, const struct bundle_work *w)
{
    const struct project *p = w->project;

    for (const struct json *v = p->alias ? p->alias->child : NULL; v; v = v->next)
        arguments_add(args, "--alias:%.*s=%.*s", SLICE_FMT(v->key), SLICE_FMT(v->text));
    for (const struct node_builtin *n = node_builtins; has_node_names(p) && n < node_builtins + NODE_BUILTINS; n++)
        if (!n->needs_prefix && !json_get(p->alias, n->name))
            arguments_add(args, "--alias:%s=" NODE_PREFIX "%s", n->name, n->name);
}

/* ".html" of "pages/" + "*.html": from the first dot behind the last star or slash. Without "?module". */
static struct slice glob_extension(struct slice glob)
{
    struct slice end = glob;

    for (size_t i = 0; i < glob.len; i++)
        if (glob.ptr[i] == '*' || glob.ptr[i] == '/')
            end = slice_from(glob, i + 1);
    const char *dot = end.len ? memchr(end.ptr, '.', end.len) : NULL;
    if (!dot)
        return SLICE_NONE;
    end = slice_from(end, (size_t)(dot - end.ptr));
    return slice_cut(&end, '?');
}

static bool is_code(struct slice extension)
{
    static const char *const code[] = { ".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx", ".json" };

    for (size_t i = 0; i < ARRAY_LEN(code); i++)
        if (slice_eq(extension, slice_cstr(code[i])))
            return true;
    return false;
}

static bool is_script(enum module_kind kind)
{
    return kind == MODULE_ES || kind == MODULE_COMMON_JS;
}

static enum status add_loaders(struct arguments *args, const struct project *p, struct error *err)
{
    for (size_t i = 0; i < p->n_rules; i++) {
        struct slice extension = glob_extension(p->rules[i].glob);
        if (is_script(p->rules[i].kind))
            continue; /* esbuild's own business */
        if (extension.len < 2 || is_code(extension))
            return error_set(err, STATUS_INVALID, 0,
                             "the rule for '%.*s' cannot be followed while bundling, which tells files by their "
                             "extension: give those files one of their own, or set \"no_bundle\": true",
                             SLICE_FMT(p->rules[i].glob));
        arguments_add(args, "--loader:%.*s=copy", SLICE_FMT(extension));
    }
    return STATUS_OK;
}

static void add_text_option(struct arguments *args, const struct project *p, const char *key, const char *option)
{
    const struct json *v = config_get(&p->config, key);

    if (json_is(v, JSON_STRING) && v->text.len)
        arguments_add(args, "--%s=%.*s", option, SLICE_FMT(v->text));
}

static void add_common(struct arguments *args, const struct bundle_work *w)
{
    const struct project *p = w->project;

    arguments_add(args, "--log-level=warning");
    arguments_add(args, "--color=%s", w->opt->color ? "true" : "false");
    arguments_add(args, "--metafile=%s/" META_NAME, w->opt->folder);
    arguments_add(args, "--outdir=%s", w->opt->folder);
    arguments_add(args, "--target=es2024");
    arguments_add(args, "--supported:using=true"); /* newer than es2024, and known to workerd */
    arguments_add(args, "--supported:import-source=true");
    arguments_add(args, "--loader:.js=jsx");
    arguments_add(args, "--loader:.mjs=jsx");
    arguments_add(args, "--loader:.cjs=jsx");
    if (p->tsconfig.len)
        arguments_add(args, "--tsconfig=%.*s", SLICE_FMT(p->tsconfig));
}

/* One line at the start of the bundle; line numbers of its source map follow. */
static void add_require(struct arguments *args, const struct lessons *learnt)
{
    struct buf code = { 0 };

    for (size_t i = 0; i < learnt->n_required; i++)
        buf_printf(&code, "import required%zu from \"%.*s\"; ", i, SLICE_FMT(learnt->required[i]));
    buf_append_cstr(&code, "const require = ((modules) => (name) => { if (Object.hasOwn(modules, name)) return "
                           "modules[name]; throw new Error(`Cannot find module '${name}'`); })({ ");
    for (size_t i = 0; i < learnt->n_required; i++)
        buf_printf(&code, "\"%.*s\": required%zu, ", SLICE_FMT(learnt->required[i]), i);
    buf_append_cstr(&code, "});");
    arguments_add(args, "--banner:js=%s", code.ptr);
    buf_release(&code);
}

static enum status add_all(struct arguments *args, const struct bundle_work *w, const struct lessons *learnt,
                           struct error *err)
{
    const struct project *p = w->project;

    arguments_add(args, "%.*s", SLICE_FMT(p->main));
    arguments_add(args, "--bundle");
    arguments_add(args, "--format=%s", learnt->service_worker ? "iife" : "esm");
    arguments_add(args, "--conditions=workerd,worker,browser");
    arguments_add(args, "--external:" NODE_PREFIX "*");
    arguments_add(args, "--external:cloudflare:*");
    arguments_add(args, "--external:workerd:*");
    arguments_add(args, "--sourcemap");
    arguments_add(args, "--asset-names=[name]-[hash]");
    if (p->minify)
        arguments_add(args, "--minify");
    if (p->keep_names)
        arguments_add(args, "--keep-names");
    add_common(args, w);
    add_text_option(args, p, "jsx_factory", "jsx-factory");
    add_text_option(args, p, "jsx_fragment", "jsx-fragment");
    if (learnt->n_required)
        add_require(args, learnt);
    add_defines(args, w);
    add_aliases(args, w);
    enum status st = add_pairs(args, "define", &p->cli_define, err);
    if (st == STATUS_OK)
        st = add_pairs(args, "alias", &p->cli_alias, err);
    return st == STATUS_OK ? add_loaders(args, p, err) : st;
}

/* ---- running it ---- */

static enum status failed(const struct bundle_work *w, const struct buf *said, int code, struct error *err)
{
    if (said->ptr && strstr(said->ptr, "is built into node") && !has_node_names(w->project))
        return error_set(err, STATUS_INVALID, 0,
                         "the bundle cannot be made: for Node's modules, add \"nodejs_compat\" to compatibility_flags "
                         "(with a compatibility_date from 2024-09-23 on)");
    return error_set(err, STATUS_INVALID, 0, "the bundle cannot be made (esbuild ended with exit code %d)", code);
}

/* *ret_said: what esbuild said, to be released by the caller. */
static enum status run(const struct bundle_work *w, struct arguments *args, struct buf *ret_said, struct error *err)
{
    int code = 0;
    enum status st = subprocess_run(args->items, w->project->folder.ptr, ret_said, &code, err);

    return st == STATUS_OK && code != 0 ? failed(w, ret_said, code, err) : st;
}

/* The metafile's "outputs" and "inputs"; the tree lives in the bundle's arena. */
static enum status read_meta(struct bundle_work *w, const struct json **ret, struct error *err)
{
    struct slice path = bundle_join(&w->out, slice_cstr(w->opt->folder), SLICE_LIT(META_NAME));
    struct buf text = { .limit = META_MAX_BYTES };
    struct json *root = NULL;
    enum status st = file_read(path.ptr, &text, err);

    if (st == STATUS_OK)
        st = json_parse(bundle_keep(&w->out, buf_slice(&text)), JSON_STRICT, &w->out.arena, &root, err);
    buf_release(&text);
    if (st != STATUS_OK)
        return error_prefix(err, "esbuild's metafile");
    (void)unlink(path.ptr); /* in a folder of our own; at worst it stays */
    *ret = root;
    return STATUS_OK;
}

/* The output made from the entry file. */
static const struct json *entry_output(const struct json *meta)
{
    const struct json *outputs = json_get(meta, "outputs");

    for (const struct json *o = outputs ? outputs->child : NULL; o; o = o->next)
        if (json_get(o, "entryPoint"))
            return o;
    return NULL;
}

static enum status pass(struct bundle_work *w, const char *esbuild, const struct lessons *learnt, struct buf *said,
                        const struct json **ret_meta, struct error *err)
{
    struct arguments args = { 0 };

    arguments_add(&args, "%s", esbuild);
    enum status st = add_all(&args, w, learnt, err);
    buf_clear(said);
    if (st == STATUS_OK)
        st = run(w, &args, said, err);
    arguments_release(&args);
    if (st == STATUS_OK)
        st = read_meta(w, ret_meta, err);
    if (st == STATUS_OK && !entry_output(*ret_meta))
        st = error_set(err, STATUS_INTERNAL, 0, "esbuild's metafile has no output for the entry file");
    return st;
}

/* ---- what a pass teaches ---- */

static bool is_node_require(const struct json *import)
{
    return json_is(json_get(import, "external"), JSON_TRUE) &&
           slice_starts(json_get_text(import, "path"), SLICE_LIT(NODE_PREFIX)) &&
           slice_eq(json_get_text(import, "kind"), SLICE_LIT("require-call"));
}

static bool is_known(const struct lessons *learnt, struct slice path)
{
    for (size_t i = 0; i < learnt->n_required; i++)
        if (slice_eq(learnt->required[i], path))
            return true;
    return learnt->n_required == ARRAY_LEN(learnt->required); /* there are not that many */
}

/* Whether there is reason to run it again. */
static bool learn(const struct project *p, const struct json *meta, struct lessons *learnt)
{
    const struct json *entry = entry_output(meta), *exports = json_get(entry, "exports");
    const struct json *imports = json_get(entry, "imports");
    struct lessons before = *learnt;

    learnt->service_worker |= exports && !exports->n;
    if (learnt->service_worker)
        learnt->n_required = 0; /* a script cannot import */
    for (const struct json *i = imports ? imports->child : NULL; i && !learnt->service_worker; i = i->next)
        if (is_node_require(i) && has_node_compat(p) && !is_known(learnt, json_get_text(i, "path")))
            learnt->required[learnt->n_required++] = json_get_text(i, "path");
    return learnt->service_worker != before.service_worker || learnt->n_required != before.n_required;
}

static void recall(struct bundle_work *w, struct lessons *learnt)
{
    const struct bundle *before = w->opt->before;

    for (size_t i = 0; before && i < before->n_required; i++)
        learnt->required[learnt->n_required++] = bundle_keep(&w->out, before->required[i]);
}

/* ---- the result ---- */

/* Paths of the metafile start at the project's folder; "../" leads out of it. */
static struct slice meta_path(struct bundle_work *w, struct slice path)
{
    struct slice folder = w->project->folder;

    if (path.len && path.ptr[0] == '/')
        return bundle_keep(&w->out, path);
    while (slice_starts(path, SLICE_LIT("../"))) {
        path = slice_from(path, 3);
        while (folder.len && folder.ptr[folder.len - 1] != '/')
            folder.len--;
        folder.len -= folder.len > 0;
    }
    return bundle_join(&w->out, folder, path);
}

static struct slice base_name(struct slice path)
{
    for (size_t i = path.len; i > 0; i--)
        if (path.ptr[i - 1] == '/')
            return slice_from(path, i);
    return path;
}

/* By the end of the glob, as the loaders were chosen. */
static enum module_kind kind_of(const struct project *p, struct slice name)
{
    for (size_t i = 0; i < p->n_rules; i++) {
        struct slice rest = name, extension = glob_extension(p->rules[i].glob), file = slice_cut(&rest, '?');
        if (!is_script(p->rules[i].kind) && file.len > extension.len &&
            slice_eq(slice_from(file, file.len - extension.len), extension))
            return p->rules[i].kind;
    }
    return MODULE_DATA;
}

/* An import that is left in the bundle and is not external is a file that was copied beside it. */
static enum status add_copied(struct bundle_work *w, const struct json *import, struct error *err)
{
    struct slice path = json_get_text(import, "path");

    if (json_is(json_get(import, "external"), JSON_TRUE) || !path.len)
        return STATUS_OK;
    if (w->out.is_service_worker)
        return error_set(err, STATUS_INVALID, 0,
                         "a Worker without exports (service-worker format) cannot import files such as '%.*s': export "
                         "a default object with a fetch method instead",
                         SLICE_FMT(path));
    struct slice name = base_name(path), full = meta_path(w, path);
    if (bundle_has_module(&w->out, name))
        return STATUS_OK;
    const char *query = memchr(full.ptr, '?', full.len); /* "x.wasm?module" is the file x.wasm */
    if (query)
        full = bundle_keep(&w->out, slice_of(full.ptr, (size_t)(query - full.ptr)));
    bundle_add_module(&w->out, bundle_keep(&w->out, name), kind_of(w->project, name), full);
    return STATUS_OK;
}

static void add_inputs(struct bundle_work *w, const struct json *meta)
{
    const struct json *inputs = json_get(meta, "inputs");

    for (const struct json *i = inputs ? inputs->child : NULL; i; i = i->next) {
        struct slice rest = i->key;
        if (slice_starts(i->key, SLICE_LIT("<")) || memchr(i->key.ptr, ':', i->key.len))
            continue; /* esbuild's own: "<runtime>", "(disabled):x" */
        bundle_add_input(&w->out, meta_path(w, slice_cut(&rest, '?')));
    }
}

/* For the next bundle of the project. */
static void keep_lessons(struct bundle_work *w, const struct lessons *learnt)
{
    w->out.required = arena_alloc(&w->out.arena, sizeof(learnt->required));
    if (!w->out.required)
        abort();
    memcpy(w->out.required, learnt->required, sizeof(learnt->required));
    w->out.n_required = learnt->n_required;
}

/* Unless the project says "disable_..." itself. */
static bool is_switched_off(const struct project *p, const char *flag)
{
    char off[64];

    snprintf(off, sizeof(off), "dis%s", flag + 2); /* "enable_x" becomes "disable_x" */
    return project_has_flag(p, off);
}

static void add_flag(struct bundle_work *w, const char *flag, const char *since)
{
    const struct project *p = w->project;

    if (project_date_reaches(p, since) || project_has_flag(p, flag) || is_switched_off(p, flag))
        return;
    for (size_t i = 0; i < w->out.n_flags; i++)
        if (slice_eq(w->out.flags[i], slice_cstr(flag)))
            return;
    bundle_add_flag(&w->out, slice_cstr(flag));
}

/* What wrangler would polyfill: modules of Node that the date does not offer yet, and the whole of `process`. */
static void add_node_flags(struct bundle_work *w, const struct json *imports)
{
    if (!has_node_names(w->project))
        return;
    add_flag(w, "enable_nodejs_process_v2", "2025-09-15");
    for (const struct json *i = imports ? imports->child : NULL; i; i = i->next) {
        const struct node_builtin *n = node_builtin_of(json_get_text(i, "path"));
        if (n && n->flag)
            add_flag(w, n->flag, n->since);
    }
}

static enum status take_result(struct bundle_work *w, const struct json *meta, const struct lessons *learnt,
                               struct error *err)
{
    const struct json *entry = entry_output(meta), *imports = json_get(entry, "imports");
    struct slice path = meta_path(w, entry->key);
    enum status st = STATUS_OK;

    w->out.is_service_worker = learnt->service_worker;
    bundle_add_module(&w->out, base_name(path), MODULE_ES, path);
    for (const struct json *i = imports ? imports->child : NULL; i && st == STATUS_OK; i = i->next)
        st = add_copied(w, i, err);
    struct slice map = arena_join(&w->out.arena, bundle_keep(&w->out, path), SLICE_LIT(".map"));
    if (map.ptr && access(map.ptr, R_OK) == 0)
        w->out.source_map = map;
    add_node_flags(w, imports);
    add_inputs(w, meta);
    keep_lessons(w, learnt);
    return st;
}

enum status bundle_with_esbuild(struct bundle_work *w, struct error *err)
{
    struct lessons learnt = { 0 };
    const struct json *meta = NULL;
    struct buf said = { 0 };
    char *esbuild = NULL;
    enum status st = find_esbuild(&esbuild, err);

    if (st != STATUS_OK)
        return st;
    recall(w, &learnt);
    do /* each lesson is learnt once, so this ends */
        st = pass(w, esbuild, &learnt, &said, &meta, err);
    while (st == STATUS_OK && learn(w->project, meta, &learnt));
    buf_append_slice(w->messages, buf_slice(&said));
    buf_release(&said);
    free(esbuild);
    if (st == STATUS_OK)
        st = take_result(w, meta, &learnt, err);
    return st == STATUS_OK ? bundle_find_modules(w, err) : st;
}

/* ---- for projects that are not bundled ---- */

enum status bundle_guess_format(struct bundle_work *w, bool *ret_service_worker, struct error *err)
{
    struct arguments args = { 0 };
    const struct json *meta = NULL;
    struct buf said = { 0 };
    char *esbuild = NULL;
    enum status st = find_esbuild(&esbuild, err);

    if (st != STATUS_OK)
        return st;
    arguments_add(&args, "%s", esbuild);
    arguments_add(&args, "%.*s", SLICE_FMT(w->project->main));
    add_common(&args, w);
    st = run(w, &args, &said, err);
    if (st == STATUS_OK)
        st = read_meta(w, &meta, err);
    if (st == STATUS_OK) {
        const struct json *entry = entry_output(meta), *exports = json_get(entry, "exports");
        *ret_service_worker = exports && !exports->n;
        (void)unlink(meta_path(w, entry->key).ptr); /* only the metafile was wanted */
    }
    buf_append_slice(w->messages, buf_slice(&said));
    buf_release(&said);
    arguments_release(&args);
    free(esbuild);
    return st;
}
