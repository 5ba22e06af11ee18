// What a user of D1 has on the own machine today: a Worker in front of miniflare's D1, taking and
// giving the same JSON as D1's REST API.
// usage: node miniflare.mjs FOLDER PORT

import { createRequire } from 'node:module';

const require = createRequire(new URL('../../tests/package.json', import.meta.url));

const [folder, port] = process.argv.slice(2);

const script = `
async function run(db, { sql, params = [], batch }) {
  if (batch) return db.batch(batch.map(({ sql, params = [] }) => db.prepare(sql).bind(...params)));
  return [await db.prepare(sql).bind(...params).all()];
}
export default {
  async fetch(request, env) {
    try {
      const result = await run(env.DB, await request.json());
      return Response.json({ success: true, errors: [], messages: [], result });
    } catch (error) {
      const errors = [{ message: error.message }];
      return Response.json({ success: false, errors, result: null }, { status: 400 });
    }
  },
};
`;

// Version 5 describes Workers in another way than version 4 and converts the old form.
const { Miniflare, convertV4MiniflareOptions = (given) => given } = require('miniflare');
const options = convertV4MiniflareOptions({
  modules: true,
  script,
  compatibilityDate: '2026-01-01',
  host: '127.0.0.1',
  port: Number(port),
  d1Databases: { DB: 'bench' },
  d1Persist: folder, // version 4's name for it
  resourcePersistencePath: folder,
});
const miniflare = new Miniflare(options);
const url = await miniflare.ready;
console.log(`ready ${url.origin}`);

for (const signal of ['SIGTERM', 'SIGINT'])
  process.on(signal, async () => {
    await miniflare.dispose();
    process.exit(0);
  });
