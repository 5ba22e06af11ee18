// Tails over plain WebSockets: many at once, clients that vanish, Workers that go, a server that stops.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { request, script, startWorkersServer, upload } from '../lib/deploy.mjs';
import { ok, refused, scope, until, within } from '../lib/server.mjs';

const server = await startWorkersServer(scope());
const code = { 'i.js': `export default { fetch(r) { console.log('path', new URL(r.url).pathname); return new Response('ok'); } };` };

const begin = async (name, filters = []) => ok(await script(server, name, 'POST', '/tails', { json: { filters } }));

/** Follows a tail: `{events, closed, close}`; `closed` resolves with the code. */
async function follow(tail, protocol = 'trace-v1') {
  const socket = new WebSocket(tail.url, protocol);
  const events = [];
  const closed = new Promise((settle) => { socket.onclose = (event) => settle(event.code); });
  socket.onmessage = ({ data }) => events.push(JSON.parse(data));
  const opened = new Promise((settle) => { socket.onopen = () => settle(true); });
  assert.ok(await within('the WebSocket to open', Promise.race([opened, closed.then(() => false)])), 'the tail takes the connection');
  assert.equal(socket.protocol, 'trace-v1');
  return { events, closed, close: () => socket.close() };
}

const paths = (follower) => follower.events.map((one) => new URL(one.event.request.url).pathname);

test('each follower gets every event', async () => {
  await upload(server, 'many', code);
  const tails = [];
  for (let i = 0; i < 10; i += 1) tails.push(await begin('many'));
  refused(await script(server, 'many', 'POST', '/tails', { json: {} }), 429, 10429, /limit/);
  const followers = await Promise.all(tails.map((tail) => follow(tail)));
  for (let i = 0; i < 20; i += 1) await request(server, 'many', `/${i}`);
  await until('all events are there', () => followers.every((one) => one.events.length === 20));
  assert.deepEqual(paths(followers[0]), Array.from({ length: 20 }, (_, i) => `/${i}`));
  assert.deepEqual(followers[9].events[3].logs[0].message, ['path', '/3']);
  for (const tail of tails) ok(await script(server, 'many', 'DELETE', `/tails/${tail.id}`));
  assert.deepEqual(await Promise.all(followers.map((one) => within('the end of a tail', one.closed))), Array(10).fill(1000));
  refused(await script(server, 'many', 'DELETE', `/tails/${tails[0].id}`), 404, 7404);
});

test('one follower at a time; who comes back finds the tail', async () => {
  await upload(server, 'single', code);
  const tail = await begin('single');
  assert.ok(Date.parse(tail.expires_at) > Date.now());
  const first = await follow(tail);
  await assert.rejects(follow(tail));
  first.close();
  await first.closed;
  const second = await until('the tail is free again', () => follow(tail).catch(() => undefined));
  await request(server, 'single', '/again');
  await until('the event is there', () => second.events.length === 1);
  second.close();
});

test('exceptions, outcomes and statuses are told', async () => {
  await upload(server, 'failing', { 'i.js': `export default { fetch(r) {
    if (r.url.endsWith('/throw')) throw new TypeError('thrown on purpose');
    return new Response('gone', { status: 410 });
  } };` });
  const follower = await follow(await begin('failing'));
  await request(server, 'failing', '/throw', { headers: { authorization: 'Bearer hush', cookie: 'a=hush' } });
  await request(server, 'failing', '/gone');
  await until('both are there', () => follower.events.length === 2);
  const [thrown, gone] = follower.events;
  assert.equal(thrown.outcome, 'exception');
  assert.deepEqual([thrown.exceptions[0].name, thrown.exceptions[0].message], ['TypeError', 'thrown on purpose']);
  assert.ok(!JSON.stringify(thrown).includes('hush'), 'credentials are redacted');
  assert.deepEqual([gone.outcome, gone.event.response.status], ['ok', 410]);
  follower.close();
});

test('filters decide what is sent, and bad ones are refused', async () => {
  await upload(server, 'filtered', code);
  const follower = await follow(await begin('filtered', [{ method: ['POST'] }]));
  await request(server, 'filtered', '/get');
  await request(server, 'filtered', '/post', { method: 'POST' });
  await until('the POST is there', () => follower.events.length > 0);
  assert.deepEqual(paths(follower), ['/post']);
  refused(await script(server, 'filtered', 'POST', '/tails', { json: { filters: 'all' } }), 400, 7400);
  refused(await script(server, 'filtered', 'POST', '/tails', { body: '{', headers: { 'content-type': 'text/plain' } }), 400, 7400);
  refused(await server.request('GET', '/dione/tails/ffffffffffffffffffffffffffffffff', { token: null }), 404, 7404);
});

test('a redeploy keeps the tail; the Worker that goes ends it; so does the server', async () => {
  await upload(server, 'going', code);
  const follower = await follow(await begin('going'));
  await request(server, 'going', '/before');
  await upload(server, 'going', code);
  await until('the new version is tailed', async () => {
    await request(server, 'going', '/after');
    return paths(follower).includes('/after');
  });
  ok(await script(server, 'going', 'DELETE'));
  assert.equal(await within('the end of the tail', follower.closed), 1000);
  await upload(server, 'last', code);
  const last = await follow(await begin('last'));
  const vanished = await follow(await begin('last'));
  vanished.close();
  await server.stop();
  assert.ok(await within('the end with the server', last.closed) >= 1000);
});
