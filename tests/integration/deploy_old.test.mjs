// The wranglers that projects pinned some time ago: what they send differs from what the current one does.
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { wranglerProject } from '../lib/clients.mjs';
import { request, script, startWorkersServer } from '../lib/deploy.mjs';
import { ok, scope } from '../lib/server.mjs';

const server = await startWorkersServer(scope());

describe('an older wrangler', () => {
  for (const [label, packageName] of [['4.20', 'wrangler420'], ['3.114', 'wrangler3']]) {
    test(`${label} deploys, redeploys, sets secrets, rolls back and deletes`, async (t) => {
      const name = `old-${packageName}`;
      const project = await wranglerProject(t, server, packageName);
      const { uuid } = await server.create();
      const { id } = ok(await server.account('POST', '/storage/kv/namespaces', { json: { title: name } }));
      await mkdir(project.file('public'));
      await writeFile(project.file('public/page.html'), '<p>page</p>');
      await project.write('index.ts', `import text from './words.txt';
        export default { async fetch(request: Request, env: any) {
          await env.KV.put('k', 'kv');
          return Response.json([env.WORD, env.S ?? null, text, await env.DB.prepare('SELECT 1 AS n').first('n'), await env.KV.get('k')]);
        }, scheduled() {} };`);
      await project.write('words.txt', 'words');
      await project.write('wrangler.toml', `name = "${name}"
main = "index.ts"
compatibility_date = "2025-06-01"
[vars]
WORD = "one"
[[d1_databases]]
binding = "DB"
database_name = "x"
database_id = "${uuid}"
[[kv_namespaces]]
binding = "KV"
id = "${id}"
[triggers]
crons = ["0 4 * * *"]
[assets]
directory = "public"
`);
      const answer = async () => (await request(server, name)).body;
      await project.wrangler('deploy');
      assert.deepEqual(await answer(), ['one', null, 'words', 1, 'kv']);
      assert.equal((await request(server, name, '/page')).text, '<p>page</p>');
      await project.write('bulk.json', '{"S":"secret","T":"other"}');
      await project.wrangler('secret', 'bulk', 'bulk.json');
      assert.deepEqual(await answer(), ['one', 'secret', 'words', 1, 'kv']);
      await project.wrangler('deploy', '--var', 'WORD:two');
      assert.deepEqual(await answer(), ['two', 'secret', 'words', 1, 'kv']);
      await project.wrangler('secret', 'delete', 'T');
      await project.wrangler('versions', 'upload', '--var', 'WORD:three');
      assert.match(await project.wrangler('deployments', 'list'), /100%/);
      const { deployments } = ok(await script(server, name, 'GET', '/deployments'));
      await project.wrangler('rollback', deployments.at(-1).versions[0].version_id, '--yes', '--message', 'back');
      assert.deepEqual(await answer(), ['one', null, 'words', 1, 'kv']);
      await project.wrangler('delete', '--force');
      assert.equal((await request(server, name)).status, 404);
    });
  }
});
