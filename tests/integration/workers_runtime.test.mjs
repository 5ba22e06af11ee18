// Deployed Workers under the whole server: redeploys and crashes under load, restarts, limits, crons on the clock.
// (The runtime by itself is tested in tests/unit/workers.)
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { before, test } from 'node:test';
import { ok, refused, scope, startServer, until } from '../lib/server.mjs';
import { allGood, ask, deploy, load, tryDeploy, workersPort } from '../lib/workers.mjs';
import { workerd } from '../lib/workerd.mjs';

const skip = existsSync(workerd) ? false : 'workerd is not installed in deps/';
// DIONE_REDEPLOY_S=60 is the long form: ten deploys in a minute at 200 requests a second.
const REDEPLOY_S = Number(process.env.DIONE_REDEPLOY_S ?? 6);
const PER_SECOND = process.env.DIONE_REDEPLOY_S ? 200 : 60;

const counter = `export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === '/echo') return new Response(await request.text());
    if (pathname === '/slow') { await scheduler.wait(100); return new Response('slow'); }
    if (pathname === '/add') {
      await env.DB.prepare('INSERT INTO t (v) VALUES (?)').bind(1).run();
      return new Response('added');
    }
    return Response.json(await env.DB.prepare('SELECT count(*) AS n FROM t').first());
  },
};`;

const minutely = `let seen = [];
export default {
  fetch() { return Response.json(seen); },
  scheduled(event) { seen.push({ cron: event.cron, time: event.scheduledTime, now: Date.now() }); },
};`;

