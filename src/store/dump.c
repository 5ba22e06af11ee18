/*
 * dump.c - see dump.h.
 *
 * Order, and why: tables in the order they were made, each followed by its rows; sqlite_sequence, when the tables that count
 * with it exist; virtual tables, whose content may lie in the tables before them; indexes and triggers, which
 * must neither slow the rows down nor react to them; views; triggers on views; and last the indexes that FTS5 builds
 * out of other tables or views.
 *
 * Foreign keys. SQLite refuses a row whose table refers to one that does not exist yet, or to columns whose UNIQUE INDEX does
 * not, also when the check itself is deferred; D1's order then gives a dump that cannot be loaded. Where a key points
 * forward like that, all tables, and the unique indexes that keys rest on, come before all rows.
 *
 * Virtual tables. Their shadow tables are left out and made again by CREATE VIRTUAL TABLE and ordinary INSERTs, which any SQLite
 * reads. The exceptions are FTS5 tables whose text is nowhere but in the index (contentless ones), or whose
 * content table is not part of the dump, or whose values carry a locale: there the shadow tables themselves are written, which
 * an import may do and an ordinary connection may not.
 *
 * Rowids. A table without an INTEGER PRIMARY KEY gets the rowids 1, 2, 3, ... when its rows are inserted in order. Where
 * that is what it has, the text is D1's. Where it is not (rows were deleted, or inserted with a rowid), the rowid is written
 * as the first column: an FTS5 index or an application may refer to it, and sqlite_schema does not tell.
 */
#include "store/dump.h"

#include "sql/literal.h"

#include "dione_sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FLUSH_BYTES = 256 * 1024 };

struct dump {
    struct sql_conn *c;
    sqlite3 *db;
    const struct dump_options *opt;
    int fd;
    struct progress *p;
    struct buf out;
    uint64_t statements;
    struct error *err;
};

/* ---- output ---- */

static enum status flush(struct dump *d)
{
    const char *p = d->out.ptr;
    size_t left = d->out.len;

    if (d->out.overflowed)
        return error_set(d->err, STATUS_NOMEM, 0, "out of memory while exporting");
    if (progress_is_cancelled(d->p))
        return error_set(d->err, STATUS_STOPPING, 0, "The export was cancelled");
    while (left) {
        ssize_t n = write(d->fd, p, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(d->err, errno, "cannot write the export");
        p += n;
        left -= (size_t)n;
    }
    atomic_fetch_add_explicit(&d->p->bytes, d->out.len, memory_order_relaxed);
    atomic_store_explicit(&d->p->statements, d->statements, memory_order_relaxed);
    buf_clear(&d->out);
    return STATUS_OK;
}

static enum status end_statement(struct dump *d)
{
    buf_append(&d->out, ";\n", 2);
    d->statements++;
    return d->out.len < FLUSH_BYTES ? STATUS_OK : flush(d);
}

/* ---- reading ---- */

static enum status prepare(struct dump *d, const struct buf *sql, sqlite3_stmt **ret)
{
    if (sql->overflowed)
        return error_set(d->err, STATUS_NOMEM, 0, "out of memory while exporting");
    int rc = sqlite3_prepare_v2(d->db, sql->ptr, (int)sql->len, ret, NULL);
    return rc == SQLITE_OK ? STATUS_OK : sql_error(d->c, rc, d->err);
}

static enum status prepare_text(struct dump *d, const char *text, sqlite3_stmt **ret)
{
    int rc = sqlite3_prepare_v2(d->db, text, -1, ret, NULL);

    return rc == SQLITE_OK ? STATUS_OK : sql_error(d->c, rc, d->err);
}

static void finalize(sqlite3_stmt **stmt)
{
    sqlite3_finalize(*stmt); /* repeats the error that step has reported */
}

static struct slice column_slice(sqlite3_stmt *stmt, int i)
{
    const char *text = (const char *)sqlite3_column_text(stmt, i);

