// The measurements that are not "requests per second": a slow query beside quick ones, import of a large file, memory
// and start-up with many databases, and the command line against wrangler's.
import { createHash } from 'node:crypto';
import { createWriteStream, mkdirSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { cleanEnv, createDatabase, databasePath, startDione, startDioneServer, token } from './peers.mjs';
import { dioneBinary, progress, repo, run, sleep } from './measure.mjs';
import { itemValues, schema, workloads } from './workloads.mjs';

// ---- point reads beside a slow query ----

const counting =
  'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < ?1) SELECT count(*) AS n FROM c';

/** Runs of point reads at 32 connections: alone, then with a query of about 5 s beside them. */
export async function besideSlowQuery(dione, { runs, seconds, warmup }) {
  const timed = async (n) => {
    const began = performance.now();
    const [{ results }] = await dione.query({ sql: counting, params: [n] });
    if (results[0].n !== n) throw new Error(`the slow query counted ${results[0].n}, not ${n}`);
    return (performance.now() - began) / 1000;
  };
  const probe = 2_000_000;
  await timed(probe);
  const n = Math.round(probe * 5 / await timed(probe));
  const how = { connections: 32, seconds: Math.min(seconds, 3), warmup };
  const alone = [], beside = [], took = [];
  for (let i = 0; i < runs; i += 1) {
    alone.push(await dione.measure(workloads.point, how));
    const slow = timed(n);
    await sleep(200);
    beside.push(await dione.measure(workloads.point, how));
    took.push(await slow);
    if (took.at(-1) < 0.2 + how.warmup + how.seconds) throw new Error(`the slow query took only ${took.at(-1)} s`);
    progress(`  slow query ${took.at(-1).toFixed(1)} s, p99 ${alone.at(-1).p99_us} us alone, ` +
      `${beside.at(-1).p99_us} us beside it`);
  }
  return { alone, beside, slow_seconds: took };
}

// ---- import ----

/** Writes a dump of about `bytes`: one row to an INSERT, as sqlite3's .dump and D1's export write it. */
async function writeDump(path, bytes) {
  const out = createWriteStream(path, { highWaterMark: 4 << 20 });
  const md5 = createHash('md5');
  const insert = 'INSERT INTO "item" ("id","sku","name","category","price","stock","created_at","note")';
  let written = 0, id = 0;
  while (written < bytes) {
    let text = id === 0 ? `${schema[0]};\n` : '';
    while (text.length < 1 << 20) text += `${insert} VALUES(${itemValues(id += 1)});\n`;
    md5.update(text);
    written += text.length;
    if (!out.write(text)) await once(out, 'drain');
  }
  out.end();
  await once(out, 'close');
  return { bytes: written, rows: id, etag: md5.digest('hex') };
}

async function importShell(scratch, dump, rows) {
  const db = join(scratch, 'shell.db');
  const script = join(scratch, 'shell.sh');
  const before = 'PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; BEGIN;';
  writeFileSync(script, `{ echo '${before}'; cat "$2"; echo 'COMMIT;'; } | sqlite3 -bail "$1"`);
  const { seconds } = await run('sh', [script, db, dump]);
  const { stdout } = await run('sqlite3', [db, 'SELECT count(*) FROM item']);
  if (Number(stdout) !== rows) throw new Error(`the sqlite3 shell imported ${stdout} rows of ${rows}`);
  for (const suffix of ['', '-wal', '-shm']) rmSync(db + suffix, { force: true });
  return seconds;
}

/** What wrangler does for `d1 execute --file`: init, upload, ingest, poll until complete. */
async function importDione(dione, name, dump, { etag, rows }) {
  const uuid = await createDatabase(dione, name);
  const path = databasePath(uuid, 'import');
  dione.server.resetPeak();
  const began = performance.now();
  const { upload_url: url, filename } = await dione.query({ action: 'init', etag }, path);
  await run('curl', ['-sS', '--fail-with-body', '-H', 'Expect:', '-T', dump, '-o', '/dev/null', url]);
  const uploaded = performance.now();
  let status = await dione.query({ action: 'ingest', filename, etag }, path);
  while (status.status === 'active') {
    status = await dione.query({ action: 'poll', current_bookmark: status.at_bookmark }, path);
  }
  const seconds = (performance.now() - began) / 1000;
  const peak_kb = dione.server.peakKb;
  if (status.status !== 'complete') throw new Error(`import: ${JSON.stringify(status)}`);
  const [{ results }] = await dione.query({ sql: 'SELECT count(*) AS n FROM item' }, databasePath(uuid, 'query'));
  if (results[0].n !== rows) throw new Error(`dione imported ${results[0].n} rows of ${rows}`);
  const answer = await fetch(dione.server.url + databasePath(uuid, '').replace(/\/$/, ''),
    { method: 'DELETE', headers: { authorization: `Bearer ${token}` } });
  if (!answer.ok) throw new Error(`delete after import: HTTP ${answer.status}`);
  return { seconds, upload_seconds: (uploaded - began) / 1000, peak_kb };
}

export async function importFile(scratch, { runs, bytes }) {
  const dump = join(scratch, 'dump.sql');
  progress(`  writing ${Math.round(bytes / 1e6)} MB of SQL`);
  const facts = await writeDump(dump, bytes);
  const dione = await startDione(scratch, 'import');
  const shell = [], ours = [];
  for (let i = 0; i < runs; i += 1) {
    ours.push(await importDione(dione, `import-${i}`, dump, facts));
    shell.push(await importShell(scratch, dump, facts.rows));
    progress(`  dione ${ours.at(-1).seconds.toFixed(2)} s, sqlite3 shell ${shell.at(-1).toFixed(2)} s`);
  }
  await dione.stop();
  rmSync(dump);
  return { ...facts, shell_seconds: shell, dione: ours };
}

// ---- memory and start-up ----

const DATABASES = 1000, HOT = 10, HOT_ROWS = 10_000;

export async function footprint(scratch, { runs, seconds }) {
  const folder = join(scratch, 'dione-many');
  const startOnce = async () => ({ name: 'dione', server: await startDioneServer(folder) });
  const dione = await startDione(scratch, 'many');
  await sleep(1000);
  const idle_kb = dione.server.residentKb;
  progress(`  creating ${DATABASES} databases`);
  const ids = [dione.uuid];
  while (ids.length < DATABASES) {
    const some = Math.min(20, DATABASES - ids.length);
    const creating = Array.from({ length: some }, (_, i) => createDatabase(dione, `db-${ids.length + i}`));
    ids.push(...await Promise.all(creating));
  }
  await dione.stop();

  const ready_ms = [];
  let many_kb;
  for (let i = 0; i < runs; i += 1) {
    const { server } = await startOnce();
    ready_ms.push(server.startSeconds * 1000);
    if (i === runs - 1) {
      await sleep(1000);
      many_kb = server.residentKb;
    }
    await server.stop();
  }

  dione.server = (await startOnce()).server;
  const hot = ids.slice(0, HOT);
  for (const id of hot) {
    dione.path = databasePath(id, 'query');
    await dione.fill(HOT_ROWS);
  }
  await dione.server.stop();
  dione.server = (await startOnce()).server; // what filling took is no part of serving
  const [point] = workloads.point.requests;
  for (const id of hot) {
    dione.path = databasePath(id, 'query');
    await dione.measure({ requests: [{ ...point, keys: [1, HOT_ROWS] }] },
      { connections: 32, seconds: seconds / 4, warmup: 0 });
  }
  const hot_kb = dione.server.residentKb;
  await dione.stop();
  return { idle_kb, many_kb, hot_kb, ready_ms };
}

// ---- the command line ----

export async function commandLine(scratch, { runs }) {
  const folder = join(scratch, 'cli'), home = join(scratch, 'home');
  for (const path of [folder, home]) mkdirSync(path);
  writeFileSync(join(folder, 'wrangler.jsonc'), JSON.stringify({ name: 'bench', compatibility_date: '2026-01-01',
    d1_databases: [{ binding: 'DB', database_name: 'bench', database_id: 'c0ffee00-0000-4000-8000-000000000000' }] }));
  const manifest = createRequire(join(repo, 'tests/package.json')).resolve('wrangler/package.json');
  const wrangler = join(dirname(manifest), JSON.parse(readFileSync(manifest, 'utf8')).bin.wrangler);
  // Kind to wrangler: no telemetry, and no look for a newer version of itself.
  const env = cleanEnv({ HOME: home, XDG_CONFIG_HOME: join(home, '.config'), CI: '1', WRANGLER_SEND_METRICS: 'false',
    WRANGLER_HIDE_BANNER: 'true' });
  const execute = ['d1', 'execute', 'bench', '--local', '--command', 'SELECT 1 AS one', '--json'];
  const answer = (text) => {
    if (JSON.parse(text)[0].results[0].one !== 1) throw new Error(`not the answer: ${text}`);
  };
  await run(dioneBinary, ['d1', 'create', 'bench'], { cwd: folder, env });
  const dione = [], theirs = [];
  for (let i = -1; i < runs; i += 1) { // the first time warms files up and does not count
    const ours = await run(dioneBinary, execute, { cwd: folder, env });
    const other = await run(process.execPath, ['--no-warnings', wrangler, ...execute], { cwd: folder, env });
    answer(ours.stdout);
    answer(other.stdout);
    if (i < 0) continue;
    dione.push(ours.seconds * 1000);
    theirs.push(other.seconds * 1000);
  }
  return { dione_ms: dione, wrangler_ms: theirs };
}

// ---- the disk ----

/** Median time of a 4 KB write and fdatasync, in microseconds: what a durable commit cannot go below. */
export async function syncTime(scratch) {
  const { fdatasyncSync, writeSync } = await import('node:fs');
  const path = join(scratch, 'sync');
  const fd = openSync(path, 'w');
  const page = Buffer.alloc(4096, 1), times = [];
  for (let i = 0; i < 100; i += 1) {
    writeSync(fd, page);
    const began = performance.now();
    fdatasyncSync(fd);
    times.push((performance.now() - began) * 1000);
  }
  closeSync(fd);
  rmSync(path);
  return times;
}
