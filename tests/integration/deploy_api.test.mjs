// The deploy API by itself: kinds of modules and bindings, versions, settings, triggers, and everything that is refused.
// After each refusal the running version must answer as before.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import Cloudflare from 'cloudflare';
import { ok, refused, scope, until } from '../lib/server.mjs';
import { assertSays, form, request, says, script, startWorkersServer, tryUpload, upload } from '../lib/deploy.mjs';

const server = await startWorkersServer(scope());

const everyFile = (folder) => readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
const versionsOf = async (name) => ok(await script(server, name, 'GET', '/versions')).items;

describe('modules', () => {
  test('of every kind are imported as what they are', async () => {
    const wasm = Buffer.from('0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b', 'hex');
    await upload(server, 'kinds', {
      'index.js': `import add from './add.wasm'; import words from './words.txt'; import bytes from './bytes.bin';
        import settings from './settings.json'; import { twice } from 'lib/twice.js'; import old from './old.cjs';
        export default { async fetch() {
          const sum = (await WebAssembly.instantiate(add)).exports.add(2, 3);
          return Response.json([sum, words, [...new Uint8Array(bytes)], settings.a, twice(4), old.name]);
        } };`,
      './add.wasm': { type: 'wasm', body: wasm }, './words.txt': { type: 'text', body: 'some words' },
      './bytes.bin': { type: 'data', body: new Uint8Array([1, 2, 255]) },
      './settings.json': { type: 'json', body: '{"a":7}' }, 'lib/twice.js': 'export const twice = (n) => 2 * n;',
      './old.cjs': { type: 'cjs', body: 'module.exports = { name: "common" };' },
      'index.js.map': { type: 'map', body: '{"version":3}' },
    });
    assert.deepEqual((await request(server, 'kinds')).body, [5, 'some words', [1, 2, 255], 7, 8, 'common']);
  });

  test('a script in service-worker format runs, with its blobs', async () => {
    const wasm = Buffer.from('0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b', 'hex');
    await upload(server, 'classic', {
      script: { type: 'cjs', body: `addEventListener('fetch', (event) => event.respondWith((async () => {
        const add = (await WebAssembly.instantiate(ADD)).exports.add;
        return new Response([WORD, TEXT, new Uint8Array(DATA).join('-'), add(1, 2)].join(' '));
      })()));` },
      words: { type: 'text', body: 'blob text' }, raw: { type: 'data', body: new Uint8Array([4, 5]) },
      sum: { type: 'wasm', body: wasm },
    }, { body_part: 'script', bindings: [
      { name: 'WORD', type: 'plain_text', text: 'word' }, { name: 'TEXT', type: 'text_blob', part: 'words' },
      { name: 'DATA', type: 'data_blob', part: 'raw' }, { name: 'ADD', type: 'wasm_module', part: 'sum' }] });
    await assertSays(server, 'classic', 'word blob text 4-5 3');
    const back = await script(server, 'classic', 'GET');
    assert.match(back.headers.get('content-type'), /^application\/javascript/);
    assert.match(back.text, /^addEventListener/);
  });

  test('come back as they were uploaded', async () => {
    await upload(server, 'back', { 'a.js': says('a'), './b.txt': { type: 'text', body: 'bee\r\n' } });
    const answer = await fetch(`${server.url}/accounts/local/workers/scripts/back/content/v2`,
      { headers: { authorization: `Bearer ${server.token}` } });
    assert.equal(answer.headers.get('cf-entrypoint'), 'a.js');
    const parts = await answer.formData();
    assert.equal(await parts.get('a.js').text(), says('a'));
    const [, boundary] = /boundary=(.*)$/.exec(answer.headers.get('content-type'));
    const hostile = `/*\r\n--${boundary}--\r\n*/ ${says('a')}`;
    await upload(server, 'back', { 'a.js': hostile });
    const again = await fetch(`${server.url}/accounts/local/workers/scripts/back/content/v2`,
      { headers: { authorization: `Bearer ${server.token}` } });
    assert.equal(await (await again.formData()).get('a.js').text(), hostile);
    assert.equal(await parts.get('./b.txt').text(), 'bee\r\n');
  });

  test('new code alone keeps bindings and settings', async () => {
    await upload(server, 'content', { 'i.js': says('one') }, { bindings: [{ name: 'W', type: 'plain_text', text: 'kept' }] });
    const body = form({ 'i.js': 'export default { fetch: (r, env) => new Response("two " + env.W) };' });
    ok(await script(server, 'content', 'PUT', '/content', { body }));
    await assertSays(server, 'content', 'two kept');
  });
});

