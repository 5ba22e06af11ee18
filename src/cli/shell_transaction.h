/*
 * shell_transaction.h - BEGIN, COMMIT and ROLLBACK at the shell's prompt.
 *
 * SQL itself cannot hold a transaction open over several requests; the API has calls for that (wide profile), and these
 * words become those calls. While one is open the database's path leads into it, so every other query runs inside. Main
 * thread.
 */
#ifndef DIONE_CLI_SHELL_TRANSACTION_H
#define DIONE_CLI_SHELL_TRANSACTION_H

#include "cli/session.h"

enum shell_transaction_word {
    TRANSACTION_NO_WORD,
    TRANSACTION_WORD_BEGIN,
    TRANSACTION_WORD_COMMIT,
    TRANSACTION_WORD_ROLLBACK
};

/* What the statement is, if it is nothing else: BEGIN IMMEDIATE TRANSACTION, say. ROLLBACK TO is not one of these. */
enum shell_transaction_word shell_transaction_word(struct slice sql);

struct shell_transaction {
    char *outside; /* the database's own path while one is open; NULL: none is */
};

/* Errors  INVALID one is open already, or the profile is not wide; those of the API. */
enum status shell_transaction_begin(struct shell_transaction *t, struct session *s, struct database *d,
                                    struct error *err) MUST_CHECK;
/* Over afterwards, also on failure. INVALID: none is open. */
enum status shell_transaction_end(struct shell_transaction *t, struct session *s, struct database *d, bool commit,
                                  struct error *err) MUST_CHECK;
/* After a query that failed with `st`: notices that the server has ended the transaction, and says so in err. */
void shell_transaction_check(struct shell_transaction *t, struct database *d, enum status st, struct error *err);

static inline bool shell_transaction_is_open(const struct shell_transaction *t)
{
    return t->outside != NULL;
}

#endif
