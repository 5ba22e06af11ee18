// Workers on a Dione server: deployed over the API as clients do it, and spoken to over the public listener.
import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { ok, until, within } from './server.mjs';

/** The port of a server's public listener: it says so when the first Worker is there. */
export async function workersPort(server) {
  const line = await until('the Workers have an address', () => /Workers answer at http:\/\/\S+:(\d+)/.exec(server.stderr));
  return Number(line[1]);
}

/** Uploads and deploys a Worker of one module: `{bindings, compatibility_date, ...}` go into its metadata. */
export async function tryDeploy(server, name, code, metadata = {}) {
  const form = new FormData();
  form.set('metadata', JSON.stringify({ main_module: 'index.js', compatibility_date: '2026-01-31', ...metadata }));
  form.set('index.js', new Blob([code], { type: 'application/javascript+module' }), 'index.js');
  return server.account('PUT', `/workers/scripts/${name}`, { body: form });
}

export async function deploy(server, name, code, metadata) {
  return ok(await tryDeploy(server, name, code, metadata));
}

/** One request to a Worker: `{status, headers, text}`. `agent` keeps connections. */
export function ask(port, host, path = '/', { method = 'GET', headers = {}, body, agent } = {}) {
  return within(`an answer of ${host}${path}`, new Promise((settle, fail) => {
    const sent = request({ port, host: '127.0.0.1', path, method, agent, headers: { host, ...headers } }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (piece) => { text += piece; });
      answer.on('end', () => settle({ status: answer.statusCode, headers: answer.headers, text }));
      answer.on('error', fail);
    });
    sent.on('error', fail);
    sent.end(body);
  }));
}

/**
 * Asks again and again, `perSecond` times, until stop(): then gives how many answers were right and what the others were.
 * `make(n)` gives the arguments of the n-th `ask` behind the port; `right` judges its answer.
 */
export function load(port, perSecond, make, right) {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const wrong = [];
  const pending = new Set();
  let n = 0;
  let good = 0;
  const one = async () => {
    const args = make(n++);
    const start = performance.now();
    const [host, path, options] = args;
    try {
      const answer = await ask(port, host, path, { ...options, agent });
      if (right(answer, args)) good += 1;
      else wrong.push(`${options?.method ?? 'GET'} ${path}: ${answer.status} ${answer.text.slice(0, 200)}`);
    } catch (error) {
      wrong.push(`${options?.method ?? 'GET'} ${path}: ${error.message} after ${Math.round(performance.now() - start)} ms`);
    }
  };
  const timer = setInterval(() => {
    const p = one().finally(() => pending.delete(p));
    pending.add(p);
  }, 1000 / perSecond);
  return {
    get good() { return good; },
    async stop() {
      clearInterval(timer);
      await Promise.all(pending);
      agent.destroy();
      return { good, wrong };
    },
  };
}

/** Asserts that a load had answers, and only right ones. */
export function allGood({ good, wrong }) {
  assert.deepEqual(wrong, []);
  assert.ok(good > 0, 'the load got answers at all');
}
