// KV over its REST API, as curl and programs use it: Cloudflare's shapes, limits and codes, and what goes beyond them.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { ok, refused, scope, startServer, uniqueName, until } from '../lib/server.mjs';
import { openSocket } from '../lib/socket.mjs';
import { Namespace, VALUE_MAX, namespaces, patterned } from '../lib/kv.mjs';

const file = scope();
let server;
before(async () => { server = await startServer(file); });
const now = () => Math.floor(Date.now() / 1000);

describe('a pipelined put', () => {
  // Bytes that wait behind a request that is worked on are taken from a buffer that is gone right after.
  for (const size of [70_000, 110_000, 140_000]) {
    test(`of ${size} bytes is stored as it came`, async () => {
      const ns = await Namespace.make(server);
      const socket = await openSocket(file, server);
      const put = (key, value, query = '') => Buffer.concat([Buffer.from(`PUT /accounts/local${ns.path}/values/${key}${query} HTTP/1.1\r\n` +
        `Host: x\r\nAuthorization: Bearer ${server.token}\r\nContent-Length: ${value.length}\r\n\r\n`), value]);
      const value = patterned(size);
      await socket.send(Buffer.concat([put('first', Buffer.from('x')), put('second', value, '?expiration_ttl=100')]));
      for (let i = 0; i < 2; i += 1) assert.equal((await socket.answer()).status, 200);
      assert.ok((await ns.get('second')).equals(value));
      assert.ok((await ns.keys('?prefix=second')).keys[0].expiration > now());
      socket.end();
    });
  }
});

test('a parameter that cannot be read is refused', async () => {
  const ns = await Namespace.make(server);
  refused(await ns.key('PUT', 'k', { body: 'v', query: '?expiration_ttl=60%' }), 400, 7400, /query string/);
  refused(await ns.ask('GET', '/keys?prefix=a%ZZ'), 400, 7400, /query string/);
  assert.equal(await ns.get('k'), null, 'nothing is stored for ever');
  await ns.put('100%', 'v');
  assert.deepEqual(await ns.names('?prefix=100%25'), ['100%']);
});

test('many large values are got at once, up to what one answer holds', async () => {
  const ns = await Namespace.make(server);
  const get = (keys, type) => ns.ask('POST', '/bulk/get', { json: { keys, ...(type && { type }) } });
  const texts = { a: `"${'é\n'.repeat(100_000)}`, b: 'b'.repeat(300_000), c: 'short' };
  for (const [key, text] of Object.entries(texts)) await ns.put(key, text);
  assert.deepEqual(ok(await get(['a', 'b', 'c', 'none'])).values, { ...texts, none: null });
  const value = { list: Array.from({ length: 60_000 }, (_, i) => ({ i, 'a b': '\u00e9\ud83d' })) };
  await ns.put('json', ` ${JSON.stringify(value)}\n`);
  assert.deepEqual(ok(await get(['json'], 'json')).values.json, value);
  await ns.put('cut', JSON.stringify(value).slice(0, -1));
  refused(await get(['json', 'cut'], 'json'), 400, 10033, /non-json value/);
  await ns.put('control', Buffer.alloc(11 * 1024 * 1024, 1));
  refused(await get(['control']), 413, 7400, /too long for one answer/);
});

test('a large value is read also when the disk takes no copy of it', async () => {
  const own = await startServer(file);
  const ns = await Namespace.make(own);
  const value = patterned(3_000_000);
  await ns.put('k', value);
  rmSync(join(own.data, 'tmp'), { recursive: true });
  assert.ok((await ns.get('k')).equals(value));
});

