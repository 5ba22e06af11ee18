// The programs that users bring along, run against a test server: wrangler (a current one and a 3.x), Dione's own
// command line, and the F1 data set when it lies beside the checkout.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { binary, repo, run, tempDir } from './server.mjs';

const require = createRequire(join(repo, 'tests/package.json'));

export const f1Sql = resolve(process.env.DIONE_F1_SQL ?? join(repo, '../shared/data/f1/f1-2014-2025.sql'));
/** The reason to skip a test on the F1 data, or false. */
export const withoutF1 = existsSync(f1Sql) ? false : `the F1 data is not there (${f1Sql}); DIONE_F1_SQL may name it`;

/** Row counts of the data set, from its own description. */
export const f1Rows = { circuits: 32, constructors: 22, drivers: 62, races: 252, qualifying: 5096, grid: 5102,
  results: 5108, pit_stops: 9133, fastest_laps: 4888 };

/**
 * A project folder with a wrangler of its own kind ('wrangler' or 'wrangler3'), its own HOME, and a server to talk to.
 * `project.wrangler(...args)` runs to the end and must succeed; `project.tryWrangler` may fail.
 */
export async function wranglerProject(owner, server, packageName = 'wrangler') {
  const folder = await tempDir(owner);
  const home = await tempDir(owner);
  const manifest = require.resolve(`${packageName}/package.json`);
  const main = join(dirname(manifest), JSON.parse(await readFile(manifest, 'utf8')).bin.wrangler);
  const env = {
    PATH: process.env.PATH, HOME: home, XDG_CONFIG_HOME: join(home, '.config'), TMPDIR: process.env.TMPDIR ?? '/tmp',
    CI: '1', NO_COLOR: '1', FORCE_COLOR: '0', COLUMNS: '200', WRANGLER_SEND_METRICS: 'false', WRANGLER_HIDE_BANNER: 'true',
    CLOUDFLARE_API_BASE_URL: `${server.url}/client/v4`, CLOUDFLARE_ACCOUNT_ID: 'local', CLOUDFLARE_API_TOKEN: server.token,
  };
  const project = {
    folder, env,
    file: (name) => join(folder, name),
    write: (name, text) => writeFile(join(folder, name), text),
    read: (name) => readFile(join(folder, name), 'utf8'),
    tryWrangler: (...args) => run(process.execPath, ['--no-warnings', main, ...args], { cwd: folder, env }),
    async wrangler(...args) {
      const done = await project.tryWrangler(...args);
      assert.equal(done.code, 0, `wrangler ${args.join(' ')} failed:\n${done.stdout}\n${done.stderr}`);
      return done.stdout;
    },
    async json(...args) {
      const text = await project.wrangler(...args, '--json');
      try { return JSON.parse(text); } catch { return assert.fail(`wrangler ${args.join(' ')} --json printed no JSON:\n${text}`); }
    },
    /** Binds a database in wrangler.jsonc, which migrations need. */
    bind: (name, uuid) => writeFile(join(folder, 'wrangler.jsonc'), `{
  // comments and a trailing comma, as people write them
  "name": "tour", "compatibility_date": "2026-01-01",
  "d1_databases": [{ "binding": "DB", "database_name": ${JSON.stringify(name)}, "database_id": ${JSON.stringify(uuid)} }],
}`),
  };
  return project;
}

/** Dione's command line in a folder of its own. `server` (if any) is reached through DIONE_URL and DIONE_TOKEN. */
export async function dioneProject(owner, server) {
  const folder = await tempDir(owner);
  const env = { ...process.env, HOME: folder, NO_COLOR: '1' };
  for (const name of ['DIONE_URL', 'DIONE_TOKEN']) delete env[name];
  if (server) Object.assign(env, { DIONE_URL: server.url, DIONE_TOKEN: server.token });
  const project = {
    folder, env,
    file: (name) => join(folder, name),
    write: (name, text) => writeFile(join(folder, name), text),
    read: (name) => readFile(join(folder, name), 'utf8'),
    tryDione: (args, options = {}) => run(binary, args, { cwd: folder, env, ...options }),
    async dione(args, options) {
      const done = await project.tryDione(args, options);
      assert.equal(done.code, 0, `dione ${args.join(' ')} failed with ${done.code}:\n${done.stdout}\n${done.stderr}`);
      return done.stdout;
    },
    async json(args, options) {
      const text = await project.dione([...args, '--json'], options);
      try { return JSON.parse(text); } catch { return assert.fail(`dione ${args.join(' ')} --json printed no JSON:\n${text}`); }
    },
  };
  return project;
}
