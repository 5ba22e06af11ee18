// Runs the comparison and prints it: started by bench/run, which brings what is needed. The method, in one breath:
// all servers stay up; run i of every peer comes before run i+1 of any (so a noisy neighbour hits all alike); a ratio
// is the median of the ratios of such rows; every answer is checked while it is timed.
import { mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { keyValue, kvWorkloads } from './lib/kv.mjs';
import { dioneBinary, median, progress, ratio, repo, run } from './lib/measure.mjs';
import { healthOf, openInProcess, startDione, startFastify, startMiniflare } from './lib/peers.mjs';
import { besideSlowQuery, commandLine, footprint, importFile, syncTime } from './lib/special.mjs';
import { bindings, requests as workerRequests } from './lib/workers.mjs';
import { workloads } from './lib/workloads.mjs';

const specials = ['beside', 'import', 'memory', 'cli', 'workers', 'kv'];
const startPeer = { 'in-process': openInProcess, fastify: startFastify, miniflare: startMiniflare };
const parts = [...Object.keys(workloads), ...specials];

const help = `bench/run [--quick] [--only PART[,PART...]] [options]
  Measures Dione against in-process SQLite, fastify + node:sqlite and miniflare, and says which targets are met.

  --quick             short runs, fewer connection counts, a 100 MB import
  --only PART,...     only these: ${parts.join(', ')}
  --runs N            interleaved runs (5)
  --seconds S         measured time of a run (2.5; quick 0.8)
  --connections N,... instead of 1,32,256
  --import-size MB    size of the SQL file (1000; quick 100)
  --peers NAME,...    of: in-process, fastify, miniflare (all)
  --scratch FOLDER    where databases are put while it runs; the disk under it is what is measured (build)
  --json FILE         every number of every run
  --help`;

function options() {
  const text = { type: 'string' };
  let values;
  try {
    ({ values } = parseArgs({ options: { quick: { type: 'boolean' }, help: { type: 'boolean' }, only: text, runs: text,
      seconds: text, connections: text, 'import-size': text, peers: text, scratch: text, json: text } }));
  } catch (error) {
    fail(error.message);
  }
  if (values.help) {
    console.log(help);
    process.exit(0);
  }
  const number = (name, fallback) => {
    const value = Number(values[name] ?? fallback);
    if (!(value > 0)) fail(`--${name}: a number above 0, not '${values[name]}'`);
    return value;
  };
  const quick = values.quick ?? false;
  const seconds = number('seconds', quick ? 0.8 : 2.5);
  const only = values.only?.split(',') ?? parts;
  for (const name of only) if (!parts.includes(name)) fail(`no part is called '${name}': ${parts.join(', ')}`);
  const peers = values.peers?.split(',') ?? Object.keys(startPeer);
  for (const name of peers) if (!(name in startPeer)) fail(`no peer is called '${name}'`);
  const connections = (values.connections ?? (quick ? '1,32' : '1,32,256')).split(',').map(Number);
  if (connections.some((n) => !(n >= 1))) fail(`--connections: numbers, not '${values.connections}'`);
  return { quick, only, peers, connections, chosen: values.connections !== undefined, seconds,
    warmup: Math.min(0.5, seconds / 4), runs: number('runs', 5), bytes: number('import-size', quick ? 100 : 1000) * 1e6,
    scratch: values.scratch ?? join(repo, 'build'), json: values.json };
}

function fail(message) {
  console.error(`bench/run: ${message} (see bench/run --help)`);
  process.exit(2);
}

// ---- the machine and the versions ----

async function machine(scratch, sync) {
  const require = createRequire(join(repo, 'tests/package.json'));
  const packageVersion = (name) => JSON.parse(readFileSync(require.resolve(`${name}/package.json`), 'utf8')).version;
  const { stdout: filesystem } = await run('stat', ['-f', '-c', '%T', scratch]);
  const { stdout: dione } = await run(dioneBinary, ['--version']);
  const { stdout: shell } = await run('sqlite3', ['--version']);
  const fs = statfsSync(scratch);
  return [
    `machine   ${cpus().length} cores (${cpus()[0].model}), ${Math.round(totalmem() / 2 ** 30)} GB, Linux ${release()}`,
    `disk      ${filesystem.trim()}, ${Math.round(fs.bavail * fs.bsize / 1e9)} GB free, ` +
      `4 KB write + fdatasync ${Math.round(median(sync))} us`,
    `dione     ${dione.trim().replaceAll('\n', ', ')}`,
    `node      ${process.version} with SQLite ${process.versions.sqlite}, fastify ${packageVersion('fastify')}`,
    ['miniflare', 'workerd', 'wrangler'].map((name) => `${name} ${packageVersion(name)}`).join(', '),
    `sqlite3   shell ${shell.split(' ')[0]}`,
  ];
}

// ---- printing ----

function table(rows) {
  const width = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  for (const row of rows) {
    console.log(row.map((cell, i) => (i === 0 ? cell.padEnd(width[i]) : cell.padStart(width[i]))).join('  ').trimEnd());
  }
}

const heading = (text) => console.log(`\n${text}`);
const big = (n) => (n >= 1000 ? Math.round(n).toLocaleString('en') : n.toPrecision(3));
const micros = (us) => (us >= 10_000 ? `${(us / 1000).toFixed(1)} ms` : `${Math.round(us)} us`);
const megabytes = (kb) => `${(kb / 1024).toFixed(1)} MB`;
const times = (value) => (Number.isFinite(value) ? `${value >= 10 ? value.toFixed(1) : value.toFixed(2)}x` : '-');
const list = (results, field) => results.map((result) => result[field]);

function printWorkload(workload, cells) {
  heading(workload.title);
  const rows = [['', 'conns', 'per second', 'p50', 'p99', 'CPU/request', 'peak memory', 'client CPU', "dione's rate"]];
  for (const { connections, results } of cells) {
    for (const [name, runs] of Object.entries(results)) {
      const of = (field) => median(list(runs, field));
      rows.push([name, String(connections), big(of('rate')), micros(of('p50_us')), micros(of('p99_us')),
        `${of('server_cpu_us').toFixed(1)} us`, megabytes(Math.max(...list(runs, 'peak_kb'))),
        name === 'in-process' ? '-' : `${Math.round(of('client_cpu') * 100)} %`,
        name === 'dione' ? '' : times(ratio(list(results.dione, 'rate'), list(runs, 'rate')))]);
    }
  }
  table(rows);
}

// ---- the targets ----

function targets(measured) {
  const found = [];
  const add = (text, value, met, shown) => {
    found.push({ text, value, met: Number.isFinite(value) && met(value), shown });
  };
  const atLeast = (text, value, bound) => add(text, value, (v) => v >= bound, `${times(value)}  (>= ${bound}x)`);
  const atMost = (text, value, bound, show) => {
    add(text, value, (v) => v <= bound, `${show(value)}  (<= ${show(bound)})`);
  };

  const against = (part, connections, peer, bound) => {
    const cell = measured.workloads[part]?.find((one) => one.connections === connections);
    if (!cell?.results[peer]) return;
    atLeast(`${workloads[part].title}, ${connections} connection${connections > 1 ? 's' : ''}, against ${peer}`,
      ratio(list(cell.results.dione, 'rate'), list(cell.results[peer], 'rate')), bound);
  };
  against('point', 32, '/health', 0.65);
  against('point', 32, 'fastify', 5);
  against('point', 32, 'miniflare', 40);
  against('update', 64, 'fastify', 8);
  against('batch', 1, 'in-process', 0.6);
  against('rows10k', 32, 'fastify', 3);
  const { beside, memory, cli } = measured;
  if (beside) {
    const slower = ratio(list(beside.beside, 'p99_us'), list(beside.alone, 'p99_us'));
    atMost('p99 of point reads beside a 5 s query, against alone', slower, 3, times);
  }
  if (memory) {
    atMost('resident when idle', memory.idle_kb, 12 * 1024, megabytes);
    atMost('resident with 1,000 databases, 10 of them hot', memory.hot_kb, 60 * 1024, megabytes);
    atMost('from exec to ready with 1,000 databases', median(memory.ready_ms), 100, (ms) => `${ms.toFixed(1)} ms`);
  }
  if (measured.kv) {
    const againstRedis = (text, part, connections, bound) => {
      const cell = measured.kv.cells[part].find((one) => one.connections === connections);
      if (cell) atLeast(text, ratio(list(cell.results.dione, 'rate'), list(cell.results[kvWorkloads[part].peer], 'rate')), bound);
    };
    againstRedis('KV get over HTTP, 32 connections, against Redis GET', 'get', 32, 0.8);
    againstRedis('KV durable put, 64 connections, against Redis SET with appendfsync always', 'put', 64, 1);
  }
  if (cli) atLeast('d1 execute --local, against wrangler', ratio(cli.wrangler_ms, cli.dione_ms), 50);
  const point = measured.workers?.point.find(({ connections }) => connections === 32)?.results;
  if (point) {
    const against = (peer) => ratio(list(point.dione, 'rate'), list(point[peer], 'rate'));
    atLeast('env.DB point read through a Worker, 32 connections, against miniflare', against('miniflare'), 3);
    atLeast('the same, against a Worker that only says hello', against('hello-world'), 0.45);
  }
  return found;
}

// ---- the runs ----

async function fillAll(peers) {
  progress('filling the databases');
  for (const peer of peers) await peer.fill();
  // The same question must get the same rows everywhere before speed means anything.
  const [request] = workloads.rows100.requests;
  const answers = [];
  for (const peer of peers.filter((one) => one.query)) {
    const [{ results }] = await peer.query({ sql: request.sql, params: [4711] });
    answers.push(JSON.stringify(results));
  }
  if (answers.some((answer) => answer !== answers[0]) || JSON.parse(answers[0]).length !== 100) {
    throw new Error('the peers disagree about 100 rows');
  }
}

function connectionCounts(workload, { connections, chosen }) {
  if (chosen || !workload.extra) return connections;
  return [...new Set([...connections, ...workload.extra])].sort((a, b) => a - b);
}

async function runWorkload(name, dione, others, how) {
  progress(`  ${name}: one round that does not count`); // files grow to their size, code gets compiled
  const once = { connections: 32, seconds: 1, warmup: 0 };
  for (const peer of [dione, ...others]) await peer.measure(workloads[name], once);
  const workload = workloads[name];
  const seconds = Math.max(how.seconds, workload.seconds ?? 0);
  const cells = [];
  for (const connections of connectionCounts(workload, how)) {
    const side = [dione, ...others.filter((peer) => !peer.only || peer.only === connections)];
    if (workload.health) side.push(healthOf(dione));
    const results = Object.fromEntries(side.map((peer) => [peer.name, []]));
    for (let i = 0; i < how.runs; i += 1) {
      for (let k = 0; k < side.length; k += 1) { // the first place rotates
        const peer = side[(i + k) % side.length];
        results[peer.name].push(await peer.measure(workload, { connections, seconds, warmup: how.warmup }));
      }
    }
    progress(`  ${name}, ${connections} connections: ${side.map((peer) =>
      `${peer.name} ${big(median(list(results[peer.name], 'rate')))}/s`).join(', ')}`);
    cells.push({ connections, results });
  }
  return cells;
}

async function startPeers(names, scratch) {
  const peers = [];
  for (const name of names) peers.push(await startPeer[name](scratch));
  return peers;
}

async function measureAll(scratch, how) {
  const measured = { workloads: {} };
  const wanted = (name) => how.only.includes(name);
  const requests = Object.keys(workloads).filter(wanted);
  if (requests.length > 0 || wanted('beside')) {
    const dione = await startDione(scratch);
    const others = requests.length > 0 ? await startPeers(how.peers, scratch) : [];
    await fillAll([dione, ...others]);
    for (const name of requests) measured.workloads[name] = await runWorkload(name, dione, others, how);
    if (wanted('beside')) {
      progress('point reads beside a slow query');
      measured.beside = await besideSlowQuery(dione, how);
    }
    for (const peer of [dione, ...others]) await peer.stop();
  }
  if (wanted('kv')) {
    progress('KV against Redis');
    measured.kv = await keyValue(scratch, how);
  }
  if (wanted('import')) {
    progress('import');
    measured.import = await importFile(scratch, how);
  }
  if (wanted('memory')) {
    progress('memory and start-up');
    measured.memory = await footprint(scratch, how);
  }
  if (wanted('cli')) {
    progress('command line');
    measured.cli = await commandLine(scratch, how);
  }
  if (wanted('workers')) {
    progress('bindings through a Worker');
    measured.workers = await bindings(scratch, how);
  }
  return measured;
}

function printAll(lines, measured, how) {
  console.log(lines.join('\n'));
  console.log(`method    medians of ${how.runs} interleaved runs of ${how.seconds} s, synchronous=FULL on every side`);
  for (const [name, cells] of Object.entries(measured.workloads)) printWorkload(workloads[name], cells);
  const { beside, memory, cli } = measured;
  if (beside) {
    heading(`point reads at 32 connections, and a query of ${median(beside.slow_seconds).toFixed(1)} s beside them`);
    table([['', 'per second', 'p50', 'p99', 'longest'], ...['alone', 'beside'].map((key) => [key,
      big(median(list(beside[key], 'rate'))), micros(median(list(beside[key], 'p50_us'))),
      micros(median(list(beside[key], 'p99_us'))), micros(median(list(beside[key], 'max_us')))])]);
  }
  if (measured.import) {
    const { bytes, rows, shell_seconds: shell, dione } = measured.import;
    heading(`import of ${Math.round(bytes / 1e6)} MB, ${rows.toLocaleString('en')} INSERT statements`);
    table([['', 'seconds', 'peak memory', "dione's speed"],
      ['dione, over HTTP', median(list(dione, 'seconds')).toFixed(2),
        megabytes(Math.max(...list(dione, 'peak_kb'))), ''],
      ['  of which upload', median(list(dione, 'upload_seconds')).toFixed(2), '', ''],
      ['sqlite3 shell', median(shell).toFixed(2), '', times(ratio(shell, list(dione, 'seconds')))]]);
  }
  if (memory) {
    heading('memory and start-up');
    table([['', 'resident'], ['no database', megabytes(memory.idle_kb)],
      ['1,000 databases, none used', megabytes(memory.many_kb)],
      ['1,000 databases, 10 hot', megabytes(memory.hot_kb)]]);
    console.log(`ready after ${median(memory.ready_ms).toFixed(1)} ms with 1,000 databases ` +
      `(longest ${Math.max(...memory.ready_ms).toFixed(1)} ms)`);
  }
  if (cli) {
    heading('d1 execute --local --command "SELECT 1"');
    table([['', 'milliseconds'], ['dione', median(cli.dione_ms).toFixed(1)],
      ['wrangler', median(cli.wrangler_ms).toFixed(1)]]);
  }
  for (const [name, cells] of Object.entries(measured.workers ?? {})) {
    printWorkload({ title: `${workerRequests[name].title}, through a Worker` }, cells);
  }
  if (measured.kv) {
    for (const [name, cells] of Object.entries(measured.kv.cells)) printWorkload(kvWorkloads[name], cells);
    console.log(`redis ${measured.kv.version}; no pipelining on either side`);
  }
  const judged = targets(measured);
  if (judged.length === 0) return judged;
  heading('targets');
  table([['', 'measured', ''], ...judged.map((one) => [one.text, one.shown, one.met ? 'met' : 'NOT MET'])]);
  return judged;
}

const how = options();
const scratch = mkdtempSync(join(how.scratch, 'bench-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
const sync = await syncTime(scratch);
const lines = await machine(scratch, sync);
const measured = await measureAll(scratch, how);
const judged = printAll(lines, measured, how);
if (how.json) {
  const everything = { machine: lines, method: how, sync_us: sync, ...measured, targets: judged };
  writeFileSync(how.json, `${JSON.stringify(everything, null, 1)}\n`);
}
