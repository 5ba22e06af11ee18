// Says how two answers to one case differ, and which differences are accepted.

import { readFileSync } from "node:fs";

// Everything in meta but what depends on the clock and on who answered.
const META = ["changes", "last_row_id", "changed_db", "size_after", "rows_read", "rows_written", "total_attempts"];

/** JSON values, exactly: same types, same order, same numbers (0 and -0 are told apart), same strings. */
function same(a, b) {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((value, i) => same(value, b[i]));
  return Object.is(a, b);
}

/**
 * Several statements in one text give one result each over REST, and only the last one's over the binding, whose meta
 * counts the changes of all. This folds the former into the latter, to compare what both tell.
 */
function fold(results) {
  const last = results.at(-1);
  if (results.length === 1) return last;
  return {
    ...last,
    meta: {
      ...last.meta,
      changes: results.reduce((sum, { meta }) => sum + meta.changes, 0),
      changed_db: results.some(({ meta }) => meta.changed_db),
    },
  };
}

/**
 * The differences between two answers, as {field, dione, reference}. Fields: `outcome` (one side failed), `error`,
 * `results` (one side has none), `columns`, `rows`, `meta.<name>`; in a batch with the statement's number: `[2].rows`.
 */
export function differences(dione, reference) {
  if (dione.error !== undefined || reference.error !== undefined) {
    if (dione.error === reference.error) return [];
    const field = dione.error !== undefined && reference.error !== undefined ? "error" : "outcome";
    const tell = (answer) => answer.error ?? answer.map(({ columns, rows }) => ({ columns, rows }));
    return [{ field, dione: tell(dione), reference: tell(reference) }];
  }
  if (dione.length === 0 || reference.length === 0) {
    return dione.length === reference.length ? [] : [{ field: "results", dione: dione.length, reference: reference.length }];
  }
  const pairwise = dione.length === reference.length;
  const ours = pairwise ? dione : [fold(dione)];
  const theirs = pairwise ? reference : [fold(reference)];

  const found = [];
  for (const [index, result] of theirs.entries()) {
    const prefix = theirs.length > 1 ? `[${index}].` : "";
    const compare = (field, a, b) => same(a, b) || found.push({ field: prefix + field, dione: a, reference: b });
    compare("columns", ours[index].columns, result.columns);
    compare("rows", ours[index].rows, result.rows);
    for (const name of META) compare(`meta.${name}`, ours[index].meta[name], result.meta[name]);
  }
  return found;
}

const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** The accepted differences of accepted.json. Each entry remembers whether it was ever needed. */
export class Accepted {
  constructor(path) {
    this.entries = JSON.parse(readFileSync(path, "utf8")).map((entry) => {
      for (const key of ["file", "fields", "reason"]) if (!entry[key]) throw new Error(`${path}: an entry lacks ${key}`);
      const pattern = (text) => text === undefined ? undefined : new RegExp(text, "s");
      return {
        ...entry,
        used: 0,
        sql: pattern(entry.sql),
        dione: pattern(entry.dione),
        reference: pattern(entry.reference),
      };
    });
  }

  /** Whether some entry accepts this difference of this case. Every entry that does counts as used. */
  accept(section, { statements }, difference) {
    const texts = statements.map(({ sql }) => sql).join("\n");
    const field = difference.field.replace(/^\[\d+\]\./, "");
    const matching = this.entries.filter((entry) =>
      entry.file === section.file
      && (entry.section === undefined || entry.section === section.title)
      && entry.fields.includes(field)
      && (entry.sql?.test(texts) ?? true)
      && (entry.dione?.test(asText(difference.dione)) ?? true)
      && (entry.reference?.test(asText(difference.reference)) ?? true));
    for (const entry of matching) entry.used += 1;
    return matching.length > 0;
  }

  get unused() { return this.entries.filter(({ used }) => used === 0); }
}
