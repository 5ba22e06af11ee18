// The proof of fidelity: a few thousand statements, run on Dione and on D1 as workerd runs it, must give the same
// results, the same meta and the same error texts. Each difference that is meant stands in accepted.json with its
// reason; any other fails the test of its corpus file, and an entry that nothing needs any more fails the last test.
//
// CORPUS=json,fts narrows the run to those files (and then skips the check for unneeded entries).

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { Accepted, differences } from "./compare.mjs";
import { readCorpus } from "./corpus.mjs";
import { startDione } from "./dione.mjs";
import { startReference } from "./reference.mjs";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const only = process.env.CORPUS?.split(",");
const sections = readCorpus(here("corpus")).filter(({ file }) => only?.includes(file) ?? true);
assert.ok(sections.length > 0, `no corpus file named ${process.env.CORPUS}`);
const accepted = new Accepted(here("accepted.json"));
const count = { statements: 0, cases: 0, equal: 0, accepted: 0, unexplained: 0 };

let dione, reference;
before(async () => {
  reference = await startReference(sections.map(({ database }) => database));
  dione = await startDione();
});
after(async () => {
  await Promise.all([dione?.stop(), reference?.stop()]);
  console.log(
    `differential: ${count.statements} statements in ${count.cases} cases: ` +
    `${count.equal} equal, ${count.accepted} with accepted differences, ${count.unexplained} unexplained`,
  );
});

const cut = (text, length = 600) => (text.length > length ? `${text.slice(0, length)}… (${text.length})` : text);
const show = (value) => cut(typeof value === "string" ? value : JSON.stringify(value) ?? "nothing");

function describe(section, { line, batch, statements }, found) {
  const text = statements.map(({ sql, params }) => cut(sql, 300) + (params.length ? `  ? ${cut(JSON.stringify(params), 120)}` : ""));
  return [
    `${section.file}.corpus:${line} (${section.title})`,
    ...(batch ? ["batch", ...text.map((one) => `  ${one}`)] : text),
    ...found.flatMap(({ field, dione: a, reference: b }) => [`  ${field}`, `    dione:     ${show(a)}`, `    reference: ${show(b)}`]),
  ].join("\n");
}

/** Runs one section on both sides at once; gives the descriptions of its unexplained differences. */
async function compareSection(section) {
  const requests = section.cases.map(({ statements }) => statements);
  const batches = section.cases.map(({ batch }) => batch);
  const [ours, theirs] = await Promise.all([
    dione.run(section.database, requests, batches),
    reference.run(section.database, requests),
  ]);
  const reports = [];
  for (const [index, one] of section.cases.entries()) {
    count.cases += 1;
    count.statements += one.statements.length;
    const found = differences(ours[index], theirs[index]);
    const unexplained = found.filter((difference) => !accepted.accept(section, one, difference));
    if (found.length === 0) count.equal += 1;
    else if (unexplained.length === 0) count.accepted += 1;
    else {
      count.unexplained += 1;
      reports.push(describe(section, one, unexplained));
    }
  }
  return reports;
}

for (const file of new Set(sections.map(({ file }) => file))) {
  test(`${file}: Dione answers as D1 does`, async () => {
    const reports = [];
    for (const section of sections.filter((one) => one.file === file)) reports.push(...await compareSection(section));
    assert.ok(reports.length === 0, `${reports.length} unexplained differences\n\n${reports.join("\n\n")}\n`);
  });
}

test("the corpus holds at least 2,000 statements", { skip: only && "narrowed by CORPUS" }, () => {
  assert.ok(count.statements >= 2000, `only ${count.statements}`);
});

test("every accepted difference is still there", { skip: only && "narrowed by CORPUS" }, () => {
  const unused = accepted.unused.map(({ file, section, sql, fields, reason }) =>
    JSON.stringify({ file, section, sql: sql?.source, fields, reason }));
  assert.deepEqual(unused, [], "entries of accepted.json that match nothing any more: remove them");
});