    return slice_of(text ? text : "", (size_t)sqlite3_column_bytes(stmt, i));
}

/* ---- the schema ---- */

enum object_kind {
    OBJECT_SKIP, /* a shadow table, or SQLite's own */
    OBJECT_TABLE,
    OBJECT_STAT1,
    OBJECT_SEQUENCE,
    OBJECT_FTS5,
    OBJECT_VIRTUAL, /* R*Tree and the like: rows by INSERT */
    OBJECT_VOCAB,   /* fts5vocab: shows what is elsewhere */
    OBJECT_INDEX,
    OBJECT_TRIGGER,
    OBJECT_VIEW,
};

struct object {
    enum object_kind kind;
    char *name, *table, *sql; /* owned, NUL-terminated; names hold no NUL: SQLite would not take them */
    bool selected;            /* passes the `tables` option */
    bool without_rowid;
    bool by_shadow;  /* FTS5: its shadow tables are written as they are */
    bool rebuild;    /* FTS5: built again out of its content table */
    bool referenced; /* a table that a foreign key points to; an index on it that the key may rest on */
};

struct schema {
    struct object *objects;
    size_t n, cap;
    bool tables_first; /* a foreign key points forward */
};

static void schema_release(struct schema *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->objects[i].name);
        free(s->objects[i].table);
        free(s->objects[i].sql);
    }
    free(s->objects);
}

static struct object *schema_find(const struct schema *s, struct slice name)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->objects[i].kind != OBJECT_INDEX && s->objects[i].kind != OBJECT_TRIGGER &&
            slice_eq_nocase(slice_cstr(s->objects[i].name), name))
            return &s->objects[i];
    return NULL;
}

static bool starts_nocase(const char *s, const char *prefix)
{
    return strncasecmp(s, prefix, strlen(prefix)) == 0;
}

static bool is_selected(const struct dump_options *opt, const char *name)
{
    for (size_t i = 0; i < opt->n_tables; i++)
        if (slice_eq(opt->tables[i], slice_cstr(name)))
            return true;
    return opt->n_tables == 0;
}

/* A name that nothing has would give a dump with nothing in it, and no word why. */
static enum status check_tables(const struct schema *s, const struct dump_options *opt, struct error *err)
{
    for (size_t i = 0; i < opt->n_tables; i++) {
        const struct object *found = schema_find(s, opt->tables[i]);
        if (!found || !found->selected)
            return error_set(err, STATUS_SQL, SQLITE_ERROR, "no such table: %.*s: SQLITE_ERROR",
                             SLICE_FMT(opt->tables[i]));
    }
    return STATUS_OK;
}

/* ---- the arguments of a virtual table ---- */