describe('bindings', () => {
  test('reach variables, databases, namespaces, secrets and other Workers', async () => {
    const { uuid } = await server.create();
    const { id } = ok(await server.account('POST', '/storage/kv/namespaces', { json: { title: 'deploy-test' } }));
    await upload(server, 'callee', { 'i.js': `import { WorkerEntrypoint } from 'cloudflare:workers';
      export default { fetch: (r) => new Response('callee saw ' + new URL(r.url).pathname) };
      export class Other extends WorkerEntrypoint { fetch() { return new Response('other'); } }` });
    await upload(server, 'caller', { 'i.js': `export default { async fetch(request, env) {
      await env.KV.put('k', 'from kv');
      return Response.json({ text: env.TEXT, json: env.JSON_VAR, secret: env.SECRET, kv: await env.KV.get('k'),
        d1: await env.DB.prepare('SELECT 40 + 2 AS n').first('n'), version: env.META.id.length,
        service: await (await env.CALLEE.fetch('https://x/path')).text(), other: await (await env.OTHER.fetch('https://x/')).text() });
    } };` }, { bindings: [
      { name: 'TEXT', type: 'plain_text', text: 'plain "text" \n\\ é' }, { name: 'JSON_VAR', type: 'json', json: { a: [1, null] } },
      { name: 'SECRET', type: 'secret_text', text: 'hush' }, { name: 'DB', type: 'd1', id: uuid },
      { name: 'KV', type: 'kv_namespace', namespace_id: id }, { name: 'META', type: 'version_metadata' },
      { name: 'CALLEE', type: 'service', service: 'callee' },
      { name: 'OTHER', type: 'service', service: 'callee', entrypoint: 'Other' }] });
    assert.deepEqual((await request(server, 'caller')).body, { text: 'plain "text" \n\\ é', json: { a: [1, null] },
      secret: 'hush', kv: 'from kv', d1: 42, version: 36, service: 'callee saw /path', other: 'other' });

    const settings = ok(await script(server, 'caller', 'GET', '/settings'));
    assert.deepEqual(settings.bindings.find((one) => one.name === 'SECRET'), { name: 'SECRET', type: 'secret_text' });
    assert.equal(settings.bindings.find((one) => one.name === 'DB').id, uuid);
    assert.deepEqual(settings.compatibility_flags, []);
    const references = ok(await script(server, 'callee', 'GET', '/references'));
    assert.deepEqual(references.services.incoming.map((one) => one.service), ['caller']);
    refused(await script(server, 'callee', 'DELETE'), 400, 10064, /caller/);
    ok(await script(server, 'callee', 'DELETE', '?force=true'));
  });

  test('secrets survive redeploys, are never shown, and lie sealed on the disk', async () => {
    const value = 'a-very-secret-value-4711';
    await upload(server, 'keeper', { 'i.js': 'export default { fetch: (r, e) => new Response(e.S + " " + e.V) };' },
      { bindings: [{ name: 'S', type: 'secret_text', text: value }, { name: 'V', type: 'plain_text', text: 'v1' }] });
    await upload(server, 'keeper', { 'i.js': 'export default { fetch: (r, e) => new Response(e.S + " " + e.V) };' });
    await assertSays(server, 'keeper', `${value} undefined`);
    for (const path of ['/secrets', '/settings', '/versions', '', '/deployments', '/secrets/S']) {
      assert.ok(!(await script(server, 'keeper', 'GET', path)).text.includes(value), path);
    }
    ok(await script(server, 'keeper', 'PUT', '/secrets', { json: { name: 'T', text: 'other-secret-0815', type: 'secret_text' } }));
    assert.deepEqual(ok(await script(server, 'keeper', 'GET', '/secrets')).map((one) => one.name), ['S', 'T']);
    for (const file of everyFile(server.data)) {
      const bytes = readFileSync(file);
      assert.ok(!bytes.includes(value) && !bytes.includes('other-secret-0815'), `${file} holds the secret`);
    }
    assert.equal(statSync(join(server.data, 'secrets.key')).mode & 0o777, 0o600);
    refused(await script(server, 'keeper', 'PUT', '/secrets', { json: { name: 'T' } }), 400, 7400);
    refused(await script(server, 'keeper', 'DELETE', '/secrets/NONE'), 404, 10056);
    ok(await script(server, 'keeper', 'DELETE', '/secrets/T'));
    assert.deepEqual(ok(await script(server, 'keeper', 'GET', '/secrets')).map((one) => one.name), ['S']);
  });

  test('keep_bindings keeps variables, and inherit takes one over', async () => {
    const code = { 'i.js': 'export default { fetch: (r, e) => Response.json([e.A, e.B, e.C]) };' };
    await upload(server, 'heir', code, { bindings: [{ name: 'A', type: 'plain_text', text: 'a' }, { name: 'B', type: 'json', json: 2 }] });
    await upload(server, 'heir', code, { keep_bindings: ['plain_text'] });
    assert.deepEqual((await request(server, 'heir')).body, ['a', null, null]);
    await upload(server, 'heir', code, { bindings: [{ name: 'C', type: 'inherit', old_name: 'A' }] });
    assert.deepEqual((await request(server, 'heir')).body, [null, null, 'a']);
    refused(await tryUpload(server, 'heir', code, { bindings: [{ name: 'X', type: 'inherit' }] }), 400, 10057,
      /^inherit binding 'X' is invalid/);
  });
});

