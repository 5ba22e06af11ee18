/*
 * authorizer.c - what SQL may do.
 *
 * D1's rules (observed, see docs/d1-compatibility.md): known functions and pragmas only, four virtual table modules, nothing
 * temporary, nothing attached, no transactions of one's own, no name that starts with _cf_. The wide profile
 * adds SQLite's own introspection; it never adds a file, another database or an extension.
 *
 * SQLite asks while it prepares, so this is also where we learn that a statement depends on the writing connection.
 */
#include "sql/internal.h"

#include <stdlib.h>

/* Sorted, for bsearch. SQLite passes CURRENT_TIMESTAMP and its kin as they were typed, so case doesn't count. */
static const char *const strict_functions[] = {
    "->",
    "->>",
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "avg",
    "bm25",
    "ceil",
    "changes",
    "char",
    "coalesce",
    "concat",
    "concat_ws",
    "cos",
    "cosh",
    "count",
    "cume_dist",
    "current_date",
    "current_time",
    "current_timestamp",
    "date",
    "datetime",
    "degrees",
    "dense_rank",
    "exp",
    "first_value",
    "floor",
    "format",
    "glob",
    "group_concat",
    "hex",
    "highlight",
    "ifnull",
    "iif",
    "instr",
    "json",
    "json_array",
    "json_array_length",
    "json_each",
    "json_extract",
    "json_group_array",
    "json_group_object",
    "json_insert",
    "json_object",
    "json_patch",
    "json_quote",
    "json_remove",
    "json_replace",
    "json_set",
    "json_tree",
    "json_type",
    "json_valid",
    "jsonb",
    "jsonb_array",
    "jsonb_extract",
    "jsonb_group_array",
    "jsonb_group_object",
    "jsonb_insert",
    "jsonb_object",
    "jsonb_patch",
    "jsonb_remove",
    "jsonb_replace",
    "jsonb_set",
    "julianday",
    "lag",
    "last_insert_rowid",
    "last_value",
    "lead",
    "length",
    "like",
    "likelihood",
    "likely",
    "ln",
    "load_extension",
    "log",
    "log2",
    "lower",
    "ltrim",
    "match",
    "max",
    "max_scalar",
    "min",
    "min_scalar",
    "mod",
    "nth_value",
    "ntile",
    "nullif",
    "octet_length",
    "percent_rank",
    "pi",
    "pow",
    "printf",
    "quote",
    "radians",
    "random",
    "randomblob",
    "rank",
    "replace",
    "round",
    "row_number",
    "rtreecheck",
    "rtrim",
    "sign",
    "sin",
    "sinh",
    "snippet",
    "soundex",
    "sqlite_drop_column",
    "sqlite_rename_column",
    "sqlite_rename_quotefix",
    "sqlite_rename_table",
    "sqlite_rename_test",
    "sqrt",
    "strftime",
    "string_agg",
    "substr",
    "substring",
    "sum",
    "tan",
    "tanh",
    "time",
    "timediff",
    "total",
    "total_changes",
    "trim",
    "trunc",
    "typeof",
    "unhex",
    "unicode",
    "unixepoch",
    "unlikely",
    "upper",
    "zeroblob",
};

static int compare_name(const void *key, const void *element)
{
    return strcasecmp(key, *(const char *const *)element);
}

static bool is_one_of(const char *name, const char *const *sorted, size_t n)
{
    return bsearch(name, sorted, n, sizeof(*sorted), compare_name) != NULL;
}

static bool name_is_allowed(const char *name)
{
    return !name || strncasecmp(name, "_cf_", 4) != 0;
}

static bool function_is_allowed(struct sql_conn *c, const char *name)
{
    static const char *const of_writer[] = { "changes", "last_insert_rowid", "total_changes" };
    /* Their time is the product of two lengths or more, and no deadline reaches into a function. */
    static const char *const stalling[] = { "glob", "instr", "like", "ltrim", "replace", "rtrim", "trim", "unhex" };

    if (is_one_of(name, of_writer, ARRAY_LEN(of_writer)))
        c->prepare_flags |= SQL_STMT_NEEDS_WRITER;
    if (is_one_of(name, stalling, ARRAY_LEN(stalling)))
        c->prepare_flags |= SQL_STMT_MAY_STALL;
    /* In the wide profile the functions that reach outside simply aren't compiled in. */
    return c->profile == SQL_WIDE || is_one_of(name, strict_functions, ARRAY_LEN(strict_functions));
}

