// Reads the corpus: text files made to be read by people, a few thousand statements in a few hundred lines.
//
//   # a remark
//   == title                 a section: everything below runs, in order, on one fresh database
//   SELECT 1                 a case: a line that starts in column one; lines indented below it belong to it
//   "SELECT 1;\n"            the same as a JSON string, for texts that a line cannot hold
//   ? [1, "x"]               parameters (JSON) for the case above; several such lines run it several times
//   batch / end              the cases in between are one batch
//   let V = NULL | 1 | 'a'   ${V} in a case stands for each of these in turn (two names: every combination)
//   {{3|c%|, }}              c1, c2, c3: a text N times, % counting, with a separator between
//
// A parameter list is JSON after the same replacements.

import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

const repeat = (text) =>
  text.replace(/\{\{(\d+)\|((?:[^|}]|\|(?=\|))*)\|([^}]*)\}\}/g, (_, count, item, separator) =>
    item.includes("%")
      ? Array.from({ length: Number(count) }, (_, i) => item.replaceAll("%", i + 1)).join(separator)
      : separator === ""
        ? item.repeat(Number(count))
        : Array(Number(count)).fill(item).join(separator),
  );

/** Every text that `text` stands for: one for each combination of the lists it names. */
function expand(text, lists) {
  const name = /\$\{(\w+)\}/.exec(text)?.[1];
  if (name === undefined) return [repeat(text)];
  if (!lists.has(name)) throw new Error(`no list named ${name}`);
  return lists.get(name).flatMap((value) => expand(text.replaceAll(`\${${name}}`, () => value), lists));
}

/** Lines joined to logical lines: an indented line continues the one above it. */
function* logicalLines(text) {
  let current;
  for (const [index, line] of text.split("\n").entries()) {
    if (/^\s+\S/.test(line) && current) current.text += `\n${line}`;
    else {
      if (current) yield current;
      current = line.trim() === "" ? undefined : { text: line, number: index + 1 };
    }
  }
  if (current) yield current;
}

function parse(file, text) {
  const sections = [];
  let lists, batch, pending;

  const add = (line, sql, params) => {
    if (sections.length === 0) throw new Error("a case before the first section");
    if (batch) batch.statements.push({ sql, params });
    else sections.at(-1).cases.push({ line, batch: false, statements: [{ sql, params }] });
  };
  // A statement waits for its parameters; if none come it runs without.
  const settle = () => {
    if (pending && !pending.bound) for (const sql of pending.texts) add(pending.line, sql, []);
    pending = undefined;
  };

  const read = (line, number) => {
    if (line.startsWith("#")) return;
    if (line.startsWith("? ")) {
      if (!pending) throw new Error("parameters without a statement");
      pending.bound = true;
      for (const sql of pending.texts)
        for (const params of expand(line.slice(2), lists)) add(number, sql, JSON.parse(params));
      return;
    }
    settle();
    if (line.startsWith("== ")) {
      lists = new Map();
      sections.push({ file, title: line.slice(3).trim(), cases: [] });
    } else if (line.startsWith("let ")) {
      const [, name, values] = /^let (\w+) = ([^]*)$/.exec(line);
      lists.set(name, values.split(/\s+\|\s+/).flatMap((value) => expand(value, lists)));
    } else if (line === "batch") {
      batch = { line: number, batch: true, statements: [] };
    } else if (line === "end") {
      sections.at(-1).cases.push(batch);
      batch = undefined;
    } else {
      const texts = line.startsWith('"') ? [JSON.parse(repeat(line))] : expand(line, lists);
      pending = { line: number, texts, bound: false };
    }
  };

  for (const { text: line, number } of logicalLines(text)) {
    try {
      read(line, number);
    } catch (error) {
      throw new Error(`${file}.corpus:${number}: ${error.message}`, { cause: error });
    }
  }
  settle();
  if (batch) throw new Error(`${file}.corpus:${batch.line}: a batch without an end`);
  return sections;
}

/** The sections of every file in `folder`, in the order of their names. */
export function readCorpus(folder) {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".corpus"))
    .sort()
    .flatMap((name) => parse(basename(name, ".corpus"), readFileSync(join(folder, name), "utf8")))
    .map((section, index) => ({ ...section, database: `section${index}` }));
}
