// Static assets: uploaded by the real wrangler, served before the Worker, by env.ASSETS, and without any Worker.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { wranglerProject } from '../lib/clients.mjs';
import { form, request, script, startWorkersServer, tryUpload } from '../lib/deploy.mjs';
import { ok, refused, scope } from '../lib/server.mjs';

const server = await startWorkersServer(scope());

/** Uploads assets as wrangler does: `files` is path to text. Gives the token for a deploy. */
async function uploadAssets(name, files, { skip = [] } = {}) {
  const hash = (text) => createHash('sha256').update(text).digest('hex').slice(0, 32);
  const manifest = Object.fromEntries(Object.entries(files).map(([path, text]) => [path, { hash: hash(text), size: Buffer.byteLength(text) }]));
  const session = ok(await script(server, name, 'POST', '/assets-upload-session', { json: { manifest } }));
  let { jwt } = session;
  for (const bucket of session.buckets) {
    const body = new FormData();
    for (const one of bucket) {
      const [path, text] = Object.entries(files).find(([, content]) => hash(content) === one);
      if (skip.includes(path)) continue;
      const type = path.endsWith('.html') ? 'text/html; charset=utf-8' : path.endsWith('.txt') ? 'text/plain' : 'application/null';
      body.set(one, new File([Buffer.from(text).toString('base64')], one, { type }));
    }
    const answer = ok(await server.account('POST', '/workers/assets/upload?base64=true', { body, token: session.jwt }));
    jwt = answer.jwt ?? jwt;
  }
  return { jwt, buckets: session.buckets, session: session.jwt };
}

const worker = `export default { async fetch(request, env) {
  const url = new URL(request.url);
  if (url.pathname.startsWith('/asset/')) return env.ASSETS.fetch(new URL(url.pathname.slice(6), url));
  return new Response('worker ' + url.pathname);
} };`;
const site = { '/index.html': 'home', '/about.html': 'about', '/docs/index.html': 'docs', '/docs/404.html': 'no doc', '/404.html': 'nothing',
  '/a b.txt': 'space', '/raw': 'raw', '/api/data.txt': 'data' };

/** Deploys `site` with this configuration; `script: false` for assets alone. */
async function deploySite(name, config = {}, { files = site, script: withScript = true, ...metadata } = {}) {
  const { jwt } = await uploadAssets(name, files);
  ok(await tryUpload(server, name, withScript ? { 'i.js': worker } : {}, { ...metadata, assets: { jwt, config },
    ...(withScript ? { bindings: [{ name: 'ASSETS', type: 'assets' }] } : {}) }));
}
const get = async (name, path, options) => {
  const answer = await request(server, name, path, options);
  return answer.headers.location === undefined ? [answer.status, answer.text] : [answer.status, answer.headers.location];
};
const expect = async (name, rows) => {
  const got = {};
  for (const path of Object.keys(rows)) got[path] = await get(name, path);
  assert.deepEqual(got, rows);
};

test('wrangler uploads a folder once, and a Worker of assets alone', async (t) => {
  const project = await wranglerProject(t, server);
  const put = async (path, text) => { await mkdir(dirname(project.file(path)), { recursive: true }); await writeFile(project.file(path), text); };
  await put('public/index.html', '<h1>home</h1>');
  await put('public/deep/page.html', 'page');
  await put('public/_headers', '/*\n  X-Everywhere: yes\n/deep/*\n  X-Deep: :splat\n  ! ETag\n');
  await put('public/_redirects', '/old /deep/page 301\n/go/:what https://example.com/:what\n/rewritten /deep/page 200\n');
  await put('wrangler.jsonc', JSON.stringify({ name: 'static', compatibility_date: '2026-01-01', assets: { directory: 'public' } }));
  assert.match(await project.wrangler('deploy'), /Uploaded 2 files/);
  await expect('static', { '/': [200, '<h1>home</h1>'], '/deep/page': [200, 'page'], '/deep/page.html': [307, '/deep/page'],
    '/old?q=1': [301, '/deep/page?q=1'], '/go/there': [302, 'https://example.com/there'], '/rewritten': [200, 'page'], '/none': [404, ''] });
  const page = await request(server, 'static', '/deep/page');
  assert.deepEqual([page.headers['x-everywhere'], page.headers['x-deep'], page.headers.etag], ['yes', 'page', undefined]);
  await put('public/deep/page.html', 'page two');
  assert.match(await project.wrangler('deploy'), /Uploaded 1 file \(1 already uploaded\)/);
  await expect('static', { '/': [200, '<h1>home</h1>'], '/deep/page': [200, 'page two'] });
});

