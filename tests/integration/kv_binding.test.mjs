// KV as workerd asks for it: raw bytes, custom reason phrases, metadata in a header. A Worker sees of a failure only the
// reason phrase, so those are compared letter for letter.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { ok, scope, startServer } from '../lib/server.mjs';
import { Namespace, VALUE_MAX, binding, patterned } from '../lib/kv.mjs';

const file = scope();
let server;
let ns;
before(async () => {
  server = await startServer(file);
  ns = await Namespace.make(server);
});
const ask = (method, path, options) => binding(server, ns.id, method, path, options);
const key = (name, query = '') => `/${encodeURIComponent(name)}?urlencoded=true${query}`;
const now = () => Math.floor(Date.now() / 1000);

async function fails(answer, status, reason) {
  const { status: got, reason: said } = await answer;
  assert.equal(`${got} ${said}`, `${status} ${reason}`);
}

describe('one key', () => {
  test('is put, got and deleted as bytes', async () => {
    for (const value of [Buffer.alloc(0), Buffer.from('text'), patterned(1000), patterned(80_000), patterned(2_000_000)]) {
      assert.equal((await ask('PUT', key('k'), { body: value })).status, 200);
      const got = await ask('GET', key('k'));
      assert.equal(got.status, 200);
      assert.ok(got.bytes.equals(value), `${value.length} bytes`);
      assert.equal(got.headers['cf-expiration'], undefined);
    }
    assert.equal((await ask('DELETE', key('k'))).status, 200);
    assert.equal((await ask('GET', key('k'))).status, 404);
    assert.equal((await ask('DELETE', key('k'))).status, 200);
  });

  test('arrives in chunks when it is a stream', async () => {
    const value = patterned(500_000);
    async function* parts() { for (let i = 0; i < value.length; i += 60_000) yield value.subarray(i, i + 60_000); }
    assert.equal((await ask('PUT', key('stream'), { body: parts() })).status, 200);
    assert.ok((await ask('GET', key('stream'))).bytes.equals(value));
    async function* nothing() { /* an empty stream */ }
    assert.equal((await ask('PUT', key('stream'), { body: nothing() })).status, 200);
    assert.equal((await ask('GET', key('stream'))).text, '');
  });

  test('has a name that is decoded once', async () => {
    assert.equal((await ask('PUT', '/a%2Fb%20c%25%C3%A9%3F&%23+?urlencoded=true', { body: 'v' })).status, 200);
    assert.deepEqual(await ns.names('?prefix=a'), ['a/b c%é?&#+']);
    assert.equal((await ask('GET', key('a/b c%é?&#+'))).text, 'v');
    assert.equal((await ask('PUT', '/a%2Fb', { body: 'raw' })).status, 200);
    assert.equal(await ns.text('a%2Fb'), 'raw', 'without urlencoded=true the name is as it came');
  });

  test('carries metadata as UTF-8 bytes both ways', async () => {
    const metadata = JSON.stringify({ é: '🙂', n: [1, null] });
    const asLatin1 = Buffer.from(metadata).toString('latin1'); // node writes headers as Latin-1: so these are UTF-8 bytes
    assert.equal((await ask('PUT', key('m', '&expiration_ttl=100'), { body: 'v', headers: { 'CF-KV-Metadata': asLatin1 } })).status, 200);
    const got = await ask('GET', key('m'));
    assert.equal(Buffer.from(got.headers['cf-kv-metadata'], 'latin1').toString(), metadata);
    assert.ok(Math.abs(Number(got.headers['cf-expiration']) - now() - 100) <= 2);
    assert.deepEqual(ok(await ns.ask('GET', '/metadata/m')), JSON.parse(metadata));
  });

  test('has metadata that is JSON, so that lists are', async () => {
    for (const metadata of ['nope', '{"a":1},{"name":"b"}', '"\xff"', '[1', '{"a":01}']) {
      await fails(ask('PUT', key('m/bad'), { body: 'v', headers: { 'CF-KV-Metadata': metadata } }), 400, 'Metadata must be valid JSON');
    }
    assert.equal((await ask('PUT', key('m/good'), { body: 'v', headers: { 'CF-KV-Metadata': '{ "a": 1.0 }' } })).status, 200);
    assert.equal((await ask('GET', key('m/good'))).headers['cf-kv-metadata'], '{ "a": 1.0 }', 'as it came');
    assert.deepEqual((await ns.keys('?prefix=m/')).keys, [{ name: 'm/good', metadata: { a: 1 } }]);
    await fails(ask('PUT', key('m/q', '&expiration_ttl=60%'), { body: 'v' }), 400,
      'The query string has a % that begins no escape: a % itself is %25');
  });

  test('is refused in words', async () => {
    await fails(ask('GET', key('k'.repeat(513))), 414, 'UTF-8 encoded length of 513 exceeds key length limit of 512.');
    await fails(ask('PUT', key('k'.repeat(513)), { body: 'v' }), 414, 'UTF-8 encoded length of 513 exceeds key length limit of 512.');
    await fails(ask('DELETE', key('é'.repeat(300))), 414, 'UTF-8 encoded length of 600 exceeds key length limit of 512.');
    await fails(ask('PUT', '/?urlencoded=true', { body: 'v' }), 400, 'Key names must not be empty');
    await fails(ask('GET', '/.?urlencoded=true'), 400, 'Illegal key name ".". Please use a different name.');
    await fails(ask('GET', '/%ZZ?urlencoded=true'), 400, 'Could not URL-decode key name');
    await fails(ask('GET', '/%FF?urlencoded=true'), 400, 'Could not URL-decode key name');
    await fails(ask('PUT', key('x', '&expiration_ttl=59'), { body: 'v' }), 400, 'Invalid expiration_ttl of 59. Expiration TTL must be at least 60.');
    await fails(ask('PUT', key('x', '&expiration_ttl=nan'), { body: 'v' }), 400, 'Invalid expiration_ttl of nan. Please specify integer greater than 0.');
    await fails(ask('PUT', key('x', '&expiration=1'), { body: 'v' }), 400,
      'Invalid expiration of 1. Please specify integer greater than the current number of seconds since the UNIX epoch.');
    const soon = now() + 30;
    await fails(ask('PUT', key('x', `&expiration=${soon}`), { body: 'v' }), 400,
      `Invalid expiration of ${soon}. Expiration times must be at least 60 seconds in the future.`);
    await fails(ask('GET', key('x', '&cache_ttl=29')), 400, 'Invalid cache_ttl of 29. Cache TTL must be at least 30.');
    await fails(ask('PUT', key('x'), { body: 'v', headers: { 'CF-KV-Metadata': JSON.stringify('m'.repeat(1023)) } }), 413,
      'Metadata length of 1025 exceeds limit of 1024.');
    assert.equal((await ask('GET', key('x'))).status, 404, 'nothing was stored');
    assert.equal((await ask('GET', key('x', '&cache_ttl=30'))).status, 404);
  });

  test('has a value of up to 25 MiB', async () => {
    const most = patterned(VALUE_MAX);
    assert.equal((await ask('PUT', key('most'), { body: most })).status, 200);
    await fails(ask('PUT', key('most'), { body: Buffer.concat([most, Buffer.alloc(7)]) }), 413, 'Value length of 26214407 exceeds limit of 26214400.');
    async function* parts() { for (let i = 0; i < 27; i += 1) yield most.subarray(0, 1_000_000); }
    await fails(ask('PUT', key('most'), { body: parts() }), 413, 'Value length of 27000000 exceeds limit of 26214400.');
    assert.ok((await ask('GET', key('most'))).bytes.equals(most));
  });
});