test('a thousand large secrets are set at once, and changed at once', async () => {
  await upload(server, 'secretive', { 'i.js': `export default { fetch: (r, e) => new Response(
    Object.keys(e).length + ' ' + e.S7.length + ' ' + e.S8 + ' ' + e.PLAIN) };` }, { bindings: [{ name: 'PLAIN', type: 'plain_text', text: 'p' }] });
  const bulk = (secrets) => script(server, 'secretive', 'PATCH', '/secrets-bulk', { json: { secrets } });
  const all = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`S${i}`, { type: 'secret_text', text: 'x'.repeat(1024) }]));
  assert.equal(ok(await bulk(all)).secrets.length, 1000);
  ok(await bulk({ S7: { type: 'secret_text', text: 'seven' }, S8: null, S9: null, NEVER: null }));
  await assertSays(server, 'secretive', '999 5 undefined p');
  refused(await bulk({ S7: null, PLAIN: { type: 'secret_text', text: 'x' } }), 400, 10053);
  await assertSays(server, 'secretive', '999 5 undefined p');
});

test('a blob that is inherited stays what it was, whatever else is uploaded', async () => {
  const code = 'export default { fetch: (r, e) => new Response(`${e.T} ${e.U}`) };';
  const blob = { name: 'T', type: 'text_blob', part: 'blob' };
  await upload(server, 'blobs', { 'i.js': code, blob: { type: 'text', body: 'the blob' } }, { bindings: [blob] });
  const [{ id: first }] = await versionsOf('blobs');
  const other = { 'i.js': `import t from './x.txt'; ${code}`, './x.txt': { type: 'text', body: 'another file' } };
  await upload(server, 'blobs', other, { bindings: [{ name: 'T', type: 'inherit' }] });
  await assertSays(server, 'blobs', 'the blob undefined');
  await upload(server, 'blobs', other, { keep_bindings: ['text_blob'] });
  await assertSays(server, 'blobs', 'the blob undefined');
  ok(await script(server, 'blobs', 'PUT', '/content', { body: form({ 'j.js': code, './y.txt': { type: 'text', body: 'a third' } }) }));
  await assertSays(server, 'blobs', 'the blob undefined');
  await upload(server, 'blobs', { 'i.js': code });
  await assertSays(server, 'blobs', 'undefined undefined');
  ok(await script(server, 'blobs', 'PATCH', '/settings', { json: { bindings: [
    { name: 'U', type: 'inherit', old_name: 'T', version_id: first }] } }));
  await assertSays(server, 'blobs', 'undefined the blob');
});