describe('namespaces', () => {
  test('are created, got, renamed and deleted', async () => {
    const title = uniqueName('title');
    const made = ok(await server.account('POST', namespaces, { json: { title } }));
    assert.match(made.id, /^[0-9a-f]{32}$/);
    assert.deepEqual(made, { id: made.id, title, supports_url_encoding: true });
    assert.deepEqual(ok(await server.account('GET', `${namespaces}/${made.id}`)), made);
    const renamed = ok(await server.account('PUT', `${namespaces}/${made.id}`, { json: { title: `${title} é` } }));
    assert.equal(renamed.title, `${title} é`);
    assert.equal(ok(await server.account('DELETE', `${namespaces}/${made.id}`)), null);
    refused(await server.account('GET', `${namespaces}/${made.id}`), 404, 10013, /namespace not found/);
  });

  test('have titles of their own', async () => {
    const title = uniqueName('title');
    const made = ok(await server.account('POST', namespaces, { json: { title } }));
    refused(await server.account('POST', namespaces, { json: { title } }), 400, 10014,
      'a namespace with this account ID and title already exists');
    const other = ok(await server.account('POST', namespaces, { json: { title: `${title}2` } }));
    refused(await server.account('PUT', `${namespaces}/${other.id}`, { json: { title } }), 400, 10014);
    ok(await server.account('PUT', `${namespaces}/${made.id}`, { json: { title } })); // its own
    ok(await server.account('DELETE', `${namespaces}/${made.id}`));
    ok(await server.account('PUT', `${namespaces}/${other.id}`, { json: { title } }));
    for (const bad of [{}, { title: '' }, { title: 7 }, { title: 'x'.repeat(513) }, { title: 'a\0b' }]) {
      refused(await server.account('POST', namespaces, { json: bad }), 400, 7400, /malformed/);
    }
    ok(await server.account('POST', namespaces, { json: { title: 'x'.repeat(512) } }));
  });

  test('take an id that a configuration knows already', async () => {
    const id = '0123456789abcdef'.repeat(2);
    assert.equal(ok(await server.account('POST', namespaces, { json: { title: uniqueName('known'), id } })).id, id);
    refused(await server.account('POST', namespaces, { json: { title: uniqueName('known'), id } }), 400, 7502, /already exists/);
    for (const bad of ['../../../../../../../../../../..', id.toUpperCase().replaceAll('0', 'A'), 'abc', 7]) {
      refused(await server.account('POST', namespaces, { json: { title: uniqueName('known'), id: bad } }), 400, 7400);
    }
  });

  test('are listed in pages and in order', async () => {
    const own = await startServer(file);
    for (const title of ['c', 'a', 'b']) ok(await own.account('POST', namespaces, { json: { title } }));
    const titles = async (query) => ok(await own.account('GET', `${namespaces}${query}`)).map(({ title }) => title);
    assert.deepEqual(await titles(''), ['c', 'a', 'b']);
    assert.deepEqual(await titles('?order=title&direction=asc&per_page=100'), ['a', 'b', 'c']);
    assert.deepEqual(await titles('?order=title&direction=desc&per_page=2&page=2'), ['a']);
    assert.deepEqual(await titles('?page=2'), []);
    const answer = await own.account('GET', `${namespaces}?per_page=2`);
    assert.deepEqual(answer.body.result_info, { page: 1, per_page: 2, count: 2, total_count: 3, total_pages: 2 });
    refused(await own.account('GET', `${namespaces}?order=age`), 400, 7400);
    // They are databases inside, but none of D1's.
    assert.deepEqual(ok(await own.account('GET', '/d1/database')), []);
    const [{ id }] = ok(await own.account('GET', namespaces));
    refused(await own.database(id, 'GET'), 404, 7404);
    await own.stop();
  });

  test('stay over a restart, with what is in them', async () => {
    const own = await startServer(file);
    const ns = await Namespace.make(own, { minimum_ttl: 5 });
    const etag = await ns.put('k', 'v', { query: '?expiration_ttl=1000' });
    const large = patterned(300_000);
    await ns.put('large', large);
    await own.kill9();
    await own.start();
    const answer = await ns.key('GET', 'k');
    assert.equal(answer.text, 'v');
    assert.equal(answer.headers.get('etag'), etag);
    assert.ok(Math.abs(Number(answer.headers.get('expiration')) - now() - 1000) < 60);
    assert.ok((await ns.get('large')).equals(large));
    assert.equal(ok(await ns.ask('GET')).minimum_ttl, 5);
    // A version never comes again, so an old one cannot match by chance.
    const later = await ns.put('k', 'w');
    assert.ok(BigInt(JSON.parse(later)) > BigInt(JSON.parse(etag)));
    await own.stop();
  });
});

