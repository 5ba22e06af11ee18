/* session.c - see session.h. */
#include "cli/session.h"

#include "base/ids.h"
#include "cli/print.h"

#include <stdlib.h>

#define DEFAULT_URL "http://127.0.0.1:8310"
#define DEFAULT_DATA "./data"
#define DATABASES_PATH API_ACCOUNT "/d1/database"

/* A variable that is set and not empty. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

static const char *first_of(const char *a, const char *b, const char *c)
{
    return a ? a : b ? b : c;
}

/* "127.0.0.1:8310" is meant as http, and a slash at the end as none. */
static char *plain_url(const char *url)
{
    char *copy;

    if (asprintf(&copy, "%s%s", strstr(url, "://") ? "" : "http://", url) < 0)
        abort();
    for (size_t n = strlen(copy); n > 0 && copy[n - 1] == '/'; n--)
        copy[n - 1] = '\0';
    return copy;
}

static enum status open_api(const struct common *common, bool create, const char *listen, struct session *s,
                            struct error *err)
{
    struct slice from_config = config_url(&s->config);
    char *config_text = from_config.ptr ? strndup(from_config.ptr, from_config.len) : NULL;
    const char *given = first_of(common->url, variable("DIONE_URL"), config_text);
    /* Where wrangler has been led to a server, we go there too; its token is for nobody else. */
    const char *wranglers = given || !s->remote ? NULL : variable("CLOUDFLARE_API_BASE_URL");
    char *url = plain_url(first_of(given, wranglers, DEFAULT_URL));
    const struct api_options options = {
        .remote = s->remote,
        .url = url,
        .token = first_of(common->token, variable("DIONE_TOKEN"), wranglers ? variable("CLOUDFLARE_API_TOKEN") : NULL),
        .data = first_of(common->data, variable("DIONE_DATA"), DEFAULT_DATA),
        .create_data = create,
        .listen = listen,
    };
    enum status st = api_open(&options, &s->api, err);

    free(url);
    free(config_text);
    return st;
}

static enum status open_session(const struct common *common, bool create, const char *database, const char *listen,
                                struct session *ret, struct error *err)
{
    struct session s = { .remote = common->remote || common->url || common->token };
    struct config_database entry;

    if (s.remote && common->local)
        return error_set(err, STATUS_INVALID, 0, "--local does not go with --%s",
                         common->remote ? "remote"
                         : common->url  ? "url"
                                        : "token");
    enum status st = config_load(common->config, common->env, &s.config, err);
    if (st != STATUS_OK)
        return st;
    create |= database && config_find_database(&s.config, slice_cstr(database), &entry);
    st = open_api(common, create, listen, &s, err);
    if (st != STATUS_OK) {
        session_close(&s);
        return st;
    }
    *ret = s;
    return STATUS_OK;
}

enum status session_open(const struct common *common, bool create, const char *database, struct session *ret,
                         struct error *err)
{
    return open_session(common, create, database, NULL, ret, err);
}

enum status session_open_serving(const struct common *common, struct session *ret, struct error *err)
{
    return open_session(common, true, NULL, "127.0.0.1:0", ret, err);
}

enum status session_reload(struct session *s, const struct common *common, struct error *err)
{
    struct config config = { 0 };
    enum status st = config_load(common->config, common->env, &config, err);

    if (st != STATUS_OK)
        return st;
    config_release(&s->config);
    s->config = config;
    return STATUS_OK;
}

void session_close(struct session *s)
{
    api_close(s->api);
    config_release(&s->config);
    *s = (struct session){ 0 };
}

/* ---- databases ---- */

static void set_path(struct database *d)
{
    struct buf path = { 0 };

    buf_append_cstr(&path, DATABASES_PATH "/");
    api_append_encoded(&path, d->id);
    free(d->path);
    d->path = path.ptr;
}

static void take_object(struct database *d)
{
    d->id = json_get_text(d->answer.result, "uuid");
    d->name = json_get_text(d->answer.result, "name");
    set_path(d);
}

static enum status look_up(struct session *s, struct slice wanted, struct database *d, struct error *err)
{
    struct buf path = { 0 };

    buf_append_cstr(&path, DATABASES_PATH "/");
    api_append_encoded(&path, wanted);
    buf_append_cstr(&path, "?fields=uuid,name");
    enum status st = api_call(s->api, "GET", path.ptr, SLICE_NONE, &d->answer, err);
    buf_release(&path);
    if (st == STATUS_OK)
        take_object(d);
    return st;
}

static enum status create(struct session *s, struct slice name, struct database *d, struct error *err)
{
    struct buf body = { 0 };

    buf_append_cstr(&body, "{\"name\":");
    json_write_text(&body, name);
    if (uuid_is_valid(d->entry.id)) { /* what else stands there, "local" say, names nothing */
        buf_append_cstr(&body, ",\"uuid\":");
        json_write_text(&body, d->entry.id);
    }
    buf_append_char(&body, '}');
    enum status st = api_call(s->api, "POST", DATABASES_PATH, buf_slice(&body), &d->answer, err);
    buf_release(&body);
    if (st != STATUS_OK)
        return error_prefix(err, "cannot create '%.*s', which the configuration names", SLICE_FMT(name));
    take_object(d);
    print_note("Created the database '%.*s' in %s, as %s names it.", SLICE_FMT(name), api_place(s->api),
               s->config.path);
    return STATUS_OK;
}

static enum status not_found(const struct session *s, struct slice name, struct error *err)
{
    return error_set(err, STATUS_NODB, 0, "there is no database '%.*s' (%s); `dione d1 create %.*s%s` makes it",
                     SLICE_FMT(name), api_place(s->api), SLICE_FMT(name), s->remote ? " --remote" : "");
}

static enum status find_configured(struct session *s, struct database *d, struct error *err)
{
    struct slice name = d->entry.name.ptr ? d->entry.name : config_provisioned_name(&s->config, d->entry.binding);
    enum status st = STATUS_NOTFOUND;

    /* Somebody else's server would be asked for nothing: the id is all that the calls need. */
    if (s->remote && d->entry.id.len) {
        d->id = d->entry.id;
        d->name = name;
        set_path(d);
        return STATUS_OK;
    }
    if (d->entry.id.len)
        st = look_up(s, d->entry.id, d, err);
    if (st == STATUS_NOTFOUND)
        st = look_up(s, name, d, err);
    if (st != STATUS_NOTFOUND)
        return st;
    return s->remote ? not_found(s, name, err) : create(s, name, d, err);
}

enum status database_find(struct session *s, const char *wanted, struct database *ret, struct error *err)
{
    struct database d = { 0 };
    struct slice name = slice_cstr(wanted);
    enum status st;

    if (name.len == 0)
        return error_set(err, STATUS_INVALID, 0, "the name of a database is missing");
    d.in_config = config_find_database(&s->config, name, &d.entry);
    st = d.in_config ? find_configured(s, &d, err) : look_up(s, name, &d, err);
    if (st == STATUS_NOTFOUND)
        st = not_found(s, name, err);
    if (st != STATUS_OK) {
        database_release(&d);
        return st;
    }
    *ret = d;
    return STATUS_OK;
}

void database_release(struct database *d)
{
    api_answer_release(&d->answer);
    free(d->path);
    *d = (struct database){ 0 };
}

char *database_path(const struct database *d, const char *action)
{
    struct buf path = { 0 };

    buf_printf(&path, "%s%s", d->path, action);
    return path.ptr;
}
