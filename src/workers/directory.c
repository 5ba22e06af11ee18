/* directory.c - see directory.h. Few Workers, many requests: a sorted array of names, and all routes in one list, the
 * most specific first. */
#include "workers/directory.h"

#include "workers/route.h"

#include <pthread.h>
#include <stdlib.h>

enum { DESCRIBED_MAX = 50 };

struct site {
    char name[WORKER_NAME_MAX + 1];
    char assets_id[ASSETS_ID_MAX + 1];
    struct target *target;
    bool host_disabled;
    char **routes;
    size_t n_routes;
};

struct site_route {
    struct route route;
    const struct site *site;
};

struct directory {
    pthread_rwlock_t lock; /* guards all below */
    struct site **sites;   /* by name */
    size_t n_sites, sites_cap;
    struct site_route *routes; /* most specific first */
    size_t n_routes;
};

struct directory *directory_new(void)
{
    struct directory *d = calloc(1, sizeof(*d));

    if (!d)
        abort();
    pthread_rwlock_init(&d->lock, NULL);
    return d;
}

static void free_routes(char **routes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(routes[i]);
    free(routes);
}

static void site_free(struct site *s)
{
    target_unref(s->target);
    free_routes(s->routes, s->n_routes);
    free(s);
}

void directory_free(struct directory *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n_sites; i++)
        site_free(d->sites[i]);
    free(d->sites);
    free(d->routes);
    pthread_rwlock_destroy(&d->lock);
    free(d);
}

/* ---- finding ---- */

static int compare_name(struct slice name, const char *have)
{
    size_t len = strlen(have), least = name.len < len ? name.len : len;
    int diff = strncasecmp(name.ptr, have, least);

    return diff ? diff : name.len < len ? -1 : name.len > len;
}