describe('values', () => {
  let ns;
  before(async () => { ns = await Namespace.make(server); });

  test('are bytes, raw, and gone when deleted', async () => {
    for (const value of [Buffer.from('text'), Buffer.alloc(0), Buffer.from([0, 255, 13, 10, 128]), patterned(64 * 1024),
      patterned(64 * 1024 + 1), patterned(70_000), patterned(1_000_000)]) {
      await ns.put('bytes', value);
      assert.ok((await ns.get('bytes')).equals(value), `${value.length} bytes come back`);
    }
    assert.equal(ok(await ns.key('DELETE', 'bytes')), null);
    assert.equal(await ns.get('bytes'), null);
    refused(await ns.key('GET', 'bytes'), 404, 10009, "get: 'key not found'");
    assert.equal(ok(await ns.key('DELETE', 'bytes')), null, 'deleting what is not there is no error');
  });

  test('come with Content-Length for HEAD', async () => {
    await ns.put('head', 'twelve bytes');
    const answer = await ns.key('HEAD', 'head');
    assert.equal(answer.headers.get('content-length'), '12');
    assert.equal(answer.text, '');
  });

  test('take chunked bodies of any size', async () => {
    for (const size of [0, 10, 200_000, 3_000_000]) {
      const value = patterned(size, size + 1);
      const body = new ReadableStream({ start(controller) {
        for (let i = 0; i < size; i += 50_000) controller.enqueue(value.subarray(i, i + 50_000));
        controller.close();
      } });
      ok(await ns.key('PUT', 'chunked', { body, duplex: 'half' }));
      assert.ok((await ns.get('chunked')).equals(value), `${size} bytes`);
    }
  });

  test('have keys of any UTF-8, percent-encoded once', async () => {
    const keys = ['a/b c%e?&#+é', '%41', '..x', '日本/🙂', 'a//b', ' ', '\n', 'k'.repeat(512)];
    for (const key of keys) await ns.put(key, `value of ${key}`);
    for (const key of keys) assert.equal(await ns.text(key), `value of ${key}`);
    const listed = await ns.names();
    for (const key of keys) assert.ok(listed.includes(key), key);
  });

  test('refuse keys at and over the limit, and store nothing', async () => {
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const body = method === 'PUT' ? 'v' : undefined;
      refused(await ns.key(method, 'k'.repeat(513), { body }), 414, 10030, /UTF-8 encoded length of 513 exceeds key length limit of 512\./);
      refused(await ns.key(method, 'é'.repeat(257), { body }), 414, 10030, /length of 514 /);
      refused(await ns.key(method, '', { body }), 400, 10033, /Key names must not be empty/);
      refused(await ns.ask(method, '/values/%FF', { body }), 400, 10033, /Could not URL-decode key name/);
    }
    assert.deepEqual(await ns.names(`?prefix=${'k'.repeat(512)}`), ['k'.repeat(512)]);
  });

  test('refuse values over the limit, and keep the one before', async () => {
    await ns.put('limit', 'before');
    const most = patterned(VALUE_MAX);
    const tooMuch = Buffer.concat([most, Buffer.from('x')]);
    refused(await ns.key('PUT', 'limit', { body: tooMuch }), 413, 10022, /Value length of 26214401 exceeds limit of 26214400\./);
    assert.equal(await ns.text('limit'), 'before');
    await ns.put('limit', most);
    assert.ok((await ns.get('limit')).equals(most));
    const form = new FormData();
    form.set('value', new Blob([tooMuch]));
    refused(await ns.key('PUT', 'limit', { body: form }), 413, 10022, /Value length of 26214401/);
    assert.ok((await ns.get('limit')).equals(most));
    await ns.put('limit', 'after');
    assert.equal(await ns.text('limit'), 'after');
  });

  test('take metadata in a form', async () => {
    const put = (parts, options) => {
      const body = new FormData();
      for (const [name, value] of Object.entries(parts)) body.append(name, value);
      return ns.key('PUT', 'form', { body, ...options });
    };
    const metadata = async () => ok(await ns.ask('GET', '/metadata/form'));
    ok(await put({ value: 'text', metadata: '{"a": [1, "é"], "b": null}' }));
    assert.deepEqual(await metadata(), { a: [1, 'é'], b: null });
    assert.equal(await ns.text('form'), 'text');
    const large = patterned(500_000);
    ok(await put({ value: new Blob([large]), 'metadata[a]': '1', 'metadata[b][c]': 'x', 'metadata[list][]': 'y' }));
    assert.deepEqual(await metadata(), { a: '1', b: { c: 'x' }, list: ['y'] });
    assert.ok((await ns.get('form')).equals(large));
    ok(await put({ value: '', metadata: '' }));
    assert.equal(await metadata(), null);
    assert.equal(await ns.text('form'), '');

    ok(await put({ value: 'x', metadata: JSON.stringify('m'.repeat(1022)) }));
    refused(await put({ value: 'y', metadata: JSON.stringify('m'.repeat(1023)) }), 413, 10022, /Metadata length of 1025 exceeds limit of 1024\./);
    refused(await put({ value: 'y', metadata: '{no json' }), 400, 10033, /metadata must be valid JSON/);
    refused(await put({ metadata: '{}' }), 400, 10033, /no part called value/);
    refused(await ns.key('PUT', 'form', { body: 'not a form', headers: { 'content-type': 'multipart/form-data; boundary=x' } }), 400, 7400);
    assert.equal(await ns.text('form'), 'x', 'what was refused changed nothing');
    ok(await ns.key('PUT', 'form', { body: 'plain' }));
    assert.equal(await metadata(), null, 'a value without metadata has none');
    refused(await ns.ask('GET', '/metadata/nothing'), 404, 10009);
  });
});