describe('what is refused', () => {
  const good = says('still here');
  const name = 'steady';
  const still = async (n = 1) => {
    await assertSays(server, name, 'still here');
    assert.equal((await versionsOf(name)).length, n, 'nothing was stored');
    assert.equal(readdirSync(join(server.data, 'workers', name)).length, n, 'no folder was left');
  };

  test('broken scripts, with what workerd says of them', async () => {
    await upload(server, name, { 'i.js': good });
    const cases = [
      [{ 'i.js': 'export default {' }, /SyntaxError/],
      [{ 'i.js': 'throw new Error("at start"); export default { fetch() {} };' }, /at start/],
      [{ 'i.js': 'import x from "./missing.js"; export default { fetch() {} };' }, /No such module.*missing\.js/s],
      [{ 'i.js': 'nonsense.call(); export default {};' }, /ReferenceError|nonsense/],
      [{ 'i.js': { type: 'wasm', body: 'not wasm' } }, /./],
      [{ 'i.js': { type: 'python', body: 'def on_fetch(): pass' } }, /Python/],
      [{ 'i.js': { type: 'image/png', body: 'x' } }, /unknown type/],
    ];
    for (const [modules, text] of cases) refused(await tryUpload(server, name, modules), 400, 10021, text);
    refused(await script(server, name, 'POST', '/versions', { body: form({ 'i.js': 'export default {' }) }), 400, 10021, /SyntaxError/);
    await still();
  });

  test('bad metadata, dates, flags and modules', async () => {
    const cases = [
      [{ compatibility_date: '2999-01-01' }, 10021, /future/], [{ compatibility_date: 'soon' }, 10021, /YYYY-MM-DD/],
      [{ compatibility_date: 7 }, 10021, /compatibility_date/], [{ compatibility_flags: ['no_such_flag'] }, 10021, /no_such_flag/],
      [{ compatibility_flags: 'nodejs_compat' }, 10021, /array/], [{ main_module: 'other.js' }, 10021, /Main module.*other\.js/],
      [{ main_module: undefined }, 10021, /main_module/], [{ bindings: {} }, 10021, /array/], [{ bindings: [7] }, 10021, /name/],
      [{ migrations: { new_tag: 'v1', new_classes: ['X'] } }, 10021, /Durable Objects/], [{ limits: 5 }, 10021, /limits/],
      [{ assets: {} }, 10021, /jwt/], [{ assets: { jwt: 'a.b.c' } }, 10021, /jwt/], [{ keep_assets: true }, 10021, /no assets/],
    ];
    for (const [metadata, code, text] of cases) refused(await tryUpload(server, name, { 'i.js': good }, metadata), 400, code, text);
    for (const bad of ['../up.js', '/abs.js', 'a/../../b.js', 'back\\slash.js', `${'long'.repeat(200)}.js`]) {
      refused(await tryUpload(server, name, { 'i.js': good, [bad]: 'export {}' }), 400, 10021, /module/i);
    }
    await still();
  });

  test('forms that are none', async () => {
    const put = (body, type) => script(server, name, 'PUT', '', { body, headers: type ? { 'content-type': type } : {} });
    refused(await put('no form', 'text/plain'), 400, 10026, /Could not parse request body/);
    refused(await put('no form', 'multipart/form-data'), 400, 10026);
    refused(await put('--x\r\nnonsense', 'multipart/form-data; boundary=x'), 400, 10026);
    refused(await put('', 'multipart/form-data; boundary=x'), 400, 10026);
    const withMetadata = (text) => { const f = new FormData(); f.set('metadata', text); return f; };
    refused(await put(withMetadata('{"main_module":')), 400, 10026, /metadata.*JSON/);
    refused(await put(withMetadata('[]')), 400, 10026, /object/);
    refused(await put(form({ 'i.js': good }, { bindings: 'x' })), 400, 10021);
    const none = new FormData(); none.set('other', 'x');
    refused(await put(none), 400, 10026, /metadata/);
    await still();
  });

  test('bindings that Dione does not have, or that point nowhere, by name', async () => {
    const cases = [
      [{ type: 'r2_bucket', bucket_name: 'b' }, 10021, /BOUND is of type r2_bucket/], [{ type: 'queue', queue_name: 'q' }, 10021, /queue/],
      [{ type: 'durable_object_namespace', class_name: 'C' }, 10021, /durable_object_namespace/], [{ type: 'ai' }, 10021, /type ai/],
      [{ type: 'd1', id: '00000000-0000-4000-8000-000000000000' }, 10021, 'binding BOUND of type d1 must have a valid `id` specified'],
      [{ type: 'd1' }, 10021, /valid `id`/], [{ type: 'kv_namespace', namespace_id: 'ff'.repeat(16) }, 10041, /not found/],
      [{ type: 'kv_namespace' }, 10021, /namespace_id/], [{ type: 'service', service: 'nobody' }, 10143, /'nobody' not found/],
      [{ type: 'plain_text' }, 10021, /text/], [{ type: 'text_blob', part: 'none' }, 10021, /no part `none`/], [{}, 10021, /type/],
      [{ type: 'assets' }, 10021, /assets/],
    ];
    for (const [binding, code, text] of cases) {
      refused(await tryUpload(server, name, { 'i.js': good }, { bindings: [{ name: 'BOUND', ...binding }] }), 400, code, text);
    }
    const twice = { name: 'A', type: 'plain_text', text: 'x' };
    refused(await tryUpload(server, name, { 'i.js': good }, { bindings: [twice, twice] }), 400, 10053, /already in use/);
    await still();
  });

  test('products that clients ask for before they upload', async () => {
    for (const path of ['/r2/buckets/bucket', '/queues?name=q', '/workflows/w', '/vectorize/v2/indexes', '/hyperdrive/configs']) {
      refused(await server.account('GET', path), 404, 7003, /^Dione has no /);
    }
    refused(await server.account('PUT', '/workflows/w', { json: {} }), 404, 7003, /^Dione has no Workflows/);
    refused(await server.account('GET', '/r2x'), 404, 7003, /^Could not route/);
    refused(await server.account('GET', '/r2/buckets', { token: 'wrong'.repeat(8) }), 401, 10000);
  });

  test('a script of 30 MB', async () => {
    const modules = { 'i.js': good, './big.txt': { type: 'text', body: 'x'.repeat(30_000_000) } };
    refused(await tryUpload(server, name, modules), 413, 10027, /exceeded the size limit of 25 MiB/);
    refused(await script(server, name, 'POST', '/versions', { body: form(modules) }), 413, 10027);
    await still();
  });

  test('names that are none', async () => {
    for (const bad of ['Upper', '-dash', 'x'.repeat(64), 'a.b', 'ä', '..', 'a b']) {
      refused(await tryUpload(server, bad, { 'i.js': good }), [400, 404], [10016, 7003]);
    }
    refused(await script(server, 'never-was', 'GET'), 404, 10007);
    refused(await server.account('GET', '/workers/services/never-was'), 404, 10090);
    refused(await script(server, 'never-was', 'DELETE'), 404, 10007);
    refused(await script(server, 'never-was', 'POST', '/versions', { body: form({ 'i.js': good }) }), 404, 10007);
    refused(await script(server, 'never-was', 'POST', '/tails', { json: { filters: [] } }), 404, 10007);
    const left = readdirSync(join(server.data, 'workers'));
    assert.ok(!left.some((one) => one.startsWith('never') || /[A-Z]/.test(one)), `left behind: ${left}`);
  });

  test('tokens without the right', async () => {
    const make = async (json) => ok(await server.account('POST', '/dione/tokens', { json })).token;
    const read = await make({ name: 'reader', scope: 'read' });
    const { uuid } = await server.create();
    const one = await make({ name: 'one database', scope: 'write', database: uuid });
    refused(await tryUpload(server, name, { 'i.js': good }, {}, { token: read }), 403, 10000);
    refused(await tryUpload(server, name, { 'i.js': good }, {}, { token: one }), 403, 10000);
    refused(await script(server, name, 'GET', '/settings', { token: one }), 403, 10000);
    refused(await script(server, name, 'DELETE', '', { token: read }), 403, 10000);
    refused(await script(server, name, 'PUT', '/secrets', { token: read, json: { name: 'X', text: 'y' } }), 403, 10000);
    refused(await script(server, name, 'POST', '/tails', { token: read, json: { filters: [] } }), 403, 10000);
    const tail = ok(await script(server, name, 'POST', '/tails', { json: { filters: [] } }));
    refused(await script(server, name, 'DELETE', `/tails/${tail.id}`, { token: read }), 403, 10000);
    ok(await script(server, name, 'DELETE', `/tails/${tail.id}`));
    ok(await script(server, name, 'GET', '/settings', { token: read }));
    ok(await script(server, name, 'GET', '/tails', { token: read }));
    await still();
  });
});

