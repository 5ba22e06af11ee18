// What is asked of every peer, and the table that it is asked about. The rows are made up but shaped like a shop's
// catalogue, and always the same.

export const ROWS = 100_000;
const INSERT_BYTES = 80_000; // D1 refuses statements above 100 KB

export const schema = [
  'CREATE TABLE item (id INTEGER PRIMARY KEY, sku TEXT NOT NULL, name TEXT NOT NULL, category TEXT NOT NULL, ' +
    'price REAL NOT NULL, stock INTEGER NOT NULL, created_at TEXT NOT NULL, note TEXT)',
  'CREATE TABLE event (id INTEGER PRIMARY KEY, item INTEGER NOT NULL, kind TEXT NOT NULL, amount REAL NOT NULL, ' +
    'at TEXT NOT NULL)',
];

const words = ('amber basin cedar delta ember fjord grove harbor inlet jade keel lumen maple north oak pearl quartz ' +
  'river stone tidal umber vale willow xenon yarrow zephyr').split(' ');
const categories = ['kitchen', 'garden', 'office', 'travel', 'sound', 'light', 'repair', 'play'];

/** Row `id` as SQL literals; the same id always gives the same row. */
export function itemValues(id) {
  let state = Math.imul(id, 0x9e3779b1) >>> 0;
  const random = (n) => {
    state = (Math.imul(state ^ (state >>> 15), 0x85ebca6b) + 0x6d2b79f5) >>> 0;
    return (state ^ (state >>> 13)) % n;
  };
  const word = () => words[random(words.length)];
  const sku = `SKU-${String(random(1e6)).padStart(6, '0')}`;
  const note = random(5) === 0 ? 'NULL' : `'${Array.from({ length: 4 + random(8) }, word).join(' ')}'`;
  const day = new Date(1577836800000 + random(2000) * 86400000).toISOString().slice(0, 19);
  return `${id},'${sku}','${word()} ${word()} ${word()}','${categories[random(8)]}',` +
    `${(random(100000) / 100).toFixed(2)},${random(1000)},'${day}Z',${note}`;
}

/** The statements that fill `item`, several rows each. */
export function* itemInserts(rows = ROWS) {
  let text = '';
  for (let id = 1; id <= rows; id += 1) {
    text += `${text ? ',' : 'INSERT INTO item VALUES '}(${itemValues(id)})`;
    if (text.length > INSERT_BYTES || id === rows) {
      yield text;
      text = '';
    }
  }
}

const columns = 'id, sku, name, category, price, stock, created_at, note';
const point = { name: 'read', sql: `SELECT ${columns} FROM item WHERE id = ?1`, params: ['{key}'], rows: 1,
  keys: [1, ROWS], expect: '"id":{key},' };
const update = { name: 'write', sql: 'UPDATE item SET stock = ?1 WHERE id = ?2', params: ['{seq}', '{key}'],
  keys: [1, ROWS], expect: '"success":true' };
const range = (count) => ({ name: 'read', sql: `SELECT ${columns} FROM item WHERE id >= ?1 ORDER BY id LIMIT ${count}`,
  params: ['{key}'], rows: count, keys: [1, ROWS - count + 1], expect: '"id":{key},', minBody: count * 120 });

/**
 * A workload is a weighted list of requests; one with `times` is a batch of that many statements, one transaction.
 * `extra` adds connection counts to 1, 32 and 256; `seconds` is the least time for a workload of slow requests.
 */
export const workloads = {
  point: { title: 'point read by primary key', requests: [point], health: true },
  rows100: { title: '100-row read', requests: [range(100)] },
  rows10k: { title: '10,000-row read', requests: [range(10_000)], seconds: 2 },
  update: { title: 'single-row durable update', requests: [update], extra: [64] },
  batch: {
    title: '100-statement write batch',
    requests: [{ name: 'batch', times: 100, keys: [1, ROWS], expect: '"success":true',
      sql: 'INSERT INTO event (item, kind, amount, at) VALUES (?1, ?2, ?3, ?4)',
      params: ['{key}', 'sale', 19.75, '2026-03-01T12:00:00Z'] }],
    // Every run starts with an empty table, so a quick peer does not pay for its own speed.
    before: 'DELETE FROM event',
    check: { sql: 'SELECT count(*) AS n FROM event', holds: (n, requests) => n % 100 === 0 && n >= requests * 100 },
  },
  mixed: { title: 'mixed: 90 % point reads, 10 % durable updates',
    requests: [{ ...point, weight: 90 }, { ...update, weight: 10 }] },
};

/** The JSON body of a request, its placeholders bare so that the load tool puts numbers there. */
export function bodyOf({ sql, params, times = 1 }) {
  const one = JSON.stringify({ sql, params }).replace(/"(\{key\}|\{seq\})"/g, '$1');
  return times === 1 ? one : `{"batch":[${Array(times).fill(one).join(',')}]}`;
}
