// Real `wrangler deploy` while requests come in: none fails, and none goes back to an older version once a newer one has
// answered for good. DIONE_REDEPLOY_S=60 is the long form: ten deploys in a minute.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wranglerProject } from '../lib/clients.mjs';
import { startWorkersServer, request } from '../lib/deploy.mjs';
import { scope } from '../lib/server.mjs';
import { allGood, load, workersPort } from '../lib/workers.mjs';

const leastMs = 1000 * Number(process.env.DIONE_REDEPLOY_S ?? 0);
const nDeploys = leastMs ? 10 : 3;
const perSecond = leastMs ? 200 : 60;

test(`${nDeploys} deploys by wrangler at ${perSecond} requests a second lose none`, async (t) => {
  const owner = scope();
  const server = await startWorkersServer(owner);
  const project = await wranglerProject(t, server);
  const name = 'busy';
  await project.write('wrangler.json', JSON.stringify({ name, main: 'index.js', compatibility_date: '2026-01-01',
    kv_namespaces: [{ binding: 'KV' }], vars: { N: 0 } }));
  await project.write('index.js', `export default { async fetch(request, env) {
    const sent = request.method === 'POST' ? await request.text() : '';
    return Response.json({ n: Number(env.N), sent, kv: await env.KV.get('nothing') });
  } };`);
  await project.wrangler('deploy');

  const began = Date.now();
  let deployed = 0;
  const running = load(await workersPort(server), perSecond,
    (i) => [`${name}.localhost`, `/${i}`, i % 4 ? {} : { method: 'POST', body: `body ${i}` }],
    (answer, [, path, options]) => {
      if (answer.status !== 200) return false;
      const { n, sent } = JSON.parse(answer.text);
      return n <= deployed + 1 && sent === (options.body ?? '') && path.length > 1;
    });
  for (let i = 1; i <= nDeploys; i += 1) {
    await project.wrangler('deploy', '--var', `N:${i}`);
    deployed = i;
    assert.equal((await request(server, name)).body.n, i, 'the new version answers once wrangler is done');
    const early = began + (leastMs * i) / nDeploys - Date.now();
    if (early > 0) await new Promise((wake) => setTimeout(wake, early));
  }
  const result = await running.stop();
  allGood(result);
  t.diagnostic(`${result.good} requests in ${Math.round((Date.now() - began) / 1000)} s, none failed`);
});
