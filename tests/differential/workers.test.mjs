// The same for Workers: one script that does everything a Worker can do with a binding runs on the real workerd over
// Dione, and on miniflare. Each of its cases must give the same value or the same error, but for what depends on the
// clock and on who answered; differences that are meant stand in workers.accepted.json with their reason.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";

import { ok, startServer } from "../lib/server.mjs";
import { bindingSocket, fixture, startWorkerd } from "../lib/workerd.mjs";

// Of D1's meta and of exec's result. What is left must be equal.
const UNCOMPARED = new Set(["served_by", "served_by_region", "served_by_colo", "duration", "sql_duration_ms"]);

const leftovers = [];
const owner = { after: (clean) => leftovers.unshift(clean) };
let server, socket;
before(async () => {
  socket = await bindingSocket(owner);
  server = await startServer(owner, { env: { ...socket.env, TZ: "America/New_York" } });
});
after(async () => {
  await server?.stop();
  for (const clean of leftovers) await clean();
});

function comparable(value) {
  if (Array.isArray(value)) return value.map(comparable);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value)
    .filter(([key]) => !UNCOMPARED.has(key))
    .map(([key, one]) => [key, comparable(one)]));
}

async function results(fetched) {
  const response = await fetched;
  const text = await response.text();
  assert.equal(response.status, 200, text.slice(0, 2000));
  return JSON.parse(text);
}

/** Runs the modules on workerd over Dione, with bindings D1 or KV. */
async function onDione(modules, bindings) {
  const worker = await startWorkerd(owner, { server, modules, socket: socket.path(), ...bindings });
  try {
    return await results(fetch(worker.url));
  } finally {
    await worker.stop();
  }
}

async function onMiniflare(modules, bindings) {
  const miniflare = new Miniflare(convertV4MiniflareOptions({
    name: "reference",
    modules: Object.entries(modules).map(([path, contents]) => ({ type: "ESModule", path, contents })),
    modulesRoot: "/",
    compatibilityDate: "2026-01-01",
    log: new Log(LogLevel.ERROR),
    handleStructuredLogs: () => {}, // workerd logs what the script catches
    ...bindings,
  }));
  try {
    return await results(miniflare.dispatchFetch("http://reference/"));
  } finally {
    await miniflare.dispose();
  }
}

const accepted = JSON.parse(readFileSync(fileURLToPath(new URL("workers.accepted.json", import.meta.url)), "utf8"));
for (const one of accepted) for (const key of ["script", "case", "reason"]) assert.ok(one[key], `an accepted difference lacks ${key}`);

const matches = (pattern, text) => pattern === undefined || new RegExp(pattern, "s").test(text);
const show = (value) => {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 700 ? `${text.slice(0, 700)}… (${text.length})` : text;
};

/** Compares case by case; fails with every difference that no entry accepts, and with entries that nothing needs. */
function compare(script, ours, theirs) {
  assert.deepEqual(Object.keys(ours), Object.keys(theirs), "the same cases ran");
  const entries = accepted.filter((one) => one.script === script).map((one) => ({ ...one, used: 0 }));
  const found = [];
  let equal = 0;
  for (const name of Object.keys(ours)) {
    const [a, b] = [comparable(ours[name]), comparable(theirs[name])];
    try {
      assert.deepStrictEqual(a, b);
      equal += 1;
    } catch {
      const fits = entries.filter((one) => new RegExp(one.case).test(name) && matches(one.dione, JSON.stringify(a)) && matches(one.reference, JSON.stringify(b)));
      for (const one of fits) one.used += 1;
      if (fits.length === 0) found.push(`${name}\n    dione:     ${show(a)}\n    reference: ${show(b)}`);
    }
  }
  console.log(`${script}: ${Object.keys(ours).length} cases, ${equal} equal, ${found.length} unexplained`);
  assert.ok(found.length === 0, `${found.length} unexplained differences\n\n${found.join("\n\n")}\n`);
  assert.deepEqual(entries.filter(({ used }) => used === 0), [], "accepted differences that match nothing any more: remove them");
}

for (const [whose, ownApi] of [["workerd's", false], ["Dione's", true]]) {
  test(`env.DB does what it does on Cloudflare's runtime, with ${whose} API over Dione`, async () => {
    const modules = await fixture("d1.js");
    const { uuid } = await server.create();
    compare("d1", await onDione(modules, { d1: { DB: uuid }, ownApi }), await onMiniflare(modules, { d1Databases: { DB: "db" } }));
  });
}

test("env.KV does what it does on Cloudflare's runtime", async () => {
  const modules = await fixture("kv.js");
  const namespace = ok(await server.account("POST", "/storage/kv/namespaces", { json: { title: "differential" } }));
  compare("kv", await onDione(modules, { kv: { KV: namespace.id } }), await onMiniflare(modules, { kvNamespaces: { KV: "kv" } }));
});
