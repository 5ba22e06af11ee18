/* spec.c - see spec.h. Whatever workerd would only trip over is refused here, in words that name the part. */
#include "workers/spec.h"

#include "base/clock.h"
#include "workers/cron.h"
#include "workers/route.h"

enum { NAME_MAX_LEN = 63, MODULE_NAME_MAX_LEN = 512, BINDING_NAME_MAX_LEN = 128 };

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool worker_name_is_valid(struct slice name)
{
    if (name.len == 0 || name.len > NAME_MAX_LEN)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!is_name_char(name.ptr[i]))
            return false;
    return !strchr("-_", name.ptr[0]) && !strchr("-_", name.ptr[name.len - 1]);
}

static bool has_control_char(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return true;
    return false;
}

static bool has_part(struct slice name, struct slice part)
{
    struct slice rest = name;

    while (rest.ptr)
        if (slice_eq(slice_cut(&rest, '/'), part))
            return true;
    return false;
}

static enum status check_module_name(struct slice name, struct error *err)
{
    if (name.len == 0 || name.len > MODULE_NAME_MAX_LEN || has_control_char(name))
        return error_set(err, STATUS_INVALID, 0, "A module's name must be 1 to %d printable characters long",
                         MODULE_NAME_MAX_LEN);
    if (name.ptr[0] == '/' || has_part(name, SLICE_LIT("..")) || memchr(name.ptr, '\\', name.len))
        return error_set(err, STATUS_INVALID, 0, "The module name '%.*s' must be a relative path without '..'",
                         SLICE_FMT(name));
    return STATUS_OK;
}

static enum status check_modules(const struct worker_spec *spec, struct error *err)
{
    for (size_t i = 0; i < spec->n_modules; i++) {
        enum status st = check_module_name(spec->modules[i].name, err);
        if (st != STATUS_OK)
            return st;
        for (size_t j = 0; j < i; j++)
            if (slice_eq(spec->modules[i].name, spec->modules[j].name))
                return error_set(err, STATUS_INVALID, 0, "There are two modules called '%.*s'",
                                 SLICE_FMT(spec->modules[i].name));
    }
    if (spec->is_service_worker && spec->n_modules != 1)
        return error_set(err, STATUS_INVALID, 0, "A Worker in service-worker format is one script, without modules");
    if (spec->n_modules && spec->modules[0].kind != MODULE_ES && spec->modules[0].kind != MODULE_COMMON_JS)
        return error_set(err, STATUS_INVALID, 0, "The main module '%.*s' is not JavaScript",
                         SLICE_FMT(spec->modules[0].name));
    return STATUS_OK;
}

static enum status check_date(struct slice date, struct error *err)
{
    char today[CLOCK_ISO_LEN + 1];
    int64_t ms;

    if (!date.len)
        return error_set(err, STATUS_INVALID, 0, "A compatibility_date is needed, such as \"2026-01-31\"");
    if (date.len != 10 || !clock_parse_iso(date, &ms))
        return error_set(err, STATUS_INVALID, 0, "The compatibility date '%.*s' is not of the form YYYY-MM-DD",
                         SLICE_FMT(date));
    clock_iso(clock_wall_ms(), today);
    if (memcmp(date.ptr, today, 10) > 0)
        return error_set(err, STATUS_INVALID, 0, "The compatibility date %.*s is in the future; today is %.10s (UTC)",
                         SLICE_FMT(date), today);
    return STATUS_OK;
}

static enum status check_bindings(const struct worker_spec *spec, struct error *err)
{
    for (size_t i = 0; i < spec->n_bindings; i++) {
        const struct worker_binding *b = &spec->bindings[i];
        if (b->name.len == 0 || b->name.len > BINDING_NAME_MAX_LEN || has_control_char(b->name))
            return error_set(err, STATUS_INVALID, 0, "A binding's name must be 1 to %d printable characters long",
                             BINDING_NAME_MAX_LEN);
        for (size_t j = 0; j < i; j++)
            if (slice_eq(b->name, spec->bindings[j].name))
                return error_set(err, STATUS_INVALID, 0, "There are two bindings called '%.*s'", SLICE_FMT(b->name));
        if (b->kind == BINDING_SERVICE && !worker_name_is_valid(b->value))
            return error_set(err, STATUS_INVALID, 0, "The service binding '%.*s' names no Worker: '%.*s'",
                             SLICE_FMT(b->name), SLICE_FMT(b->value));
        if (b->kind == BINDING_SERVICE && b->props.len && !slice_eq(b->value, spec->name))
            return error_set(err, STATUS_INVALID, 0,
                             "The service binding '%.*s' has props, which cannot be passed to another Worker here",
                             SLICE_FMT(b->name));
        if (b->kind == BINDING_D1 &&
            spec->is_service_worker) /* workerd makes them of modules, which a script cannot have */
            return error_set(err, STATUS_INVALID, 0,
                             "The D1 database '%.*s' needs a Worker in the format of ES modules: one that exports a "
                             "default object",
                             SLICE_FMT(b->name));
        if (b->kind == BINDING_ASSETS && !spec->assets_id.len)
            return error_set(err, STATUS_INVALID, 0, "The binding '%.*s' is for static assets, and there are none",
                             SLICE_FMT(b->name));
    }
    return STATUS_OK;
}

