// What peers, disks and file systems do to a server: none of it may kill it, hang it or pass without a clear word.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, open, readdir, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { atEnd, makeServer, ok, refused, scope, serveHas, startServer, tempDir, until } from '../lib/server.mjs';
import { openSocket } from '../lib/socket.mjs';

const file = scope();
let server;
let id;
before(async () => {
  server = await startServer(file);
  id = await server.fresh('CREATE TABLE t (a)');
});

const head = (lines, token = server.token) => ['POST /accounts/local/d1/database/' + id + '/query HTTP/1.1', 'Host: dione',
  `Authorization: Bearer ${token}`, ...lines, '', ''].join('\r\n');
const range = (n) => Array.from({ length: n }, (_, i) => i);

describe('hostile HTTP', () => {
  test('a body of 200 MB is refused with 413 and the server lives', async (t) => {
    const peer = await openSocket(t, server);
    const size = 200 * 1024 * 1024;
    await peer.send(head([`Content-Length: ${size}`]));
    const piece = Buffer.alloc(1024 * 1024, 'x');
    const sending = (async () => { for (let sent = 0; sent < size && !peer.gone; sent += piece.length) await peer.send(piece); })();
    assert.equal((await peer.answer())?.status, 413);
    await sending;
    await server.assertAlive();
  });

  test('a body of 200 MB in chunks, without a length, is refused with 413', async (t) => {
    const peer = await openSocket(t, server);
    await peer.send(head(['Transfer-Encoding: chunked']));
    const piece = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(0x100000, 'x'), Buffer.from('\r\n')]);
    const sending = (async () => { for (let i = 0; i < 200 && !peer.gone; i += 1) await peer.send(piece); })();
    assert.equal((await peer.answer())?.status, 413);
    await sending;
    await server.assertAlive();
  });

  test('a stranger may not even begin to send a big body', async (t) => {
    const peer = await openSocket(t, server);
    await peer.send(head(['Content-Length: 104857600'], 'wrong'));
    await peer.send(Buffer.alloc(65536, 'x'));
    assert.ok([401, 403, 413].includes((await peer.answer())?.status));
  });

  for (const [what, lines] of [
    ['one header of 1 MB', () => [`X-Long: ${'x'.repeat(1024 * 1024)}`]],
    ['1 MB of small headers', () => range(40_000).map((i) => `X-Header-${i}: some value`)],
  ]) {
    test(`${what} is refused with 431 and the server lives`, async (t) => {
      const peer = await openSocket(t, server);
      await peer.send(head([...lines(), 'Content-Length: 2']));
      assert.equal((await peer.answer())?.status, 431);
      await server.assertAlive();
    });
  }

  test('an address of 1 MB is refused', async (t) => {
    const peer = await openSocket(t, server);
    await peer.send(`GET /${'a'.repeat(1024 * 1024)} HTTP/1.1\r\nHost: dione\r\n\r\n`);
    assert.ok([400, 414, 431].includes((await peer.answer())?.status));
    await server.assertAlive();
  });

  test('bytes that are no HTTP are refused or cut off', async (t) => {
    for (const bytes of ['\r\n\r\n\u0000\u0001\u0002\r\n\r\n', 'HELO there\r\n\r\n', 'GET\r\n\r\n', 'GET / HTTP/9.9\r\n\r\n', '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'GET / HTTP/1.1\r\nNo colon here\r\n\r\n', 'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: minus\r\n\r\n',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nxx\r\n']) {
      const peer = await openSocket(t, server);
      await peer.send(Buffer.from(bytes, 'latin1'));
      const answer = await peer.answer();
      assert.ok(answer === undefined || answer.status >= 400, `${JSON.stringify(bytes)} got HTTP ${answer?.status}`);
      if (answer) await peer.closed(`the server to close after ${JSON.stringify(bytes)}`);
    }
    await server.assertAlive();
  });

  test('a request with two ideas of its length is refused and the connection closed', async (t) => {
    const peer = await openSocket(t, server);
    await peer.send(head(['Content-Length: 6', 'Transfer-Encoding: chunked']) + '0\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal((await peer.answer())?.status, 400);
    await peer.closed();
  });

  test('requests in one packet are answered one after the other, in order', async (t) => {
    const peer = await openSocket(t, server);
    const one = (sql) => { const body = JSON.stringify({ sql }); return head([`Content-Length: ${Buffer.byteLength(body)}`]) + body; };
    await peer.send(range(50).map((i) => one(i % 3 === 1 ? `INSERT INTO t VALUES (${i}) RETURNING a AS n` : `SELECT ${i} AS n`)).join(''));
    for (const i of range(50)) {
      const answer = await peer.answer();
      assert.equal(answer.status, 200);
      assert.deepEqual(JSON.parse(answer.body).result[0].results, [{ n: i }]);
    }
  });

  test('Expect: 100-continue is answered before the body comes', async (t) => {
    const peer = await openSocket(t, server);
    const body = '{"sql":"SELECT 5 AS five"}';
    await peer.send(head([`Content-Length: ${body.length}`, 'Expect: 100-continue']));
    assert.equal((await peer.answer())?.status, 100);
    await peer.send(body);
    assert.deepEqual(JSON.parse((await peer.answer()).body).result[0].results, [{ five: 5 }]);
  });

  test('HEAD answers without a body, and Connection: close closes', async (t) => {
    const peer = await openSocket(t, server);
    await peer.send('HEAD /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    await peer.closed();
    assert.match(peer.received, /^HTTP\/1\.1 200 /);
    assert.equal(peer.received.split('\r\n\r\n')[1], '', 'nothing after the head');
  });

  test('paths with escapes lead nowhere but where they say', async (t) => {
    for (const path of ['/../../etc/passwd', '/accounts/local/d1/database/%2e%2e%2f%2e%2e%2ftoken', '/accounts/local/d1/database/..%2f..%2ftoken',
      '/accounts/local%00/d1/database', '/accounts/local/d1/database/%ff%fe', '/accounts/local/d1/database/%zz', '//accounts/local/d1/database', '/accounts//d1/database']) {
      const peer = await openSocket(t, server);  // a URL of JavaScript would tidy them up
      await peer.send(`GET ${path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${server.token}\r\n\r\n`);
      const answer = await peer.answer();
      assert.ok(answer?.status >= 400 && answer.status < 500, `${path} got HTTP ${answer?.status}`);
      assert.equal(JSON.parse(answer.body).success, false, path);
    }
  });

  test('a request that comes drop by drop is closed with 408', async (t) => {
    if (!await serveHas('--request-timeout')) return t.skip('dione serve has no --request-timeout to shorten the limit with');
    const own = await startServer(t, { args: ['--request-timeout', '400'] });
    const ownId = await own.fresh();
    const auth = `Authorization: Bearer ${own.token}\r\n`;
    for (const [what, start] of [['head', 'POST /health HTTP/1.1\r\nX-Slow: '],
      ['body', `POST /accounts/local/d1/database/${ownId}/query HTTP/1.1\r\nHost: a\r\n${auth}Content-Length: 1000000\r\n\r\n{`]]) {
      const peer = await openSocket(t, own);
      await peer.send(start);
      const drip = setInterval(() => { if (!peer.gone) peer.socket.write('x'); }, 20);
      atEnd(t, () => clearInterval(drip));
      const answer = await peer.answer();
      clearInterval(drip);
      assert.equal(answer?.status, 408, `slow ${what}`);
      await peer.closed();
      assert.equal(await own.value(ownId, 'SELECT 1'), 1);
    }
    // The limit is on requests, not on connections at rest between them.
    const patient = await openSocket(t, own);
    const request = 'GET /health HTTP/1.1\r\nHost: a\r\n\r\n';
    await patient.send(request);
    assert.equal((await patient.answer()).status, 200);
  });

  test('a client that does not read its big answer does not hold up others', async (t) => {
    const big = await server.fresh(`CREATE TABLE t (a); INSERT INTO t SELECT hex(zeroblob(5000)) FROM
      (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 2000) SELECT n FROM c)`);
    for (let i = 0; i < 4; i += 1) {
      const peer = await openSocket(t, server);
      peer.socket.pause();
      const body = '{"sql":"SELECT a FROM t"}';
      await peer.send(`POST /accounts/local/d1/database/${big}/query HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${server.token}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    }
    for (let i = 0; i < 20; i += 1) await server.query(big, 'INSERT INTO t VALUES (1)');
    assert.equal(await server.value(big, 'SELECT count(*) FROM t'), 2020);
  });

  test('10,000 idle connections leave the server answering', async (t) => {
    const wanted = 10_000;
    const room = wanted + 2000;  // for databases, and for what the server keeps back
    const hard = execFileSync('sh', ['-c', 'ulimit -Hn']).toString().trim();
    if (hard !== 'unlimited' && Number(hard) < room) return t.skip(`the limit of open files is ${hard}`);
    // Node raises its own soft limit; the server's is raised here, as a service manager would do it.
    const own = await startServer(t, { command: (line) => ['sh', '-c', `ulimit -n ${room}; exec "$@"`, 'sh', ...line] });
    const ownId = await own.fresh('CREATE TABLE t (a)');
    const peers = [];
    for (let i = 0; i < wanted; i += 500) peers.push(...await Promise.all(range(500).map(() => openSocket(t, own))));
    assert.equal(peers.filter((peer) => peer.gone).length, 0, 'all are connected');
    await own.query(ownId, 'INSERT INTO t VALUES (1)');
    assert.equal(await own.value(ownId, 'SELECT count(*) FROM t'), 1);
    await peers[0].send('GET /health HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal((await peers[0].answer())?.status, 200, 'the first of them is served too');
    await peers.at(-1).send('GET /health HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal((await peers.at(-1).answer())?.status, 200, 'and the last');
    await own.stop();
  });

  test('more connections than the server has file descriptors do no lasting harm', async (t) => {
    const own = await startServer(t, { command: (line) => ['sh', '-c', 'ulimit -n 100; exec "$@"', 'sh', ...line] });
    const ownId = await own.fresh('CREATE TABLE t (a)');
    const peers = await Promise.all(range(300).map(() => openSocket(t, own)));
    for (const peer of peers) peer.socket.destroy();
    await until('the server answers again', async () => {
      const answer = await own.tryQuery(ownId, 'INSERT INTO t VALUES (1)').catch(() => undefined);
      return answer?.status === 200;
    });
    assert.ok(await own.value(ownId, 'SELECT count(*) FROM t') >= 1);
    await own.stop();
  });
});

describe('hostile SQL', () => {
  test('statements that want too much are refused and the server lives', async () => {
    const deep = (open, close, n) => open.repeat(n) + '1' + close.repeat(n);
    for (const sql of [`SELECT ${deep('(', ')', 30_000)}`, `SELECT ${deep('abs(', ')', 5000)}`, `SELECT ${'-'.repeat(3)}${'~'.repeat(50_000)}1`,
      `SELECT ${'x'.repeat(99_000)}`, `SELECT randomblob(1000000000)`, 'SELECT zeroblob(2147483647)', "SELECT replace(hex(zeroblob(1000000)), '0', hex(zeroblob(1000000)))",
      "SELECT json_extract('" + '['.repeat(40_000) + "', '$')", 'CREATE VIRTUAL TABLE x USING nothing(a)', "SELECT fts5(NULL)", 'SELECT writefile(1,2)', "SELECT readfile('/etc/passwd')", "SELECT edit('x')"]) {
      const answer = await server.tryQuery(id, sql);
      refused(answer, 400, 7500);
    }
    await server.assertAlive();
    assert.equal(await server.value(id, 'SELECT 1'), 1);
  });

  test('a trigger that calls itself for ever is stopped', async () => {
    const own = await server.fresh('CREATE TABLE r (a); CREATE TRIGGER rr AFTER INSERT ON r BEGIN INSERT INTO r VALUES (new.a + 1); END');
    const answer = await server.tryQuery(own, 'PRAGMA recursive_triggers = ON; INSERT INTO r VALUES (1)');
    if (answer.status !== 200) refused(answer, 400, 7500, /trigger/);
    assert.ok(await server.value(own, 'SELECT count(*) FROM r') <= 10);
  });

  test('a view over itself, a schema with nonsense and broken triggers give errors', async () => {
    const own = await server.fresh('CREATE TABLE t (a); CREATE VIEW a AS SELECT * FROM b; CREATE VIEW b AS SELECT * FROM a; CREATE TRIGGER bad AFTER INSERT ON t BEGIN INSERT INTO nowhere VALUES (1); END');
    refused(await server.tryQuery(own, 'SELECT * FROM a'), 400, 7500, /circularly defined/);
    refused(await server.tryQuery(own, 'INSERT INTO t VALUES (1)'), 400, 7500, /no such table: (main\.)?nowhere/);
    for (const sql of ["UPDATE sqlite_master SET sql = 'x'", 'DROP TABLE sqlite_master', 'PRAGMA writable_schema = ON', 'DELETE FROM sqlite_schema']) refused(await server.tryQuery(own, sql), 400, 7500);
  });
});

describe('hostile files', () => {
  const damage = async (path, offset, length) => {
    const file = await open(path, 'r+');
    await file.write(Buffer.alloc(length, 0xa5), 0, length, offset);
    await file.sync();
    await file.close();
  };
  const filler = `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t SELECT n, hex(randomblob(200)) FROM
    (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 2000) SELECT n FROM c)`;

  test('a damaged database gives a clear error and the others live', async (t) => {
    const own = await startServer(t);
    const [middle, header, short, good] = await Promise.all(range(4).map(() => own.fresh(filler)));
    await own.stop();
    const file = (name) => join(own.data, 'd1', name, 'db.sqlite');
    const { size } = await stat(file(middle));
    assert.ok(size > 40 * 4096, 'the checkpoint at the end brought the rows into the file');
    await damage(file(middle), 4096 * 2, size - 4096 * 3);
    await damage(file(header), 0, 4096);
    const cut = await open(file(short), 'r+');
    await cut.truncate(4096 * 3 + 100);
    await cut.close();
    await own.start();
    for (const bad of [middle, header, short]) {
      for (const sql of ['SELECT sum(length(a)) FROM t', "UPDATE t SET a = 'x'"]) {
        const answer = await own.tryQuery(bad, sql);
        assert.ok(answer.status >= 400, `${sql} on a damaged file got HTTP ${answer.status}`);
        assert.match(answer.body.errors[0].message, /malformed|not a database|corrupt|damaged/i);
      }
    }
    assert.equal(await own.value(good, 'SELECT count(*) FROM t'), 2000);
    await own.query(good, "INSERT INTO t (a) VALUES ('new')");
    assert.ok(ok(await own.account('GET', '/d1/database')).length === 4, 'the list still names all');
    ok(await own.database(header, 'DELETE'));
    await own.stop();
  });

  test('a database whose file is missing says so, and is not replaced by an empty one', async (t) => {
    const own = await startServer(t);
    const [lost, good] = [await own.fresh('CREATE TABLE t (a)'), await own.fresh('CREATE TABLE t (a)')];
    await own.stop();
    for (const name of await readdir(join(own.data, 'd1', lost))) if (name.startsWith('db.sqlite')) await unlink(join(own.data, 'd1', lost, name));
    await own.start();
    const answer = await own.tryQuery(lost, 'SELECT * FROM t');
    assert.ok(answer.status >= 400, answer.text);
    assert.doesNotMatch(answer.body.errors[0].message, /no such table/, 'an empty database in its place would hide the loss');
    assert.deepEqual(await own.rows(good, 'SELECT * FROM t'), []);
  });

  /** A small file system of its own, or the reason why there is none. */
  async function smallDisk(t) {
    const path = await tempDir(t, 'dione-disk-');
    try { execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', path], { stdio: 'pipe' }); } catch (error) {
      return { reason: `a file system of our own needs root: ${String(error.stderr ?? error.message).trim()}` };
    }
    atEnd(t, () => execFileSync('umount', ['-l', path]));
    return { path };
  }

  test('a full disk refuses writes clearly, reads go on, and it heals when space returns', async (t) => {
    const disk = await smallDisk(t);
    if (disk.reason) return t.skip(disk.reason);
    await writeFile(join(disk.path, 'ballast'), Buffer.alloc(3 * 1024 * 1024));
    const own = await startServer(t, { data: join(disk.path, 'data') });
    const [one, two] = [await own.fresh('CREATE TABLE t (i INTEGER PRIMARY KEY, a TEXT)'), await own.fresh("CREATE TABLE t (a); INSERT INTO t VALUES ('other')")];
    const text = 'x'.repeat(20_000);
    let acknowledged = 0;
    const full = await until('the disk is full', async () => {
      const answer = await own.tryQuery(one, 'INSERT INTO t (i, a) VALUES (?, ?)', [acknowledged + 1, text]);
      if (answer.status !== 200) return answer;
      acknowledged += 1;
      assert.ok(acknowledged < 1000, 'more went in than the disk can hold');
      return undefined;
    });
    assert.ok(full.status >= 400, full.text);
    assert.equal(full.body.success, false);
    assert.match(full.body.errors[0].message, /full|disk|space/i);
    for (let i = 0; i < 10; i += 1) {
      assert.equal(await own.value(one, 'SELECT count(*) FROM t'), acknowledged, 'reads go on');
      assert.equal(await own.value(two, 'SELECT a FROM t'), 'other');
      const again = await own.tryQuery(one, 'INSERT INTO t (a) VALUES (?)', [text]);
      if (again.status === 200) acknowledged += 1; else assert.match(again.body.errors[0].message, /full|disk|space/i);
    }
    for (const many of await Promise.all(range(20).map(() => own.tryQuery(one, 'INSERT INTO t (a) VALUES (?)', [text])))) {
      if (many.status === 200) acknowledged += 1; else assert.match(many.body.errors[0].message, /full|disk|space/i);
    }
    const made = await own.account('POST', '/d1/database', { json: { name: 'while-full' } });
    if (made.status !== 200) assert.match(made.body.errors[0].message, /full|disk|space/i);
    await own.assertAlive();
    await unlink(join(disk.path, 'ballast'));
    await own.query(one, 'INSERT INTO t (a) VALUES (?)', ['healed']);
    await own.query(two, "INSERT INTO t VALUES ('healed')");
    assert.equal(await own.value(one, 'SELECT count(*) FROM t'), acknowledged + 1, 'all that was acknowledged is there, and nothing that was refused');
    assert.equal(await own.value(one, "SELECT group_concat(quick_check) FROM pragma_quick_check"), 'ok');
    if (made.status !== 200) ok(await own.account('POST', '/d1/database', { json: { name: 'while-full' } }));
    await own.restart();
    assert.equal(await own.value(one, 'SELECT count(*) FROM t'), acknowledged + 1);
  });

  test('a data directory that is read-only serves reads or says why it cannot', async (t) => {
    const disk = await smallDisk(t);
    if (disk.reason) return t.skip(disk.reason);
    const own = await startServer(t, { data: join(disk.path, 'data') });
    const kept = await own.fresh("CREATE TABLE t (a); INSERT INTO t VALUES ('kept')");
    await own.stop();
    execFileSync('mount', ['-o', 'remount,ro', disk.path]);
    atEnd(t, () => execFileSync('mount', ['-o', 'remount,rw', disk.path]));
    const first = await own.launch();
    if (!first.ready) {
      assert.equal(first.code, 1, own.stderr);
      assert.match(own.stderr, /read-only|readonly|permission|cannot write/i);
      return;
    }
    own.url = first.ready;
    assert.equal(await own.value(kept, 'SELECT a FROM t'), 'kept');
    const write = await own.tryQuery(kept, "INSERT INTO t VALUES ('no')");
    assert.ok(write.status >= 400, write.text);
    assert.match(write.body.errors[0].message, /read-?only/i);
    const made = await own.account('POST', '/d1/database', { json: { name: 'no' } });
    assert.ok(made.status >= 400, made.text);
    await own.stop();
  });

  test('a data directory without permission stops the start with a clear message', async (t) => {
    if (process.getuid() === 0) return t.skip('root may write everywhere');
    const folder = await tempDir(t);
    await chmod(folder, 0o555);
    atEnd(t, () => chmod(folder, 0o755));
    const own = await makeServer(t, { data: join(folder, 'data') });
    const exit = await own.launch();
    assert.equal(exit.code, 1, own.stderr);
    assert.match(own.stderr, /permission/i);
  });
});

describe('hostile starts', () => {
  /** Starts what must not start; gives what it said. */
  async function refusesToStart(t, options, message) {
    const own = await makeServer(t, options);
    if (options.listen) own.listen = options.listen;
    const exit = await own.launch();
    assert.ok(!exit.ready, 'it must not start');
    assert.equal(exit.code, 1, `signal ${exit.signal}, stderr:\n${own.stderr}`);
    assert.match(own.stderr, message);
    assert.doesNotMatch(own.stdout, /ready/);
  }

  test('a port in use ends the start with exit code 1 and a clear message', async (t) => {
    await refusesToStart(t, { listen: new URL(server.url).host }, /in use/i);
  });

  test('a data directory in use by another server is refused', async (t) => {
    await refusesToStart(t, { data: server.data }, /in use|locked|already|another/i);
    await server.assertAlive();
  });

  test('unknown flags are named', async (t) => {
    await refusesToStart(t, { args: ['--no-such-flag'] }, /--no-such-flag/);
    await refusesToStart(t, { args: ['stray'] }, /stray/);
  });

  test('an address that is none is refused', async (t) => {
    for (const listen of ['nonsense', '127.0.0.1', '127.0.0.1:', '127.0.0.1:99999', '127.0.0.1:x', ':', '300.0.0.1:0']) await refusesToStart(t, { listen }, /listen|address|port|host/i);
  });

  test('an address that others can reach needs a flag that says so', async (t) => {
    await refusesToStart(t, { listen: '0.0.0.0:0' }, /loopback|TLS|insecure|flag|--/i);
  });

  test('a data directory that is a file is refused', async (t) => {
    const path = join(await tempDir(t), 'file');
    await writeFile(path, 'not a folder');
    await refusesToStart(t, { data: path }, /directory|folder/i);
  });

  test('a data directory of an unknown format is refused, with its version named', async (t) => {
    const own = await startServer(t);
    await own.stop();
    const { DatabaseSync } = await import('node:sqlite');
    const control = new DatabaseSync(join(own.data, 'control.db'));
    control.exec("UPDATE meta SET value = 4711 WHERE key = 'format'");
    control.close();
    await refusesToStart(t, { data: own.data }, /format 4711/);
  });

  test('a folder that is full of something else is left alone', async (t) => {
    const data = join(await tempDir(t), 'data');
    await mkdir(data);
    await writeFile(join(data, 'control.db'), 'this is no SQLite file, it is somebody\'s text'.repeat(200));
    await refusesToStart(t, { data }, /control\.db|not a database|malformed|damaged/i);
  });
});
