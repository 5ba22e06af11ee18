/*
 * asset_rules.h - the rules of _headers and _redirects files.
 *
 * A pattern is a path in which `*` stands for anything (`:splat`, once) and `:name` for what is between two slashes; one
 * that begins with https:// names a host, too. Pure; the results live in the arena. Lines that say nothing sensible are
 * left out, as Cloudflare does (wrangler warns about them before it uploads).
 */
#ifndef DIONE_WORKERS_ASSET_RULES_H
#define DIONE_WORKERS_ASSET_RULES_H

#include "base/arena.h"
#include "base/buf.h"

enum { RULE_CAPTURES_MAX = 12 };

struct header_line {
    struct slice name, value; /* value absent: the header goes */
};

struct header_rule {
    struct slice pattern;
    const struct header_line *lines;
    size_t n;
};

struct redirect_rule {
    struct slice pattern, to;
    int status;     /* 301, 302, 303, 307, 308; 200: serve `to` in its place */
    bool is_static; /* no placeholders: these go first */
};

struct asset_rules {
    struct header_rule *headers;
    size_t n_headers;
    struct redirect_rule *redirects;
    size_t n_redirects;
};

struct rule_match {
    struct slice names[RULE_CAPTURES_MAX], values[RULE_CAPTURES_MAX];
    size_t n;
};

/* False: out of memory. */
bool asset_rules_read(struct slice headers, struct slice redirects, struct arena *a,
                      struct asset_rules *ret) MUST_CHECK;
bool rule_matches(struct slice pattern, struct slice host, struct slice path, struct rule_match *ret);
/* Appends `text` with :name replaced by what it stands for. */
void rule_expand(struct buf *b, struct slice text, const struct rule_match *m);
/* The redirect for this path, or NULL. */
const struct redirect_rule *asset_rules_redirect(const struct asset_rules *r, struct slice host, struct slice path,
                                                 struct rule_match *ret);
/* Whether a run_worker_first pattern (`*` anywhere) fits the path. */
bool route_glob_matches(struct slice pattern, struct slice path);

#endif
