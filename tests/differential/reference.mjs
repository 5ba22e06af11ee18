// The reference: D1 as workerd runs it, inside miniflare.
//
// One Worker holds a D1 binding per section of the corpus. It receives a section's requests in one call, runs them in
// order through `env.<DB>.query()`, and returns the raw answers. `query()` is the binding's lowest public call (behind
// the compatibility flag `d1_binding_jsrpc`): unlike `all()` it keeps duplicate column names, and unlike `raw()` it
// returns `meta`, so each statement runs once and nothing of its answer is lost.

import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";

const worker = `
export default {
  async fetch(request, env) {
    const { database, requests } = await request.json();
    const answers = [];
    for (const queries of requests) {
      try {
        const { results } = await env[database].query({ queries });
        answers.push(results.map(({ data, meta }) => ({ columns: data.columns, rows: data.rows, meta })));
      } catch (error) {
        answers.push({ error: error.message });
      }
    }
    return Response.json(answers);
  },
};`;

/** bind() turns booleans into numbers before they leave the Worker; query() leaves that to its caller. */
const asBound = (value) => (typeof value === "boolean" ? Number(value) : value);

/** Starts miniflare with databases named `databases`. */
export async function startReference(databases) {
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      name: "reference",
      modules: true,
      script: worker,
      compatibilityDate: "2026-01-01",
      compatibilityFlags: ["d1_binding_jsrpc"],
      d1Databases: Object.fromEntries(databases.map((name) => [name, name])),
      log: new Log(LogLevel.ERROR),
      handleStructuredLogs: () => {}, // workerd logs each SQL error as an uncaught exception; the answers carry them
    }),
  );
  await miniflare.ready;

  return {
    /** Runs `requests` (each a list of {sql, params}) in order. An answer is a list of results, or {error}. */
    async run(database, requests) {
      const body = requests.map((request) =>
        request.map(({ sql, params }) => ({ sql, params: (params ?? []).map(asBound) })),
      );
      const response = await miniflare.dispatchFetch("http://reference/", {
        method: "POST",
        body: JSON.stringify({ database, requests: body }),
      });
      const text = await response.text();
      if (!response.ok) throw new Error(`reference answered ${response.status}: ${text.slice(0, 500)}`);
      return JSON.parse(text).map((answer) =>
        answer.error === undefined ? answer : { error: answer.error.replace(/^D1_ERROR: /, "") },
      );
    },
    stop: () => miniflare.dispose(),
  };
}
