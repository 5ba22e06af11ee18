// The service somebody would write instead: fastify in front of node:sqlite. Written with care, as
// a competent user would: production mode, no logging, WAL with synchronous=FULL, every statement
// prepared once, batches in one transaction, a token check as the other side has one.
//
// POST /query takes the JSON that D1's REST API takes and answers rows in the same envelope.
// usage: node fastify.mjs DATABASE PORT TOKEN

import { timingSafeEqual } from 'node:crypto';
import { createRequire } from 'node:module';
import { DatabaseSync } from 'node:sqlite';

const require = createRequire(new URL('../../tests/package.json', import.meta.url));
const Fastify = require('fastify');

const [path, port, token] = process.argv.slice(2);
const db = new DatabaseSync(path);
db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');

const cache = new Map();
function statement(sql) {
  let found = cache.get(sql);
  if (!found) {
    const prepared = db.prepare(sql);
    found = { prepared, reads: prepared.columns().length > 0 };
    cache.set(sql, found);
  }
  return found;
}

function execute({ sql, params = [] }) {
  const { prepared, reads } = statement(sql);
  if (reads) return { results: prepared.all(...params), success: true };
  const { changes, lastInsertRowid } = prepared.run(...params);
  return { results: [], success: true, meta: { changes, last_row_id: lastInsertRowid } };
}

const begin = db.prepare('BEGIN IMMEDIATE');
const commit = db.prepare('COMMIT');
const rollback = db.prepare('ROLLBACK');
function transaction(list) {
  begin.run();
  try {
    const result = list.map(execute);
    commit.run();
    return result;
  } catch (error) {
    rollback.run();
    throw error;
  }
}

const expected = Buffer.from(`Bearer ${token}`);
const app = Fastify({ logger: false, bodyLimit: 100 << 20 });

app.addHook('onRequest', (request, reply, done) => {
  const given = Buffer.from(request.headers.authorization ?? '');
  if (given.length === expected.length && timingSafeEqual(given, expected)) done();
  else reply.code(401).send({ success: false, errors: [{ message: 'Authentication error' }] });
});
app.setErrorHandler((error, request, reply) => {
  reply.code(400).send({ success: false, errors: [{ message: error.message }], result: null });
});
app.post('/query', (request, reply) => {
  const body = request.body;
  const result = body.batch ? transaction(body.batch) : [execute(body)];
  reply.send({ success: true, errors: [], messages: [], result });
});

await app.listen({ host: '127.0.0.1', port: Number(port) });
console.log(`ready http://127.0.0.1:${app.server.address().port}`);