describe('html_handling', () => {
  test('auto-trailing-slash', async () => {
    await deploySite('auto');
    await expect('auto', { '/': [200, 'home'], '/index': [307, '/'], '/index.html': [307, '/'], '/about': [200, 'about'], '/about/': [307, '/about'],
      '/about.html': [307, '/about'], '/about/index': [307, '/about'], '/docs': [307, '/docs/'], '/docs/': [200, 'docs'], '/docs/index.html': [307, '/docs/'],
      '/a%20b.txt': [200, 'space'], '/%61bout': [307, '/about'], '//about': [307, '/about'], '/raw': [200, 'raw'], '/other': [200, 'worker /other'] });
  });
  test('force-trailing-slash', async () => {
    await deploySite('force', { html_handling: 'force-trailing-slash' });
    await expect('force', { '/': [200, 'home'], '/about': [307, '/about/'], '/about/': [200, 'about'], '/about.html': [307, '/about/'], '/docs': [307, '/docs/'],
      '/docs/': [200, 'docs'], '/docs/index': [307, '/docs/'] });
  });
  test('drop-trailing-slash', async () => {
    await deploySite('drop', { html_handling: 'drop-trailing-slash' });
    await expect('drop', { '/': [200, 'home'], '/index.html': [307, '/'], '/about/': [307, '/about'], '/about': [200, 'about'], '/docs/': [307, '/docs'],
      '/docs': [200, 'docs'], '/docs/index.html': [307, '/docs'] });
  });
  test('none', async () => {
    await deploySite('plain', { html_handling: 'none' });
    await expect('plain', { '/': [200, 'worker /'], '/about': [200, 'worker /about'], '/about.html': [200, 'about'], '/index.html': [200, 'home'] });
  });
});

describe('what is no asset', () => {
  test('goes to the Worker; navigations and env.ASSETS get what not_found_handling says', async () => {
    await deploySite('missing', { not_found_handling: '404-page' });
    await expect('missing', { '/none': [200, 'worker /none'], '/asset/none': [404, 'nothing'], '/asset/docs/none': [404, 'no doc'], '/asset/about': [200, 'about'] });
    const headers = { 'sec-fetch-mode': 'navigate' };
    assert.deepEqual(await get('missing', '/docs/none', { headers }), [404, 'no doc']);
    await deploySite('missing', { not_found_handling: 'single-page-application' }, { compatibility_date: '2024-01-01' });
    assert.deepEqual(await get('missing', '/none', { headers }), [200, 'worker /none'], 'before the flag, the Worker is asked');
    assert.deepEqual(await get('missing', '/asset/none'), [200, 'home']);
  });
  test('is a page of a single-page application without a Worker', async () => {
    await deploySite('spa', { not_found_handling: 'single-page-application' }, { script: false });
    await expect('spa', { '/': [200, 'home'], '/any/where': [200, 'home'], '/raw': [200, 'raw'] });
    assert.equal((await request(server, 'spa', '/raw', { method: 'POST' })).status, 405);
  });
});

test('run_worker_first sends all or some paths to the Worker', async () => {
  await deploySite('first', { run_worker_first: true });
  await expect('first', { '/about': [200, 'worker /about'], '/asset/about': [200, 'about'] });
  await deploySite('first', { run_worker_first: ['/api/*', '!/api/data.txt'], not_found_handling: 'single-page-application' });
  await expect('first', { '/api/x': [200, 'worker /api/x'], '/api/data.txt': [200, 'data'], '/about': [200, 'about'], '/client/route': [200, 'home'] });
});

test('answers carry types, entity tags and the right length', async () => {
  await deploySite('typed');
  const page = await request(server, 'typed', '/about');
  assert.equal(page.headers['content-type'], 'text/html; charset=utf-8');
  assert.equal(page.headers['cache-control'], 'public, max-age=0, must-revalidate');
  assert.equal((await request(server, 'typed', '/raw')).headers['content-type'], undefined);
  for (const etag of [page.headers.etag, `W/${page.headers.etag}`]) {
    const again = await request(server, 'typed', '/about', { headers: { 'if-none-match': etag } });
    assert.deepEqual([again.status, again.text], [304, '']);
  }
  assert.equal((await request(server, 'typed', '/about', { headers: { 'if-none-match': '"other"' } })).status, 200);
  const head = await request(server, 'typed', '/about', { method: 'HEAD' });
  assert.deepEqual([head.status, head.text, head.headers['content-length']], [200, '', '5']);
  assert.equal((await request(server, 'typed', '/about', { method: 'POST' })).status, 405);
});

test('a redeploy keeps assets when asked to, and each version has its own', async () => {
  await deploySite('kept', {}, { files: { '/index.html': 'first' } });
  ok(await tryUpload(server, 'kept', { 'i.js': worker }, { keep_assets: true }));
  await expect('kept', { '/': [200, 'first'] });
  ok(await script(server, 'kept', 'PUT', '/secrets', { json: { name: 'S', text: 'x', type: 'secret_text' } }));
  ok(await script(server, 'kept', 'PUT', '/content', { body: form({ 'i.js': worker }) }));
  await expect('kept', { '/': [200, 'first'] });
  const [before] = ok(await script(server, 'kept', 'GET', '/versions')).items;
  await deploySite('kept', {}, { files: { '/index.html': 'second' } });
  await expect('kept', { '/': [200, 'second'] });
  ok(await script(server, 'kept', 'POST', '/deployments', { json: { versions: [{ version_id: before.id, percentage: 100 }] } }));
  await expect('kept', { '/': [200, 'first'] });
  await server.restart();
  await expect('kept', { '/': [200, 'first'] });
  ok(await tryUpload(server, 'kept', { 'i.js': worker }));
  await expect('kept', { '/': [200, 'worker /'] });
});

