// Import and export by hand, step by step as the protocol has it, and a comparison of two databases by content.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { request } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { ok } from './server.mjs';

export const md5 = (bytes) => createHash('md5').update(bytes).digest('hex');

export async function md5OfFile(path) {
  const hash = createHash('md5');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** PUT of a file with its Content-Length, from disk, without credentials: what wrangler does with an upload URL. */
export async function putFile(url, path) {
  const { size } = await stat(path);
  return new Promise((settle, reject) => {
    const sending = request(url, { method: 'PUT', headers: { 'content-length': size } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => { text += part; });
      response.on('end', () => settle({ status: response.statusCode, etag: response.headers.etag, text }));
      response.on('error', reject);
    });
    sending.on('error', reject);
    pipeline(createReadStream(path), sending).catch(reject);
  });
}

export async function put(url, bytes) {
  const response = await fetch(url, { method: 'PUT', body: bytes });
  return { status: response.status, etag: response.headers.get('etag'), text: await response.text() };
}

const importCall = (server, id, json) => server.database(id, 'POST', '/import', { json });

/** Polls an import to its end; gives the last status object. `onStatus` sees every one. */
export async function followImport(server, id, status, onStatus = () => {}) {
  for (;;) {
    onStatus(status);
    if (status.success !== true) return status;
    assert.equal(status.type, 'import');
    assert.ok(Array.isArray(status.messages), 'messages is an array in every import status');
    if (status.status !== 'active') return status;
    status = (await importCall(server, id, { action: 'poll', current_bookmark: status.at_bookmark })).body.result;
  }
}

/** The whole import protocol, for text or bytes, or for a file (`{path}`). Gives the last status object. */
export async function tryImport(server, id, source, onStatus) {
  const etag = source.path ? await md5OfFile(source.path) : md5(source);
  const init = ok(await importCall(server, id, { action: 'init', etag }));
  let status = init;
  if (init.upload_url) {
    assert.ok(init.filename, 'init names the file');
    const uploaded = source.path ? await putFile(init.upload_url, source.path) : await put(init.upload_url, source);
    assert.equal(uploaded.status, 200, `upload refused: ${uploaded.text}`);
    assert.equal(uploaded.etag?.replace(/^"|"$/g, ''), etag, 'the upload is answered with the MD5 as its ETag');
    const answer = await importCall(server, id, { action: 'ingest', filename: init.filename, etag });
    status = answer.body.result;
    assert.ok(status, `ingest gave no status: HTTP ${answer.status} ${answer.text}`);
  }
  return followImport(server, id, status, onStatus);
}

export async function importInto(server, id, source) {
  const status = await tryImport(server, id, source);
  assert.equal(status.status, 'complete', `import failed: ${JSON.stringify(status)}`);
  return status.result;
}

/** The export protocol up to the signed URL; gives the last status object. */
export async function tryExport(server, id, dump = {}) {
  const json = { output_format: 'polling', dump_options: { no_schema: false, no_data: false, tables: [], ...dump } };
  for (;;) {
    const status = (await server.database(id, 'POST', '/export', { json })).body.result;
    if (status?.success !== true) return status;
    assert.equal(status.type, 'export');
    assert.ok(Array.isArray(status.messages), 'messages is an array in every export status');
    if (status.status !== 'active') return status;
    json.current_bookmark = status.at_bookmark;
  }
}

export async function exportText(server, id, dump) {
  const status = await tryExport(server, id, dump);
  assert.equal(status?.status, 'complete', `export failed: ${JSON.stringify(status)}`);
  const response = await fetch(status.result.signed_url);  // no credentials, as wrangler does it
  assert.equal(response.status, 200);
  return response.text();
}

/** The raw SQLite file of a database. */
export async function exportSqlite(server, id) {
  const response = await fetch(new URL(`/accounts/local/d1/database/${id}/export/sqlite`, server.url),
    { headers: { authorization: `Bearer ${server.token}` } });
  const bytes = Buffer.from(await response.arrayBuffer());
  assert.equal(response.status, 200, bytes.subarray(0, 500).toString());
  return bytes;
}

/** A database that holds what an export of `id` says. */
export async function reimported(server, id) {
  const copy = await server.fresh();
  await importInto(server, copy, await exportText(server, id));
  return copy;
}

const quoted = (name) => `"${name.replaceAll('"', '""')}"`;

/**
 * Everything a database holds, as plain data: the schema in order of name, and every table's rows with each value's
 * type and exact bytes. `skip` leaves tables out (shadow tables of a virtual table: same content, other layout).
 */
export async function contentOf(server, id, skip = () => false) {
  const schema = (await server.rows(id,
    `SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name`))
    .filter(({ tbl_name: table }) => !skip(table));
  const tables = schema.filter(({ type }) => type === 'table').map(({ name }) => name);
  const rows = {};
  for (const table of tables) {
    // pragma_table_xinfo names generated columns too; hidden = 1 are the arguments of virtual tables.
    const columns = (await server.rows(id, 'SELECT name FROM pragma_table_xinfo(?1) WHERE hidden <> 1', [table]));
    const exact = columns.map(({ name }, index) => {
      const c = quoted(name);
      return `CASE WHEN typeof(${c}) IN ('text','blob') THEN typeof(${c}) || ':' || hex(${c}) ELSE quote(${c}) END AS c${index}`;
    });
    const answer = ok(await server.database(id, 'POST', '/raw',
      { json: { sql: `SELECT ${exact.join(', ')} FROM ${quoted(table)}` } }));
    rows[table] = answer[0].results.rows.map((row) => row.join('\u0001')).sort();
  }
  return { schema, rows };
}

export async function assertSameContent(server, left, right, { skip, otherServer = server } = {}) {
  const [a, b] = [await contentOf(server, left, skip), await contentOf(otherServer, right, skip)];
  assert.deepEqual(b.schema, a.schema, 'the schemas are the same');
  for (const table of Object.keys(a.rows)) assert.deepEqual(b.rows[table], a.rows[table], `the rows of ${table} are the same`);
  return a;
}