const file = scope();
let server;
let port;
let database;
before(async () => {
  if (skip) return;
  server = await startServer(file, { args: ['--workers-listen', '127.0.0.1:0'] });
  port = await workersPort(server);
  database = await server.fresh('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  await deploy(server, 'minutely', minutely);
  ok(await server.account('PUT', '/workers/scripts/minutely/schedules', { json: [{ cron: '* * * * *' }, { cron: '0 0 1 1 *' }] }));
});

const bindings = () => [{ type: 'd1', name: 'DB', id: database }];
/** The workerd processes of the server: they belong to a thread of its own. */
function processes(of = server.child.pid) {
  return readdirSync(`/proc/${of}/task`).flatMap((thread) => {
    try { return readFileSync(`/proc/${of}/task/${thread}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number); } catch { return []; }
  }).filter((pid) => { try { return readlinkSync(`/proc/${pid}/exe`).includes('workerd'); } catch { return false; } });
}
const alive = (pid) => { try { return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')); } catch { return false; } };
/** The one that runs a Worker: its configuration, a file without a name, names the folder of its version. */
const processOf = (name) => processes().find((pid) => {
  try { return readFileSync(`/proc/${pid}/fd/4`, 'utf8').includes(`/workers/${name}/`); } catch { return false; }
});

const mixed = (n) => (n % 3 === 1 ? ['load.localhost', '/echo', { method: 'POST', body: `n ${n}` }] : ['load.localhost', n % 5 ? '/slow' : '/count']);
const rightOne = (answer, [, path, options]) => answer.status === 200 &&
  (path === '/echo' ? answer.text === options.body : path === '/slow' ? answer.text === 'slow' : answer.text.startsWith('{"n":'));

test('ten deploys under load lose no request', { skip }, async () => {
  await deploy(server, 'load', counter, { bindings: bindings() });
  const running = load(port, PER_SECOND, mixed, rightOne);
  for (let i = 0; i < 10; i += 1) {
    await new Promise((wake) => setTimeout(wake, REDEPLOY_S * 100));
    await deploy(server, 'load', `${counter}\n// ${i}`, { bindings: bindings() });
  }
  allGood(await running.stop());
});

test('a broken deploy says why and leaves the running version alone', { skip }, async () => {
  await deploy(server, 'kept', 'export default { fetch() { return new Response("kept") } }');
  const answer = await tryDeploy(server, 'kept', 'export default { fetch() {\n  return oops(');
  assert.match(refused(answer, 400, 10021), /SyntaxError/);
  assert.equal((await ask(port, 'kept.localhost')).text, 'kept');
});

test('kill -9 of workerd under load: reads go on, writes are not doubled, the server stands', { skip }, async () => {
  await deploy(server, 'crash', counter, { bindings: bindings() });
  const reads = load(port, PER_SECOND, () => ['crash.localhost', '/slow'], (answer) => answer.text === 'slow');
  const before = await server.value(database, 'SELECT count(*) FROM t');
  let added = 0;
  for (let round = 0; round < 3; round += 1) {
    const pid = await until('the Worker has a process', () => processOf('crash'));
    process.kill(pid, 'SIGKILL');
    const start = performance.now();
    for (;;) {
      const answer = await ask(port, 'crash.localhost', '/add', { method: 'POST', body: 'x' });
      if (answer.status === 200) { added += 1; break; }
      assert.equal(answer.status, 502);
      assert.match(answer.text, /Worker 'crash'/);
    }
    assert.ok(performance.now() - start < 2000, 'back within two seconds');
  }
  allGood(await reads.stop());
  assert.equal(await server.value(database, 'SELECT count(*) FROM t'), before + added);
  await server.assertAlive();
});

test('Workers come back with the server, and none outlives it', { skip }, async (t) => {
  const own = await startServer(t, { args: ['--workers-listen', '127.0.0.1:0'] });
  await deploy(own, 'again', 'export default { fetch() { return new Response("here") } }');
  assert.equal((await ask(await workersPort(own), 'again.localhost')).text, 'here');
  let before = processes(own.child.pid);
  assert.ok(before.length > 0);
  await own.restart();
  assert.deepEqual(before.filter(alive), []);
  assert.equal((await ask(await workersPort(own), 'again.localhost')).text, 'here');
  before = processes(own.child.pid);
  assert.ok(before.length > 0);
  await own.kill9();
  await until('the processes of a killed server are gone', () => before.filter(alive).length === 0);
  await own.start();
  assert.equal((await ask(await workersPort(own), 'again.localhost')).text, 'here');
  await own.stop();
});

test('a server that is told to stop does not wait for a script that never starts', { skip }, async (t) => {
  const own = await startServer(t, { args: ['--workers-listen', '127.0.0.1:0'] });
  await deploy(own, 'fine', 'export default { fetch() { return new Response("fine") } }');
  const [pid] = processes(own.child.pid);
  const hanging = tryDeploy(own, 'hangs', 'while (true); export default {}').then((answer) => answer.status, () => 'cut');
  await until('the script is being started', () => processes(own.child.pid).some((one) => one !== pid));
  await own.stop();
  assert.ok([503, 'cut'].includes(await hanging));
});

test('crons by hand that take their time hold up neither databases nor deploys', { skip }, async (t) => {
  const own = await startServer(t, { args: ['--workers-listen', '127.0.0.1:0'] });
  await deploy(own, 'slow', 'export default { async scheduled() { await scheduler.wait(120000) }, fetch() { return new Response("here") } }');
  const running = Array.from({ length: 20 }, () => own.account('POST', '/workers/scripts/slow/dione/scheduled').then((a) => a.status, () => 'cut'));
  let over = 0;
  for (const one of running) one.then(() => { over += 1; });
  await own.fresh('CREATE TABLE t (a)');
  await deploy(own, 'other', 'export default { fetch() { return new Response("here") } }');
  assert.equal((await ask(await workersPort(own), 'other.localhost')).text, 'here');
  assert.equal(over, 0, 'the crons are still running');
  await own.stop();
  await Promise.all(running);
});

test('a server without workerd serves databases and says what is missing', { skip }, async (t) => {
  const own = await startServer(t, { args: ['--workerd', '/nowhere/workerd'] });
  const answer = await tryDeploy(own, 'none', 'export default {}');
  assert.ok(answer.status >= 400);
  assert.match(answer.body.errors[0].message, /workerd/);
  await own.fresh('CREATE TABLE t (a)');
});

test('a Worker that spins ends alone', { skip }, async (t) => {
  const own = await startServer(t, { args: ['--workers-listen', '127.0.0.1:0', '--worker-cpu', '500'] });
  await deploy(own, 'spin', 'export default { fetch(r) { while (r.url.endsWith("/spin")); return new Response("fine") } }');
  await deploy(own, 'other', 'export default { fetch() { return new Response("fine") } }');
  const where = await workersPort(own);
  const others = load(where, 50, () => ['other.localhost', '/'], (answer) => answer.text === 'fine');
  const answer = await ask(where, 'spin.localhost', '/spin');
  assert.equal(answer.status, 503);
  assert.match(answer.text, /exceeded its CPU time limit/);
  assert.equal((await ask(where, 'spin.localhost')).text, 'fine');
  allGood(await others.stop());
});

test('a Worker has no way to the loopback, nor to what Dione holds open', { skip }, async () => {
  await deploy(server, 'inside', `export default { async fetch() {
    const tried = [];
    for (const url of ['${server.url}/health', 'http://127.0.0.1:${port}/', 'http://localhost:${port}/'])
      tried.push(await fetch(url).then((r) => 'reached ' + r.status, () => 'refused'));
    return Response.json(tried);
  } };`);
  const answer = await ask(port, 'inside.localhost');
  assert.deepEqual(JSON.parse(answer.text), ['refused', 'refused', 'refused']);
  for (const pid of processes()) {
    const open = readdirSync(`/proc/${pid}/fd`).map((fd) => { try { return readlinkSync(`/proc/${pid}/fd/${fd}`); } catch { return ''; } });
    assert.deepEqual(open.filter((path) => path.includes('.sqlite') || path.includes('control.db')), []);
    const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
    assert.doesNotMatch(environment, /DIONE_TOKEN/);
  }
});

test('a cron is called on its minute, with its expression', { skip }, async () => {
  const [event] = await until('a minute has begun', async () => {
    const seen = JSON.parse((await ask(port, 'minutely.localhost')).text);
    return seen.length > 0 && seen;
  });
  assert.equal(event.cron, '* * * * *');
  assert.equal(event.time % 60000, 0);
  assert.ok(event.now - event.time < 5000, `called ${event.now - event.time} ms late`);
});