/* The place of `name`: where it is, or where it would go. */
static size_t place_locked(const struct directory *d, struct slice name, bool *ret_found)
{
    size_t low = 0, high = d->n_sites;

    *ret_found = false;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int diff = compare_name(name, d->sites[mid]->name);
        if (diff == 0) {
            *ret_found = true;
            return mid;
        }
        if (diff < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

static struct site *site_locked(const struct directory *d, struct slice name)
{
    bool found;
    size_t at = place_locked(d, name, &found);

    return found ? d->sites[at] : NULL;
}

/* NAME of NAME.localhost, or of the address that wrangler prints after a deploy. */
static struct slice name_of_host(struct slice host)
{
    struct slice rest = host, name = slice_cut(&rest, '.'), domain = slice_cut(&rest, ':');

    if (slice_eq_nocase(domain, SLICE_LIT("localhost")) || slice_eq_nocase(domain, SLICE_LIT("local.workers.dev")))
        return name;
    return SLICE_NONE;
}

static const struct site *find_locked(const struct directory *d, const char *only, bool is_https, struct slice host,
                                      struct slice path)
{
    if (only)
        return site_locked(d, slice_cstr(only));
    for (size_t i = 0; i < d->n_routes; i++)
        if (route_matches(&d->routes[i].route, is_https, host, path))
            return d->routes[i].site;
    struct slice name = name_of_host(host);
    const struct site *s = name.ptr ? site_locked(d, name) : NULL;
    return s && !s->host_disabled ? s : NULL;
}

bool directory_find(struct directory *d, const char *only, bool is_https, struct slice host, struct slice path,
                    struct directory_hit *ret)
{
    pthread_rwlock_rdlock(&d->lock);
    const struct site *s = find_locked(d, only, is_https, host, path);
    if (s) {
        ret->target = s->target ? target_ref(s->target) : NULL;
        memcpy(ret->name, s->name, sizeof(s->name));
        memcpy(ret->assets_id, s->assets_id, sizeof(s->assets_id));
    }
    pthread_rwlock_unlock(&d->lock);
    return s != NULL;
}

/* ---- changing ---- */

static int by_specificity(const void *a, const void *b)
{
    return route_compare(&((const struct site_route *)a)->route, &((const struct site_route *)b)->route);
}

static void rebuild_routes_locked(struct directory *d)
{
    size_t n = 0;

    for (size_t i = 0; i < d->n_sites; i++)
        n += d->sites[i]->n_routes;
    struct site_route *all = calloc(n ? n : 1, sizeof(*all));
    if (!all)
        abort(); /* a few hundred bytes, on behalf of an administrator */
    n = 0;
    for (size_t i = 0; i < d->n_sites; i++)
        for (size_t r = 0; r < d->sites[i]->n_routes; r++) {
            all[n].site = d->sites[i];
            if (route_parse(slice_cstr(d->sites[i]->routes[r]), &all[n].route, NULL) == STATUS_OK)
                n++;
        }
    qsort(all, n, sizeof(*all), by_specificity);
    free(d->routes);
    d->routes = all;
    d->n_routes = n;
}

/* Checked copies; NULL with n > 0: *err says why. */
static char **copy_routes(const struct slice *routes, size_t n, enum status *ret_st, struct error *err)
{
    char **copies = calloc(n ? n : 1, sizeof(*copies));
    struct route unused;

    *ret_st = copies ? STATUS_OK : error_set(err, STATUS_NOMEM, 0, "out of memory");
    for (size_t i = 0; i < n && *ret_st == STATUS_OK; i++) {
        *ret_st = route_parse(routes[i], &unused, err);
        if (*ret_st == STATUS_OK && !(copies[i] = strndup(routes[i].ptr, routes[i].len)))
            *ret_st = error_set(err, STATUS_NOMEM, 0, "out of memory");
    }
    if (*ret_st != STATUS_OK && copies) {
        free_routes(copies, n);
        copies = NULL;
    }
    return copies;
}

static struct site *site_new(struct slice name)
{
    struct site *s = calloc(1, sizeof(*s));

    if (s)
        memcpy(s->name, name.ptr, name.len);
    return s;
}

static bool insert_locked(struct directory *d, struct site *s)
{
    bool found;
    size_t at = place_locked(d, slice_cstr(s->name), &found);

    if (d->n_sites == d->sites_cap) {
        size_t cap = d->sites_cap ? 2 * d->sites_cap : 16;
        struct site **more = realloc(d->sites, cap * sizeof(struct site *));
        if (!more)
            return false;
        d->sites = more;
        d->sites_cap = cap;
    }
    memmove(d->sites + at + 1, d->sites + at, (d->n_sites - at) * sizeof(struct site *));
    d->sites[at] = s;
    d->n_sites++;
    return true;
}

static struct site *obtain_locked(struct directory *d, struct slice name)
{
    struct site *s = site_locked(d, name);

    if (s)
        return s;
    s = site_new(name);
    if (s && !insert_locked(d, s)) {
        site_free(s);
        return NULL;
    }
    return s;
}

static void replace_routes_locked(struct directory *d, struct site *s, char **routes, size_t n)
{
    free_routes(s->routes, s->n_routes);
    s->routes = routes;
    s->n_routes = n;
    rebuild_routes_locked(d);
}

enum status directory_put(struct directory *d, const struct worker_spec *spec, struct target *target,
                          struct target **ret_before, struct error *err)
{
    enum status st;

    if (spec->name.len > WORKER_NAME_MAX || spec->assets_id.len > ASSETS_ID_MAX)
        return error_set(err, STATUS_INVALID, 0, "the Worker's name or its assets' id is too long");
    char **routes = copy_routes(spec->routes, spec->n_routes, &st, err);
    if (!routes)
        return st;
    pthread_rwlock_wrlock(&d->lock);
    struct site *s = obtain_locked(d, spec->name);
    if (s) {
        *ret_before = s->target;
        s->target = target ? target_ref(target) : NULL;
        memset(s->assets_id, 0, sizeof(s->assets_id));
        memcpy(s->assets_id, spec->assets_id.ptr ? spec->assets_id.ptr : "", spec->assets_id.len);
        replace_routes_locked(d, s, routes, spec->n_routes);
    }
    pthread_rwlock_unlock(&d->lock);
    if (s)
        return STATUS_OK;
    free_routes(routes, spec->n_routes);
    return error_set(err, STATUS_NOMEM, 0, "out of memory");
}

static enum status unknown(struct slice name, struct error *err)
{
    return error_set(err, STATUS_NOTFOUND, 0, "There is no Worker called '%.*s'", SLICE_FMT(name));
}

enum status directory_set_target(struct directory *d, struct slice name, struct target *target,
                                 struct target **ret_before, struct error *err)
{
    pthread_rwlock_wrlock(&d->lock);
    struct site *s = site_locked(d, name);
    if (s) {
        *ret_before = s->target;
        s->target = target ? target_ref(target) : NULL;
    }
    pthread_rwlock_unlock(&d->lock);
    return s ? STATUS_OK : unknown(name, err);
}

enum status directory_set_routes(struct directory *d, struct slice name, const struct slice *routes, size_t n,
                                 struct error *err)
{
    enum status st;
    char **copies = copy_routes(routes, n, &st, err);

    if (!copies)
        return st;
    pthread_rwlock_wrlock(&d->lock);
    struct site *s = site_locked(d, name);
    if (s)
        replace_routes_locked(d, s, copies, n);
    pthread_rwlock_unlock(&d->lock);
    if (s)
        return STATUS_OK;
    free_routes(copies, n);
    return unknown(name, err);
}

enum status directory_set_host_enabled(struct directory *d, struct slice name, bool enabled, struct error *err)
{
    pthread_rwlock_wrlock(&d->lock);
    struct site *s = site_locked(d, name);
    if (s)
        s->host_disabled = !enabled;
    pthread_rwlock_unlock(&d->lock);
    return s ? STATUS_OK : unknown(name, err);
}

enum status directory_remove(struct directory *d, struct slice name, struct target **ret_before, struct error *err)
{
    bool found;

    pthread_rwlock_wrlock(&d->lock);
    size_t at = place_locked(d, name, &found);
    struct site *s = found ? d->sites[at] : NULL;
    if (s) {
        *ret_before = TAKE_PTR(s->target);
        memmove(d->sites + at, d->sites + at + 1, (d->n_sites - at - 1) * sizeof(struct site *));
        d->n_sites--;
        rebuild_routes_locked(d);
        site_free(s);
    }
    pthread_rwlock_unlock(&d->lock);
    return s ? STATUS_OK : unknown(name, err);
}

void directory_describe(struct directory *d, const char *port, struct buf *ret)
{
    pthread_rwlock_rdlock(&d->lock);
    for (size_t i = 0; i < d->n_sites && i < DESCRIBED_MAX; i++) {
        const struct site *s = d->sites[i];
        if (!s->host_disabled)
            buf_printf(ret, "  http://%s.localhost%s/\n", s->name, port);
        for (size_t r = 0; r < s->n_routes; r++)
            buf_printf(ret, "  %s  (%s)\n", s->routes[r], s->name);
    }
    if (d->n_sites > DESCRIBED_MAX)
        buf_printf(ret, "  and %zu more\n", d->n_sites - DESCRIBED_MAX);
    pthread_rwlock_unlock(&d->lock);
}