describe('versions and deployments', () => {
  test('a version is uploaded, deployed later, and rolled back', async () => {
    await upload(server, 'rolling', { 'i.js': says('one') });
    const two = ok(await script(server, 'rolling', 'POST', '/versions', { body: form({ 'i.js': says('two') },
      { annotations: { 'workers/message': 'second', 'workers/tag': 'v2' } }) }));
    assert.equal(two.number, 2);
    assert.deepEqual(two.resources.script.handlers, ['fetch']);
    await assertSays(server, 'rolling', 'one');
    const deploy = (versions) => script(server, 'rolling', 'POST', '/deployments', { json: { strategy: 'percentage', versions } });
    ok(await deploy([{ version_id: two.id, percentage: 100 }]));
    await assertSays(server, 'rolling', 'two');
    const [newest, first] = ok(await script(server, 'rolling', 'GET', '/deployments')).deployments;
    assert.equal(newest.versions[0].version_id, two.id);
    ok(await deploy([{ version_id: first.versions[0].version_id, percentage: 100 }]));
    await assertSays(server, 'rolling', 'one');
    const view = ok(await script(server, 'rolling', 'GET', `/versions/${two.id}`));
    assert.equal(view.annotations['workers/tag'], 'v2');
    refused(await script(server, 'rolling', 'PUT', '/secrets', { json: { name: 'S', text: 'x', type: 'secret_text' } }), 400, 10215);
    refused(await deploy([{ version_id: two.id, percentage: 50 }, { version_id: first.versions[0].version_id, percentage: 50 }]),
      400, 7400, /split/);
    refused(await deploy([{ version_id: '00000000-0000-4000-8000-000000000000', percentage: 100 }]), 404, 100146);
    for (const bad of [[], [{}], 'x', [{ version_id: two.id, percentage: 140 }]]) refused(await deploy(bad), 400, 7400);
    await assertSays(server, 'rolling', 'one');
  });

  test('settings make a new version; those of the script do not', async () => {
    await upload(server, 'settings', { 'i.js': 'export default { fetch: (r, e) => new Response(e.A ?? "none") };' });
    const settings = new FormData();
    settings.set('settings', JSON.stringify({ bindings: [{ name: 'A', type: 'plain_text', text: 'set' }] }));
    ok(await script(server, 'settings', 'PATCH', '/settings', { body: settings }));
    await assertSays(server, 'settings', 'set');
    assert.equal((await versionsOf('settings')).length, 2);
    ok(await script(server, 'settings', 'PATCH', '/script-settings', { json: { observability: { enabled: true }, tags: ['a'] } }));
    const after = ok(await script(server, 'settings', 'GET', '/script-settings'));
    assert.deepEqual([after.observability, after.tags], [{ enabled: true }, ['a']]);
    assert.equal((await versionsOf('settings')).length, 2);
    refused(await script(server, 'settings', 'PATCH', '/settings', { json: { compatibility_date: '2999-01-01' } }), 400, 10021);
    await assertSays(server, 'settings', 'set');
  });

  test('the last twenty are kept, and the active one', async () => {
    await upload(server, 'many', { 'i.js': says('first') });
    const [first] = await versionsOf('many');
    for (let i = 0; i < 20; i += 1) {
      ok(await server.account('PATCH', '/workers/workers/many/versions/latest', { json: { env: { S: { type: 'secret_text', text: `${i}` } } } }));
    }
    ok(await server.account('PATCH', '/workers/workers/many/versions/latest', { json: { env: { S: { type: 'secret_text', text: 'last' } } } }));
    assert.equal((await versionsOf('many')).length, 21, 'without a deployment, too');
    const latest = ok(await script(server, 'many', 'GET', '/versions/latest'));
    ok(await script(server, 'many', 'POST', '/deployments', { json: { versions: [{ version_id: latest.id, percentage: 100 }] } }));
    const kept = await versionsOf('many');
    assert.equal(kept.length, 20);
    assert.ok(!kept.some((one) => one.id === first.id));
    assert.equal(readdirSync(join(server.data, 'workers/many')).length, 20);
    await assertSays(server, 'many', 'first');
  });
});

