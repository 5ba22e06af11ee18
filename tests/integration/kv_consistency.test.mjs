// A read that begins after a write was acknowledged sees it: many connections read keys while others write them, and no
// answer may be older than what was acknowledged before the question was sent. DIONE_KV_CHECKS says how often it is
// checked; a million was seen to pass.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { before, test } from 'node:test';
import { atEnd, scope, startServer, within } from '../lib/server.mjs';
import { Namespace } from '../lib/kv.mjs';

const checks = Number(process.env.DIONE_KV_CHECKS ?? 20_000);
assert.ok(checks > 0, 'DIONE_KV_CHECKS is a number');

const file = scope();
let server;
let ns;
before(async () => {
  server = await startServer(file, { args: ['--threads', '4'] }); // more loops than a small machine has processors
  ns = await Namespace.make(server);
});

/** A connection with one request in flight: `ask(method, key, body)` gives `{status, body}`. */
async function client(owner) {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname).setNoDelay(true).setEncoding('latin1');
  atEnd(owner, () => socket.destroy());
  await within('a connection', new Promise((settle, fail) => socket.on('connect', settle).on('error', fail)));
  let text = '';
  let waiting;
  socket.on('close', () => waiting?.fail(new Error('the server closed the connection')));
  socket.on('data', (part) => {
    text += part;
    const end = text.indexOf('\r\n\r\n');
    if (end < 0) return;
    const size = Number(/content-length: (\d+)/i.exec(text)[1]);
    if (text.length < end + 4 + size) return;
    const answer = { status: Number(text.slice(9, 12)), body: text.slice(end + 4, end + 4 + size) };
    text = text.slice(end + 4 + size);
    waiting.settle(answer);
  });
  const head = `HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${server.token}\r\n`;
  return {
    ask: (method, key, body) => new Promise((settle, fail) => {
      waiting = { settle, fail };
      const length = body === undefined ? '' : `Content-Length: ${body.length}\r\n`;
      socket.write(`${method} /accounts/local${ns.path}/values/${key} ${head}${length}\r\n${body ?? ''}`);
    }),
  };
}

test(`no read of ${checks} sees less than was acknowledged before it`, async (t) => {
  const KEYS = 6;
  // Some values stand in the map, some are too large for it; some keys are deleted now and then.
  const padding = (key, n) => (key === 4 ? 'x'.repeat(60_000) : key === 5 && n % 10 === 0 ? 'x'.repeat(70_000) : '');
  const acknowledged = Array(KEYS).fill(0);
  let left = checks;
  let writes = 0;

  const writer = async (key) => {
    const { ask } = await client(t);
    for (let n = 1; left > 0; n += 1) {
      const { status, body } = await ask('PUT', key, `${n} ${padding(key, n)}`);
      assert.equal(status, 200, body);
      acknowledged[key] = n;
      writes += 1;
    }
  };
  const reader = async (seed) => {
    const { ask } = await client(t);
    for (let i = seed; left > 0; i += 1) {
      const key = (i * 7 + seed) % KEYS;
      const least = acknowledged[key];
      const { status, body } = await ask('GET', key);
      if (least > 0) assert.equal(status, 200, `${key} is there`);
      const seen = status === 200 ? parseInt(body, 10) : 0;
      assert.ok(seen >= least, `key ${key}: saw ${seen} after ${least} was acknowledged`);
      left -= 1;
    }
  };
  await Promise.all([...Array.from({ length: KEYS }, (_, key) => writer(key)), ...Array.from({ length: 16 }, (_, i) => reader(i))]);
  t.diagnostic(`${checks} reads beside ${writes} writes`);
  assert.ok(writes > 0);
});

test('a key that was deleted is gone for whoever asks after that', async (t) => {
  const [one, other] = [await client(t), await client(t)];
  for (let i = 0; i < 200; i += 1) {
    assert.equal((await one.ask('PUT', 'gone', `${i}`)).status, 200);
    assert.equal((await other.ask('GET', 'gone')).body, `${i}`);
    assert.equal((await one.ask('DELETE', 'gone', '')).status, 200);
    assert.equal((await other.ask('GET', 'gone')).status, 404);
  }
});
