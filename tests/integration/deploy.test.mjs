// A Worker project as Cloudflare's templates lay it out, taken through its life by real, unmodified wranglers: deployed,
// asked, redeployed, rolled back, tailed, given secrets, deleted. Nothing in the project mentions Dione.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { wranglerProject } from '../lib/clients.mjs';
import { request, script, startWorkersServer } from '../lib/deploy.mjs';
import { atEnd, ok, repo, run, scope, until } from '../lib/server.mjs';
import { copyWorkerProject } from '../lib/worker-project.mjs';

const owner = scope();
const server = await startWorkersServer(owner);
const require = createRequire(join(repo, 'tests/package.json'));

/** wrangler with something on its standard input. */
async function feed(project, input, ...args) {
  const main = join(dirname(require.resolve('wrangler/package.json')), 'bin/wrangler.js');
  const done = await run(process.execPath, ['--no-warnings', main, ...args], { cwd: project.folder, env: project.env, input });
  assert.equal(done.code, 0, `wrangler ${args.join(' ')} failed:\n${done.stdout}\n${done.stderr}`);
  return done.stdout;
}

/** `wrangler tail --format json` while `during` runs; it is handed a look at the events so far. */
async function tailing(project, args, during) {
  const main = join(dirname(require.resolve('wrangler/package.json')), 'bin/wrangler.js');
  const child = spawn(process.execPath, ['--no-warnings', main, 'tail', ...args, '--format', 'json'],
    { cwd: project.folder, env: project.env, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '', complaints = '';
  child.stdout.setEncoding('utf8').on('data', (piece) => { text += piece; });
  child.stderr.setEncoding('utf8').on('data', (piece) => { complaints += piece; });
  const ended = new Promise((settle) => child.on('close', settle));
  atEnd(owner, async () => { child.kill('SIGKILL'); await ended; });
  // Events are pretty-printed one behind the other.
  const events = () => text.split(/\n(?=\{)/).flatMap((one) => { try { return [JSON.parse(one)]; } catch { return []; } });
  try {
    await during(events, () => complaints);
  } finally {
    child.kill('SIGINT');
    await ended;
  }
}

describe('a guest book', () => {
  const name = 'guestbook';
  let project;
  const wrangler = (...args) => project.wrangler(...args);
  const post = (message) => request(server, name, '/entries', { method: 'POST', body: JSON.stringify({ author: 'Ann', message }),
    headers: { 'content-type': 'application/json' } });

  test('is deployed by wrangler as it is, with its database and namespace made on the way', async () => {
    project = await wranglerProject(owner, server);
    await copyWorkerProject(owner, project.folder);
    const said = await wrangler('deploy');
    assert.match(said, /Current Version ID: [0-9a-f-]{36}/);
    assert.match(said, /guestbook\.localhost/);
    assert.match(said, /schedule: 30 3 \* \* \*/);
    assert.equal((await request(server, name)).text, 'Welcome, visitor 1\n');
    assert.equal((await request(server, name)).text, 'Welcome, visitor 2\n');
  });

  test('gets its migrations, and answers from D1', async () => {
    await wrangler('d1', 'migrations', 'apply', 'guestbook-db', '--remote');
    assert.equal((await post('hello')).status, 201);
    assert.deepEqual((await request(server, name, '/entries')).body, [{ id: 1, author: 'Ann', message: 'hello' }]);
    assert.equal((await post('x'.repeat(600))).status, 400, 'the JSON variable is a limit');
  });

  test('takes a secret from wrangler, which survives a redeploy', async () => {
    const remove = () => request(server, name, '/entries/1', { method: 'DELETE', headers: { 'x-admin-key': 'opensesame' } });
    await feed(project, 'opensesame', 'secret', 'put', 'ADMIN_KEY');
    await wrangler('deploy', '--var', 'GREETING:Hello again');
    assert.deepEqual(JSON.parse(await wrangler('secret', 'list')), [{ name: 'ADMIN_KEY', type: 'secret_text' }]);
    assert.match((await request(server, name)).text, /^Hello again, visitor/);
    assert.equal((await request(server, name, '/entries/1', { method: 'DELETE', headers: { 'x-admin-key': 'wrong' } })).status, 403);
    assert.deepEqual((await remove()).body, { removed: 1 });
  });

  test('is uploaded as a version, deployed, and rolled back at once', async () => {
    const said = await wrangler('versions', 'upload', '--var', 'GREETING:Third', '--tag', 'v3', '--message', 'the third');
    const id = /Worker Version ID: (\S+)/.exec(said)[1];
    assert.match((await request(server, name)).text, /^Hello again/);
    assert.match(await wrangler('versions', 'list'), new RegExp(id));
    assert.match(await wrangler('versions', 'view', id), /the third/);
    await wrangler('versions', 'deploy', `${id}@100%`, '--yes');
    assert.match((await request(server, name)).text, /^Third/);
    assert.match(await wrangler('deployments', 'list'), new RegExp(id));
    await wrangler('rollback', '--yes', '--message', 'back');
    assert.match((await request(server, name)).text, /^Hello again/);
    assert.doesNotMatch(await wrangler('deployments', 'status'), new RegExp(id));
    await wrangler('versions', 'deploy', `${id}@100%`, '--yes');
  });

  test('is tailed: requests, logs, exceptions and crons', async () => {
    await tailing(project, [name], async (events, complaints) => {
      await until('the tail sees a request', async () => {
        assert.doesNotMatch(complaints(), /ERROR/);
        await request(server, name, '/entries');
        return events().length > 0;
      });
      assert.equal((await post('tailed')).status, 201);
      await request(server, name, '/fail');
      ok(await script(server, name, 'POST', '/dione/scheduled?cron=30+3+*+*+*'));
      const find = (test) => until('the event comes', () => events().find(test));
      const posted = await find((one) => one.event?.request?.method === 'POST');
      assert.equal(posted.outcome, 'ok');
      assert.equal(posted.scriptName, name);
      assert.equal(posted.event.response.status, 201);
      assert.deepEqual(posted.logs.map((one) => [one.level, one.message]), [['log', ['new entry by', 'Ann']]]);
      const failed = await find((one) => one.event?.request?.url.endsWith('/fail'));
      assert.equal(failed.logs[0].level, 'error');
      const cron = await find((one) => one.event?.cron);
      assert.equal(cron.event.cron, '30 3 * * *');
      assert.deepEqual(cron.logs[0].message.slice(0, 1), ['cleaned up']);
    });
    assert.equal((await request(server, name, '/cleanups')).body.length, 1);
    const late = ok(await script(server, name, 'GET', '/dione/events'));
    assert.ok(late.some((one) => one.event?.cron === '30 3 * * *'), 'who comes late finds the cron');
  });

  test('a tail shows what its filters let through', async () => {
    await tailing(project, [name, '--method', 'POST', '--search', 'new entry'], async (events) => {
      await until('the tail sees a request', async () => {
        await request(server, name, '/entries');
        await post('filtered');
        return events().length > 0;
      });
      assert.ok(events().every((one) => one.event.request.method === 'POST'));
    });
  });

  test('takes many secrets at once, and secrets for a version only', async () => {
    await project.write('secrets.json', JSON.stringify({ ONE: '1', TWO: '2' }));
    await wrangler('secret', 'bulk', 'secrets.json');
    await project.write('secrets.json', JSON.stringify({ ONE: null, THREE: '3' }));
    await wrangler('secret', 'bulk', 'secrets.json');
    const names = () => wrangler('secret', 'list').then((text) => JSON.parse(text).map((one) => one.name).sort());
    assert.deepEqual(await names(), ['ADMIN_KEY', 'THREE', 'TWO']);
    await wrangler('secret', 'delete', 'TWO');
    await feed(project, 'later', 'versions', 'secret', 'put', 'LATER');
    assert.match(await wrangler('versions', 'secret', 'list', '--latest-version'), /LATER/);
    const refused = await project.tryWrangler('secret', 'put', 'FOUR');
    assert.notEqual(refused.code, 0);
    assert.match(refused.stdout + refused.stderr, /latest version of your Worker isn't currently deployed/);
    await wrangler('deploy');
    assert.deepEqual(await names(), ['ADMIN_KEY', 'LATER', 'THREE']);
  });

  test('an environment is a Worker of its own', async () => {
    await wrangler('deploy', '--env', 'staging');
    assert.equal((await request(server, 'guestbook-staging')).text, 'Welcome to staging, visitor 1\n');
    await wrangler('delete', '--env', 'staging', '--force');
    assert.equal((await request(server, 'guestbook-staging')).status, 404);
  });

  test('a broken edit is refused with its place, and the old version goes on', async () => {
    await project.write('src/broken.ts', 'export default { fetch() {} }; throw new Error("broken at start");');
    const done = await project.tryWrangler('deploy', 'src/broken.ts');
    assert.notEqual(done.code, 0);
    assert.match(done.stdout + done.stderr, /broken at start/);
    assert.match(done.stdout + done.stderr, /10021/);
    assert.match((await request(server, name)).text, /^Welcome, visitor/);
  });

  test('is deleted', async () => {
    await wrangler('delete', '--force');
    assert.equal((await request(server, name)).status, 404);
    const list = ok(await server.account('GET', '/workers/scripts'));
    assert.deepEqual(list.map((one) => one.id), []);
  });
});