static enum status check_triggers(const struct worker_spec *spec, struct error *err)
{
    enum status st = STATUS_OK;
    struct cron cron;
    struct route route;

    for (size_t i = 0; i < spec->n_crons && st == STATUS_OK; i++)
        st = cron_parse(spec->crons[i], &cron, err);
    for (size_t i = 0; i < spec->n_routes && st == STATUS_OK; i++)
        st = route_parse(spec->routes[i], &route, err);
    return st;
}

enum status worker_spec_check(const struct worker_spec *spec, struct error *err)
{
    if (!worker_name_is_valid(spec->name))
        return error_set(err, STATUS_INVALID, 0,
                         "'%.*s' is no name for a Worker: it takes 1 to %d lower-case letters, digits, dashes and "
                         "underscores, with a letter or digit at both ends",
                         SLICE_FMT(spec->name), NAME_MAX_LEN);
    enum status st = check_modules(spec, err);
    if (st == STATUS_OK && spec->n_modules)
        st = check_date(spec->compatibility_date, err);
    if (st == STATUS_OK)
        st = check_bindings(spec, err);
    if (st == STATUS_OK)
        st = check_triggers(spec, err);
    return st;
}

/* ---- copies ---- */

static bool copy_text(struct arena *a, struct slice *s)
{
    if (s->ptr)
        *s = arena_copy(a, *s);
    return s->ptr || s->len == 0;
}

static bool copy_texts(struct arena *a, const struct slice **texts, size_t n)
{
    struct slice *copies = arena_zalloc(a, (n + 1) * sizeof(*copies));
    bool ok = copies != NULL;

    for (size_t i = 0; ok && i < n; i++) {
        copies[i] = (*texts)[i];
        ok = copy_text(a, &copies[i]);
    }
    *texts = copies;
    return ok;
}

static bool copy_modules(struct arena *a, struct worker_spec *spec)
{
    struct worker_module *copies = arena_zalloc(a, (spec->n_modules + 1) * sizeof(*copies));
    bool ok = copies != NULL;

    for (size_t i = 0; ok && i < spec->n_modules; i++) {
        copies[i] = spec->modules[i];
        ok = copy_text(a, &copies[i].name) && copy_text(a, &copies[i].path);
    }
    spec->modules = copies;
    return ok;
}

static bool copy_bindings(struct arena *a, struct worker_spec *spec)
{
    struct worker_binding *copies = arena_zalloc(a, (spec->n_bindings + 1) * sizeof(*copies));
    bool ok = copies != NULL;

    for (size_t i = 0; ok && i < spec->n_bindings; i++) {
        copies[i] = spec->bindings[i];
        ok = copy_text(a, &copies[i].name) && copy_text(a, &copies[i].value) && copy_text(a, &copies[i].entrypoint) &&
             copy_text(a, &copies[i].props);
    }
    spec->bindings = copies;
    return ok;
}

struct worker_spec *worker_spec_copy(const struct worker_spec *spec, struct arena *a)
{
    struct worker_spec *copy = ARENA_NEW(a, struct worker_spec);

    if (!copy)
        return NULL;
    *copy = *spec;
    bool ok = copy_text(a, &copy->name) && copy_text(a, &copy->version_id) && copy_text(a, &copy->version_tag) &&
              copy_text(a, &copy->compatibility_date) && copy_text(a, &copy->assets_id) && copy_modules(a, copy) &&
              copy_bindings(a, copy) && copy_texts(a, &copy->compatibility_flags, copy->n_compatibility_flags) &&
              copy_texts(a, &copy->crons, copy->n_crons) && copy_texts(a, &copy->routes, copy->n_routes);
    return ok ? copy : NULL;
}
