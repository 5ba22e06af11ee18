/* shell_transaction.c - see shell_transaction.h. */
#include "cli/shell_transaction.h"

#include "cli/statement.h"

#include <ctype.h>
#include <stdlib.h>

/* The longest that the server allows. */
enum { TIMEOUT_MS = 30000 };

/* ---- the words ---- */

/* Moves *text over white space and comments. */
static void skip_blank(struct slice *text)
{
    for (;;) {
        *text = slice_trim(*text);
        if (slice_starts(*text, SLICE_LIT("--"))) {
            (void)slice_cut(text, '\n');
            continue;
        }
        if (!slice_starts(*text, SLICE_LIT("/*")))
            return;
        const char *end = memmem(text->ptr, text->len, "*/", 2);
        *text = end ? slice_from(*text, (size_t)(end - text->ptr) + 2) : SLICE_LIT("");
    }
}

/* Takes one of the words, if it comes next. */
static bool take(struct slice *text, const char *const *words, size_t n)
{
    size_t len = 0;

    skip_blank(text);
    while (len < text->len && isalpha((unsigned char)text->ptr[len]))
        len++;
    for (size_t i = 0; i < n; i++) {
        if (!slice_eq_nocase(slice_of(text->ptr, len), slice_cstr(words[i])))
            continue;
        *text = slice_from(*text, len);
        return true;
    }
    return false;
}

enum shell_transaction_word shell_transaction_word(struct slice sql)
{
    static const char *const begin[] = { "begin" }, *const commit[] = { "commit", "end" };
    static const char *const rollback[] = { "rollback" }, *const kinds[] = { "deferred", "immediate", "exclusive" };
    static const char *const noun[] = { "transaction" };
    enum shell_transaction_word word = TRANSACTION_NO_WORD;

    if (take(&sql, begin, 1)) {
        word = TRANSACTION_WORD_BEGIN;
        (void)take(&sql, kinds, ARRAY_LEN(kinds)); /* the writer is taken at once in any case */
    } else if (take(&sql, commit, ARRAY_LEN(commit))) {
        word = TRANSACTION_WORD_COMMIT;
    } else if (take(&sql, rollback, 1)) {
        word = TRANSACTION_WORD_ROLLBACK;
    }
    (void)take(&sql, noun, 1); /* may be left out, as the ';' may */
    skip_blank(&sql);
    if (slice_starts(sql, SLICE_LIT(";")))
        sql = slice_from(sql, 1);
    skip_blank(&sql);
    return sql.len == 0 ? word : TRANSACTION_NO_WORD;
}

/* ---- the calls ---- */

static enum status needs_wide(const struct database *d, struct error *err)
{
    return error_set(err, STATUS_INVALID, 0,
                     "BEGIN needs the wide profile: `dione d1 profile %.*s wide` sets it. In the strict one, as on D1, "
                     "the statements of one `dione d1 execute --command` take effect together",
                     SLICE_FMT(d->name));
}

enum status shell_transaction_begin(struct shell_transaction *t, struct session *s, struct database *d,
                                    struct error *err)
{
    struct api_answer answer = { 0 };
    struct buf path = { 0 };
    char body[40], *call;

    if (t->outside)
        return error_set(err, STATUS_INVALID, 0, "cannot start a transaction within a transaction");
    call = database_path(d, "/transaction");
    snprintf(body, sizeof(body), "{\"timeout_ms\":%d}", TIMEOUT_MS);
    enum status st = api_call(s->api, "POST", call, slice_cstr(body), &answer, err);
    free(call);
    if (st == STATUS_INVALID)
        return needs_wide(d, err);
    if (st != STATUS_OK)
        return st;
    buf_printf(&path, "%s/transaction/", d->path);
    api_append_encoded(&path, json_get_text(answer.result, "id"));
    t->outside = d->path;
    d->path = path.ptr;
    api_answer_release(&answer);
    return STATUS_OK;
}

static void leave(struct shell_transaction *t, struct database *d)
{
    free(d->path);
    d->path = t->outside;
    t->outside = NULL;
}

enum status shell_transaction_end(struct shell_transaction *t, struct session *s, struct database *d, bool commit,
                                  struct error *err)
{
    struct api_answer answer = { 0 };

    if (!t->outside)
        return error_set(err, STATUS_INVALID, 0, "cannot %s: no transaction is open", commit ? "commit" : "rollback");
    char *call = database_path(d, commit ? "/commit" : "/rollback");
    enum status st = api_call(s->api, "POST", call, SLICE_LIT("{}"), &answer, err);
    free(call);
    api_answer_release(&answer);
    leave(t, d);
    if (st == STATUS_NOTFOUND)
        return error_set(err, st, 0, "the transaction was over already: it was rolled back after %d s",
                         TIMEOUT_MS / 1000);
    return st;
}

void shell_transaction_check(struct shell_transaction *t, struct database *d, enum status st, struct error *err)
{
    if (st != STATUS_NOTFOUND || !t->outside)
        return;
    leave(t, d);
    (void)error_set(err, st, 0, "the transaction is over: it was rolled back after %d s, the longest one may take",
                    TIMEOUT_MS / 1000);
}
