// `dione deploy`, `versions`, `deployments`, `rollback`, `secret`, `delete` without Node: a project as Cloudflare's
// templates lay it out goes to a server, runs there, changes, and goes away.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { ok, scope, startServer, until, uniqueName } from '../lib/server.mjs';
import { dioneProject, wranglerProject } from '../lib/clients.mjs';
import { terminal } from '../lib/terminal.mjs';
import { copyWorkerProject } from '../lib/worker-project.mjs';

const file = scope();
let server;
let port;
before(async () => {
  server = await startServer(file, { args: ['--workers-listen', '127.0.0.1:0'] });
  port = await until('the server says where Workers answer', () => /Workers answer at http:\/\/127\.0\.0\.1:(\d+)/.exec(server.stderr)?.[1]);
});

const fails = (done, message) => {
  assert.equal(done.code, 1, `exit code, with:\n${done.stdout}\n${done.stderr}`);
  assert.match(done.stdout + done.stderr, message);
};

/** The answer of a deployed Worker. */
function visit(name, path = '/', host = `${name}.localhost:${port}`) {
  return new Promise((settle, reject) => {
    request({ host: '127.0.0.1', port, path, headers: { host } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => { text += part; }).on('end', () => settle({ status: response.statusCode, headers: response.headers, text }));
    }).on('error', reject).end();
  });
}

/** A project of one script. */
async function script(owner, name, code, config = {}) {
  const project = await dioneProject(owner, server);
  await project.write('worker.js', code);
  await project.write('wrangler.json', JSON.stringify({ name, main: 'worker.js', compatibility_date: '2026-01-01', ...config }));
  return project;
}

const says = (text) => `export default { fetch(request, env) { return new Response(${JSON.stringify(text)} + (env.SECRET ?? '') + (env.V ?? '')) } }`;

describe("a project of Cloudflare's templates", () => {
  let project;
  before(async () => {
    project = await dioneProject(file, server);
    await copyWorkerProject(file, project.folder);
  });

  test('a dry run bundles, names the bindings and sends nothing', async () => {
    const done = await project.tryDione(['deploy', '--dry-run', '--outdir', 'out']);
    assert.equal(done.code, 0, done.stderr);
    assert.match(done.stderr, /env\.DB \(D1 database\) guestbook-db[^]*Nothing was sent/);
    assert.match(await readFile(project.file('out/index.js'), 'utf8'), /fetch/);
    assert.equal((await server.account('GET', '/workers/scripts/guestbook/settings')).status, 404);
  });

  test('deploys with a database and a namespace made for it, answers, and keeps them at the next deploy', async () => {
    const said = await project.dione(['deploy']);
    assert.match(said, /Deployed guestbook\n {2}http:\/\/guestbook\.localhost:\d+\n {2}cron: 30 3 \* \* \*\nVersion ID: [0-9a-f-]{36}/);
    const name = 'guestbook-db';
    await project.dione(['d1', 'migrations', 'apply', name, '--remote', '-y']);
    assert.match((await visit('guestbook')).text, /Welcome, visitor 1/);
    assert.equal((await visit('guestbook', '/entries')).status, 200);
    const second = await project.json(['deploy', '--var', 'GREETING:Hello', '--tag', 'two', '--message', 'another greeting']);
    assert.match(second.url, /^http:\/\/guestbook\.localhost/);
    assert.match((await visit('guestbook')).text, /Hello, visitor 2/);
    const versions = await project.json(['versions', 'list']);
    assert.deepEqual(versions.map(({ number }) => number), [2, 1]);
    assert.equal(versions[0].id, second.version_id);
    assert.equal(versions[0].annotations['workers/tag'], 'two');
    assert.match(await project.dione(['versions', 'view', second.version_id]), /Tag {13}two[^]*DB \(d1\) [0-9a-f-]{36}/);
    assert.equal(ok(await server.account('GET', '/d1/database')).filter((one) => one.name === name).length, 1);
  });

  test('rolls back to the version before, and forward to one by id', async () => {
    const [two, one] = await project.json(['versions', 'list']);
    const undone = await project.json(['rollback', '-y', '--message', 'too cheerful']);
    assert.equal(undone.version_id, one.id);
    assert.match((await visit('guestbook')).text, /Welcome/);
    assert.equal((await project.json(['deployments', 'status'])).versions[0].version_id, one.id);
    assert.match(await project.dione(['deployments', 'list']), /too cheerful/);
    await project.dione(['rollback', two.id, '-y']);
    assert.match((await visit('guestbook')).text, /Hello/);
    fails(await project.tryDione(['rollback', 'no-such-version', '-y']), /no-such-version/);
  });

  test('an environment is a Worker of its own', async () => {
    assert.match(await project.dione(['deploy', '--env', 'staging']), /Deployed guestbook-staging/);
    assert.match((await visit('guestbook-staging')).text, /Welcome to staging, visitor 1/);
    await project.dione(['delete', '--env', 'staging', '-y']);
    assert.equal((await visit('guestbook-staging')).status, 404);
  });

  test('wrangler sees the same Worker, and the other way round', async (t) => {
    const wrangler = await wranglerProject(t, server);
    await copyWorkerProject(t, wrangler.folder);
    const listed = await wrangler.json('versions', 'list');
    assert.deepEqual(listed.map(({ id }) => id).sort(), (await project.json(['versions', 'list'])).map(({ id }) => id).sort());
    await wrangler.wrangler('deploy');
    const [{ id }] = await project.json(['versions', 'list']);
    assert.equal((await project.json(['deployments', 'status'])).versions[0].version_id, id);
  });

  test('deletes it, but not without a yes; databases stay', async () => {
    fails(await project.tryDione(['delete'], { input: 'n\n' }), /not deleted/);
    assert.equal((await visit('guestbook')).status, 200);
    assert.match(await project.dione(['delete', '--dry-run']), /would be deleted/);
    assert.deepEqual(await project.json(['delete', 'guestbook', '--force']), { name: 'guestbook', deleted: true });
    assert.equal((await visit('guestbook')).status, 404);
    fails(await project.tryDione(['delete', '-y']), /there is no Worker 'guestbook'/);
    ok(await server.account('GET', '/d1/database/guestbook-db'));
  });
});

