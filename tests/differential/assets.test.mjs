// The same for static assets: one site, each html_handling with each not_found_handling, on Dione and on miniflare (which runs
// Cloudflare's own asset Worker). Every path must get the same status, redirect and text: asked plainly, as a navigation,
// and by env.ASSETS.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import http from "node:http";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";

import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";

import { request, script, startWorkersServer, tryUpload } from "../lib/deploy.mjs";
import { ok, tempDir } from "../lib/server.mjs";

const site = {
  "/index.html": "home", "/about.html": "about", "/docs/index.html": "docs", "/docs/404.html": "no doc", "/404.html": "nothing", "/a b.txt": "space",
  "/raw": "raw", "/both.html": "the file", "/both/index.html": "the folder", "/x/index": "an index without an end", "/y.html": "y", "/y/z.txt": "z",
  "/dir/page.html": "page", "/é.html": "accent", "/p+q.txt": "plus", "/deep/a/b/c.html": "c",
};
const paths = ["/", "/index", "/index/", "/index.html", "/about", "/about/", "/about.html", "/about.html/", "/about/index", "/about/index.html", "/docs", "/docs/",
  "/docs/index", "/docs/index/", "/docs/index.html", "/docs.html", "/docs/none", "/none", "/none/", "/a%20b.txt", "/raw", "/raw/", "/raw.html", "/both", "/both/",
  "/both.html", "/both/index", "/both/index.html", "/x/index", "/x/", "/x", "/x/index.html", "/y", "/y/", "/y/index", "/y/z.txt", "//about", "/docs//index.html",
  "/%61bout", "/%C3%A9", "/%c3%a9", "/%C3%A9.html", "/p+q.txt", "/p%2Bq.txt", "/bad%zz", "/deep/a/b/c",
  "/deep/a/b/", "/deep/none", "/404", "/404.html", "/404/", "/docs/404", "/%2e%2e/about", "/docs/../about", "/docs/./", "/docs/..", "/docs/%2E", "/.hidden",
  "/dir", "/dir/", "/dir/page", "/about?q=1", "/about.html?q=1", "/docs?x", "/ABOUT"];
const ways = { plainly: {}, "by env.ASSETS": { "x-direct": "1" }, "as a navigation": { "sec-fetch-mode": "navigate" } };
const code = `export default { fetch: (request, env) => request.headers.get('x-direct')
  ? env.ASSETS.fetch(request) : new Response('the Worker', { status: 299 }) };`;

const leftovers = [];
const owner = { after: (clean) => leftovers.unshift(clean) };
let server, folder, files;
before(async () => {
  server = await startWorkersServer(owner);
  folder = await tempDir(owner);
  for (const [path, text] of Object.entries(site)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  // What tells two files apart is their content and their name's end, as wrangler has it.
  files = Object.entries(site).map(([path, text]) => ({ path, text,
    hash: createHash("sha256").update(text + path.replace(/.*\./, "")).digest("hex").slice(0, 32) }));
});
after(async () => { for (const clean of leftovers) await clean(); });

async function deploy(config) {
  const manifest = Object.fromEntries(files.map(({ path, text, hash }) => [path, { hash, size: Buffer.byteLength(text) }]));
  const session = ok(await script(server, "site", "POST", "/assets-upload-session", { json: { manifest } }));
  let { jwt } = session;
  for (const bucket of session.buckets) {
    const body = new FormData();
    for (const hash of bucket) body.set(hash, new File([btoa(files.find((one) => one.hash === hash).text)], hash, { type: "text/plain" }));
    jwt = ok(await server.account("POST", "/workers/assets/upload?base64=true", { body, token: session.jwt })).jwt ?? jwt;
  }
  ok(await tryUpload(server, "site", { "i.js": code }, { assets: { jwt, config }, bindings: [{ name: "ASSETS", type: "assets" }] }));
}

function askReference(base, path, headers) {
  return new Promise((settle, fail) => {
    http.get({ host: base.hostname, port: base.port, path, headers: { ...headers, host: "site.localhost" } }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (piece) => { text += piece; }).on("end", () => settle({ status: answer.statusCode, headers: answer.headers, text }));
    }).on("error", fail);
  });
}

const shown = ({ status, headers, text }) => `${status} ${headers.location ?? ""} ${JSON.stringify(text)}`;

for (const html_handling of ["auto-trailing-slash", "force-trailing-slash", "drop-trailing-slash", "none"]) {
  test(`paths mean the same files with html_handling ${html_handling}`, async () => {
    const different = [];
    let n = 0;
    for (const not_found_handling of ["none", "404-page", "single-page-application"]) {
      const config = { html_handling, not_found_handling };
      await deploy(config);
      const miniflare = new Miniflare(convertV4MiniflareOptions({ name: "reference", modules: true, script: code, compatibilityDate: "2026-01-01",
        log: new Log(LogLevel.ERROR), handleStructuredLogs: () => {},
        assets: { directory: folder, binding: "ASSETS", routerConfig: { has_user_worker: true }, assetConfig: config } }));
      try {
        const base = await miniflare.ready;
        for (const path of paths) {
          for (const [way, headers] of Object.entries(ways)) {
            const [ours, theirs] = [shown(await request(server, "site", path, { headers })), shown(await askReference(base, path, headers))];
            n += 1;
            if (ours !== theirs) different.push(`${path} ${way}, ${not_found_handling}: ${ours}, reference: ${theirs}`);
          }
        }
      } finally {
        await miniflare.dispose();
      }
    }
    assert.deepEqual(different, []);
    assert.equal(n, 3 * 3 * paths.length);
  });
}