/* Behind a quoted thing, or behind one byte. */
static const char *skip_token(const char *p)
{
    char end = *p == '[' ? ']' : *p;

    if (*p != '\'' && *p != '"' && *p != '`' && *p != '[')
        return p + 1;
    for (p++; *p && *p != end;)
        p++;
    return *p ? p + 1 : p;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Behind "USING" of a CREATE VIRTUAL TABLE that SQLite has taken. */
static const char *behind_using(const char *sql)
{
    for (const char *p = sql; *p; p = skip_token(p))
        if (p > sql && (is_space(p[-1]) || strchr("\"'`]/", p[-1])) && starts_nocase(p, "using") &&
            (is_space(p[5]) || p[5] == '/' || p[5] == '"' || p[5] == '[' || p[5] == '`'))
            return p + 5;
    return sql;
}

static struct slice module_of(const char *sql)
{
    const char *p = behind_using(sql);

    while (is_space(*p) || *p == '"' || *p == '[' || *p == '`')
        p++;
    const char *end = p;
    while (*end && !is_space(*end) && !strchr("(\"]`/", *end))
        end++;
    return slice_of(p, (size_t)(end - p));
}

/* Takes quotes off in place, as FTS5 does. */
static void dequote(char *s)
{
    char q = *s == '[' ? ']' : *s, *to = s;

    if (*s != '\'' && *s != '"' && *s != '`' && *s != '[')
        return;
    for (const char *p = s + 1; *p; p++) {
        if (*p == q && p[1] != q)
            break;
        if (*p == q)
            p++;
        *to++ = *p;
    }
    *to = '\0';
}

/*
 * The value of an FTS5 option, dequoted, in new memory; NULL: not given. FTS5 takes any beginning of an option's name for
 * it. False: out of memory.
 */
static bool fts5_option(const char *sql, const char *option, char **ret)
{
    const char *p = strchr(behind_using(sql), '(');

    *ret = NULL;
    while (p && *p && *p != ')') {
        const char *arg = p + 1, *equals = NULL;
        int depth = 0;
        for (p = arg; *p && (depth || (*p != ',' && *p != ')')); p = skip_token(p)) {
            depth += (*p == '(') - (*p == ')');
            if (*p == '=' && !equals)
                equals = p;
        }
        if (!equals)
            continue;
        struct slice key = slice_trim(slice_of(arg, (size_t)(equals - arg)));
        struct slice value = slice_trim(slice_of(equals + 1, (size_t)(p - equals - 1)));
        if (key.len == 0 || key.len > strlen(option) || strncasecmp(option, key.ptr, key.len) != 0)
            continue;
        *ret = strndup(value.ptr, value.len);
        if (*ret)
            dequote(*ret);
        return *ret != NULL;
    }
    return true;
}

/* ---- loading the schema ---- */

static enum object_kind kind_of_table(const char *name, const char *sql, const char *list_type)
{
    if (starts_nocase(name, "_cf_") || strcmp(list_type, "shadow") == 0)
        return OBJECT_SKIP;
    if (strcmp(name, "sqlite_sequence") == 0)
        return OBJECT_SEQUENCE;
    /* The other statistics tables are of other builds of SQLite: ANALYZE would not make them here. */
    if (strcmp(name, "sqlite_stat1") == 0)
        return OBJECT_STAT1;
    if (starts_nocase(name, "sqlite_"))
        return OBJECT_SKIP;
    if (!starts_nocase(sql, "CREATE VIRTUAL TABLE"))
        return OBJECT_TABLE;
    struct slice module = module_of(sql);
    if (slice_eq_nocase(module, SLICE_LIT("fts5")))
        return OBJECT_FTS5;
    return slice_eq_nocase(module, SLICE_LIT("fts5vocab")) ? OBJECT_VOCAB : OBJECT_VIRTUAL;
}

static enum object_kind kind_of_object(sqlite3_stmt *row)
{
    const char *type = (const char *)sqlite3_column_text(row, 0);
    const char *name = (const char *)sqlite3_column_text(row, 1), *sql = (const char *)sqlite3_column_text(row, 3);
    const char *list_type = (const char *)sqlite3_column_text(row, 4);

    if (strcmp(type, "index") == 0)
        return starts_nocase(name, "_cf_") ? OBJECT_SKIP : OBJECT_INDEX;
    if (strcmp(type, "trigger") == 0)
        return starts_nocase(name, "_cf_") ? OBJECT_SKIP : OBJECT_TRIGGER;
    if (strcmp(type, "view") == 0)
        return starts_nocase(name, "_cf_") ? OBJECT_SKIP : OBJECT_VIEW;
    return kind_of_table(name, sql, list_type ? list_type : "");
}

static bool schema_add(struct schema *s, struct dump *d, sqlite3_stmt *row)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 64;
        struct object *objects = realloc(s->objects, cap * sizeof(*objects));
        if (!objects)
            return false;
        s->objects = objects;
        s->cap = cap;
    }
    struct object *o = &s->objects[s->n++];
    *o = (struct object){
        .kind = kind_of_object(row),
        .name = strdup((const char *)sqlite3_column_text(row, 1)),
        .table = strdup((const char *)sqlite3_column_text(row, 2)),
        .sql = strdup((const char *)sqlite3_column_text(row, 3)),
        .without_rowid = sqlite3_column_int(row, 5),
    };
    if (!o->name || !o->table || !o->sql)
        return false;
    o->selected = is_selected(d->opt, o->name);
    return true;
}

static bool shadow_exists(const struct schema *s, const struct object *o, const char *suffix)
{
    struct buf name = { 0 };

    buf_printf(&name, "%s_%s", o->name, suffix);
    bool found = !name.overflowed && schema_find(s, buf_slice(&name)) != NULL;
    buf_release(&name);
    return found;
}

/* How an FTS5 table's content is to be written; see the top of this file. False: out of memory. */
static bool decide_fts5(const struct schema *s, struct object *o)
{
    char *content = NULL, *locale = NULL;
    bool ok = fts5_option(o->sql, "content", &content) && fts5_option(o->sql, "locale", &locale);

    if (ok && content) {
        const struct object *source = *content ? schema_find(s, slice_cstr(content)) : NULL;
        o->rebuild = source && source->selected;
        o->by_shadow = !o->rebuild;
    } else if (ok) {
        o->by_shadow = locale && strcmp(locale, "0") != 0;
    }
    free(content);
    free(locale);
    return ok;
}

static bool is_unique_index(const struct object *o)
{
    return o->kind == OBJECT_INDEX && starts_nocase(o->sql, "CREATE UNIQUE INDEX");
}