describe('an upload', () => {
  test('asks for what is missing, in buckets, and only once', async () => {
    const files = Object.fromEntries(Array.from({ length: 600 }, (_, i) => [`/f${i}.txt`, `file ${i}`]));
    const first = await uploadAssets('buckets', files);
    assert.deepEqual(first.buckets.map((one) => one.length), [250, 250, 100]);
    assert.deepEqual((await uploadAssets('buckets', files)).buckets, []);
  });
  test('that is not complete gives no token for a deploy', async () => {
    const { jwt, session } = await uploadAssets('partial', { '/a.txt': 'a', '/b.txt': 'b' }, { skip: ['/b.txt'] });
    assert.equal(jwt, session);
    refused(await tryUpload(server, 'partial', {}, { assets: { jwt } }), 400, 10021, /finished upload/);
    const other = await uploadAssets('partial-other', { '/a.txt': 'a' });
    refused(await tryUpload(server, 'partial', {}, { assets: { jwt: other.jwt } }), 400, 10021, /this Worker/);
  });
  test('of bad manifests, strangers and wrong files is refused', async () => {
    const begin = (manifest) => script(server, 'bad', 'POST', '/assets-upload-session', { json: { manifest } });
    const hash = '0'.repeat(32);
    for (const manifest of [null, [], { 'no-slash': { hash, size: 1 } }, { '/a': { hash: 'short', size: 1 } }, { '/a': { hash, size: -1 } }, { '/a': { hash } },
      { '/a': { hash, size: 26 * 1024 * 1024 } }]) refused(await begin(manifest), 400, 7400);
    const { jwt } = ok(await begin({ '/a': { hash, size: 1 } }));
    const send = (name, text, token = jwt) => {
      const body = new FormData();
      body.set(name, new File([Buffer.from(text).toString('base64')], name));
      return server.account('POST', '/workers/assets/upload?base64=true', { body, token });
    };
    refused(await send(hash, 'x', 'no.such.token'), 401, 10000);
    refused(await send(hash, 'x', `${jwt.slice(0, -2)}xx`), 401, 10000);
    refused(await send('f'.repeat(32), 'x'), 400, 7400, /manifest/);
    refused(await send('../../escape', 'x'), 400, 7400, /manifest/);
    refused(await send(hash, 'too long'), 400, 7400, /8 bytes.*says 1/);
    refused(await server.account('POST', '/workers/assets/upload', { body: 'x', token: jwt }), 400, 7400);
    assert.ok(ok(await send(hash, 'x')).jwt);
    refused(await tryUpload(server, 'auto', { 'i.js': worker }, { keep_assets: true, assets: { config: { html_handling: 'wrong' } } }), 400, 10021, /html_handling/);
    await expect('auto', { '/about': [200, 'about'] });
  });
  test('leaves nothing of files that no version needs', async () => {
    await deploySite('swept', {}, { files: { '/only-first.txt': 'only in the first version' } });
    const folder = join(server.data, 'workers/swept/assets');
    assert.equal(readdirSync(folder).length, 1);
    ok(await script(server, 'swept', 'DELETE', ''));
    assert.throws(() => readdirSync(folder), { code: 'ENOENT' });
    await deploySite('swept', {}, { files: { '/only-first.txt': 'only in the first version' } });
    await expect('swept', { '/only-first.txt': [200, 'only in the first version'] });
  });
  test('of a Worker that never came is asked for again once its files are gone', async () => {
    const { DatabaseSync } = await import('node:sqlite');
    await uploadAssets('given-up', { '/a.txt': 'never deployed' });
    await server.stop();
    const control = new DatabaseSync(join(server.data, 'control.db'));
    control.exec("UPDATE worker_asset_sessions SET created_ms = 0 WHERE worker = 'given-up'"); // as if an hour had passed
    control.close();
    await server.start();
    assert.throws(() => readdirSync(join(server.data, 'workers/given-up')), { code: 'ENOENT' });
    const files = { '/a.txt': 'never deployed', '/b.txt': 'another' };
    assert.equal((await uploadAssets('given-up', files)).buckets.flat().length, 2);
    for (const file of readdirSync(join(server.data, 'workers/given-up/assets'))) rmSync(join(server.data, 'workers/given-up/assets', file));
    assert.equal((await uploadAssets('given-up', files, { skip: Object.keys(files) })).buckets.flat().length, 2);
    await deploySite('given-up', {}, { files });
    await expect('given-up', { '/a.txt': [200, 'never deployed'], '/b.txt': [200, 'another'] });
  });
});
