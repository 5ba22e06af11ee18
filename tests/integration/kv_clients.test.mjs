// KV with the programs that people have: wrangler's kv commands, a current one and a 3.x, and the official SDK.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { repo, scope, startServer, uniqueName } from '../lib/server.mjs';
import { wranglerProject } from '../lib/clients.mjs';
import { Namespace, patterned } from '../lib/kv.mjs';

const required = createRequire(join(repo, 'tests/package.json'))('cloudflare');
const Cloudflare = required.default ?? required;
const account_id = 'local';

const file = scope();
let server;
before(async () => { server = await startServer(file); });

for (const [version, packageName] of [['4.164', 'wrangler'], ['3.114', 'wrangler3']]) {
  test(`wrangler ${version} works with namespaces, keys and bulk files`, async () => {
    const project = await wranglerProject(file, server, packageName);
    await project.write('wrangler.toml', 'name = "tour"\ncompatibility_date = "2026-01-01"\n');
    const remote = packageName === 'wrangler' ? ['--remote'] : [];
    const title = uniqueName('WR').replaceAll('-', '_');
    await project.wrangler('kv', 'namespace', 'create', title);
    const listed = JSON.parse(await project.wrangler('kv', 'namespace', 'list'));
    const { id } = listed.find((one) => one.title.endsWith(title));
    const on = ['--namespace-id', id, ...remote];
    const again = await project.tryWrangler('kv', 'namespace', 'create', title);
    assert.notEqual(again.code, 0);
    assert.match(again.stdout + again.stderr, /already exists/);

    await project.wrangler('kv', 'key', 'put', 'text/é', 'a value', '--metadata', '{"m":1}', '--ttl', '3600', ...on);
    await writeFile(project.file('data.bin'), patterned(300_000));
    await project.wrangler('kv', 'key', 'put', 'file', '--path', project.file('data.bin'), ...on);
    assert.equal((await project.wrangler('kv', 'key', 'get', 'text/é', '--text', ...on)).trimEnd(), 'a value');
    const ns = new Namespace(server, id);
    assert.ok((await ns.get('file')).equals(patterned(300_000)));
    const keys = JSON.parse(await project.wrangler('kv', 'key', 'list', '--prefix', 'text', ...on));
    assert.equal(keys.length, 1);
    assert.equal(keys[0].name, 'text/é');
    assert.deepEqual(keys[0].metadata, { m: 1 });
    assert.ok(keys[0].expiration > Date.now() / 1000 + 3000);
    const missing = await project.tryWrangler('kv', 'key', 'get', 'nothing', ...on);
    assert.match(missing.stdout + missing.stderr, /404|not found/i);
    await project.wrangler('kv', 'key', 'delete', 'file', ...on);
    assert.equal(await ns.get('file'), null);

    const bulk = Array.from({ length: 1500 }, (_, i) => ({ key: `bulk-${i}`, value: `v${i}` }));
    await writeFile(project.file('bulk.json'), JSON.stringify(bulk));
    await project.wrangler('kv', 'bulk', 'put', project.file('bulk.json'), ...on);
    assert.equal(await ns.text('bulk-1499'), 'v1499');
    await writeFile(project.file('some.json'), JSON.stringify(['bulk-0', 'bulk-1', 'none']));
    if (packageName === 'wrangler') {
      const got = await project.wrangler('kv', 'bulk', 'get', project.file('some.json'), ...on);
      const from = got.indexOf('{');
      const values = JSON.parse(got.slice(from, got.lastIndexOf('}') + 1));
      assert.equal(values['bulk-1']?.value ?? values['bulk-1'], 'v1');
    }
    await project.wrangler('kv', 'bulk', 'delete', project.file('some.json'), '--force', ...on);
    assert.equal(await ns.text('bulk-0'), null);
    assert.equal(await ns.text('bulk-2'), 'v2');
    await project.wrangler('kv', 'namespace', 'delete', '--namespace-id', id, ...(packageName === 'wrangler' ? ['-y'] : []));
    assert.ok(!JSON.parse(await project.wrangler('kv', 'namespace', 'list')).some((one) => one.id === id));
  });
}

describe('the SDK', () => {
  let client;
  let namespace_id;
  const on = { account_id };
  before(async () => {
    client = new Cloudflare({ apiToken: server.token, baseURL: `${server.url}/client/v4` });
    namespace_id = (await client.kv.namespaces.create({ account_id, title: uniqueName('sdk') })).id;
  });

  test('has namespaces', async () => {
    const seen = [];
    for await (const one of client.kv.namespaces.list({ account_id, per_page: 1 })) seen.push(one.id);
    assert.ok(seen.includes(namespace_id));
    assert.equal(new Set(seen).size, seen.length);
    const title = uniqueName('renamed');
    await client.kv.namespaces.update(namespace_id, { account_id, title });
    assert.equal((await client.kv.namespaces.get(namespace_id, on)).title, title);
  });

  test('has values, metadata and keys', async () => {
    const { values, metadata, keys } = client.kv.namespaces;
    const key = { account_id, namespace_id };
    await values.update('a/b', { account_id, namespace_id, value: 'text', metadata: { x: 'y' }, expiration_ttl: 300 });
    assert.equal(await (await values.get('a/b', key)).text(), 'text');
    assert.deepEqual(await metadata.get('a/b', key), { x: 'y' });
    await values.update('plain', { account_id, namespace_id, value: 'v' });
    assert.equal(await metadata.get('plain', key), null);
    const names = [];
    for await (const one of keys.list(namespace_id, { account_id, limit: 10 })) names.push(one.name);
    assert.deepEqual(names, ['a/b', 'plain']);
    await values.delete('plain', key);
    await assert.rejects(values.get('plain', key), Cloudflare.NotFoundError);
  });

  test('has bulk operations', async () => {
    const { namespaces } = client.kv;
    const done = await namespaces.bulkUpdate(namespace_id, { account_id, body: [{ key: 'b1', value: '1', metadata: { k: 1 } }, { key: 'b2', value: 'Mg==', base64: true }] });
    assert.equal(done.successful_key_count, 2);
    const got = await namespaces.bulkGet(namespace_id, { account_id, keys: ['b1', 'b2', 'b3'] });
    assert.deepEqual(got.values, { b1: '1', b2: '2', b3: null });
    await namespaces.bulkDelete(namespace_id, { account_id, body: ['b1', 'b2'] });
    assert.equal((await namespaces.bulkGet(namespace_id, { account_id, keys: ['b1'] })).values.b1, null);
    await namespaces.delete(namespace_id, on);
    await assert.rejects(namespaces.get(namespace_id, on), Cloudflare.NotFoundError);
  });
});