test('lists have pages, and metadata as text of JSON', async () => {
  const own = await Namespace.make(server);
  const names = Array.from({ length: 5 }, (_, i) => `k${i}`);
  const expiration = now() + 1000;
  for (const name of names) {
    await binding(server, own.id, 'PUT', key(name, `&expiration=${expiration}`), { body: 'v', headers: { 'CF-KV-Metadata': '{"a":1}' } });
  }
  const list = async (query) => JSON.parse((await binding(server, own.id, 'GET', `/?${query}`)).text);
  assert.deepEqual(await list(''), { keys: names.map((name) => ({ name, expiration, metadata: '{"a":1}' })), list_complete: true, cacheStatus: null });
  const first = await list('key_count_limit=2&prefix=k');
  assert.equal(first.list_complete, false);
  const second = await list(`key_count_limit=2&prefix=k&cursor=${encodeURIComponent(first.cursor)}`);
  const third = await list(`key_count_limit=2&prefix=k&cursor=${encodeURIComponent(second.cursor)}`);
  assert.deepEqual([first, second, third].map(({ keys }) => keys.length), [2, 2, 1]);
  assert.equal(third.list_complete, true);
  assert.equal('cursor' in third, false);
  await fails(binding(server, own.id, 'GET', '/?key_count_limit=1001'), 400, 'Invalid key_count_limit of 1001. Please specify an integer less than 1000.');
  await fails(binding(server, own.id, 'GET', '/?cursor=%21'), 400, 'Invalid cursor');
});

