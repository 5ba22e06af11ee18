/* edition.c - see edition.h. */
#include "cli/edition.h"

#include "base/clock.h"
#include "base/ids.h"
#include "cli/kv.h"

#include <errno.h>
#include <fts.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

enum { ARENA_BYTES = 64 * 1024 * 1024, DATE_LEN = 10, SHOWN_MAX = 60 };

struct making {
    const struct edition_options *opt;
    struct session *session;
    struct buf *messages;
    struct edition *e;
    struct worker_binding *bindings; /* of the spec */
};

static struct slice keep(struct edition *e, struct slice s)
{
    struct slice kept = arena_copy(&e->arena, s);

    if (!kept.ptr)
        abort();
    return kept;
}

static void say(struct making *m, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void say(struct making *m, const char *fmt, ...)
{
    char text[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    buf_printf(m->messages, "%s\n", text);
}

/* The line that is shown for a binding. */
static void show(struct making *m, const struct project_binding *b, struct slice what)
{
    struct buf line = { 0 };
    bool cut = what.len > SHOWN_MAX;

    buf_printf(&line, "env.%-16.*s %-18s %.*s%s", SLICE_FMT(b->name), project_binding_label(b),
               cut ? SHOWN_MAX : (int)what.len, what.ptr ? what.ptr : "", cut ? "..." : "");
    m->e->bound[m->e->n_bound++] = line.ptr;
}

/* ---- bindings ---- */

static enum status bind_d1(struct making *m, const struct project_binding *b, struct worker_binding *ret,
                           struct error *err)
{
    struct slice binding = keep(m->e, b->name);
    struct database d = { 0 };
    enum status st = database_find(m->session, binding.ptr, &d, err);

    if (st == STATUS_OK) {
        *ret = (struct worker_binding){ .name = binding, .kind = BINDING_D1, .value = keep(m->e, d.id) };
        show(m, b, d.name);
    }
    database_release(&d);
    return st;
}

static enum status bind_kv(struct making *m, const struct project_binding *b, struct worker_binding *ret,
                           struct error *err)
{
    struct slice binding = keep(m->e, b->name);
    const struct kv_options options = {
        .binding = binding.ptr,
        .preview = json_get_text(b->entry, "preview_id").len > 0, /* what `wrangler dev` takes */
    };
    struct kv_target n = { 0 };
    enum status st = kv_target_find(&options, m->session, &n, err);

    if (st == STATUS_OK) {
        struct slice id = keep(m->e, slice_cstr(n.id));
        *ret = (struct worker_binding){ .name = binding, .kind = BINDING_KV, .value = id };
        show(m, b, id);
    }
    kv_target_release(&n);
    return st;
}

static void bind_value(struct making *m, const struct project_binding *b, enum binding_kind kind)
{
    m->bindings[m->e->spec.n_bindings++] = (struct worker_binding){ .name = b->name, .kind = kind, .value = b->value };
}

static void bind_service(struct making *m, const struct project_binding *b)
{
    const struct json *props = json_get(b->entry, "props");
    struct worker_binding bound = { b->name, BINDING_SERVICE, b->target, b->entrypoint, SLICE_NONE };
    struct buf text = { 0 };

    if (props) {
        json_write_value(&text, props);
        bound.props = keep(m->e, buf_slice(&text));
        buf_release(&text);
    }
    m->bindings[m->e->spec.n_bindings++] = bound;
    show(m, b, b->target);
    if (!slice_eq(b->target, m->e->spec.name))
        say(m, "env.%.*s: the Worker '%.*s' does not run beside this one, so calls to it fail", SLICE_FMT(b->name),
            SLICE_FMT(b->target));
}

static enum status bind_one(struct making *m, const struct project_binding *b, struct error *err)
{
    struct worker_binding *next = &m->bindings[m->e->spec.n_bindings];
    enum status st = STATUS_OK;

    switch (b->kind) {
    case PROJECT_TEXT:
        bind_value(m, b, BINDING_TEXT);
        show(m, b, b->value);
        break;
    case PROJECT_JSON:
        bind_value(m, b, BINDING_JSON);
        show(m, b, b->value);
        break;
    case PROJECT_SECRET:
        bind_value(m, b, BINDING_TEXT);
        show(m, b, SLICE_LIT("(hidden)"));
        break;
    case PROJECT_D1:
        st = bind_d1(m, b, next, err);
        m->e->spec.n_bindings += st == STATUS_OK;
        break;
    case PROJECT_KV:
        st = bind_kv(m, b, next, err);
        m->e->spec.n_bindings += st == STATUS_OK;
        break;
    case PROJECT_SERVICE:
        bind_service(m, b);
        break;
    case PROJECT_ASSETS:
        bind_value(m, b, BINDING_ASSETS);
        show(m, b, m->e->project.assets_directory);
        break;
    case PROJECT_VERSION_METADATA:
        bind_value(m, b, BINDING_VERSION_METADATA);
        show(m, b, SLICE_NONE);
        break;
    case PROJECT_WASM:
        bind_value(m, b, BINDING_WASM);
        show(m, b, b->value);
        break;
    case PROJECT_TEXT_FILE:
        bind_value(m, b, BINDING_TEXT_FILE);
        show(m, b, b->value);
        break;
    case PROJECT_DATA_FILE:
        bind_value(m, b, BINDING_DATA);
        show(m, b, b->value);
        break;
    case PROJECT_FOREIGN:
        say(m, "env.%.*s is a binding of a kind that Dione does not have (%.*s): it is undefined in the Worker",
            SLICE_FMT(b->name), SLICE_FMT(b->target));
        break;
    }
    return st;
}

static enum status bind_all(struct making *m, struct error *err)
{
    const struct project *p = &m->e->project;
    enum status st = STATUS_OK;

    m->bindings = arena_zalloc(&m->e->arena, (p->n_bindings + 1) * sizeof(*m->bindings));
    m->e->bound = calloc(p->n_bindings + 1, sizeof(*m->e->bound));
    if (!m->bindings || !m->e->bound)
        abort();
    for (size_t i = 0; i < p->n_bindings && st == STATUS_OK; i++) {
        st = bind_one(m, &p->bindings[i], err);
        if (st != STATUS_OK)
            (void)error_prefix(err, "env.%.*s", SLICE_FMT(p->bindings[i].name)); /* st says it already */
    }
    m->e->spec.bindings = m->bindings;
    return st;
}

/* ---- the rest of the spec ---- */

/* As wrangler does: without a date, and for one that this workerd is too old for, the newest it has. */
static void choose_date(struct making *m)
{
    struct project *p = &m->e->project;
    char today[CLOCK_ISO_LEN + 1];

    clock_iso(clock_wall_ms(), today);
    const char *newest = m->opt->newest_date && memcmp(m->opt->newest_date, today, DATE_LEN) < 0 ? m->opt->newest_date
                                                                                                 : today;
    struct slice newest_date = keep(m->e, slice_of(newest, DATE_LEN));
    if (!p->compatibility_date.len) {
        say(m, "no compatibility_date is set: taking %s, the newest", newest_date.ptr);
        p->compatibility_date = newest_date;
    } else if (p->compatibility_date.len == DATE_LEN && memcmp(p->compatibility_date.ptr, today, DATE_LEN) <= 0 &&
               memcmp(p->compatibility_date.ptr, newest_date.ptr, DATE_LEN) > 0) {
        say(m, "this workerd knows compatibility dates up to %s: taking that instead of %.*s", newest_date.ptr,
            SLICE_FMT(p->compatibility_date));
        p->compatibility_date = newest_date;
    }
}

static enum status make_folder(struct making *m, struct error *err)
{
    if (asprintf(&m->e->folder, "%s/bundle-XXXXXX", m->opt->root) < 0)
        abort();
    if (mkdtemp(m->e->folder))
        return STATUS_OK;
    free(TAKE_PTR(m->e->folder));
    return error_errno(err, errno, "cannot make a folder in %s", m->opt->root);
}

/* The project's own, then those of the bundle. */
static void add_flags(struct edition *e)
{
    size_t n = e->project.n_compatibility_flags, more = e->bundle.n_flags;
    struct slice *flags = arena_alloc(&e->arena, (n + more + 1) * sizeof(*flags));

    if (!flags)
        abort();
    if (n)
        memcpy(flags, e->project.compatibility_flags, n * sizeof(*flags));
    if (more)
        memcpy(flags + n, e->bundle.flags, more * sizeof(*flags));
    e->spec.compatibility_flags = flags;
    e->spec.n_compatibility_flags = n + more;
}

static void fill_spec(struct making *m)
{
    struct edition *e = m->e;
    char id[UUID_LEN + 1];

    uuid_new(id);
    e->spec.version_id = keep(e, slice_cstr(id));
    e->spec.version_created_ms = clock_wall_ms();
    e->spec.modules = e->bundle.modules;
    e->spec.n_modules = e->bundle.n_modules;
    e->spec.is_service_worker = e->bundle.is_service_worker;
    e->spec.compatibility_date = e->project.compatibility_date;
    add_flags(e);
    if (e->project.assets_directory.len)
        e->spec.assets_id = m->opt->assets_id;
}

static void digest_text(XXH3_state_t *state, struct slice s)
{
    XXH3_64bits_update(state, &s.len, sizeof(s.len));
    if (s.len)
        XXH3_64bits_update(state, s.ptr, s.len);
}

/* Of all that makes a difference to the process; ids and times of the version do not. */
static uint64_t digest(const struct edition *e)
{
    XXH3_state_t *state = XXH3_createState();

    if (!state)
        abort();
    XXH3_64bits_reset(state);
    XXH3_64bits_update(state, &e->bundle.digest, sizeof(e->bundle.digest));
    digest_text(state, e->spec.name);
    digest_text(state, e->spec.compatibility_date);
    digest_text(state, e->project.assets_directory);
    for (size_t i = 0; i < e->spec.n_compatibility_flags; i++)
        digest_text(state, e->spec.compatibility_flags[i]);
    for (size_t i = 0; i < e->spec.n_bindings; i++) {
        const struct worker_binding *b = &e->spec.bindings[i];
        XXH3_64bits_update(state, &b->kind, sizeof(b->kind));
        digest_text(state, b->name);
        digest_text(state, b->value);
        digest_text(state, b->entrypoint);
        digest_text(state, b->props);
    }
    uint64_t result = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return result;
}

/* ---- all of it ---- */

static enum status make(struct making *m, struct error *err)
{
    struct edition *e = m->e;
    enum status st = project_load(m->opt->project, &e->project, err);

    if (st == STATUS_OK)
        st = project_read_secrets(&e->project, &m->opt->project->env_files, err);
    if (st != STATUS_OK)
        return st;
    e->spec.name = slice_cstr(m->opt->name);
    project_append_remarks(&e->project, m->messages);
    choose_date(m);
    if (m->opt->run_command)
        st = bundle_run_command(&e->project, err);
    if (st == STATUS_OK)
        st = bind_all(m, err);
    if (st == STATUS_OK)
        st = make_folder(m, err);
    if (st != STATUS_OK)
        return st;
    const struct bundle_options bundling = {
        .folder = e->folder,
        .development = true,
        .color = m->opt->color,
        .before = m->opt->before ? &m->opt->before->bundle : NULL,
    };
    st = bundle_build(&e->project, &bundling, &e->bundle, m->messages, err);
    if (st == STATUS_OK) {
        fill_spec(m);
        e->digest = digest(e);
    }
    return st;
}

enum status edition_make(const struct edition_options *opt, struct session *s, struct edition **ret,
                         struct buf *messages, struct error *err)
{
    struct edition *e = calloc(1, sizeof(*e));
    struct making m = { .opt = opt, .session = s, .messages = messages, .e = e };

    if (!e)
        abort();
    arena_init(&e->arena, ARENA_BYTES);
    enum status st = make(&m, err);
    if (st != STATUS_OK) {
        edition_free(e);
        return st;
    }
    *ret = e;
    return STATUS_OK;
}

/* ---- questions ---- */

static bool ends_in(struct slice name, const char *end)
{
    struct slice e = slice_cstr(end);

    return name.len >= e.len && slice_eq(slice_from(name, name.len - e.len), e);
}

/* Code, configuration, secrets, migrations: a new one may count though it was not there before. */
static bool is_of_a_kind(struct slice name)
{
    static const char *const ends[] = { ".js",  ".mjs", ".cjs",  ".jsx",   ".ts",   ".mts",
                                        ".cts", ".tsx", ".json", ".jsonc", ".toml", ".sql" };
    static const char *const starts[] = { ".dev.vars", ".env" };

    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (ends_in(name, ends[i]))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(starts); i++)
        if (slice_starts(name, slice_cstr(starts[i])))
            return true;
    return false;
}

bool edition_is_made_of(const struct edition *e, struct slice path)
{
    const struct project *p = &e->project;
    struct slice name = path;

    for (size_t i = path.len; i > 0 && name.len == path.len; i--)
        if (path.ptr[i - 1] == '/')
            name = slice_from(path, i);
    if (is_of_a_kind(name) || slice_eq(path, p->secrets_file))
        return true;
    for (size_t i = 0; i < p->n_rules; i++)
        if (glob_fits(p->rules[i].glob, name))
            return true;
    for (size_t i = 0; i < e->bundle.n_inputs; i++)
        if (slice_eq(e->bundle.inputs[i], path))
            return true;
    return false;
}

/* ---- the end ---- */

static void remove_tree(char *path)
{
    char *const roots[] = { path, NULL };
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);

    if (!walk)
        return;
    for (FTSENT *e; (e = fts_read(walk));) {
        if (e->fts_info == FTS_DP)
            (void)rmdir(e->fts_accpath); /* a folder of our own, in one that goes with the process */
        else if (e->fts_info != FTS_D)
            (void)unlink(e->fts_accpath);
    }
    (void)fts_close(walk); /* nothing left to learn */
}

void edition_free(struct edition *e)
{
    if (!e)
        return;
    if (e->folder)
        remove_tree(e->folder);
    for (size_t i = 0; i < e->n_bound; i++)
        free(e->bound[i]);
    free(e->bound);
    free(e->folder);
    bundle_release(&e->bundle);
    project_release(&e->project);
    arena_release(&e->arena);
    free(e);
}