describe('secrets', () => {
  test('from a pipe, in bulk and beside an upload; listed by name only; deleted', async (t) => {
    const name = uniqueName('secrets');
    const project = await script(t, name, says('s='));
    const put = await project.tryDione(['secret', 'put', 'SECRET'], { input: 'first \n' });
    assert.equal(put.code, 0, put.stderr);
    assert.match(put.stderr, new RegExp(`no Worker '${name}'`), 'a Worker is made to hold it');
    await project.dione(['deploy']);
    assert.equal((await visit(name)).text, 's=first');
    await project.write('more.env', 'export V="a b"\nOLD=x\n');
    assert.deepEqual(await project.json(['secret', 'bulk', 'more.env']), { stored: 2, deleted: 0 });
    assert.equal((await visit(name)).text, 's=firsta b');
    const bulk = await project.tryDione(['secret', 'bulk', '--json'], { input: '{"V":null,"OLD":null,"SECRET":"second"}' });
    assert.deepEqual(JSON.parse(bulk.stdout), { stored: 1, deleted: 2 });
    assert.equal((await visit(name)).text, 's=second');
    await project.write('file.json', '{"V":" from a file"}');
    await project.dione(['deploy', '--secrets-file', 'file.json']);
    assert.equal((await visit(name)).text, 's=second from a file');
    assert.deepEqual((await project.json(['secret', 'list'])).map((one) => one.name).sort(), ['SECRET', 'V']);
    assert.equal(await project.dione(['secret', 'list', '--format', 'pretty', '--name', name]).then((text) => text.split('\n').sort().join()), ',SECRET,V');
    fails(await project.tryDione(['secret', 'delete', 'V'], { input: 'n\n' }), /not deleted/);
    await project.dione(['secret', 'delete', 'V']);
    assert.equal((await visit(name)).text, 's=second');
  });

  test('typed at a terminal they are not shown; Ctrl-C stores nothing', async (t) => {
    const name = uniqueName('typed');
    const project = await script(t, name, says('s='));
    await project.dione(['deploy']);
    const left = terminal(t, project, ['secret', 'put', 'SECRET']);
    await left.sees('The value of SECRET: ');
    left.type('half\x03');
    await left.ended();
    assert.deepEqual(await project.json(['secret', 'list']), []);
    const typed = terminal(t, project, ['secret', 'put', 'SECRET']);
    await typed.sees('The value of SECRET: ');
    typed.type('unseen\r');
    await typed.sees('Stored the secret SECRET');
    await typed.ended();
    assert.ok(!typed.screen().includes('unseen'));
    assert.equal((await visit(name)).text, 's=unseen');
  });

  test('what is wrong is told, and nothing is stored', async (t) => {
    const project = await script(t, uniqueName('wrong'), says(''));
    fails(await project.tryDione(['secret', 'put', 'S'], { input: ' \n' }), /has no value/);
    fails(await project.tryDione(['secret', 'bulk'], { input: '{"S":1}' }), /standard input: the value of S must be text/);
    fails(await project.tryDione(['secret', 'bulk'], { input: '[1]' }), /an object/);
    fails(await project.tryDione(['secret', 'bulk'], { input: '' }), /no secrets in it/);
    fails(await project.tryDione(['secret', 'bulk', 'nowhere.json']), /nowhere\.json/);
    fails(await project.tryDione(['secret', 'list']), /there is no Worker/);
    const bare = await dioneProject(t, server);
    fails(await bare.tryDione(['secret', 'list']), /which Worker\?/);
  });
});

test('versions upload leaves what is deployed alone', async (t) => {
  const name = uniqueName('upload');
  const project = await script(t, name, says('one'));
  await project.dione(['deploy']);
  await project.write('worker.js', says('two'));
  const { version_id: id, url } = await project.json(['versions', 'upload', '--message', 'later']);
  assert.equal(url, null);
  assert.equal((await visit(name)).text, 'one');
  await project.dione(['rollback', id, '-y']);
  assert.equal((await visit(name)).text, 'two');
});

