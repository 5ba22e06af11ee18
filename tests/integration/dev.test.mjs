// `dione dev`: a Worker project as it comes from Cloudflare's templates, served while it is edited.
import assert from 'node:assert/strict';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { failingDev, startDev } from '../lib/dev.mjs';
import { startServer, tempDir, until, uniqueName, ok } from '../lib/server.mjs';
import { copyWorkerProject } from '../lib/worker-project.mjs';

/** A project of a few files: `{ 'src/index.js': '...' }`; wrangler.json is made of `config`. */
async function smallProject(owner, files, config) {
  const folder = await tempDir(owner, 'dione-project-');
  const all = { ...files };
  if (config) all['wrangler.json'] = JSON.stringify({ name: 'small', main: 'src/index.js', compatibility_date: '2026-01-01', ...config });
  for (const [name, text] of Object.entries(all)) {
    await mkdir(join(folder, name, '..'), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  return folder;
}

const edit = async (folder, name, change) => writeFile(join(folder, name), change(await readFile(join(folder, name), 'utf8')));
const workerOf = (body) => `export default { async fetch(request, env, ctx) { ${body} } };\n`;

test('the guest book', async (t) => {
  const folder = await copyWorkerProject(t);
  const dev = await startDev(t, folder);

  await t.test('runs unchanged, and pending migrations are told', async () => {
    const first = await dev.get('/');
    assert.equal(first.text, 'Welcome, visitor 1\n');
    await dev.shows(/env\.DB: 2 migrations are pending; `dione d1 migrations apply DB` applies them/, { stream: 'stderr' });
    assert.equal((await dev.get('/entries')).status, 500, 'nothing was applied by itself');
  });

  await t.test('shares its databases with the commands beside it', async () => {
    await dev.dione('d1', 'migrations', 'apply', 'guestbook-db', '--local');
    assert.deepEqual((await dev.post('/entries', { author: 'ada', message: 'first' })).body, { id: 1, author: 'ada', message: 'first' });
    assert.equal((await dev.post('/entries', { author: '', message: '' })).status, 400);
    const rows = JSON.parse(await dev.dione('d1', 'execute', 'guestbook-db', '--local', '--command', 'SELECT author FROM entries', '--json'));
    assert.deepEqual(rows[0].results, [{ author: 'ada' }]);
    await dev.dione('kv', 'key', 'put', 'visits', '41', '--binding', 'VISITS', '--local');
    assert.equal((await dev.get('/')).text, 'Welcome, visitor 42\n');
  });

  await t.test('has its secret, JSON vars and node: modules', async () => {
    assert.equal((await dev.get('/entries/1', { method: 'DELETE', headers: { 'x-admin-key': 'wrong' } })).status, 403);
    const removed = await dev.get('/entries/1', { method: 'DELETE', headers: { 'x-admin-key': 'only for development' } });
    assert.deepEqual(removed.body, { removed: 1 });
    assert.match((await dev.post('/entries', { author: 'a', message: 'x'.repeat(501) })).body.error, /up to 500 characters/);
  });

  await t.test('prints requests and console output', async () => {
    const from = dev.stdout.length;
    await dev.post('/entries', { author: 'grace', message: 'hello' });
    await dev.shows(/^new entry by grace$/m, { from });
    await dev.shows(/^\[dione\] POST \/entries 201 Created \(\d+ms\)$/m, { from });
    assert.equal((await dev.get('/fail')).status, 500);
    await dev.shows(/^unexpected: failing on purpose$/m, { stream: 'stderr' });
    assert.ok(!dev.said.includes('only for development'), 'secrets are not shown');
  });

  await t.test('runs its cron by hand, in both ways', async () => {
    const answer = await dev.get('/cdn-cgi/handler/scheduled?cron=30+3+*+*+*');
    assert.deepEqual([answer.status, answer.text.trim()], [200, 'ok']);
    assert.equal((await dev.get('/__scheduled?cron=*+*+*+*+*')).status, 200);
    const { body } = await dev.get('/cleanups');
    assert.deepEqual(body.map(({ cron }) => cron), ['30 3 * * *', '* * * * *']);
    assert.ok(Math.abs(body[0].scheduled_time - Date.now()) < 120_000);
  });

  await t.test('is there again after each change', async () => {
    const begun = Date.now();
    await edit(folder, 'src/index.ts', (text) => text.replace('visitor ${visits}', 'guest ${visits}'));
    await until('the new text is served', async () => (await dev.get('/')).text.startsWith('Welcome, guest'));
    t.diagnostic(`a change was served after ${Date.now() - begun} ms`);
    await edit(folder, 'wrangler.jsonc', (text) => text.replace('"GREETING": "Welcome",', '"GREETING": "Hello",'));
    await until('the new variable is served', async () => (await dev.get('/')).text.startsWith('Hello, guest'));
    await edit(folder, '.dev.vars', (text) => text.replace('only for development', 'changed'));
    await until('the new secret counts', async () =>
      (await dev.get('/entries/2', { method: 'DELETE', headers: { 'x-admin-key': 'changed' } })).status === 200);
  });

  await t.test('takes no notice of a log beside its sources', async () => {
    const from = dev.stdout.length;
    for (let n = 0; n < 5; n += 1) await writeFile(join(folder, `dev-${n}.log`), 'line\n');
    await writeFile(join(folder, 'src/unused.ts'), 'export const unused = 1;\n');
    await dev.get('/?after-the-log');
    await dev.shows(/after-the-log/, { from });
    assert.ok(!dev.stdout.slice(from).includes('Reloaded'), dev.said);
  });

  await t.test('goes on with the version before while an edit is broken', async () => {
    const good = await readFile(join(folder, 'src/cleanup.ts'), 'utf8');
    await writeFile(join(folder, 'src/cleanup.ts'), `${good}\nexport const broken = (;\n`);
    await dev.shows(/src\/cleanup\.ts:\d+:\d+:/, { stream: 'stderr' });
    assert.match((await dev.get('/')).text, /^Hello, guest/);
    await writeFile(join(folder, 'src/cleanup.ts'), `${good}\nthrow new Error('at the start');\n`);
    await dev.shows(/Uncaught Error: at the start\n\s+at src\/cleanup\.ts:\d+:\d+/, { stream: 'stderr' });
    assert.match((await dev.get('/')).text, /^Hello, guest/);
    await writeFile(join(folder, 'src/cleanup.ts'), `import { word } from './new/word';\n${good}\nconsole.log(word);\n`);
    await dev.shows(/Could not resolve "\.\/new\/word"/, { stream: 'stderr' });
    await mkdir(join(folder, 'src/new'));
    await writeFile(join(folder, 'src/new/word.ts'), "export const word: string = 'from a new folder';\n");
    await dev.shows(/^from a new folder$/m);
    await edit(folder, 'src/new/word.ts', (text) => text.replace('from a new folder', 'changed in it'));
    await dev.shows(/^changed in it$/m);
  });

  await t.test('ends with Ctrl-C, and its data stays', async () => {
    await dev.stop();
    await assert.rejects(fetch(dev.url), 'nobody listens any more');
    const again = await startDev(t, folder, { args: ['--var', 'GREETING:Given'] });
    assert.match((await again.get('/')).text, /^Given, guest \d\d/);
    assert.equal((await again.get('/cleanups')).body.length, 2);
    assert.ok(!again.stderr.includes('pending'), again.said);
    await again.stop();
  });

  await t.test('has environments', async () => {
    const staging = await startDev(t, folder, { args: ['--env', 'staging'] });
    assert.match((await staging.get('/')).text, /^Welcome to staging, guest 1\n/, 'another namespace');
    await staging.shows(/2 migrations are pending; `dione d1 migrations apply DB --env staging` applies/, { stream: 'stderr' });
    await staging.dione('d1', 'migrations', 'apply', 'DB', '--env', 'staging');
    assert.deepEqual((await staging.get('/entries')).body, []);
    await staging.stop();
  });
});

test('many edits in a row end with the last one, and no request fails on the way', async (t) => {
  const folder = await smallProject(t, { 'src/index.js': workerOf("return new Response('0');") }, {});
  const dev = await startDev(t, folder);
  let stopped = false;
  const seen = [];
  const load = (async () => { while (!stopped) seen.push(await dev.get('/')); })();
  for (let n = 1; n <= 12; n += 1) {
    await writeFile(join(folder, 'src/index.js'), workerOf(`return new Response('${n}');`) + (n % 4 === 3 ? '(((' : ''));
    const before = seen.length;
    await until('a few more requests were answered', () => seen.length >= before + 5);
  }
  await until('the last edit is served', () => seen.at(-1).text === '12');
  stopped = true;
  await load;
  assert.deepEqual(seen.filter(({ status }) => status !== 200), []);
  assert.deepEqual([...new Set(seen.map(({ text }) => text))].filter((text) => ['3', '7', '11'].includes(text)), [], 'a broken one never ran');
  await dev.stop();
});

test('exceptions are told with their place in the source', async (t) => {
  const folder = await smallProject(t, {
    'src/index.ts': `import { fails } from './lib';
export default {
  async fetch(request: Request, env: unknown, ctx: { waitUntil(p: Promise<unknown>): void }): Promise<Response> {
    if (request.url.endsWith('/later')) ctx.waitUntil((async () => { await Promise.resolve(); fails('later'); })());
    else fails('now');
    return new Response('ok');
  },
};\n`,
    'src/lib.ts': 'interface Unused { a: string }\n\nexport function fails(when: string): never {\n  throw new TypeError(`failing ${when}`);\n}\n',
  }, { main: 'src/index.ts' });
  const dev = await startDev(t, folder);
  assert.equal((await dev.get('/')).status, 500);
  await dev.shows(/Uncaught TypeError: failing now\n\s+at fails \(src\/lib\.ts:4:\d+\)\n\s+at .*src\/index\.ts:5:\d+/, { stream: 'stderr' });
  assert.equal((await dev.get('/later')).status, 200);
  await dev.shows(/Uncaught TypeError: failing later\n\s+at fails \(src\/lib\.ts:4:\d+\)/, { stream: 'stderr' });
});

test('what esbuild and workerd need to know of a project', async (t) => {
  await t.test('node: modules with and without prefix, from ES and CommonJS, and process.env', async () => {
    const folder = await smallProject(t, {
      'src/index.js': `import { Buffer } from 'buffer';
import { createHash } from 'node:crypto';
import EventEmitter from 'events';
import old from 'old';
import proc from 'node:process';
export default { fetch: () => Response.json({
  base64: Buffer.from('text').toString('base64'), md5: createHash('md5').update('x').digest('hex'), emitter: typeof EventEmitter,
  old: old(), env: [proc.env.WORD, process.env.SECRET], node_env: process.env.NODE_ENV, global: typeof global }) };\n`,
      'node_modules/old/package.json': '{"name":"old","main":"index.js"}',
      'node_modules/old/index.js': `const util = require('util'); const { join } = require('node:path'); const Emitter = require('events'); const Stream = require('stream');
function Own() { Stream.call(this); }
util.inherits(Own, Stream);
class More extends Emitter {}
module.exports = () => util.format('%s', join('a', 'b')) + (new Own() instanceof Stream) + new More().listenerCount('x');\n`,
      '.env': 'BASE=secret\nSECRET=${BASE}-text\n',
    }, { compatibility_flags: ['nodejs_compat'], vars: { WORD: 'a variable' } });
    const dev = await startDev(t, folder);
    assert.deepEqual((await dev.get('/')).body, { base64: 'dGV4dA==', md5: '9dd4e461268c8034f5c8564e155c67a6', emitter: 'function',
      old: 'a/btrue0', env: ['a variable', 'secret-text'], node_env: 'development', global: 'object' });
    await dev.stop();
  });

  await t.test('text, data and WebAssembly are modules', async () => {
    const folder = await smallProject(t, {
      'src/index.js': `import text from './a.txt'; import page from './page.tpl'; import data from './b.bin'; import module from './add.wasm';
export default { async fetch() {
  const { exports } = await WebAssembly.instantiate(module);
  return Response.json([text, page, data.byteLength, exports.add(40, 2)]); } };\n`,
      'src/a.txt': 'a text', 'src/page.tpl': '<b>',
      'src/b.bin': Buffer.from([1, 2, 3]),
      'src/add.wasm': Buffer.from('0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b', 'hex'),
    }, { rules: [{ type: 'Text', globs: ['**/*.tpl'], fallthrough: true }] });
    const dev = await startDev(t, folder);
    assert.deepEqual((await dev.get('/')).body, ['a text', '<b>', 3, 42]);
    await writeFile(join(folder, 'src/page.tpl'), '<i>');
    await until('the changed text is served', async () => (await dev.get('/')).body[1] === '<i>');
    await dev.stop();
  });

  await t.test('service-worker scripts, with their bindings as globals', async () => {
    const folder = await smallProject(t, {
      'src/index.js': "addEventListener('fetch', (event) => event.respondWith(KV.get('k').then((v) => new Response(`${WORD} ${v} ${PAGE}`))));\n",
      'page.html': '<p>',
    }, { vars: { WORD: 'hello' }, kv_namespaces: [{ binding: 'KV' }], text_blobs: { PAGE: 'page.html' } });
    const dev = await startDev(t, folder);
    assert.equal((await dev.get('/')).text, 'hello null <p>');
    await edit(folder, 'wrangler.json', (text) => text.replace('{', '{"d1_databases":[{"binding":"DB"}],'));
    await dev.shows(/The D1 database 'DB' needs a Worker in the format of ES modules/, { stream: 'stderr' });
    await dev.stop();
  });

  await t.test('no_bundle, wrangler.toml, a build command, define and alias', async () => {
    const folder = await smallProject(t, {
      'wrangler.toml': "name = 'plain'\nmain = 'out/index.js'\ncompatibility_date = '2026-01-01'\nno_bundle = true\n" +
        "rules = [{ type = 'ESModule', globs = ['**/*.js'] }]\n[build]\ncommand = 'mkdir -p out/lib && cp src/*.js out/ && cp src/lib/*.js out/lib/'\n",
      'src/index.js': `import { word } from './lib/word.js';\n${workerOf('return new Response(word);')}`,
      'src/lib/word.js': "export const word = 'as it is';\n",
    });
    const plain = await startDev(t, folder);
    assert.equal((await plain.get('/')).text, 'as it is');
    await writeFile(join(folder, 'src/lib/word.js'), "export const word = 'built again';\n");
    await until('the build command ran again', async () => (await plain.get('/')).text === 'built again');
    await plain.stop();

    const other = await smallProject(t, {
      'src/index.js': `import { word } from 'dependency';\n${workerOf('return new Response(word + BUILD + GIVEN);')}`,
      'src/other.js': "export const word = 'aliased ';\n",
    }, { define: { BUILD: '"defined "' }, alias: { dependency: './src/other.js' } });
    const dev = await startDev(t, other, { args: ['--define', 'GIVEN:"given"'] });
    assert.equal((await dev.get('/')).text, 'aliased defined given');
  });
});

test('static assets are served from their folder, as they are now', async (t) => {
  const folder = await smallProject(t, {
    'src/index.js': workerOf(`const { pathname } = new URL(request.url);
      return pathname === '/api' ? env.ASSETS.fetch(new URL('/note.txt', request.url)) : new Response('the Worker at ' + pathname, { status: 201 });`),
    'public/index.html': '<h1>home</h1>', 'public/note.txt': 'a note', 'public/404.html': 'not here', 'public/_headers': '/note.txt\n  x-mine: yes\n',
  }, { assets: { directory: 'public', binding: 'ASSETS' } });
  const dev = await startDev(t, folder);
  assert.equal((await dev.get('/')).text, '<h1>home</h1>');
  assert.equal((await dev.get('/index.html', { redirect: 'manual' })).headers.get('location'), '/');
  const note = await dev.get('/note.txt');
  assert.deepEqual([note.text, note.headers.get('x-mine')], ['a note', 'yes']);
  assert.equal((await dev.get('/api')).text, 'a note');
  assert.deepEqual(await dev.get('/other').then(({ status, text }) => [status, text]), [201, 'the Worker at /other']);
  await mkdir(join(folder, 'public/deep'));
  await writeFile(join(folder, 'public/deep/new.txt'), 'new');
  await writeFile(join(folder, 'public/note.txt'), 'changed');
  await until('the new file is served', async () => (await dev.get('/deep/new.txt')).text === 'new');
  assert.equal((await dev.get('/note.txt')).text, 'changed');
  // Other assets come with the version that has them: not when it does not start.
  await mkdir(join(folder, 'second'));
  await writeFile(join(folder, 'second/index.html'), 'second home');
  await writeFile(join(folder, 'src/broken.js'), `throw new Error('broken at once'); export default {};`);
  const config = JSON.parse(await readFile(join(folder, 'wrangler.json'), 'utf8'));
  const second = { ...config, assets: { directory: 'second', binding: 'ASSETS' } };
  await writeFile(join(folder, 'wrangler.json'), JSON.stringify({ ...second, main: 'src/broken.js' }));
  await dev.shows(/broken at once/, { stream: 'stderr' });
  assert.equal((await dev.get('/')).text, '<h1>home</h1>');
  await writeFile(join(folder, 'wrangler.json'), JSON.stringify(second));
  await until('the second folder is served', async () => (await dev.get('/')).text === 'second home');
  await dev.stop();

  const only = { name: 'only', compatibility_date: '2026-01-01', assets: { directory: 'public', not_found_handling: '404-page' } };
  await writeFile(join(folder, 'wrangler.json'), JSON.stringify(only));
  const pages = await startDev(t, folder);
  assert.equal((await pages.get('/')).text, '<h1>home</h1>');
  assert.deepEqual(await pages.get('/other').then(({ status, text }) => [status, text]), [404, 'not here']);
  await writeFile(join(folder, 'wrangler.json'), JSON.stringify({ ...only, assets: { ...only.assets, not_found_handling: 'nonsense' } }));
  await pages.shows(/nonsense/, { stream: 'stderr' });
  assert.equal((await pages.get('/other')).status, 404);
  await pages.stop();
});

test('bindings of kinds that Dione does not have are named', async (t) => {
  const folder = await smallProject(t, { 'src/index.js': workerOf('return Response.json([typeof env.FILES, typeof env.ROOMS]);') }, {
    r2_buckets: [{ binding: 'FILES', bucket_name: 'files' }], durable_objects: { bindings: [{ name: 'ROOMS', class_name: 'Room' }] },
  });
  const dev = await startDev(t, folder);
  assert.deepEqual((await dev.get('/')).body, ['undefined', 'undefined']);
  assert.match(dev.stderr, /env\.FILES is a binding of a kind that Dione does not have \(R2 bucket\)/);
  assert.match(dev.stderr, /env\.ROOMS is a binding of a kind that Dione does not have \(Durable Object\)/);
});

test('a server that has the data directory is used', async (t) => {
  const folder = await copyWorkerProject(t);
  const server = await startServer(t, { data: join(folder, 'data'), token: null });
  server.token = (await readFile(join(folder, 'data/token'), 'utf8')).trim();
  const dev = await startDev(t, folder);
  await dev.dione('d1', 'migrations', 'apply', 'DB');
  await dev.post('/entries', { author: 'ada', message: 'kept by the server' });
  assert.deepEqual(await server.rows('guestbook-db', 'SELECT message FROM entries'), [{ message: 'kept by the server' }]);
  await dev.stop();
  await server.assertAlive();
});

test('--remote works on the data of a server', async (t) => {
  const server = await startServer(t);
  const folder = await copyWorkerProject(t);
  const env = { DIONE_URL: server.url, DIONE_TOKEN: server.token };
  const { uuid } = await server.create(uniqueName());
  const namespace = ok(await server.account('POST', '/storage/kv/namespaces', { json: { title: uniqueName() } }));

  const without = await failingDev(t, folder, { args: ['--remote'], env });
  assert.equal(without.code, 1);
  assert.match(without.stderr, /^dione: env\.DB: /m);

  await edit(folder, 'wrangler.jsonc', (text) => text
    .replace('"database_name": "guestbook-db",', `"database_name": "guestbook-db", "database_id": "${uuid}",`)
    .replace('"binding": "VISITS"', `"binding": "VISITS", "id": "${namespace.id}"`));
  const dev = await startDev(t, folder, { args: ['--remote'], env });
  await dev.shows(/2 migrations are pending; `dione d1 migrations apply DB --remote`/, { stream: 'stderr' });
  await dev.dione('d1', 'migrations', 'apply', 'DB', '--remote');
  assert.equal((await dev.get('/')).text, 'Welcome, visitor 1\n');
  await dev.post('/entries', { author: 'ada', message: 'far away' });
  assert.deepEqual(await server.rows(uuid, 'SELECT message FROM entries'), [{ message: 'far away' }]);
  const kept = await server.account('GET', `/storage/kv/namespaces/${namespace.id}/values/visits`);
  assert.equal(kept.text, '1');
  await dev.stop();

  const refused = await failingDev(t, folder, { args: ['--remote', '--token', 'x'.repeat(40)], env: { DIONE_URL: server.url } });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /dione: remote http:\S+: /);
});

test('what cannot run is refused with the reason', async (t) => {
  const empty = await tempDir(t);
  const cases = async (folder, args, pattern, env) => {
    const done = await failingDev(t, folder, { args, env });
    assert.deepEqual([done.code, done.stdout], [1, ''], done.stderr);
    assert.match(done.stderr, pattern);
  };
  await cases(empty, [], /there is nothing to run: no wrangler\.jsonc or wrangler\.toml here/);
  const folder = await smallProject(t, { 'src/index.js': workerOf("return new Response('x');") }, {});
  await cases(folder, ['--env', 'nope'], /there is no environment 'nope' in wrangler\.json/);
  await cases(folder, ['gone.js'], /cannot read the Worker's entry file .*gone\.js/);
  await cases(folder, ['--port', 'many'], /--port takes a number from 0 to 65535, not 'many'/);
  await cases(folder, [], /DIONE_WORKERD.*is no program/, { DIONE_WORKERD: '/nowhere' });
  await cases(folder, [], /DIONE_ESBUILD is '\/nowhere'/, { DIONE_ESBUILD: '/nowhere' });
  const dev = await startDev(t, folder);
  await cases(folder, ['--port', new URL(dev.url).port, '--data', 'elsewhere'], /cannot listen on 127\.0\.0\.1:\d+: .*in use.*--port/);
  await rm(join(folder, 'wrangler.json'));
  await writeFile(join(folder, 'wrangler.toml'), 'main = 5\n');
  await cases(folder, ['--data', 'elsewhere'], /wrangler\.toml: 'main' must be text/);
});