/* Finds the keys that point forward; see the top of this file. */
static enum status look_at_foreign_keys(struct schema *s, struct dump *d)
{
    CLEANUP(finalize) sqlite3_stmt *keys = NULL;
    enum status st = prepare_text(
        d,
        "SELECT s.name, f.\"table\" FROM sqlite_schema AS s, pragma_foreign_key_list(s.name) AS f "
        "WHERE s.type = 'table'",
        &keys);
    int rc;

    if (st != STATUS_OK)
        return st;
    while ((rc = sqlite3_step(keys)) == SQLITE_ROW) {
        struct object *from = schema_find(s, column_slice(keys, 0)), *to = schema_find(s, column_slice(keys, 1));
        if (from && to)
            to->referenced = true;
        if (from && to && to > from)
            s->tables_first = true;
    }
    if (rc != SQLITE_DONE)
        return sql_error(d->c, rc, d->err);
    for (size_t i = 0; i < s->n; i++) {
        struct object *o = &s->objects[i], *table = is_unique_index(o) ? schema_find(s, slice_cstr(o->table)) : NULL;
        o->referenced |= table && table->referenced;
        s->tables_first |= table && table->referenced;
    }
    return STATUS_OK;
}

static enum status schema_load(struct schema *s, struct dump *d)
{
    /* The order is D1's; table_list tells shadow tables and WITHOUT ROWID. */
    static const char text[] =
        "SELECT s.type, s.name, s.tbl_name, s.sql, l.type, l.wr FROM sqlite_schema AS s LEFT JOIN "
        "(SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main') AS l ON s.type = 'table' AND l.name = s.name "
        "WHERE s.sql IS NOT NULL ORDER BY s.tbl_name = 'sqlite_sequence' AND s.type = 'table', s.rowid";
    CLEANUP(finalize) sqlite3_stmt *rows = NULL;
    enum status st = prepare_text(d, text, &rows);
    int rc;

    if (st != STATUS_OK)
        return st;
    while ((rc = sqlite3_step(rows)) == SQLITE_ROW)
        if (!schema_add(s, d, rows))
            return error_set(d->err, STATUS_NOMEM, 0, "out of memory while exporting");
    if (rc != SQLITE_DONE)
        return sql_error(d->c, rc, d->err);
    for (size_t i = 0; i < s->n; i++)
        if (s->objects[i].kind == OBJECT_FTS5 && !decide_fts5(s, &s->objects[i]))
            return error_set(d->err, STATUS_NOMEM, 0, "out of memory while exporting");
    return look_at_foreign_keys(s, d);
}

static enum status write_sql(struct dump *d, const char *sql)
{
    static const char create[] = "CREATE TABLE ";

    if (d->opt->no_schema)
        return STATUS_OK;
    /* D1's habit with quoted names. */
    bool quoted = strncmp(sql, create, sizeof(create) - 1) == 0 &&
                  (sql[sizeof(create) - 1] == '"' || sql[sizeof(create) - 1] == '\'');
    if (quoted) {
        buf_append_cstr(&d->out, "CREATE TABLE IF NOT EXISTS ");
        sql += sizeof(create) - 1;
    }
    buf_append_cstr(&d->out, sql);
    return end_statement(d);
}

static enum status write_line(struct dump *d, const char *text)
{
    buf_append_cstr(&d->out, text);
    return end_statement(d);
}

/* ---- rows ---- */

/* The columns of a table that an INSERT may name. */
struct columns {
    struct buf names; /* "a","b" */
    bool *is_real;    /* by column */
    int n;
    bool taken[3]; /* a column is called rowid, _rowid_, oid */
};

static const char *const rowid_names[] = { "rowid", "_rowid_", "oid" };

static void columns_release(struct columns *c)
{
    buf_release(&c->names);
    free(c->is_real);
}

/* SQLite's rule for a declared type, as far as REAL needs it. */
static bool has_real_affinity(const char *type)
{
    return !strcasestr(type, "int") && !strcasestr(type, "char") && !strcasestr(type, "clob") &&
           !strcasestr(type, "text") && !strcasestr(type, "blob") &&
           (strcasestr(type, "real") || strcasestr(type, "floa") || strcasestr(type, "doub"));
}