test('several keys are got at once', async () => {
  for (const [name, value] of [['j', '{"a":1}'], ['t', 'plain']]) await ask('PUT', key(name), { body: value, headers: { 'CF-KV-Metadata': '[1]' } });
  const bulk = (json) => ask('POST', '/bulk/get', { body: JSON.stringify(json), headers: { 'content-type': 'application/json' } });
  assert.deepEqual(JSON.parse((await bulk({ keys: ['j', 'none', 't'] })).text), { j: '{"a":1}', none: null, t: 'plain' });
  assert.deepEqual(JSON.parse((await bulk({ keys: ['j'], type: 'json', withMetadata: true, cacheTtl: '60' })).text), { j: { value: { a: 1 }, metadata: [1] } });
  await fails(bulk({ keys: ['t'], type: 'json' }), 400, 'At least one of the requested keys corresponds to a non-json value');
  await fails(bulk({ keys: [] }), 400, 'You must request a minimum of 1 key');
  await fails(bulk({ keys: Array(101).fill('x') }), 400, 'You can request a maximum of 100 keys');
  await fails(bulk({ keys: ['x'], type: 'arrayBuffer' }), 400, '"arrayBuffer" is not a valid type. Use "json" or "text"');
  await fails(bulk({ keys: ['x'], cacheTtl: '5' }), 400, 'Invalid cache_ttl of 5. Cache TTL must be at least 30.');
});

test('a namespace that is not there is an error, never a missing key', async () => {
  for (const [method, path] of [['GET', key('k')], ['PUT', key('k')], ['DELETE', key('k')], ['GET', '/']]) {
    await fails(binding(server, 'f'.repeat(32), method, path), 400, 'namespace not found');
  }
  assert.equal((await ask('GET', key('k'), { token: 'wrong'.repeat(8) })).status, 401);
});

test('a put is followed by no old value, whoever reads', async () => {
  const before = await ask('PUT', key('follow'), { body: '0' });
  assert.equal(before.status, 200);
  let acknowledged = 0;
  let checks = 0;
  const reader = async () => {
    while (acknowledged < 150) {
      const least = acknowledged;
      const seen = Number((await ask('GET', key('follow'))).text);
      assert.ok(seen >= least, `saw ${seen} after ${least} was acknowledged`);
      checks += 1;
    }
  };
  const writer = async () => {
    for (let i = 1; i <= 150; i += 1) {
      assert.equal((await ask('PUT', key('follow'), { body: String(i) })).status, 200);
      acknowledged = i;
      assert.equal((await ns.text('follow')), String(i), 'REST sees it too');
    }
  };
  await Promise.all([writer(), reader(), reader(), reader(), reader()]);
  assert.ok(checks > 150);
});
