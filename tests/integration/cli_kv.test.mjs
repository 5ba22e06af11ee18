// `dione kv`: wrangler's commands and flags for KV, on a data directory and against a server, beside the real wrangler.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { before, describe, test } from 'node:test';
import { binary, ok, scope, startServer, uniqueName } from '../lib/server.mjs';
import { dioneProject, wranglerProject } from '../lib/clients.mjs';

const file = scope();
let server;
before(async () => { server = await startServer(file); });

const fails = (done, message) => {
  assert.equal(done.code, 1, `exit code, with:\n${done.stdout}\n${done.stderr}`);
  assert.match(done.stdout + done.stderr, message);
};

/** Standard output as bytes. */
async function bytes(project, args) {
  const child = spawn(binary, args, { cwd: project.folder, env: project.env, stdio: ['ignore', 'pipe', 'inherit'] });
  const parts = [];
  child.stdout.on('data', (part) => parts.push(part));
  const [code] = await once(child, 'close');
  assert.equal(code, 0);
  return Buffer.concat(parts);
}

for (const mode of ['remote', 'local']) {
  describe(`dione kv, ${mode}`, () => {
    const place = `--${mode}`;
    let project;
    let id;
    before(async () => {
      project = await dioneProject(file, mode === 'remote' ? server : undefined);
      const made = await project.json(['kv', 'namespace', 'create', uniqueName('ns'), place]);
      id = made.id;
      assert.match(id, /^[0-9a-f]{32}$/);
    });
    const kv = (...words) => project.dione(['kv', ...words, '--namespace-id', id, place]);
    const tryKv = (...words) => project.tryDione(['kv', ...words, '--namespace-id', id, place]);
    const json = (...words) => project.json(['kv', ...words, '--namespace-id', id, place]);
    const list = async (...words) => JSON.parse(await kv('key', 'list', ...words));

    test('writes, reads, lists and deletes a key', async () => {
      await kv('key', 'put', 'greeting', 'hello, wörld');
      assert.equal(await kv('key', 'get', 'greeting'), 'hello, wörld');
      assert.equal(await kv('key', 'get', 'greeting', '--text'), 'hello, wörld\n');
      assert.deepEqual(await json('key', 'get', 'greeting'), { key: 'greeting', value: 'hello, wörld', metadata: null });
      assert.deepEqual(await list(), [{ name: 'greeting' }]);
      await kv('key', 'delete', 'greeting');
      assert.deepEqual(await list(), []);
      const gone = await tryKv('key', 'get', 'greeting');
      fails(gone, /there is no key "greeting"/);
      assert.equal(gone.stdout, '');
    });

    test('passes any bytes through, from files and pipes, and any key', async () => {
      const value = randomBytes(300_000);
      await writeFile(project.file('value.bin'), value);
      for (const key of ['a/b c%e?&#+é', '../x', '.hidden', "quote'\"s"]) {
        await kv('key', 'put', key, '--path', 'value.bin');
        assert.ok(value.equals(await bytes(project, ['kv', 'key', 'get', key, '--namespace-id', id, place])), key);
        await kv('key', 'delete', key);
      }
      await project.dione(['kv', 'key', 'put', 'piped', '--path', '-', '--namespace-id', id, place], { input: 'from a pipe' });
      assert.equal(await kv('key', 'get', 'piped'), 'from a pipe');
      await kv('key', 'put', 'empty', '');
      assert.equal(await kv('key', 'get', 'empty'), '');
      await project.dione(['kv', 'key', 'put', 'dash', '--namespace-id', id, place, '--', '-5']);
      assert.equal(await kv('key', 'get', 'dash'), '-5');
      await kv('key', 'put', 'bytes', '--path', 'value.bin');
      const shown = await json('key', 'get', 'bytes');
      assert.ok(shown.base64 && value.equals(Buffer.from(shown.value, 'base64')));
    });

    test('keeps metadata and time limits, and refuses what makes no sense', async () => {
      await kv('key', 'put', 'meta', 'v', '--metadata', '{"who": ["me", "ü"]}', '--ttl', '3600');
      const [entry] = await list('--prefix', 'meta');
      assert.deepEqual(entry.metadata, { who: ['me', 'ü'] });
      assert.ok(entry.expiration > Date.now() / 1000 + 3000);
      const at = Math.floor(Date.now() / 1000) + 7200;
      await kv('key', 'put', 'meta', 'v', '--expiration', String(at));
      assert.deepEqual(await list('--prefix', 'meta'), [{ name: 'meta', expiration: at }]);
      fails(await tryKv('key', 'put', 'k', 'v', '--ttl', '5'), /at least 60/);
      fails(await tryKv('key', 'put', 'k', 'v', '--metadata', '[1]'), /JSON object/);
      fails(await tryKv('key', 'put', 'k', 'v', '--metadata', '{'), /valid JSON/);
      fails(await tryKv('key', 'put', 'k'), /value is missing/);
      fails(await tryKv('key', 'put', 'k', 'v', '--path', 'value.bin'), /not both/);
      fails(await tryKv('key', 'put', '', 'v'), /empty/);
      fails(await tryKv('key', 'put', 'x'.repeat(513), 'v'), /512/);
      fails(await project.tryDione(['kv', 'key', 'get', 'k', place]), /--binding NAME, --namespace-id ID or --namespace TITLE/);
      fails(await project.tryDione(['kv', 'key', 'get', 'k', '--namespace-id', 'f'.repeat(32), place]), /namespace not found/);
    });

    test('bulk: more keys than a request takes, in and out', async () => {
      const pairs = Array.from({ length: 1203 }, (_, i) => ({ key: `bulk-${i}`, value: `v${i}`, ...(i ? {} : { metadata: { own: 1 } }) }));
      await project.write('bulk.json', JSON.stringify(pairs));
      assert.deepEqual(await json('bulk', 'put', 'bulk.json', '--metadata', '{"m":1}'), { successful_key_count: 1203 });
      const names = await list('--prefix', 'bulk-');
      assert.equal(names.length, 1203);
      assert.deepEqual(names.find(({ name }) => name === 'bulk-0').metadata, { own: 1 });
      assert.deepEqual(names.find(({ name }) => name === 'bulk-1').metadata, { m: 1 });
      await project.write('keys.json', JSON.stringify(['bulk-7', 'not there', ...names.slice(0, 150)]));
      const values = JSON.parse(await kv('bulk', 'get', 'keys.json'));
      assert.equal(values['bulk-7'], 'v7');
      assert.equal(values['not there'], null);
      assert.ok(Object.keys(values).length >= 151);
      await project.write('names.json', JSON.stringify(names));
      await kv('bulk', 'delete', 'names.json', '--force');
      assert.deepEqual(await list('--prefix', 'bulk-'), []);
    });

    test('bulk: a slip in the file is told by its index, and nothing is sent', async () => {
      await project.write('slip.json', '[{"key":"slip","value":"v"},{"key":"no value"},7]');
      fails(await tryKv('bulk', 'put', 'slip.json'), /at index 1, 2. Nothing was sent/);
      assert.deepEqual(await list('--prefix', 'slip'), []);
      await project.write('slip.json', '{"key":"slip"}');
      fails(await tryKv('bulk', 'put', 'slip.json'), /JSON array/);
      await project.write('slip.json', '[1');
      fails(await tryKv('bulk', 'delete', 'slip.json'), /slip\.json/);
    });

    test('namespaces are listed, renamed, found by title, and deleted', async () => {
      const name = uniqueName('space');
      const said = await project.dione(['kv', 'namespace', 'create', name, '--preview', place]);
      assert.match(said, /"preview_id": "[0-9a-f]{32}"/);
      fails(await project.tryDione(['kv', 'namespace', 'create', name, '--preview', place]), /already exists/);
      const all = JSON.parse(await project.dione(['kv', 'namespace', 'list', place]));
      const made = all.find(({ title }) => title === `${name}_preview`);
      await project.dione(['kv', 'namespace', 'rename', `${name}_preview`, '--new-name', name, place]);
      await project.dione(['kv', 'key', 'put', 'k', 'v', '--namespace', name, place]);
      assert.equal(await project.dione(['kv', 'key', 'get', 'k', '--namespace-id', made.id, place]), 'v');
      const kept = await project.tryDione(['kv', 'namespace', 'delete', name, place], { input: 'n\n' });
      fails(kept, /not deleted/);
      await project.dione(['kv', 'namespace', 'delete', name, '-y', place]);
      fails(await project.tryDione(['kv', 'key', 'get', 'k', '--namespace', name, place]), /no KV namespace called/);
    });
  });
}