describe('times', () => {
  test('of a minute and more are as on Cloudflare', async () => {
    const ns = await Namespace.make(server);
    const put = (query) => ns.key('PUT', 't', { query, body: 'v' });
    ok(await put('?expiration_ttl=60'));
    const at = Number((await ns.key('GET', 't')).headers.get('expiration'));
    assert.ok(at >= now() + 58 && at <= now() + 60);
    const expiration = now() + 1000;
    ok(await put(`?expiration=${expiration}`));
    assert.deepEqual((await ns.keys()).keys, [{ name: 't', expiration }]);
    ok(await put(`?expiration=${expiration}&expiration_ttl=100`));
    assert.ok(Number((await ns.key('GET', 't')).headers.get('expiration')) < now() + 110, 'the TTL wins');
    const at59 = now() + 30;
    for (const [query, text] of [
      ['?expiration_ttl=59', /put: 'Invalid expiration_ttl of 59\. Expiration TTL must be at least 60\.'/],
      ['?expiration_ttl=0', /Invalid expiration_ttl of 0\. Please specify integer greater than 0\./],
      ['?expiration_ttl=-5', /greater than 0/], ['?expiration_ttl=1.5', /greater than 0/], ['?expiration_ttl=x', /greater than 0/],
      ['?expiration=1000', /Invalid expiration of 1000\. Please specify integer greater than the current number of seconds since the UNIX epoch\./],
      [`?expiration=${at59}`, /Expiration times must be at least 60 seconds in the future\./],
    ]) refused(await put(query), 400, 10033, text);
    ok(await put(''));
    assert.equal((await ns.key('GET', 't')).headers.get('expiration'), null, 'a put without a time clears it');
  });

  test('below a minute need the namespace to allow them; what has expired is nowhere', async () => {
    const ns = await Namespace.make(server);
    refused(await ns.ask('PUT', '', { json: { minimum_ttl: 0 } }), 400, 7400);
    refused(await ns.ask('PUT', '', { json: { minimum_ttl: 61 } }), 400, 7400);
    refused(await ns.ask('PUT', '', { json: {} }), 400, 7400);
    assert.equal(ok(await ns.ask('PATCH', '', { json: { minimum_ttl: 1 } })).minimum_ttl, 1);
    const large = patterned(400_000);
    await ns.put('short', 'v', { query: '?expiration_ttl=1' });
    await ns.put('short-large', large, { query: '?expiration_ttl=1' });
    await ns.put('stays', 'v');
    assert.equal(await ns.text('short'), 'v');
    await until('the key has expired', async () => (await ns.get('short')) === null && (await ns.get('short-large')) === null);
    assert.deepEqual(await ns.names(), ['stays']);
    refused(await ns.ask('GET', '/metadata/short'), 404, 10009);
    const read = ok(await ns.ask('POST', '/bulk/get', { json: { keys: ['short', 'stays'] } }));
    assert.deepEqual(read.values, { short: null, stays: 'v' });
    ok(await ns.key('PUT', 'short', { body: 'again', headers: { 'if-none-match': '*' } }));
    assert.equal(await ns.text('short'), 'again');
  });
});