/* ---- pragmas ---- */

enum pragma_kind {
    PRAGMA_PLAIN,  /* no argument */
    PRAGMA_SWITCH, /* a boolean, or none to read it; its effect ends with the request */
    PRAGMA_NAME,   /* a table or index */
    PRAGMA_NAME_OPTIONAL,
    PRAGMA_NUMBER_OPTIONAL,
    PRAGMA_NUMBER_OR_NAME_OPTIONAL,
};

struct pragma_rule {
    const char *name;
    enum pragma_kind kind;
    enum sql_profile from; /* SQL_STRICT: in both profiles */
    unsigned flags;        /* of a statement that uses it */
};

static const struct pragma_rule pragma_rules[] = {
    /* Its order is that of SQLite's own table of names, which only the writing connection has as D1 has it. */
    { "table_list", PRAGMA_NAME_OPTIONAL, SQL_STRICT, SQL_STMT_NEEDS_WRITER },
    { "table_info", PRAGMA_NAME, SQL_STRICT, 0 },
    { "table_xinfo", PRAGMA_NAME, SQL_STRICT, 0 },
    { "index_list", PRAGMA_NAME, SQL_STRICT, 0 },
    { "index_info", PRAGMA_NAME, SQL_STRICT, 0 },
    { "index_xinfo", PRAGMA_NAME, SQL_STRICT, 0 },
    { "foreign_key_list", PRAGMA_NAME, SQL_STRICT, 0 },
    { "foreign_key_check", PRAGMA_NAME_OPTIONAL, SQL_STRICT, 0 },
    { "quick_check", PRAGMA_NUMBER_OR_NAME_OPTIONAL, SQL_STRICT, 0 },
    { "optimize", PRAGMA_NUMBER_OPTIONAL, SQL_STRICT, SQL_STMT_WRITES | SQL_STMT_NEEDS_WRITER },
    { "data_version", PRAGMA_PLAIN, SQL_STRICT, SQL_STMT_NEEDS_WRITER },
    { "page_size", PRAGMA_PLAIN, SQL_STRICT, 0 },
    { "foreign_keys", PRAGMA_SWITCH, SQL_STRICT, 0 },
    { "defer_foreign_keys", PRAGMA_SWITCH, SQL_STRICT, 0 },
    { "case_sensitive_like", PRAGMA_SWITCH, SQL_STRICT, 0 },
    { "ignore_check_constraints", PRAGMA_SWITCH, SQL_STRICT, 0 },
    { "legacy_alter_table", PRAGMA_SWITCH, SQL_STRICT, 0 },
    { "recursive_triggers", PRAGMA_SWITCH, SQL_STRICT, 0 },
    { "reverse_unordered_selects", PRAGMA_SWITCH, SQL_STRICT, 0 },
    { "collation_list", PRAGMA_PLAIN, SQL_WIDE, 0 },
    { "compile_options", PRAGMA_PLAIN, SQL_WIDE, 0 },
    { "encoding", PRAGMA_PLAIN, SQL_WIDE, 0 },
    { "freelist_count", PRAGMA_PLAIN, SQL_WIDE, 0 },
    { "function_list", PRAGMA_PLAIN, SQL_WIDE, 0 },
    { "integrity_check", PRAGMA_NUMBER_OR_NAME_OPTIONAL, SQL_WIDE, 0 },
    { "module_list", PRAGMA_PLAIN, SQL_WIDE, 0 },
    { "page_count", PRAGMA_PLAIN, SQL_WIDE, 0 },
    { "pragma_list", PRAGMA_PLAIN, SQL_WIDE, 0 },
};

static const struct pragma_rule *find_pragma(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(pragma_rules); i++)
        if (strcasecmp(pragma_rules[i].name, name) == 0)
            return &pragma_rules[i];
    return NULL;
}

/* Prefixes are enough for D1, so they are for us. */
static bool is_boolean_word(const char *v)
{
    static const char *const words[] = { "true", "false", "yes", "no", "on", "off", "1", "0" };
    size_t len = strlen(v);

    if (len >= 2 && (v[0] == '\'' || v[0] == '"') && v[len - 1] == v[0]) {
        v++;
        len -= 2;
    }
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (len >= strlen(words[i]) && strncasecmp(v, words[i], strlen(words[i])) == 0)
            return true;
    return false;
}