test('bindings of the configuration: id, preview_id, and a namespace that is made when it is first used', async (t) => {
  const project = await dioneProject(t);
  const [one, two] = ['a', 'b'].map((c) => c.repeat(32));
  await project.write('wrangler.jsonc', JSON.stringify({ name: 'app', kv_namespaces: [
    { binding: 'KV', id: one }, { binding: 'BOTH', id: one, preview_id: two }, { binding: 'NONE' }] }));
  await project.dione(['kv', 'key', 'put', 'k', 'of one', '--binding', 'KV']);
  fails(await project.tryDione(['kv', 'key', 'put', 'k', 'v', '--binding', 'BOTH']), /--preview or --no-preview/);
  await project.dione(['kv', 'key', 'put', 'k', 'of two', '--binding', 'BOTH', '--preview']);
  const get = (...words) => project.dione(['kv', 'key', 'get', 'k', ...words]);
  assert.equal(await get('--binding', 'BOTH'), 'of one', 'reading takes the id without a word');
  assert.equal(await get('--namespace-id', two), 'of two');
  await project.dione(['kv', 'key', 'put', 'k', 'of none', '--binding', 'NONE']);
  assert.equal(await get('--namespace', 'app-none'), 'of none');
  fails(await project.tryDione(['kv', 'key', 'get', 'k', '--binding', 'NOPE']), /wrangler\.jsonc has no "NOPE"/);
  fails(await project.tryDione(['kv', 'key', 'get', 'k', '--binding', 'KV', '--preview']), /no preview_id/);
});

test('dione and wrangler are interchangeable on one namespace', async (t) => {
  const wrangler = await wranglerProject(t, server);
  const dione = await dioneProject(t, server);
  const { id } = ok(await server.account('POST', '/storage/kv/namespaces', { json: { title: uniqueName('both') } }));
  const where = ['--namespace-id', id, '--remote'];
  await dione.dione(['kv', 'key', 'put', 'ours', 'from dione', '--metadata', '{"a":1}', ...where]);
  assert.equal(await wrangler.wrangler('kv', 'key', 'get', 'ours', ...where), 'from dione');
  await wrangler.wrangler('kv', 'key', 'put', 'theirs', 'from wrangler', ...where);
  assert.equal(await dione.dione(['kv', 'key', 'get', 'theirs', ...where]), 'from wrangler');
  const lists = [await dione.dione(['kv', 'key', 'list', ...where]), await wrangler.wrangler('kv', 'key', 'list', ...where)];
  assert.deepEqual(JSON.parse(lists[0]), JSON.parse(lists[1]));
  const spaces = [await dione.dione(['kv', 'namespace', 'list', '--remote']), await wrangler.wrangler('kv', 'namespace', 'list')];
  assert.deepEqual(JSON.parse(spaces[0]), JSON.parse(spaces[1]));
});