describe('keys', () => {
  test('are listed by their bytes, by prefix, in pages', async () => {
    const ns = await Namespace.make(server);
    const names = ['é', 'z', 'a', 'a/2', 'a/10', 'a/1', 'B', '🙂', 'a/', '0'];
    ok(await ns.ask('PUT', '/bulk', { json: names.map((key) => ({ key, value: key, metadata: { key } })) }));
    const sorted = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    assert.deepEqual(await ns.names(), sorted);
    assert.deepEqual(await ns.names('?prefix='), sorted);
    assert.deepEqual(await ns.names('?prefix=a%2F'), ['a/', 'a/1', 'a/10', 'a/2']);
    assert.deepEqual(await ns.names('?prefix=nothing'), []);
    assert.deepEqual((await ns.keys('?prefix=B')).keys, [{ name: 'B', metadata: { key: 'B' } }]);
    const seen = [];
    let cursor = '';
    do {
      const { keys, info } = await ns.keys(`?limit=3&cursor=${cursor}`);
      assert.equal(info.count, keys.length);
      seen.push(...keys.map(({ name }) => name));
      cursor = info.cursor;
    } while (cursor);
    assert.deepEqual(seen, sorted);
    refused(await ns.ask('GET', '/keys?limit=1001'), 400, 10033, /Invalid key_count_limit of 1001/);
    refused(await ns.ask('GET', '/keys?limit=0'), 400, 10033, /greater than 0/);
    refused(await ns.ask('GET', '/keys?cursor=%21%21'), 400, 10033, /Invalid cursor/);
    refused(await ns.ask('GET', `/keys?prefix=${'p'.repeat(513)}`), 414, 10030);
  });
});