static bool columns_add(struct columns *c, sqlite3_stmt *row)
{
    struct slice name = column_slice(row, 0);
    bool *is_real = realloc(c->is_real, (size_t)(c->n + 1) * sizeof(*is_real));

    if (!is_real)
        return false;
    c->is_real = is_real;
    is_real[c->n] = has_real_affinity((const char *)column_slice(row, 1).ptr);
    for (size_t i = 0; i < ARRAY_LEN(rowid_names); i++)
        c->taken[i] |= slice_eq_nocase(name, slice_cstr(rowid_names[i]));
    if (c->n++)
        buf_append_char(&c->names, ',');
    literal_name(&c->names, name);
    return true;
}

/* hidden: 1 are arguments and commands of virtual tables, 2 and 3 generated columns. */
static enum status columns_load(struct dump *d, const char *table, struct columns *ret)
{
    CLEANUP(finalize) sqlite3_stmt *rows = NULL;
    enum status st = prepare_text(d, "SELECT name, type FROM pragma_table_xinfo(?1) WHERE hidden = 0 ORDER BY cid",
                                  &rows);
    int rc;

    if (st != STATUS_OK)
        return st;
    sqlite3_bind_text(rows, 1, table, -1, SQLITE_STATIC);
    while ((rc = sqlite3_step(rows)) == SQLITE_ROW)
        if (!columns_add(ret, rows))
            return error_set(d->err, STATUS_NOMEM, 0, "out of memory while exporting");
    if (rc != SQLITE_DONE)
        return sql_error(d->c, rc, d->err);
    return ret->n ? STATUS_OK : error_set(d->err, STATUS_CORRUPT, 0, "cannot read the columns of table %s", table);
}

static enum status first_i64(struct dump *d, const struct buf *sql, int64_t *ret, int n)
{
    CLEANUP(finalize) sqlite3_stmt *row = NULL;
    enum status st = prepare(d, sql, &row);

    if (st != STATUS_OK)
        return st;
    int rc = sqlite3_step(row);
    if (rc != SQLITE_ROW)
        return sql_error(d->c, rc, d->err);
    for (int i = 0; i < n; i++)
        ret[i] = sqlite3_column_int64(row, i);
    return STATUS_OK;
}

/* Whether the rowid is only another name of a column: of an INTEGER PRIMARY KEY, which alone needs no index of its own. */
static enum status is_primary_key(struct dump *d, const char *table, bool *ret)
{
    CLEANUP(finalize) sqlite3_stmt *row = NULL;
    enum status st = prepare_text(d,
                                  "SELECT EXISTS (SELECT 1 FROM pragma_table_xinfo(?1) WHERE pk > 0) AND NOT EXISTS "
                                  "(SELECT 1 FROM pragma_index_list(?1) WHERE origin = 'pk')",
                                  &row);

    if (st != STATUS_OK)
        return st;
    sqlite3_bind_text(row, 1, table, -1, SQLITE_STATIC);
    int rc = sqlite3_step(row);
    if (rc != SQLITE_ROW)
        return sql_error(d->c, rc, d->err);
    *ret = sqlite3_column_int(row, 0);
    return STATUS_OK;
}

/*
 * The name under which the rowid must be written, NULL when it need not be. A table that has columns of all three names
 * hides its rowids from SQL; they cannot be written, and nobody can have used them.
 */
static enum status rowid_to_write(struct dump *d, const struct object *o, const struct columns *cols, const char **ret)
{
    CLEANUP(buf_release) struct buf sql = { 0 };
    const char *alias = NULL;
    bool is_key = false;
    int64_t v[3];

    *ret = NULL;
    for (size_t i = ARRAY_LEN(rowid_names); i-- > 0;)
        if (!cols->taken[i])
            alias = rowid_names[i];
    if (o->kind != OBJECT_TABLE || o->without_rowid || !alias)
        return STATUS_OK;
    enum status st = is_primary_key(d, o->name, &is_key);
    if (st != STATUS_OK || is_key)
        return st;
    buf_printf(&sql, "SELECT count(*), ifnull(min(%s), 1), ifnull(max(%s), 0) FROM ", alias, alias);
    literal_name(&sql, slice_cstr(o->name));
    st = first_i64(d, &sql, v, 3);
    if (st == STATUS_OK && (v[1] != 1 || v[2] != v[0]))
        *ret = alias;
    return st;
}

