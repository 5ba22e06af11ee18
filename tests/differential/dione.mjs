// The other side: a Dione server of its own, spoken to over the REST API that wrangler and the SDK use.

import { startServer } from "../lib/server.mjs";

/** Starts a server on a data folder that goes with it. Same shape as startReference(). */
export async function startDione() {
  const leftovers = [];
  // D1's clock is in UTC wherever it runs: a zone of our own shows whether the machine's reaches SQL.
  const env = { TZ: "America/New_York" };
  const server = await startServer({ after: (clean) => leftovers.unshift(clean) }, { env });
  const ids = new Map();

  const open = async (database) => {
    if (!ids.has(database)) ids.set(database, (await server.create(`differential-${database}`)).uuid);
    return ids.get(database);
  };

  return {
    async run(database, requests, batches) {
      const id = await open(database);
      const answers = [];
      for (const [index, request] of requests.entries()) {
        const json = batches[index] ? { batch: request } : request[0];
        const { status, text, body } = await server.database(id, "POST", "/raw", { json });
        if (body?.success === true) {
          answers.push(body.result.map(({ results, meta }) => ({ ...results, meta })));
        } else if (body?.success === false && body.errors?.length > 0) {
          answers.push({ error: body.errors[0].message, code: body.errors[0].code, status });
        } else {
          throw new Error(`no envelope (HTTP ${status}) for ${JSON.stringify(json).slice(0, 200)}: ${text.slice(0, 500)}`);
        }
      }
      return answers;
    },
    async stop() {
      await server.stop();
      for (const clean of leftovers) await clean();
    },
  };
}
