/*
 * toml.h - reads TOML 1.0 (wrangler.toml) into the tree of json.h.
 *
 * One tree for wrangler.toml and wrangler.jsonc, so the code that looks things up knows nothing of the
 * syntax. Tables become OBJECT, arrays ARRAY. Integers become NUMBER in decimal, whatever base they were
 * written in; floats keep their value, with "inf", "-inf" and "nan" as text. Dates and times become STRING,
 * checked and as written. Pure function; any thread.
 */
#ifndef DIONE_CLI_TOML_H
#define DIONE_CLI_TOML_H

#include "base/json.h"

/*
 * Parses all of `text`. The tree lives in `a` and points into `text`.
 * Errors  INVALID "line N: ..."; also for what the language forbids beyond its syntax: a key or table defined
 *         twice, nesting deeper than JSON_MAX_DEPTH, text that is not UTF-8. NOMEM the arena's limit.
 */
enum status toml_parse(struct slice text, struct arena *a, struct json **ret, struct error *err) MUST_CHECK;

#endif