static enum status write_row(struct dump *d, const struct buf *head, const struct columns *cols, sqlite3_stmt *row,
                             int n)
{
    int extra = n - cols->n; /* the rowid in front */

    buf_append_slice(&d->out, buf_slice(head));
    for (int i = 0; i < n; i++) {
        if (i)
            buf_append_char(&d->out, ',');
        literal_column(&d->out, row, i, i >= extra && cols->is_real[i - extra]);
    }
    buf_append_char(&d->out, ')');
    return end_statement(d);
}

/* NOT INDEXED makes it a scan of the table itself, in the order of its key, never of an index that happens to cover it. */
static enum status write_rows(struct dump *d, const char *table, const struct columns *cols, const char *rowid,
                              const char *how)
{
    CLEANUP(buf_release) struct buf head = { 0 }, sql = { 0 };
    CLEANUP(finalize) sqlite3_stmt *rows = NULL;
    int rc = SQLITE_OK;

    buf_append_cstr(&head, "INSERT INTO ");
    literal_name(&head, slice_cstr(table));
    buf_printf(&head, " (%s%s", rowid ? rowid : "", rowid ? "," : "");
    buf_append_slice(&head, buf_slice(&cols->names));
    buf_append_cstr(&head, ") VALUES(");
    buf_printf(&sql, "SELECT %s%s", rowid ? rowid : "", rowid ? "," : "");
    buf_append_slice(&sql, buf_slice(&cols->names));
    buf_append_cstr(&sql, " FROM ");
    literal_name(&sql, slice_cstr(table));
    buf_append_cstr(&sql, how);
    if (head.overflowed)
        return error_set(d->err, STATUS_NOMEM, 0, "out of memory while exporting");
    enum status st = prepare(d, &sql, &rows);
    if (st != STATUS_OK)
        return st;
    int n = sqlite3_column_count(rows);
    while (st == STATUS_OK && (rc = sqlite3_step(rows)) == SQLITE_ROW)
        st = write_row(d, &head, cols, rows, n);
    if (st == STATUS_OK && rc != SQLITE_DONE)
        return sql_error(d->c, rc, d->err);
    return st;
}

static enum status write_table_rows(struct dump *d, const struct object *o)
{
    CLEANUP(columns_release) struct columns cols = { 0 };
    const char *rowid = NULL;
    enum status st = d->opt->no_data ? STATUS_OK : columns_load(d, o->name, &cols);

    if (st != STATUS_OK || d->opt->no_data)
        return st;
    st = rowid_to_write(d, o, &cols, &rowid);
    if (st != STATUS_OK)
        return st;
    return write_rows(d, o->name, &cols, rowid, o->kind == OBJECT_VIRTUAL ? "" : " NOT INDEXED");
}

/* ---- FTS5 ---- */

static enum status write_shadow(struct dump *d, const struct schema *s, const char *name)
{
    const struct object *o = schema_find(s, slice_cstr(name));
    CLEANUP(columns_release) struct columns cols = { 0 };

    if (!o)
        return STATUS_OK;
    /* CREATE VIRTUAL TABLE has put the rows of an empty index there. */
    buf_append_cstr(&d->out, "DELETE FROM ");
    literal_name(&d->out, slice_cstr(name));
    enum status st = end_statement(d);
    if (st == STATUS_OK)
        st = columns_load(d, name, &cols);
    return st == STATUS_OK ? write_rows(d, name, &cols, NULL, " NOT INDEXED") : st;
}

static enum status write_shadows(struct dump *d, const struct schema *s, const struct object *o)
{
    static const char *const suffixes[] = { "config", "content", "docsize", "data", "idx" };
    enum status st = STATUS_OK;

    for (size_t i = 0; i < ARRAY_LEN(suffixes) && st == STATUS_OK; i++) {
        CLEANUP(buf_release) struct buf name = { 0 };
        /* An external content table is not ours. */
        if (strcmp(suffixes[i], "content") == 0 && !shadow_exists(s, o, suffixes[i]))
            continue;
        buf_printf(&name, "%s_%s", o->name, suffixes[i]);
        st = name.overflowed ? error_set(d->err, STATUS_NOMEM, 0, "out of memory while exporting")
                             : write_shadow(d, s, name.ptr);
    }
    return st;
}

/* Settings such as automerge or a rank function: INSERT INTO t(t, rank) VALUES('automerge', 8). */
static enum status write_config(struct dump *d, const struct object *o)
{
    CLEANUP(buf_release) struct buf sql = { 0 }, name = { 0 };
    CLEANUP(finalize) sqlite3_stmt *rows = NULL;
    int rc = SQLITE_OK;