test('uploads that come at once follow each other, and the last one runs', async () => {
  await Promise.all(Array.from({ length: 6 }, (_, i) => upload(server, 'crowd', { 'i.js': says(`upload ${i}`) }, { compatibility_date: undefined })));
  const versions = await versionsOf('crowd');
  assert.deepEqual(versions.map((one) => one.number), [6, 5, 4, 3, 2, 1]);
  const [latest] = ok(await script(server, 'crowd', 'GET', '/deployments')).deployments;
  assert.equal(latest.versions[0].version_id, versions[0].id);
  assert.equal(versions[0].resources.script_runtime.compatibility_date, '2021-11-02');
  const { text } = await script(server, 'crowd', 'GET');
  await assertSays(server, 'crowd', /upload \d/.exec(text)[0]);
});

describe('triggers', () => {
  test('routes and custom domains lead to a Worker, and belong to one', async () => {
    await upload(server, 'routed', { 'i.js': 'export default { fetch: (r) => new Response("routed " + new URL(r.url).pathname) };' });
    await upload(server, 'rival', { 'i.js': says('rival') });
    ok(await script(server, 'routed', 'PUT', '/routes', { json: [{ pattern: 'example.com/api/*', zone_name: 'example.com' }] }));
    assert.equal((await request(server, '', '/api/x', { host: 'example.com' })).text, 'routed /api/x');
    assert.equal((await request(server, '', '/other', { host: 'example.com' })).status, 404);
    refused(await script(server, 'rival', 'PUT', '/routes', { json: [{ pattern: 'example.com/api/*' }] }), 409, 10020, /routed/);
    const change = ok(await script(server, 'rival', 'POST', '/domains/changeset?replace_state=true', { json: [{ hostname: 'shop.example' }] }));
    assert.deepEqual(change.conflicting, []);
    ok(await script(server, 'rival', 'PUT', '/domains/records', { json: { origins: [{ hostname: 'shop.example' }] } }));
    assert.equal((await request(server, '', '/any', { host: 'shop.example' })).text, 'rival');
    assert.equal(ok(await server.account('GET', '/workers/domains')).length, 1);
    ok(await script(server, 'routed', 'PUT', '/routes', { json: [] }));
    assert.equal((await request(server, '', '/api/x', { host: 'example.com' })).status, 404);
  });

  test('the own host name can be switched off', async () => {
    await upload(server, 'hidden', { 'i.js': says('seen') });
    await assertSays(server, 'hidden', 'seen');
    ok(await script(server, 'hidden', 'POST', '/subdomain', { json: { enabled: false } }));
    assert.equal((await request(server, 'hidden')).status, 404);
    assert.equal(ok(await server.account('GET', '/workers/workers/hidden')).subdomain.enabled, false);
    ok(await script(server, 'hidden', 'POST', '/subdomain', { json: { enabled: true } }));
    await assertSays(server, 'hidden', 'seen');
    refused(await script(server, 'hidden', 'POST', '/subdomain', { json: {} }), 400, 7400);
  });

  test('crons are kept, checked, and run by hand', async () => {
    await upload(server, 'timed', { 'i.js': `let last = 'none';
      export default { fetch: () => new Response(last), scheduled(c) { last = c.cron + ' ' + new Date(c.scheduledTime).toISOString(); } };` });
    ok(await script(server, 'timed', 'PUT', '/schedules', { json: [{ cron: '0 3 * * *' }, { cron: '*/10 * * * *' }] }));
    assert.deepEqual(ok(await script(server, 'timed', 'GET', '/schedules')).schedules.map((one) => one.cron), ['0 3 * * *', '*/10 * * * *']);
    refused(await script(server, 'timed', 'PUT', '/schedules', { json: [{ cron: '99 * * * *' }] }), 400, 10100, /invalid cron string/);
    refused(await script(server, 'timed', 'PUT', '/schedules', { json: [{}] }), 400, 7400);
    assert.equal(ok(await script(server, 'timed', 'GET', '/schedules')).schedules.length, 2);
    const run = ok(await script(server, 'timed', 'POST', '/dione/scheduled?cron=0+3+*+*+*&time=2026-01-02T03:00:00Z'));
    assert.equal(run.outcome, 'ok');
    await assertSays(server, 'timed', '0 3 * * * 2026-01-02T03:00:00.000Z');
  });
});

