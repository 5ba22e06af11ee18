/*
 * project_secrets.c - the secrets that a project has on this machine: .dev.vars, or else .env files.
 *
 * As with wrangler, .dev.vars keeps .env from being read, and .dev.vars.<env> keeps .dev.vars from it. Of .env files the
 * more special ones win, and only in them $NAME stands for another value.
 */
#include "cli/files.h"
#include "cli/print.h"
#include "cli/project_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_BYTES = 1024 * 1024 };

static struct slice path_of(struct project *p, const char *name, const char *env, const char *end)
{
    char *file;

    if (asprintf(&file, "%s%s%s%s", name, env ? "." : "", env ? env : "", end) < 0)
        abort();
    struct slice path = project_path(p, p->folder, slice_cstr(file));
    free(file);
    return path;
}

/* Adds one file to `into`. *ret_found says whether it is there. */
static enum status read_file(struct project *p, struct slice path, struct dotenv *into, bool *ret_found,
                             struct error *err)
{
    struct buf text = { .limit = MAX_BYTES };
    enum status st = file_read(path.ptr, &text, err);

    *ret_found = st == STATUS_OK;
    if (st == STATUS_OK) {
        into->unread_line = 0;
        dotenv_parse(project_keep(p, buf_slice(&text)), &p->config.arena, into);
        if (into->unread_line)
            print_note("%.*s: line %zu says nothing of the form NAME=value, so it is left out", SLICE_FMT(path),
                       into->unread_line);
        p->secrets_file = path;
    }
    buf_release(&text);
    return st == STATUS_NOTFOUND ? STATUS_OK : st;
}

static enum status read_dev_vars(struct project *p, struct dotenv *into, bool *ret_found, struct error *err)
{
    const char *env = p->config.env;
    enum status st = STATUS_OK;

    *ret_found = false;
    if (env)
        st = read_file(p, path_of(p, ".dev.vars", env, ""), into, ret_found, err);
    if (st == STATUS_OK && !*ret_found)
        st = read_file(p, path_of(p, ".dev.vars", NULL, ""), into, ret_found, err);
    return st;
}

static enum status expand(struct project *p, struct dotenv *secrets, struct error *err)
{
    if (dotenv_expand(secrets, &p->config.arena))
        return STATUS_OK;
    return error_set(err, STATUS_LIMIT, 0, "%.*s: its values refer to each other without end",
                     SLICE_FMT(p->secrets_file));
}

static enum status read_dot_env(struct project *p, struct dotenv *into, struct error *err)
{
    const char *env = p->config.env;
    bool found;
    enum status st = read_file(p, path_of(p, ".env", NULL, ""), into, &found, err);

    if (st == STATUS_OK)
        st = read_file(p, path_of(p, ".env", NULL, ".local"), into, &found, err);
    if (st == STATUS_OK && env)
        st = read_file(p, path_of(p, ".env", env, ""), into, &found, err);
    if (st == STATUS_OK && env)
        st = read_file(p, path_of(p, ".env", env, ".local"), into, &found, err);
    return st == STATUS_OK ? expand(p, into, err) : st;
}

static enum status read_named(struct project *p, const struct option_list *files, struct dotenv *into,
                              struct error *err)
{
    for (size_t i = 0; i < files->n; i++) {
        bool found;
        struct slice path = project_path(p, p->folder, slice_cstr(files->items[i]));
        enum status st = read_file(p, path, into, &found, err);
        if (st != STATUS_OK)
            return st;
        if (!found)
            return error_set(err, STATUS_NOTFOUND, 0, "there is no file %.*s", SLICE_FMT(path));
    }
    return expand(p, into, err);
}

static bool is_listed(const struct json *list, struct slice name)
{
    for (const struct json *v = json_is(list, JSON_ARRAY) ? list->child : NULL; v; v = v->next)
        if (v->type == JSON_STRING && slice_eq(v->text, name))
            return true;
    return false;
}

/* With "secrets": { "required": [...] } only those count, and values for vars; one that is missing is worth a remark. */
static void keep_declared(struct project *p, struct dotenv *secrets)
{
    const struct json *required = json_get(json_get(p->config.scope, "secrets"), "required");
    struct dotenv kept = { 0 };

    if (!json_is(required, JSON_ARRAY))
        return;
    for (const struct json *v = required->child; v; v = v->next)
        if (v->type == JSON_STRING && !dotenv_find(secrets, v->text))
            print_note("the secret %.*s is required and missing: add it to .dev.vars", SLICE_FMT(v->text));
    for (struct dotenv_entry *e = secrets->first, *next; e; e = next) {
        next = e->next;
        if (!is_listed(required, e->key) && !project_binding(p, e->key))
            continue;
        e->next = NULL;
        *(kept.last ? &kept.last->next : &kept.first) = e;
        kept.last = e;
    }
    *secrets = kept;
}

enum status project_read_secrets(struct project *p, const struct option_list *files, struct error *err)
{
    struct dotenv secrets = { 0 };
    bool found = files->n > 0;
    enum status st = found ? read_named(p, files, &secrets, err) : read_dev_vars(p, &secrets, &found, err);

    if (st == STATUS_OK && !found)
        st = read_dot_env(p, &secrets, err);
    if (st != STATUS_OK)
        return st;
    keep_declared(p, &secrets);
    st = project_add_secrets(p, &secrets, err);
    return st == STATUS_OK ? st : error_prefix(err, "%.*s", SLICE_FMT(p->secrets_file));
}