describe('bulk', () => {
  let ns;
  before(async () => { ns = await Namespace.make(server); });
  const put = (list) => ns.ask('PUT', '/bulk', { json: list });

  test('writes all entries', async () => {
    const expiration = now() + 5000;
    const done = ok(await put([{ key: 'b64', value: 'AAH/', base64: true }, { key: 'plain', value: 'é\n"\\', metadata: { m: 1 } },
      { key: 'timed', value: '', expiration }, { key: 'ttl', value: 'x', expiration_ttl: 60 },
      { key: 'twice', value: '1' }, { key: 'twice', value: '2' }, { key: 'big', value: 'y'.repeat(1_000_000) }]));
    assert.deepEqual(done, { successful_key_count: 7, unsuccessful_keys: [] });
    assert.deepEqual(await ns.get('b64'), Buffer.from([0, 1, 255]));
    assert.equal(await ns.text('plain'), 'é\n"\\');
    assert.equal(await ns.text('twice'), '2', 'what comes last stays');
    assert.equal((await ns.text('big')).length, 1_000_000);
    const { keys } = await ns.keys();
    assert.deepEqual(keys.find(({ name }) => name === 'timed'), { name: 'timed', expiration });
    assert.deepEqual(keys.find(({ name }) => name === 'plain'), { name: 'plain', metadata: { m: 1 } });
  });

  test('writes ten thousand at once, and no more', async () => {
    const many = Array.from({ length: 10_000 }, (_, i) => ({ key: `many-${String(i).padStart(5, '0')}`, value: `${i}` }));
    assert.equal(ok(await put(many)).successful_key_count, 10_000);
    refused(await put([...many, { key: 'one more', value: '' }]), 400, 10033, /maximum of 10000 keys/);
    assert.equal(await ns.text('many-09999'), '9999');
    const deleted = ok(await ns.ask('POST', '/bulk/delete', { json: many.map(({ key }) => key) }));
    assert.deepEqual(deleted, { successful_key_count: 10_000, unsuccessful_keys: [] });
    assert.deepEqual(await ns.names('?prefix=many-'), []);
    assert.equal(await ns.get('one more'), null);
  });

  test('is all or nothing', async () => {
    for (const [bad, status, code, text] of [
      [{ key: 'x' }, 400, 10033, /entry 1: value must be a string/],
      [{ value: 'x' }, 400, 10033, /entry 1: must be an object with key and value/],
      [{ key: 'x', value: 7 }, 400, 10033, /value must be a string/],
      [{ key: 'x', value: '!', base64: true }, 400, 10033, /not base64/],
      [{ key: '', value: 'x' }, 400, 10033, /must not be empty/],
      [{ key: 'k'.repeat(513), value: 'x' }, 414, 10030, /513/],
      [{ key: 'x', value: 'x', expiration_ttl: 5 }, 400, 10033, /at least 60/],
      [{ key: 'x', value: 'x', metadata: 'm'.repeat(1100) }, 413, 10022, /Metadata length of 1102/],
      [{ key: 'x', value: 'v'.repeat(VALUE_MAX + 1) }, 413, 10022, /Value length of 26214401/],
    ]) {
      refused(await put([{ key: 'first', value: 'x' }, bad]), status, code, text);
      assert.equal(await ns.get('first'), null, `nothing was stored beside ${JSON.stringify(bad).slice(0, 80)}`);
    }
    refused(await ns.ask('PUT', '/bulk', { body: '{"key":' }), 400, 7400, /not valid JSON/);
    refused(await ns.ask('PUT', '/bulk', { json: { key: 'x' } }), 400, 7400, /must be a JSON array/);
    refused(await ns.ask('DELETE', '/bulk', { json: [7] }), 400, 10033, /entry 0: must be a key/);
  });

  test('reads up to a hundred keys', async () => {
    ok(await put([{ key: 'j', value: '{"a":[1]}', metadata: [1] }, { key: 't', value: 'text' }, { key: 'large', value: 'z'.repeat(200_000) }]));
    const get = (json) => ns.ask('POST', '/bulk/get', { json });
    assert.deepEqual(ok(await get({ keys: ['j', 'none', 't', 'j'] })).values, { j: '{"a":[1]}', none: null, t: 'text' });
    assert.deepEqual(ok(await get({ keys: ['j'], type: 'json' })).values, { j: { a: [1] } });
    assert.deepEqual(ok(await get({ keys: ['j', 't', 'none'], withMetadata: true })).values,
      { j: { value: '{"a":[1]}', metadata: [1] }, t: { value: 'text', metadata: null }, none: null });
    assert.equal(ok(await get({ keys: ['large'] })).values.large.length, 200_000);
    refused(await get({ keys: ['t'], type: 'json' }), 400, 10033, /non-json value/);
    refused(await get({ keys: [] }), 400, 10033, /minimum of 1 key/);
    refused(await get({ keys: Array.from({ length: 101 }, (_, i) => `${i}`) }), 400, 10033, /maximum of 100 keys/);
    refused(await get({ keys: ['a'], type: 'xml' }), 400, 10033, /"xml" is not a valid type/);
    refused(await get({ keys: 'a' }), 400, 10033);
    ok(await put([{ key: 'm1', value: 'q'.repeat(14_000_000) }, { key: 'm2', value: 'q'.repeat(14_000_000) }]));
    refused(await get({ keys: ['m1', 'm2'] }), 413, 7400, /Total size of request exceeds the limit of 25MB/);
  });
});

