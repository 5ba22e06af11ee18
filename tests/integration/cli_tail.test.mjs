// `dione tail`: events of a deployed Worker over a WebSocket, for people and for programs, filtered, until Ctrl-C.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { before, test } from 'node:test';
import { atEnd, binary, scope, startServer, until, uniqueName, within } from '../lib/server.mjs';
import { dioneProject } from '../lib/clients.mjs';

const file = scope();
let server;
let port;
let project;
const name = uniqueName('tail');

const workersPort = (one) => until('the server says where Workers answer',
  () => /Workers answer at http:\/\/127\.0\.0\.1:(\d+)/.exec(one.stderr)?.[1]);

before(async () => {
  server = await startServer(file, { args: ['--workers-listen', '127.0.0.1:0'] });
  port = await workersPort(server);
  project = await dioneProject(file, server);
  await project.write('worker.js', `export default {
    fetch(request) {
      const path = new URL(request.url).pathname;
      console.log('saw', { path }, 7);
      if (path === '/steer') console.warn('\\u001b[2Jgone');
      if (path === '/throw') throw new TypeError('boom');
      return new Response('ok');
    },
  };`);
  await project.write('wrangler.json', JSON.stringify({ name, main: 'worker.js', compatibility_date: '2026-01-01' }));
  await project.dione(['deploy']);
});

function visit(path, method = 'GET') {
  return new Promise((settle, reject) => {
    request({ host: '127.0.0.1', port, path, method, headers: { host: `${name}.localhost` } },
      (response) => response.resume().on('end', () => settle(response.statusCode))).on('error', reject).end();
  });
}

