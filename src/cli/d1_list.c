/* d1_list.c - `dione d1 list`. */
#include "cli/d1.h"
#include "cli/print.h"
#include "cli/query.h"

enum { PAGE_SIZE = 100 };

static const struct option_row options[] = {
    OPTION_JSON,
    OPTIONS_COMMON,
    { 0 },
};

/* Appends the entries of one page to *ret; *ret_last: there are no more. */
static enum status add_page(struct api *api, int page, struct buf *ret, bool *ret_last, struct error *err)
{
    struct api_answer answer = { 0 };
    char path[96];
    int64_t per_page = PAGE_SIZE;

    snprintf(path, sizeof(path), API_ACCOUNT "/d1/database?page=%d&per_page=%d", page, PAGE_SIZE);
    enum status st = api_call(api, "GET", path, SLICE_NONE, &answer, err);
    if (st != STATUS_OK)
        return st;
    if (!json_is(answer.result, JSON_ARRAY)) {
        api_answer_release(&answer);
        return error_set(err, STATUS_INTERNAL, 0, "the server sent no list of databases");
    }
    for (const struct json *d = answer.result->child; d; d = d->next) {
        buf_append_cstr(ret, ret->len > 1 ? "," : "");
        json_write_value(ret, d);
    }
    /* A server may hand out smaller pages than were asked for, and says so. */
    if (!json_i64(json_get(json_get(answer.root, "result_info"), "per_page"), &per_page))
        per_page = PAGE_SIZE;
    *ret_last = answer.result->n == 0 || (int64_t)answer.result->n < per_page;
    api_answer_release(&answer);
    return STATUS_OK;
}

static enum status print_all(struct slice list, bool json, struct error *err)
{
    struct arena arena;
    struct json *root = NULL;

    if (json) {
        print_json(list);
        return STATUS_OK;
    }
    arena_init(&arena, SIZE_MAX);
    enum status st = json_parse(list, JSON_STRICT, &arena, &root, err);
    if (st == STATUS_OK && root->n)
        print_objects(root);
    else if (st == STATUS_OK)
        print_note("There are no databases yet; `dione d1 create NAME` makes one.");
    arena_release(&arena);
    return st;
}

static enum status run(struct invocation *in, struct error *err)
{
    const struct common *common = in->options;
    struct session s = { 0 };
    struct buf list = { 0 };
    bool last = false;

    enum status st = session_open(common, false, NULL, &s, err);
    if (st != STATUS_OK)
        return st;
    buf_append_char(&list, '[');
    for (int page = 1; st == STATUS_OK && !last; page++)
        st = add_page(s.api, page, &list, &last, err);
    buf_append_char(&list, ']');
    if (st == STATUS_OK)
        st = print_all(buf_slice(&list), common->json, err);
    buf_release(&list);
    session_close(&s);
    return st;
}

const struct command d1_list_command = {
    .name = "list",
    .summary = "List all databases",
    .options = options,
    .options_size = sizeof(struct common),
    .run = run,
};