/* Decimal or hex, as SQLite takes it. */
static bool is_integer(const char *v, bool sign)
{
    char *end;
    long long n = strtoll(v, &end, 0);

    if (end == v || *end)
        return false;
    return sign ? n >= INT32_MIN && n <= INT32_MAX : n >= 0 && n <= UINT32_MAX;
}

/* SQLite sets the switch while it prepares the statement, even under EXPLAIN: a reader must not get that far. */
static bool switch_is_allowed(struct sql_conn *c)
{
    c->prepare_flags |= SQL_STMT_NEEDS_WRITER | SQL_STMT_SETS_STATE;
    if (c->role == SQL_READER) {
        c->wants_writer = true;
        return false;
    }
    c->state_set = true;
    return true;
}

static bool pragma_is_allowed(struct sql_conn *c, const char *name, const char *arg)
{
    const struct pragma_rule *rule = find_pragma(name);

    if (!rule || (rule->from == SQL_WIDE && c->profile == SQL_STRICT))
        return false;
    c->prepare_flags |= rule->flags;
    /* Also when it comes as a table-valued function, while a statement runs. */
    if ((rule->flags & SQL_STMT_WRITES) && c->role == SQL_READER) {
        c->wants_writer = true;
        return false;
    }
    switch (rule->kind) {
    case PRAGMA_PLAIN:
        return !arg;
    case PRAGMA_SWITCH:
        if (!arg)
            return true;
        return is_boolean_word(arg) && switch_is_allowed(c);
    case PRAGMA_NAME:
        return arg && name_is_allowed(arg);
    case PRAGMA_NAME_OPTIONAL:
        return !arg || name_is_allowed(arg);
    case PRAGMA_NUMBER_OPTIONAL:
        return !arg || is_integer(arg, true);
    case PRAGMA_NUMBER_OR_NAME_OPTIONAL:
        return !arg || is_integer(arg, false) || name_is_allowed(arg);
    }
    return false;
}

static bool module_is_allowed(const char *name)
{
    static const char *const modules[] = { "fts5", "fts5vocab", "rtree", "rtree_i32" };

    for (size_t i = 0; name && i < ARRAY_LEN(modules); i++)
        if (strcasecmp(name, modules[i]) == 0)
            return true;
    return false;
}

static bool is_allowed(struct sql_conn *c, int action, const char *a, const char *b)
{
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE:
    case SQLITE_ANALYZE:
        return true;
    case SQLITE_CREATE_TABLE:
    case SQLITE_DROP_TABLE:
    case SQLITE_CREATE_VIEW:
    case SQLITE_DROP_VIEW:
    case SQLITE_REINDEX:
    case SQLITE_INSERT:
    case SQLITE_DELETE:
    case SQLITE_READ:
    case SQLITE_UPDATE: /* b is a column */
        return name_is_allowed(a);
    case SQLITE_ALTER_TABLE:
    case SQLITE_CREATE_INDEX:
    case SQLITE_DROP_INDEX:
    case SQLITE_CREATE_TRIGGER:
    case SQLITE_DROP_TRIGGER:
        return name_is_allowed(a) && name_is_allowed(b);
    case SQLITE_CREATE_VTABLE:
    case SQLITE_DROP_VTABLE:
        return module_is_allowed(b) && name_is_allowed(a);
    case SQLITE_FUNCTION: /* a is NULL */
        return function_is_allowed(c, b);
    case SQLITE_PRAGMA:
        return pragma_is_allowed(c, a, b);
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
        c->transaction_refused = true;
        return false;
    default: /* ATTACH, DETACH, everything TEMP, and what a later SQLite may add */
        return false;
    }
}

int authorize(void *conn, int action, const char *a, const char *b, const char *db, const char *trigger UNUSED)
{
    struct sql_conn *c = conn;

    if (c->trusted || c->profile == SQL_OWN)
        return SQLITE_OK;
    /* These two name the database first; our patch of SQLite gives a rename's new name last. */
    if (action == SQLITE_ALTER_TABLE || action == SQLITE_DETACH) {
        const char *table = b, *new_name = db;
        db = a;
        a = table;
        b = new_name;
    }
    if (db && strcmp(db, "temp") == 0) {
        bool reads = action == SQLITE_READ || action == SQLITE_UPDATE;
        return reads && name_is_allowed(a) ? SQLITE_OK : SQLITE_DENY;
    }
    if (db && strcmp(db, "main") != 0)
        return SQLITE_DENY;
    return is_allowed(c, action, a, b) ? SQLITE_OK : SQLITE_DENY;
}
