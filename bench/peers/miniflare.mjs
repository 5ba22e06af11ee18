// What a user of D1 and KV has on the own machine today: a Worker (worker.mjs) on miniflare.
// usage: node miniflare.mjs FOLDER PORT

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../tests/package.json', import.meta.url));

const [folder, port] = process.argv.slice(2);

const script = readFileSync(new URL('worker.mjs', import.meta.url), 'utf8');

// Version 5 describes Workers in another way than version 4 and converts the old form.
const { Miniflare, convertV4MiniflareOptions = (given) => given } = require('miniflare');
const options = convertV4MiniflareOptions({
  modules: true,
  script,
  compatibilityDate: '2026-01-01',
  host: '127.0.0.1',
  port: Number(port),
  d1Databases: { DB: 'bench' },
  kvNamespaces: { KV: 'bench' },
  d1Persist: folder, // version 4's name for it
  kvPersist: folder,
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
