// The Worker of the comparison: the same text is deployed to Dione and run by miniflare. What sets up and checks goes
// through POST /query, in the form of D1's REST API; what is timed are the short routes.

const item = 'SELECT id, sku, name, category, price, stock, created_at, note FROM item WHERE id = ?1';
const insert = 'INSERT INTO event (item, kind, amount, at) VALUES (?1, ?2, ?3, ?4)';

const value = (key, seq) => `{"key":${key},"seq":${seq},"text":"${'x'.repeat(200)}"}`;

async function query(db, { sql, params = [], batch }) {
  if (batch) return db.batch(batch.map(({ sql, params = [] }) => db.prepare(sql).bind(...params)));
  return [await db.prepare(sql).bind(...params).all()];
}

const routes = {
  '/point': async ({ DB }, { key }) => Response.json(await DB.prepare(item).bind(key).first()),
  '/update': async ({ DB }, { key, seq }) =>
    Response.json(await DB.prepare('UPDATE item SET stock = ?1 WHERE id = ?2').bind(seq, key).run()),
  '/batch': async ({ DB }, { key }) => {
    const one = DB.prepare(insert).bind(key, 'sale', 19.75, '2026-03-01T12:00:00Z');
    return Response.json({ results: (await DB.batch(Array(10).fill(one))).length });
  },
  '/kv-get': async ({ KV }, { key }) => new Response(await KV.get(`key-${key}`)),
  '/kv-put': async ({ KV }, { key, seq }) => {
    await KV.put(`key-${key}`, value(key, seq));
    return new Response('put');
  },
  '/kv-fill': async ({ KV }, { key }) => {
    for (let i = 1; i <= key; i += 1) await KV.put(`key-${i}`, value(i, 0));
    return new Response('filled');
  },
};

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const route = routes[url.pathname];
    const number = (name) => Number(url.searchParams.get(name));
    try {
      if (route) return await route(env, { key: number('key'), seq: number('seq') });
      const result = await query(env.DB, await request.json());
      return Response.json({ success: true, errors: [], messages: [], result });
    } catch (error) {
      return Response.json({ success: false, errors: [{ message: error.message }], result: null }, { status: 400 });
    }
  },
};