describe('conditions', () => {
  let ns;
  before(async () => { ns = await Namespace.make(server); });
  const put = (key, body, headers) => ns.key('PUT', key, { body, headers });

  test('let a write happen only on the version it was made for', async () => {
    const first = await ns.put('k', '1');
    assert.match(first, /^"\d+"$/);
    assert.equal((await ns.key('GET', 'k')).headers.get('etag'), first);
    const answer = await put('k', '2', { 'if-match': first });
    ok(answer);
    const second = answer.headers.get('etag');
    assert.notEqual(second, first);
    const text = refused(await put('k', '3', { 'if-match': first }), 412, 10412);
    assert.ok(text.includes(JSON.parse(second)) && text.includes(JSON.parse(first)), text);
    assert.equal(await ns.text('k'), '2');
    refused(await ns.key('DELETE', 'k', { headers: { 'if-match': first } }), 412, 10412);
    ok(await ns.key('DELETE', 'k', { headers: { 'if-match': second } }));
    refused(await put('k', '4', { 'if-match': second }), 412, 10412, /does not exist/);
    refused(await put('k', '4', { 'if-match': '*' }), 412, 10412, /does not exist/);
    ok(await put('k', '5', { 'if-none-match': '*' }));
    refused(await put('k', '6', { 'if-none-match': '*' }), 412, 10412, /the key exists/);
    ok(await put('k', '7', { 'if-match': '*' }));
    assert.equal(await ns.text('k'), '7');
    for (const headers of [{ 'if-match': '7' }, { 'if-match': '"x"' }, { 'if-none-match': '"1"' }, { 'if-match': '*', 'if-none-match': '*' }]) {
      refused(await put('k', '8', headers), 400, 10033);
    }
    const large = patterned(200_000);
    const version = (await ns.key('GET', 'k')).headers.get('etag');
    ok(await put('k', large, { 'if-match': version }));
    refused(await put('k', large, { 'if-match': version }), 412, 10412);
    assert.ok((await ns.get('k')).equals(large));
  });

  test('let a hundred writers count together without losing one', async () => {
    await ns.put('n', '0');
    let lost = 0;
    await Promise.all(Array.from({ length: 100 }, async () => {
      for (;;) {
        const seen = await ns.key('GET', 'n');
        const answer = await put('n', String(Number(seen.text) + 1), { 'if-match': seen.headers.get('etag') });
        if (answer.status === 200) return;
        refused(answer, 412, 10412);
        lost += 1;
      }
    }));
    assert.equal(await ns.text('n'), '100');
    assert.ok(lost > 0, 'they did meet');
  });
});

describe('counters', () => {
  let ns;
  before(async () => { ns = await Namespace.make(server); });
  const add = (key, json, query = '') => ns.ask('POST', `/values/${encodeURIComponent(key)}/increment${query}`, json === undefined ? {} : { json });

  test('add exactly, at once from many clients', async () => {
    assert.deepEqual(ok(await add('c')), { value: '1' });
    assert.deepEqual(ok(await add('c', { by: 41 })), { value: '42' });
    assert.deepEqual(ok(await add('c', { by: -43 })), { value: '-1' });
    assert.equal(await ns.text('c'), '-1');
    await Promise.all(Array.from({ length: 100 }, () => add('many').then(ok)));
    assert.equal(await ns.text('many'), '100');
  });

  test('hold 64 bits and say when that is not enough', async () => {
    await ns.put('big', '9223372036854775806');
    assert.deepEqual(ok(await add('big', { by: '1' })), { value: '9223372036854775807' });
    refused(await add('big'), 400, 10033, /more than 64 bits/);
    assert.equal(await ns.text('big'), '9223372036854775807');
    assert.deepEqual(ok(await add('small', { by: '-9223372036854775808' })), { value: '-9223372036854775808' });
    await ns.put('word', 'seven');
    refused(await add('word'), 400, 10033, /not a decimal number/);
    for (const by of [1.5, 'x', '', null, '9223372036854775808']) refused(await add('c2', { by }), 400, 10033, /by must be/);
  });

  test('keep metadata and time unless told otherwise', async () => {
    const body = new FormData();
    body.set('value', '5');
    body.set('metadata', '{"kept":true}');
    ok(await ns.key('PUT', 'm', { body, query: '?expiration_ttl=1000' }));
    ok(await add('m'));
    const [{ expiration, metadata }] = (await ns.keys('?prefix=m')).keys.filter(({ name }) => name === 'm');
    assert.deepEqual(metadata, { kept: true });
    assert.ok(expiration > now() + 900 && expiration < now() + 1001);
    ok(await add('m', {}, '?expiration_ttl=5000'));
    const [later] = (await ns.keys('?prefix=m')).keys.filter(({ name }) => name === 'm');
    assert.ok(later.expiration > now() + 4000);
  });
});

