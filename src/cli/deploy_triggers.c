/* deploy_triggers.c - what leads requests to a deployed version: its own address, routes, crons. */
#include "cli/deploy_internal.h"

static bool has_routes(const struct deploy *d)
{
    return d->options->routes.n || d->project.n_routes;
}

/* workers_dev: whether it answers under its own name. Without a word it does, unless it has routes. */
static enum status set_address(struct deploy *d, struct error *err)
{
    const struct json *wish = config_get(&d->project.config, "workers_dev");
    bool on = wish ? wish->type == JSON_TRUE : !has_routes(d);
    struct api_answer answer = { 0 };

    enum status st = remote_worker_call(&d->session, &d->worker, "POST", "/subdomain",
                                        on ? SLICE_LIT("{\"enabled\":true}") : SLICE_LIT("{\"enabled\":false}"),
                                        &answer, err);
    api_answer_release(&answer);
    return st;
}

/* A custom domain is all of a host. Which zone a pattern is in means nothing here. */
static void append_route(struct buf *body, const struct project_route *r)
{
    struct buf pattern = { 0 };

    buf_append_slice(&pattern, r->pattern);
    if (json_is(json_get(r->entry, "custom_domain"), JSON_TRUE))
        buf_append_cstr(&pattern, "/*");
    buf_append_cstr(body, "{\"pattern\":");
    json_write_text(body, buf_slice(&pattern));
    buf_append_char(body, '}');
    buf_release(&pattern);
}

/* Also when there are none: those of the deploy before are to go. */
static enum status set_routes(struct deploy *d, struct error *err)
{
    const struct option_list *given = &d->options->routes;
    struct api_answer answer = { 0 };
    struct buf body = { 0 };

    buf_append_char(&body, '[');
    for (size_t i = 0; i < (given->n ? given->n : d->project.n_routes); i++) {
        const struct project_route from_option = { .pattern = slice_cstr(given->n ? given->items[i] : "") };
        buf_append_cstr(&body, i ? "," : "");
        append_route(&body, given->n ? &from_option : &d->project.routes[i]);
    }
    buf_append_char(&body, ']');
    enum status st = remote_worker_call(&d->session, &d->worker, "PUT", "/routes", buf_slice(&body), &answer, err);
    buf_release(&body);
    api_answer_release(&answer);
    return st;
}

static enum status set_crons(struct deploy *d, struct error *err)
{
    const struct option_list *given = &d->options->triggers;
    struct api_answer answer = { 0 };
    struct buf body = { 0 };

    if (!given->n && !d->project.has_crons)
        return STATUS_OK; /* as with wrangler, those that were set before stay */
    buf_append_char(&body, '[');
    for (size_t i = 0; i < (given->n ? given->n : d->project.n_crons); i++) {
        buf_append_cstr(&body, i ? ",{\"cron\":" : "{\"cron\":");
        json_write_text(&body, given->n ? slice_cstr(given->items[i]) : d->project.crons[i]);
        buf_append_char(&body, '}');
    }
    buf_append_char(&body, ']');
    enum status st = remote_worker_call(&d->session, &d->worker, "PUT", "/schedules", buf_slice(&body), &answer, err);
    buf_release(&body);
    api_answer_release(&answer);
    return st;
}

enum status deploy_set_triggers(struct deploy *d, struct error *err)
{
    enum status st = set_address(d, err);

    if (st == STATUS_OK)
        st = set_routes(d, err);
    if (st == STATUS_OK)
        st = set_crons(d, err);
    return st == STATUS_OK ? st : error_prefix(err, "the version is deployed, but not its triggers");
}