test('static assets: uploaded once, served with their rules, and to the Worker', async (t) => {
  const name = uniqueName('site');
  const project = await script(t, name,
    'export default { async fetch(request, env) { return new Response("worker, and " + (await (await env.ASSETS.fetch("http://a/a.txt")).text())) } }',
    { assets: { directory: 'public', binding: 'ASSETS', not_found_handling: '404-page', run_worker_first: ['/api/*'] } });
  await mkdir(project.file('public/img'), { recursive: true });
  await Promise.all(Object.entries({ 'index.html': '<h1>home</h1>', '404.html': 'gone', 'a.txt': 'text', 'img/ä b.txt': 'umlaut',
    'x.map': 'no', '.assetsignore': '*.map', _headers: '/a.txt\n  X-Test: yes\n', _redirects: '/old /a.txt 302\n' })
    .map(([path, text]) => writeFile(project.file(join('public', path)), text)));
  const first = await project.tryDione(['deploy']);
  assert.match(first.stderr, /Uploaded 4 static assets|Uploaded 4 of 4 static assets/);
  assert.match((await visit(name)).text, /home/);
  assert.equal((await visit(name, '/a.txt')).headers['x-test'], 'yes');
  assert.equal((await visit(name, '/img/%C3%A4%20b.txt')).text, 'umlaut');
  assert.equal((await visit(name, '/old')).headers.location, '/a.txt');
  assert.deepEqual([(await visit(name, '/x.map')).status, (await visit(name, '/x.map')).text], [404, 'gone']);
  assert.equal((await visit(name, '/api/x')).text, 'worker, and text');
  await project.write('public/a.txt', 'changed');
  assert.match((await project.tryDione(['deploy'])).stderr, /Uploaded 1 of 4 static assets/);
  assert.equal((await visit(name, '/a.txt')).text, 'changed');
});

test('a broken script, foreign bindings and missing settings are refused, and the running version serves on', async (t) => {
  const name = uniqueName('broken');
  const project = await script(t, name, says('good'));
  await project.dione(['deploy']);
  await project.write('worker.js', 'throw new Error("at the start"); export default {}');
  fails(await project.tryDione(['deploy']), /at the start/);
  await project.write('worker.js', 'export default { fetch( }');
  fails(await project.tryDione(['deploy']), /worker\.js:1[^]*cannot be made/);
  await project.write('worker.js', says('good'));
  const config = (extra) => project.write('wrangler.json', JSON.stringify({ name, main: 'worker.js', ...extra }));
  await config({});
  fails(await project.tryDione(['deploy']), /compatibility date/);
  await config({ compatibility_date: '2026-01-01', r2_buckets: [{ binding: 'BUCKET', bucket_name: 'b' }] });
  fails(await project.tryDione(['deploy']), /BUCKET[^]*R2 bucket/);
  await config({ compatibility_date: '2026-01-01', d1_databases: [{ binding: 'DB', database_id: '00000000-0000-4000-8000-000000000000' }] });
  fails(await project.tryDione(['deploy']), /00000000-0000-4000-8000-000000000000|DB/);
  await config({ compatibility_date: '2999-01-01' });
  fails(await project.tryDione(['deploy']), /2999|compatibility date/i);
  assert.equal((await visit(name)).text, 'good');
  assert.equal((await project.json(['versions', 'list'])).length, 1, 'nothing half stored');
});

test('routes, custom domains and --var, --route, --triggers of the command line', async (t) => {
  const name = uniqueName('routes');
  const project = await script(t, name, says('v='), { vars: { V: 'config' }, routes: ['a.example/x/*', { pattern: 'b.example', custom_domain: true }] });
  const said = await project.dione(['deploy']);
  assert.match(said, /a\.example\/x\/\*\n {2}b\.example\n/);
  assert.equal((await visit(name, '/x/1', 'a.example')).text, 'v=config');
  assert.equal((await visit(name, '/any/path', 'b.example')).text, 'v=config');
  assert.equal((await visit(name, '/y', 'a.example')).status, 404);
  assert.equal((await visit(name)).status, 404, 'with routes, not under its own name unless workers_dev says so');
  const { url } = await project.json(['deploy', '--route', 'c.example/*', '--var', 'V:option', '--triggers', '*/5 * * * *']);
  assert.equal(url, null);
  assert.equal((await visit(name, '/', 'c.example')).text, 'v=option');
  assert.equal((await visit(name, '/x/1', 'a.example')).status, 404, 'the routes before are gone');
  assert.deepEqual(ok(await server.account('GET', `/workers/scripts/${name}/schedules`)).schedules.map(({ cron }) => cron), ['*/5 * * * *']);
  await project.dione(['deploy', '--keep-vars', '--name', name, 'worker.js', '--config', 'wrangler.json']);
  assert.equal((await visit(name, '/x/1', 'a.example')).text, 'v=config');
});