describe('who may', () => {
  test('is decided for each namespace', async () => {
    const ns = await Namespace.make(server);
    refused(await ns.key('GET', 'k', { token: null }), 401, 10000);
    const { token } = ok(await server.account('POST', '/dione/tokens', { json: { name: 'reader', scope: 'read', database: null } }));
    await ns.put('k', 'v');
    assert.equal((await ns.key('GET', 'k', { token })).text, 'v');
    for (const answer of [await ns.key('PUT', 'k', { body: 'w', token }), await ns.key('DELETE', 'k', { token }),
      await ns.key('PUT', 'k', { body: patterned(200_000), token }), await ns.ask('PUT', '/bulk', { json: [], token }),
      await ns.ask('POST', '/values/k/increment', { token }), await ns.ask('PUT', '', { json: { title: 'x' }, token }),
      await ns.ask('DELETE', '', { token })]) refused(answer, 403, 10000, /may not write/);
    assert.equal(await ns.text('k'), 'v');
  });

  test('can be one namespace alone', async () => {
    const [own, other] = [await Namespace.make(server), await Namespace.make(server)];
    const { token, database } = ok(await server.account('POST', '/dione/tokens', { json: { name: 'one', scope: 'write', database: own.id } }));
    assert.equal(database, own.id);
    ok(await own.key('PUT', 'k', { body: 'v', token }));
    assert.equal((await own.key('GET', 'k', { token })).text, 'v');
    refused(await other.key('GET', 'k', { token }), 403, 10000);
    refused(await new Namespace(server, '1'.repeat(32)).key('GET', 'k', { token }), 403, 10000);
    refused(await server.account('POST', namespaces, { json: { title: 'x' }, token }), 403, 10000);
    assert.deepEqual(ok(await server.account('GET', namespaces, { token })).map(({ id }) => id), [own.id]);
    ok(await own.ask('DELETE'));
    refused(await own.key('GET', 'k', { token }), 401, 10000);
  });

  test('of what is not there says so', async () => {
    const ns = new Namespace(server, '0'.repeat(32));
    for (const answer of [await ns.key('GET', 'k'), await ns.key('PUT', 'k', { body: 'v' }), await ns.key('DELETE', 'k'), await ns.ask('GET', '/keys'),
      await ns.key('PUT', 'k', { body: patterned(200_000) }), await ns.ask('GET', '/metadata/k'), await ns.ask('POST', '/bulk/get', { json: { keys: ['a'] } }),
      await ns.ask('PUT', '/bulk', { json: [] }), await ns.ask('DELETE', ''), await new Namespace(server, 'short').key('GET', 'k')]) {
      refused(answer, 404, 10013, "get namespace: 'namespace not found'");
    }
  });
});

test('many large values at once cost a piece of memory each', async () => {
  const own = await startServer(file);
  const ns = await Namespace.make(own);
  const value = patterned(8_000_000);
  await Promise.all(Array.from({ length: 20 }, (_, i) => ns.put(`large-${i}`, value)));
  for (const i of [0, 7, 19]) assert.ok((await ns.get(`large-${i}`)).equals(value));
  // A client that leaves in the middle leaves nothing behind.
  const { port } = new URL(own.url);
  await Promise.all(Array.from({ length: 10 }, async (_, i) => {
    const socket = connect(port, '127.0.0.1');
    socket.write(`PUT /accounts/local${ns.path}/values/left-${i} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${own.token}\r\n` +
      `Content-Length: ${value.length}\r\n\r\n`);
    socket.write(value.subarray(0, 100_000 * i), () => socket.destroy());
    await once(socket, 'close');
  }));
  assert.deepEqual(await ns.names('?prefix=left-'), []);
  await own.assertAlive();
  ok(await ns.ask('DELETE'));
  await own.stop();
});
