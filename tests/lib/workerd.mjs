// The real workerd with a configuration of the test's own, bound to a Dione server as a Worker elsewhere would be: over
// TCP, or over the server's private Unix socket. (Deployed Workers are the runtime's, and have tests of their own.)
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { atEnd, repo, tempDir, within } from './server.mjs';

const platform = process.arch === 'arm64' ? 'arm64' : '64';
export const workerd = join(repo, `deps/node_modules/@cloudflare/workerd-linux-${platform}/bin/workerd`);

/** Where a server's bindings are reached: the socket in its private folder. Start the server with `env` to know it. */
export async function bindingSocket(owner) {
  const folder = await tempDir(owner, 'run-');
  return {
    env: { XDG_RUNTIME_DIR: folder },
    path() {
      const [name] = readdirSync(folder);
      assert.ok(name, 'the server has made its private folder');
      return join(folder, name, 'bindings');
    },
  };
}

/** The Workers of tests/fixtures/bindings, as modules: `fixture('d1.js')`. */
export async function fixture(main) {
  const read = (name) => readFile(join(repo, 'tests/fixtures/bindings', name), 'utf8');
  return { [main]: await read(main), 'show.js': await read('show.js') };
}

const quoted = (text) => JSON.stringify(text);
const header = ([name, value]) => `(name = ${quoted(name)}, value = ${quoted(value)})`;

function service(name, address, headers) {
  return `(name = ${quoted(name)}, external = (address = ${quoted(address)},
      http = (injectRequestHeaders = [${Object.entries(headers).map(header).join(', ')}])))`;
}

const kinds = {
  d1: (name, module) => `(name = ${quoted(name)}, wrapped = (moduleName = ${quoted(module)},
      innerBindings = [(name = "fetcher", service = ${quoted(`d1:${name}`)})]))`,
  kv: (name) => `(name = ${quoted(name)}, kvNamespace = ${quoted(`kv:${name}`)})`,
};
const idHeader = { d1: 'x-d1-database-id', kv: 'x-kv-namespace-id' };

function config({ address, token, modules, d1Module, date, d1 = {}, kv = {} }) {
  const services = [];
  const bindings = [];
  for (const [kind, ids] of Object.entries({ d1, kv })) {
    for (const [name, id] of Object.entries(ids)) {
      bindings.push(kinds[kind](name, d1Module ? 'dione:d1' : 'cloudflare-internal:d1-api'));
      services.push(service(`${kind}:${name}`, address, { [idHeader[kind]]: id, authorization: `Bearer ${token}` }));
    }
  }
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main), ${services.join(',\n    ')}],
  extensions = [${d1Module ? '(modules = [(name = "dione:d1", internal = true, esModule = embed "dione-d1.js")])' : ''}],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [${Object.keys(modules).map((name) => `(name = ${quoted(name)}, esModule = embed ${quoted(name)})`).join(', ')}],
  compatibilityDate = ${quoted(date)},
  bindings = [${bindings.join(',\n    ')}],
);
`;
}

/**
 * Runs ES modules (name to text, the main one first) with bindings `d1` and `kv` (name to id) on `server`; `socket` is the
 * path of its Unix socket, without it TCP is used; `token` defaults to the server's. Gives `{url, stderr, stop}`.
 */
export async function startWorkerd(owner, { server, modules, socket, token = server.token, d1, kv, ownApi = false, date = '2026-01-01' }) {
  assert.ok(existsSync(workerd), `${workerd} is not there: ./run --build installs it`);
  const folder = await tempDir(owner);
  const address = socket ? `unix:${socket}` : new URL(server.url).host;
  for (const [name, text] of Object.entries(modules)) await writeFile(join(folder, name), text);
  if (ownApi) await copyFile(join(repo, 'src/workers/js/d1.js'), join(folder, 'dione-d1.js'));
  await writeFile(join(folder, 'config.capnp'), config({ address, token, modules, d1Module: ownApi, date, d1, kv }));
  const child = spawn(workerd, ['serve', '--control-fd=3', join(folder, 'config.capnp')],
    { stdio: ['ignore', 'ignore', 'pipe', 'pipe'] });
  const exited = new Promise((settle) => child.on('close', settle));
  process.on('exit', () => child.kill('SIGKILL')); // also when the run is cut short
  const running = { stderr: '', async stop() { child.kill('SIGKILL'); await exited; } };
  atEnd(owner, running.stop);
  child.stderr.setEncoding('utf8').on('data', (text) => { running.stderr += text; });
  const port = new Promise((settle) => {
    let text = '';
    child.stdio[3].setEncoding('utf8').on('data', (part) => {
      text += part;
      const line = text.split('\n').find((one) => one.includes('"listen"'));
      if (line) settle(JSON.parse(line).port);
    });
  });
  const first = await within('workerd to listen', Promise.race([port, exited.then(() => undefined)]));
  assert.ok(first, `workerd did not come up:\n${running.stderr}`);
  running.url = `http://127.0.0.1:${first}`;
  return running;
}