describe('the SDK', () => {
  const client = new Cloudflare({ apiToken: server.token, baseURL: `${server.url}/client/v4` });
  const account_id = 'local';

  test('sends forms of its own kind, and bare scripts', async () => {
    const answers = [];
    for (const files of [[new File([says('listed')], 'm.js', { type: 'application/javascript+module' })],
      { 'm.js': new File([says('by name')], 'x.js', { type: 'application/javascript+module' }) }]) {
      await client.workers.scripts.update('sdk-forms', { account_id, files, metadata: { main_module: 'm.js',
        compatibility_date: '2026-01-01', compatibility_flags: ['nodejs_compat'],
        bindings: [{ name: 'A', type: 'plain_text', text: 'a' }, { name: 'B', type: 'secret_text', text: 'b' }] } });
      answers.push((await request(server, 'sdk-forms')).text);
      const { bindings, compatibility_flags } = ok(await script(server, 'sdk-forms', 'GET', '/settings'));
      assert.deepEqual(bindings, [{ name: 'A', type: 'plain_text', text: 'a' }, { name: 'B', type: 'secret_text' }]);
      assert.deepEqual(compatibility_flags, ['nodejs_compat']);
    }
    assert.deepEqual(answers, ['listed', 'by name']);
    ok(await script(server, 'bare', 'PUT', '', { headers: { 'content-type': 'application/javascript' },
      body: `addEventListener('fetch', (event) => event.respondWith(new Response('bare')));` }));
    await assertSays(server, 'bare', 'bare');
  });

  test('uploads, lists, reads and deletes', async () => {
    const made = await client.workers.scripts.update('sdk', { account_id, metadata: { main_module: 'i.js', compatibility_date: '2026-01-01' },
      files: [new File([says('by the SDK')], 'i.js', { type: 'application/javascript+module' })] });
    assert.equal(made.id, 'sdk');
    await assertSays(server, 'sdk', 'by the SDK');
    const names = [];
    for await (const one of client.workers.scripts.list({ account_id })) names.push(one.id);
    assert.ok(names.includes('sdk'));
    await client.workers.scripts.secrets.update('sdk', { account_id, name: 'S', text: 'x', type: 'secret_text' });
    const secrets = [];
    for await (const one of client.workers.scripts.secrets.list('sdk', { account_id })) secrets.push(one.name);
    assert.deepEqual(secrets, ['S']);
    await client.workers.scripts.schedules.update('sdk', { account_id, body: [{ cron: '* * * * *' }] });
    assert.equal((await client.workers.scripts.schedules.get('sdk', { account_id })).schedules.length, 1);
    const versions = [];
    for await (const one of client.workers.scripts.versions.list('sdk', { account_id })) versions.push(one.number);
    assert.deepEqual(versions, [2, 1]);
    const [newest, oldest] = ok(await script(server, 'sdk', 'GET', '/deployments')).deployments;
    await client.workers.scripts.deployments.delete(oldest.id, { account_id, script_name: 'sdk' });
    await assert.rejects(client.workers.scripts.deployments.delete(newest.id, { account_id, script_name: 'sdk' }), { status: 400 });
    assert.equal((await client.workers.scripts.deployments.get(newest.id, { account_id, script_name: 'sdk' })).id, newest.id);
    await client.workers.scripts.delete('sdk', { account_id });
    await assert.rejects(client.workers.scripts.get('sdk', { account_id }), { status: 404 });
    assert.equal((await request(server, 'sdk')).status, 404);
  });
});