/** A tail that is connected. */
async function tail(t, ...words) {
  const child = spawn(binary, ['tail', ...words], { cwd: project.folder, env: { ...project.env, TZ: 'UTC' }, stdio: ['ignore', 'pipe', 'pipe'] });
  atEnd(t, async () => { if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL'); });
  const out = { child, stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr']) child[stream].setEncoding('utf8').on('data', (text) => { out[stream] += text; });
  out.ended = once(child, 'close').then(([code, signal]) => code ?? signal);
  out.sees = (text) => until(`the tail shows ${text}`, () => {
    assert.ok(child.exitCode === null, `it ended: ${out.stderr}`);
    return out.stdout.includes(text);
  });
  out.events = () => out.stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line));
  return out;
}

/** Its events come only once it is connected, so knock until the first one is there. */
async function knocked(tailed, path = '/knock') {
  await until('the tail is connected', async () => { await visit(path); return tailed.stdout.includes(path); });
}

test('pretty: requests, logs and exceptions; nothing steers the terminal; Ctrl-C ends it with 0', async (t) => {
  const tailed = await tail(t, name, '--format', 'pretty');
  await knocked(tailed);
  assert.match(tailed.stderr, new RegExp(`Connected to '${name}', waiting for events`));
  await visit('/throw');
  await visit('/steer');
  await tailed.sees('(warn)');
  assert.match(tailed.stdout, /GET http:\/\/[^ ]+\/knock - Ok @ \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n {2}\(log\) saw \{"path":"\/knock"\} 7\n/);
  assert.match(tailed.stdout, /\/throw - Exception Thrown @ [^]*TypeError: boom/);
  assert.match(tailed.stdout, /\(warn\) \\u001b\[2Jgone/);
  tailed.child.kill('SIGINT');
  assert.equal(await within('the end of the tail', tailed.ended), 0);
  assert.doesNotMatch(tailed.stderr, /dione:/);
});

test('json is the default without a terminal: one event a line', async (t) => {
  const tailed = await tail(t);
  await knocked(tailed);
  const [event] = tailed.events();
  assert.equal(event.outcome, 'ok');
  assert.equal(event.scriptName, name);
  assert.equal(event.event.request.method, 'GET');
  assert.deepEqual(event.logs[0].message, ['saw', { path: '/knock' }, 7]);
});

test('filters: status, method and search', async (t) => {
  const failed = await tail(t, '--status', 'error', '--json');
  const puts = await tail(t, '--method', 'PUT', '--search', 'needle', '--json');
  await until('both are connected', async () => {
    await visit('/throw');
    await visit('/needle', 'PUT');
    return failed.stdout && puts.stdout;
  });
  await visit('/fine');
  await visit('/haystack', 'PUT');
  await visit('/needle', 'GET');
  await visit('/throw-not');
  const seen = failed.events().length + puts.events().length;
  await until('the next ones are there', async () => {
    await visit('/throw');
    await visit('/needle', 'PUT');
    return failed.events().length + puts.events().length >= seen + 2;
  });
  for (const event of failed.events()) assert.equal(event.outcome, 'exception');
  for (const event of puts.events()) assert.match(`${event.event.request.method} ${event.event.request.url}`, /^PUT .*needle$/);
});

test('a server that comes back is found again', async (t) => {
  const own = await startServer(t, { args: ['--workers-listen', '127.0.0.1:0'] });
  own.listen = new URL(own.url).host;
  const there = ['--url', own.url, '--token', own.token];
  await project.dione(['deploy', ...there]);
  const tailed = await tail(t, '--format', 'pretty', ...there);
  await until('it is connected', () => tailed.stderr.includes('waiting for events'));
  await own.kill9();
  await until('the loss is told', () => tailed.stderr.includes('trying again'));
  await own.start();
  await until('it is connected again', () => tailed.stderr.includes('again.'));
});

test('what makes no sense is refused', async () => {
  const fails = async (words, message) => {
    const done = await project.tryDione(['tail', ...words]);
    assert.equal(done.code, 1, done.stderr);
    assert.match(done.stderr, message);
  };
  await fails(['no-such-worker'], /there is no Worker 'no-such-worker'/);
  await fails(['--format', 'xml'], /pretty or json/);
  await fails(['--status', 'odd'], /ok, error or canceled/);
  await fails(['--sampling-rate', '2'], /between 0 and 1/);
  await fails(['--local'], /no server runs|data directory|there is no Worker/);
});

/** A server that makes tails and then answers the handshake with `bytes`. */
async function oddServer(t, bytes) {
  let upgrades = 0;
  const odd = createServer((req, res) => {
    res.setHeader('content-type', 'application/json');
    const { port: at } = odd.address();
    res.end(JSON.stringify({ success: true, errors: [], messages: [], result: { id: 'x', url: `ws://127.0.0.1:${at}/ws`, expires_at: 'later' } }));
  });
  odd.on('upgrade', (req, socket) => {
    upgrades += 1;
    const accept = createHash('sha1').update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    socket.on('error', () => {});
    socket.end(bytes(accept));
  });
  odd.listen(0, '127.0.0.1');
  await once(odd, 'listening');
  atEnd(t, async () => { odd.closeAllConnections(); odd.close(); });
  return { url: `http://127.0.0.1:${odd.address().port}`, upgrades: () => upgrades };
}

const open = (accept, ...frames) => Buffer.concat([
  Buffer.from(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`), ...frames]);
const text = (payload) => Buffer.concat([Buffer.from([0x81, payload.length]), Buffer.from(payload)]);
const close = (code) => Buffer.from([0x88, 2, code >> 8, code & 255]);

test('a server that closes in order ends the tail; what came with the handshake is shown', async (t) => {
  const odd = await oddServer(t, (accept) => open(accept, text('{"outcome":"ok","n":1}'), Buffer.from([0x89, 0]), close(1000)));
  const done = await project.tryDione(['tail', name, '--url', odd.url, '--token', 'x']);
  assert.equal(done.code, 0, done.stderr);
  assert.equal(done.stdout, '{"outcome":"ok","n":1}\n');
});

test('a handshake that is none is an error', async (t) => {
  for (const bytes of [() => 'HTTP/1.1 200 OK\r\n\r\n', () => open('d3Jvbmc='), () => 'x'.repeat(20_000), () => '']) {
    const odd = await oddServer(t, bytes);
    const done = await project.tryDione(['tail', name, '--url', odd.url, '--token', 'x']);
    assert.equal(done.code, 1);
    assert.match(done.stderr, /no WebSocket|connection is lost/);
  }
});

test('frames that make no sense lose the connection, and it is tried again', async (t) => {
  const nonsense = [Buffer.from([0xFF, 0xFF, 1, 2, 3]), Buffer.from([0x81, 127, 0x7F, 255, 255, 255, 255, 255, 255, 255]), Buffer.from([0x83, 0]),
    Buffer.concat([text('no event'), close(1011)])];
  for (const frame of nonsense) {
    const odd = await oddServer(t, (accept) => open(accept, frame));
    const tailed = await tail(t, name, '--url', odd.url, '--token', 'x');
    await until('it tries again', () => odd.upgrades() >= 2);
    assert.match(tailed.stderr, /trying again/);
    tailed.child.kill('SIGINT');
    assert.equal(await within('its end', tailed.ended), 0);
  }
});