    buf_printf(&name, "%s_config", o->name);
    buf_append_cstr(&sql, "SELECT k, v FROM ");
    literal_name(&sql, buf_slice(&name));
    buf_append_cstr(&sql, " WHERE k <> 'version' ORDER BY k");
    enum status st = prepare(d, &sql, &rows);
    if (st != STATUS_OK)
        return st;
    while (st == STATUS_OK && (rc = sqlite3_step(rows)) == SQLITE_ROW) {
        buf_append_cstr(&d->out, "INSERT INTO ");
        literal_name(&d->out, slice_cstr(o->name));
        buf_append_cstr(&d->out, " (");
        literal_name(&d->out, slice_cstr(o->name));
        buf_append_cstr(&d->out, ",\"rank\") VALUES(");
        literal_column(&d->out, rows, 0, false);
        buf_append_char(&d->out, ',');
        literal_column(&d->out, rows, 1, false);
        buf_append_char(&d->out, ')');
        st = end_statement(d);
    }
    if (st == STATUS_OK && rc != SQLITE_DONE)
        return sql_error(d->c, rc, d->err);
    return st;
}

static enum status write_fts5_rows(struct dump *d, const struct schema *s, const struct object *o)
{
    CLEANUP(columns_release) struct columns cols = { 0 };

    if (d->opt->no_data)
        return STATUS_OK;
    if (o->by_shadow)
        return write_shadows(d, s, o);
    enum status st = write_config(d, o);
    if (st != STATUS_OK || o->rebuild)
        return st;
    st = columns_load(d, o->name, &cols);
    return st == STATUS_OK ? write_rows(d, o->name, &cols, "rowid", "") : st;
}

static enum status write_rebuild(struct dump *d, const struct object *o)
{
    if (d->opt->no_data || !o->rebuild)
        return STATUS_OK;
    buf_append_cstr(&d->out, "INSERT INTO ");
    literal_name(&d->out, slice_cstr(o->name));
    buf_append_cstr(&d->out, " (");
    literal_name(&d->out, slice_cstr(o->name));
    buf_append_cstr(&d->out, ") VALUES('rebuild')");
    return end_statement(d);
}

/* ---- all of it ---- */

static enum status is_autoincrement(struct dump *d, const char *table, bool *ret)
{
    CLEANUP(finalize) sqlite3_stmt *rows = NULL;
    enum status st = prepare_text(d, "SELECT name FROM pragma_table_xinfo(?1) WHERE pk = 1", &rows);
    int automatic = 0;

    if (st != STATUS_OK)
        return st;
    sqlite3_bind_text(rows, 1, table, -1, SQLITE_STATIC);
    int rc = sqlite3_step(rows);
    if (rc == SQLITE_ROW)
        rc = sqlite3_table_column_metadata(d->db, "main", table, (const char *)sqlite3_column_text(rows, 0), NULL, NULL,
                                           NULL, NULL, &automatic);
    if (rc != SQLITE_OK && rc != SQLITE_DONE)
        return sql_error(d->c, rc, d->err);
    *ret = automatic;
    return STATUS_OK;
}

/* sqlite_sequence is there as long as the file lives; the copy has it only when a table needs it. */
static enum status any_autoincrement(struct dump *d, const struct schema *s, bool *ret)
{
    enum status st = STATUS_OK;

    *ret = false;
    for (size_t i = 0; i < s->n && st == STATUS_OK && !*ret; i++)
        if (s->objects[i].kind == OBJECT_TABLE && s->objects[i].selected)
            st = is_autoincrement(d, s->objects[i].name, ret);
    return st;
}

static enum status write_sequence(struct dump *d, const struct schema *s, const struct object *o)
{
    bool any;
    enum status st = any_autoincrement(d, s, &any);

    if (st != STATUS_OK || !any)
        return st;
    /* Also before data alone: a second row for a table would not replace the first. */
    st = write_line(d, "DELETE FROM sqlite_sequence");
    return st == STATUS_OK ? write_table_rows(d, o) : st;
}

static bool is_early_index(const struct schema *s, const struct object *o)
{
    return s->tables_first && o->referenced && is_unique_index(o);
}

static enum status write_early_table(struct dump *d, const struct schema *s, const struct object *o)
{
    return s->tables_first && o->kind == OBJECT_TABLE ? write_sql(d, o->sql) : STATUS_OK;
}