test('without its key nothing is sealed anew, and all is as before when the key is back', async () => {
  const key = join(server.data, 'secrets.key');
  await upload(server, 'locked', { 'i.js': 'export default { fetch: (r, e) => new Response(e.S) };' },
    { bindings: [{ name: 'S', type: 'secret_text', text: 'behind the key' }] });
  await server.stop();
  renameSync(key, `${key}.away`);
  await server.start();
  assert.notEqual((await request(server, 'locked')).status, 200);
  refused(await script(server, 'locked', 'PUT', '/secrets', { json: { name: 'T', text: 't', type: 'secret_text' } }), 500, 7500, /secrets.key is missing/);
  refused(await script(server, 'locked', 'POST', '/assets-upload-session', { json: { manifest: {} } }), 500, 7500, /secrets.key is missing/);
  assert.ok(!existsSync(key), 'no other key was made');
  // The Worker does not run, and its crons are looked at all the same.
  refused(await script(server, 'locked', 'PUT', '/schedules', { json: [{ cron: '99 99 * * nonsense' }] }), 400, 10100, /invalid cron string/);
  assert.deepEqual(ok(await script(server, 'locked', 'PUT', '/schedules', { json: [{ cron: '1 2 * * *' }] })).schedules.length, 1);
  await server.stop();
  renameSync(`${key}.away`, key);
  await server.start();
  await until('the Worker answers again', async () => (await request(server, 'locked')).text === 'behind the key');
});

test('what is deployed survives a restart; what a crash left half made does not', async () => {
  await upload(server, 'lasting', { 'i.js': 'export default { fetch: (r, e) => new Response("lasting " + e.S) };' },
    { bindings: [{ name: 'S', type: 'secret_text', text: 'secret' }] });
  await server.kill9();
  const { mkdirSync } = await import('node:fs');
  mkdirSync(join(server.data, 'workers/lasting/.new-00000000-0000-4000-8000-000000000000'));
  mkdirSync(join(server.data, 'workers/orphan/some-version'), { recursive: true });
  await server.start();
  await until('the Worker answers again', async () => (await request(server, 'lasting')).text === 'lasting secret');
  assert.ok(!existsSync(join(server.data, 'workers/orphan')));
  assert.equal(readdirSync(join(server.data, 'workers/lasting')).length, 1);
});
