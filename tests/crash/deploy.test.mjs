// kill -9 while Workers are deployed, again and again. What was acknowledged runs after the restart, what was not runs or
// does not, and nothing is half stored: each folder belongs to a version, each version has its folder.
//
// DIONE_CRASH_ROUNDS sets the number of rounds.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { form, request, script, startWorkersServer, tryUpload, upload } from '../lib/deploy.mjs';
import { ok, scope, until } from '../lib/server.mjs';

const rounds = Number(process.env.DIONE_CRASH_ROUNDS ?? 50) / 5;
const code = (n) => ({ 'i.js': `import text from './t.txt'; export default { fetch: (r, e) => Response.json([${n}, text.length, e.S]) };`,
  './t.txt': { type: 'text', body: 'x'.repeat(100_000 + n) } });
const bindings = (n) => [{ name: 'S', type: 'secret_text', text: `secret ${n}` }];

test('a deploy that was acknowledged survives kill -9, and one that was not leaves nothing half stored', async () => {
  const server = await startWorkersServer(scope());
  await upload(server, 'w', code(0), { bindings: bindings(0) });
  let acknowledged = 0;
  let tried = 0;
  for (let round = 0; round < rounds; round += 1) {
    server.dying = true;
    const work = (async () => {
      for (;;) {
        tried += 1;
        const n = tried;
        const answer = await tryUpload(server, 'w', code(n), { bindings: bindings(n) });
        ok(answer);
        acknowledged = n;
        ok(await script(server, 'w', 'POST', '/versions', { body: form(code(-n)) }));
        ok(await tryUpload(server, `extra-${n}`, code(n)));
      }
    })().catch((error) => { if (error.code === 'ERR_ASSERTION') throw error; });
    await new Promise((wake) => setTimeout(wake, 100 + Math.random() * 900));
    await server.kill9();
    await work;
    server.dying = false;
    await server.start();

    const [n, length, secret] = (await until('the Worker answers', async () => {
      const answer = await request(server, 'w');
      return answer.status === 200 && answer;
    })).body;
    assert.ok(n >= acknowledged && n <= tried, `version ${n} runs; ${acknowledged} was acknowledged, ${tried} begun`);
    assert.deepEqual([length, secret], [100_000 + n, `secret ${n}`], 'the version is whole');
    for (const worker of ok(await server.account('GET', '/workers/scripts'))) {
      const versions = ok(await script(server, worker.id, 'GET', '/versions')).items.map((one) => one.id).sort();
      const folders = readdirSync(join(server.data, 'workers', worker.id)).sort();
      assert.deepEqual(folders, versions, `folders of ${worker.id} are its versions`);
    }
    const names = ok(await server.account('GET', '/workers/scripts')).map((one) => one.id).sort();
    assert.deepEqual(readdirSync(join(server.data, 'workers')).sort(), names);
    for (const name of names) if (name !== 'w') ok(await script(server, name, 'DELETE'));
  }
  assert.ok(acknowledged > 0, 'some deploys were acknowledged');
});
