// KV namespaces of a test server: over REST, and over the protocol that workerd's bindings speak.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { ok, uniqueName } from './server.mjs';

export const VALUE_MAX = 25 * 1024 * 1024;
export const namespaces = '/storage/kv/namespaces';

/** Bytes that differ from place to place, so that a piece that is missing or twice is noticed. */
export function patterned(size, seed = 1) {
  const bytes = new Uint32Array(Math.ceil(size / 4));
  let state = seed >>> 0;
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Buffer.from(bytes.buffer, 0, size);
}

/** One namespace over REST. Paths take keys as they are. */
export class Namespace {
  constructor(server, id) { Object.assign(this, { server, id, path: `${namespaces}/${id}` }); }

  static async make(server, options = {}) {
    const { id } = ok(await server.account('POST', namespaces, { json: { title: uniqueName('ns'), ...options } }));
    return new Namespace(server, id);
  }

  ask(method, path = '', options) { return this.server.account(method, `${this.path}${path}`, options); }

  key(method, key, { query = '', ...options } = {}) {
    return this.ask(method, `/values/${encodeURIComponent(key)}${query}`, options);
  }

  async put(key, body, options) {
    const answer = await this.key('PUT', key, { body, ...options });
    ok(answer);
    return answer.headers.get('etag');
  }

  /** The value as a Buffer, or null. */
  async get(key) {
    const response = await fetch(new URL(`/accounts/local${this.path}/values/${encodeURIComponent(key)}`, this.server.url),
      { headers: { authorization: `Bearer ${this.server.token}` } });
    const bytes = Buffer.from(await response.arrayBuffer());
    if (response.status === 404) return null;
    assert.equal(response.status, 200, bytes.toString());
    return bytes;
  }

  async text(key) { return (await this.get(key))?.toString() ?? null; }

  async keys(query = '') {
    const answer = await this.ask('GET', `/keys${query}`);
    return { keys: ok(answer), info: answer.body.result_info };
  }

  async names(query) { return (await this.keys(query)).keys.map(({ name }) => name); }
}

/**
 * One request as workerd sends it, with its status, reason phrase and headers as bytes:
 * `binding(server, id, 'GET', '/key?urlencoded=true')`.
 */
export function binding(server, id, method, path, { body, headers = {}, token = server.token } = {}) {
  const { hostname, port } = new URL(server.url);
  return new Promise((settle, fail) => {
    const asked = request({ hostname, port, method, path,
      headers: { authorization: `Bearer ${token}`, 'x-kv-namespace-id': id, host: 'fake-host', ...headers } }, (answer) => {
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.on('error', fail);
      answer.on('end', () => {
        const bytes = Buffer.concat(parts);
        settle({ status: answer.statusCode, reason: answer.statusMessage, headers: answer.headers, bytes,
          text: bytes.toString() });
      });
    });
    asked.on('error', fail);
    if (body && typeof body[Symbol.asyncIterator] === 'function' && !Buffer.isBuffer(body)) {
      (async () => { for await (const part of body) asked.write(part); asked.end(); })().catch(fail);
    } else {
      asked.end(typeof body === 'string' ? Buffer.from(body) : body); // a string would bring its encoding to the head
    }
  });
}