static enum status write_early_index(struct dump *d, const struct schema *s, const struct object *o)
{
    return is_early_index(s, o) ? write_sql(d, o->sql) : STATUS_OK;
}

static enum status write_table(struct dump *d, const struct schema *s, const struct object *o)
{
    enum status st;

    switch (o->kind) {
    case OBJECT_TABLE:
        st = s->tables_first ? STATUS_OK : write_sql(d, o->sql);
        return st == STATUS_OK ? write_table_rows(d, o) : st;
    case OBJECT_STAT1:
        /* Makes the table; its rows follow. */
        st = d->opt->no_schema ? STATUS_OK : write_line(d, "ANALYZE sqlite_schema");
        return st == STATUS_OK ? write_table_rows(d, o) : st;
    case OBJECT_SEQUENCE:
        return write_sequence(d, s, o);
    default:
        return STATUS_OK;
    }
}

static enum status write_virtual(struct dump *d, const struct schema *s, const struct object *o)
{
    enum status st;

    switch (o->kind) {
    case OBJECT_FTS5:
        st = write_sql(d, o->sql);
        return st == STATUS_OK ? write_fts5_rows(d, s, o) : st;
    case OBJECT_VIRTUAL:
        st = write_sql(d, o->sql);
        return st == STATUS_OK ? write_table_rows(d, o) : st;
    case OBJECT_VOCAB:
        return write_sql(d, o->sql);
    default:
        return STATUS_OK;
    }
}

static bool is_on_view(const struct schema *s, const struct object *trigger)
{
    const struct object *o = schema_find(s, slice_cstr(trigger->table));

    return o && o->kind == OBJECT_VIEW;
}

static enum status write_index(struct dump *d, const struct schema *s, const struct object *o)
{
    return o->kind == OBJECT_INDEX && !is_early_index(s, o) ? write_sql(d, o->sql) : STATUS_OK;
}

static enum status write_table_trigger(struct dump *d, const struct schema *s, const struct object *o)
{
    return o->kind == OBJECT_TRIGGER && !is_on_view(s, o) ? write_sql(d, o->sql) : STATUS_OK;
}

static enum status write_view(struct dump *d, const struct schema *s UNUSED, const struct object *o)
{
    return o->kind == OBJECT_VIEW ? write_sql(d, o->sql) : STATUS_OK;
}

static enum status write_view_trigger(struct dump *d, const struct schema *s, const struct object *o)
{
    return o->kind == OBJECT_TRIGGER && is_on_view(s, o) ? write_sql(d, o->sql) : STATUS_OK;
}

static enum status write_late(struct dump *d, const struct schema *s UNUSED, const struct object *o)
{
    return write_rebuild(d, o);
}

static enum status write_everything(struct dump *d)
{
    static enum status (*const passes[])(struct dump * d, const struct schema *s, const struct object *o) = {
        write_early_table,   write_early_index, write_table,        write_virtual, write_index,
        write_table_trigger, write_view,        write_view_trigger, write_late,
    };
    CLEANUP(schema_release) struct schema schema = { 0 };
    enum status st = schema_load(&schema, d);

    if (st == STATUS_OK)
        st = check_tables(&schema, d->opt, d->err);
    if (st == STATUS_OK)
        st = write_line(d, "PRAGMA defer_foreign_keys=TRUE");
    for (size_t pass = 0; pass < ARRAY_LEN(passes); pass++)
        for (size_t i = 0; i < schema.n && st == STATUS_OK; i++)
            if (schema.objects[i].selected)
                st = passes[pass](d, &schema, &schema.objects[i]);
    return st == STATUS_OK ? flush(d) : st;
}

enum status dump_write(struct sql_conn *c, const struct dump_options *opt, int fd, struct progress *p,
                       struct error *err)
{
    struct dump d = { .c = c, .db = sql_conn_handle(c), .opt = opt, .fd = fd, .p = p, .err = err };
    /* Our SELECTs name every column, and the rowid: one more than a user's may. */
    int columns = sqlite3_limit(d.db, SQLITE_LIMIT_COLUMN, 32767);
    int length = sqlite3_limit(d.db, SQLITE_LIMIT_SQL_LENGTH, 1000 * 1000 * 1000);

    enum status st = write_everything(&d);
    sqlite3_limit(d.db, SQLITE_LIMIT_COLUMN, columns);
    sqlite3_limit(d.db, SQLITE_LIMIT_SQL_LENGTH, length);
    buf_release(&d.out);
    return st;
}
