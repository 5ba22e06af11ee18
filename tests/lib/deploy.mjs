// Servers for tests of the deploy API, and uploads as clients make them.
import assert from 'node:assert/strict';
import { ok, startServer } from './server.mjs';
import { ask, workersPort } from './workers.mjs';

/** A server whose Workers answer on a free port. */
export function startWorkersServer(owner, { args = [], ...options } = {}) {
  return startServer(owner, { ...options, args: ['--workers-listen', '127.0.0.1:0', ...args] });
}

/** A request to a Worker by its own host name (or `host`): `{status, headers, text, body}`. */
export async function request(server, worker, path = '/', { host = `${worker}.localhost`, ...options } = {}) {
  const answer = await ask(await workersPort(server), host, path, options);
  try { answer.body = JSON.parse(answer.text); } catch { /* not JSON: the text speaks for itself */ }
  return answer;
}

export const types = {
  esm: 'application/javascript+module', cjs: 'application/javascript', wasm: 'application/wasm', text: 'text/plain',
  data: 'application/octet-stream', json: 'application/json', map: 'application/source-map', python: 'text/x-python',
};

/** The form of an upload. `modules`: name to text, or to {type, body}; the first is the main one. */
export function form(modules, metadata = {}) {
  const form = new FormData();
  const [main] = Object.keys(modules);
  const whole = { ...(main && !metadata.body_part ? { main_module: main } : {}), compatibility_date: '2026-01-01', ...metadata };
  form.set('metadata', JSON.stringify(whole));
  for (const [name, content] of Object.entries(modules)) {
    const { type = 'esm', body = content } = typeof content === 'string' ? {} : content;
    form.set(name, new File([body], name, { type: types[type] ?? type }));
  }
  return form;
}

const scripts = (name, rest = '') => `/workers/scripts/${encodeURIComponent(name)}${rest}`;
/** An API call on a Worker: `script(server, 'demo', 'GET', '/settings')`. */
export const script = (server, name, method, rest, options) => server.account(method, scripts(name, rest), options);

export const tryUpload = (server, name, modules, metadata, options) =>
  server.account('PUT', scripts(name), { body: form(modules, metadata), ...options });

/** Uploads and deploys in one; must succeed. */
export const upload = async (server, name, modules, metadata, options) =>
  ok(await tryUpload(server, name, modules, metadata, options));

/** An ES module whose answer is this text. */
export const says = (text) => `export default { fetch: () => new Response(${JSON.stringify(text)}) };`;

/** The Worker answers with this text, now. */
export async function assertSays(server, name, text, path) {
  const answer = await request(server, name, path);
  assert.equal(answer.text, text);
  assert.equal(answer.status, 200);
}
