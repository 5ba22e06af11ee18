// d1.js - env.DB of the Workers that Dione runs: D1's API over the binding protocol (src/d1/binding.h).
//
// workerd brings such a module (cloudflare-internal:d1-api), which works with Dione as well. This one gives the same
// answers with half of the processor time: it does not trace, and reads that a Worker makes at the same time share a
// request. tests/differential runs the same script on both.
//
// Sharing. While a read is under way, further ones wait for its end; then the first of them asks for all. So under load a
// request to the server carries several reads, and without load nothing waits. Only what can do no harm is shared: a
// SELECT outside of sessions, in a Worker whose compatibility date lets promises be settled by another request. The server
// answers those that are quick (POST /reads); any other, and any that fails, is asked again alone. Texts that proved to be slow
// neither wait nor let others wait; for one that has not yet others wait PATIENCE_MS at most. A request that is cancelled
// while it asks for others delays them by FLIGHT_MS.

const QUERY = 'http://d1/query?resultsFormat=ROWS_AND_COLUMNS';
const EXECUTE = 'http://d1/execute?resultsFormat=ROWS_AND_COLUMNS';
const READS = 'http://d1/reads';
const SESSION_HEADER = 'x-cf-d1-session-commit-token';

const MAX_SHARED = 64; // reads in one request
const MAX_SHARED_LENGTH = 8192; // of a read
const PATIENCE_MS = 20; // until a read that nobody has taken along asks itself
const FLIGHT_MS = 250; // and one that was taken along
const QUICK_MS = 1; // by the server's clock; longer reads leave its loop
const STRIKES = 3; // slow runs in a row after which a text counts as slow
const MAX_SLOW = 100; // texts that are remembered
const LEAD = Symbol('lead');
const ALONE = Symbol('alone');

const canShare = Cloudflare.compatibilityFlags.handle_cross_request_promise_resolution === true;
const isSelect = /^\s*select\b/i;

function failure(prefix, text) {
  return new Error(`${prefix}: ${text}`, { cause: new Error(text) });
}

/** Reads of one database that wait for each other. */
class Reads {
  #fetcher;
  #flight = null; // {since}
  #waiting = [];
  #slow = new Map(); // text to slow runs in a row

  constructor(fetcher) {
    this.#fetcher = fetcher;
  }

  /** The result of a read; `ask` sends it alone. */
  async run(sql, json, ask) {
    const shares = canShare && json.length <= MAX_SHARED_LENGTH && !(this.#slow.get(sql) >= STRIKES);
    const result = await (shares ? this.#share(json, ask) : ask());
    this.#learn(sql, result.meta?.duration > QUICK_MS);
    return result;
  }

  #learn(sql, wasSlow) {
    if (!wasSlow) {
      this.#slow.delete(sql);
      return;
    }
    if (this.#slow.size >= MAX_SLOW) this.#slow.clear();
    this.#slow.set(sql, (this.#slow.get(sql) ?? 0) + 1);
  }

  /** A flight that lasts may be a slow read, or one whose request was cancelled: it holds nobody any longer. */
  #isBusy() {
    return this.#flight !== null && Date.now() - this.#flight.since < PATIENCE_MS;
  }

  async #share(json, ask) {
    if (!this.#isBusy()) return this.#fly(ask);
    const told = await this.#wait(json);
    if (told === ALONE) return ask();
    return told === LEAD ? this.#lead(json, ask) : told;
  }

  /** The result, or LEAD, or ALONE. The timer also tells workerd that this request still waits for something. */
  async #wait(json) {
    const { promise, resolve } = Promise.withResolvers();
    const one = { json, resolve };
    this.#waiting.push(one);
    let timer = setTimeout(() => {
      const at = this.#waiting.indexOf(one);
      if (at < 0) {
        timer = setTimeout(resolve, FLIGHT_MS, ALONE);
      } else {
        this.#waiting.splice(at, 1);
        resolve(LEAD);
      }
    }, PATIENCE_MS);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  async #fly(ask) {
    const flight = { since: Date.now() };
    this.#flight = flight;
    try {
      return await ask();
    } finally {
      if (this.#flight === flight) {
        this.#flight = null;
        this.#waiting.shift()?.resolve(LEAD);
      }
    }
  }

  #lead(json, ask) {
    const others = this.#waiting.splice(0, MAX_SHARED - 1);
    return others.length === 0 ? this.#fly(ask) : this.#fly(() => this.#ask(json, others, ask));
  }

  async #ask(json, others, ask) {
    let answers;
    try {
      const body = `[${[json, ...others.map((one) => one.json)].join()}]`;
      const response = await this.#fetcher.fetch(READS, { method: 'POST', body });
      answers = JSON.parse(await response.text());
      if (answers.length !== others.length + 1) throw new Error('one answer for each read');
    } catch {
      answers = []; // whatever it is, each hears of it by itself
    }
    others.forEach((one, i) => one.resolve(answers[i + 1]?.success ? answers[i + 1] : ALONE));
    return answers[0]?.success ? answers[0] : ask();
  }
}

/** What a statement runs on. `constraint` null: no session. */
class D1DatabaseSession {
  #fetcher;
  #reads;
  #constraint;

  constructor(fetcher, constraint, reads) {
    this.#fetcher = fetcher;
    this.#constraint = constraint;
    this.#reads = reads;
  }

  prepare(sql) {
    return new D1PreparedStatement(this, sql);
  }

  async batch(statements) {
    const results = await this._send(QUERY, JSON.stringify(statements.map(({ statement, params }) => ({ sql: statement, params }))));
    if (results[0].error) throw failure('D1_ERROR', results[0].error);
    return results.map(withObjects);
  }

  getBookmark() {
    return this.#constraint === 'first-primary' || this.#constraint === 'first-unconstrained' ? null : this.#constraint;
  }

  /** The one result of a statement. */
  async _run(url, sql, params) {
    const json = JSON.stringify({ sql, params });
    const ask = async () => (await this._send(url, json))[0];
    const isRead = this.#reads !== null && url === QUERY && isSelect.test(sql);
    const result = await (isRead ? this.#reads.run(sql, json, ask) : ask());
    if (result.error) throw failure('D1_ERROR', result.error);
    return result;
  }

  /** The results of a request, or one failure. */
  async _send(url, body) {
    const init = { method: 'POST', body };
    if (this.#constraint !== null) init.headers = { [SESSION_HEADER]: this.#constraint };
    const response = await this.#fetcher.fetch(url, init);
    if (this.#constraint !== null) this.#see(response.headers.get(SESSION_HEADER));
    const text = await response.text();
    let results;
    try {
      results = JSON.parse(text);
    } catch {
      throw failure('D1_ERROR', `Failed to parse body as JSON, got: ${text}`);
    }
    return Array.isArray(results) ? results : [results];
  }

  /** Bookmarks grow: the greatest one counts. */
  #see(bookmark) {
    if (bookmark && (this.getBookmark() ?? '').localeCompare(bookmark) < 0) this.#constraint = bookmark;
  }
}

/** One row as an object; the last of columns with one name counts. */
function toObject(columns, row) {
  const object = {};
  for (let i = 0; i < columns.length; i += 1) object[columns[i]] = row[i];
  return object;
}

/** {columns, rows} as an array of objects. */
function withObjects({ meta, results: { columns, rows } }) {
  // Assigned, this name would be no property. It is rare, and the general way is several times slower.
  const make = columns.includes('__proto__')
    ? (row) => Object.fromEntries(columns.map((name, i) => [name, row[i]]))
    : (row) => toObject(columns, row);
  return { success: true, meta, results: rows.map(make) };
}

const isByte = (value) => typeof value === 'number' && value >= 0 && value < 256;

/** A value as it travels: bytes are arrays of numbers. */
function bindable(value) {
  switch (typeof value) {
    case 'number':
    case 'string':
      return value;
    case 'boolean':
      return value ? 1 : 0;
    case 'object':
      if (value === null || (Array.isArray(value) && value.every(isByte))) return value;
      if (value instanceof ArrayBuffer) return Array.from(new Uint8Array(value));
      if (ArrayBuffer.isView(value)) return Array.from(value);
  }
  throw failure('D1_TYPE_ERROR', `Type '${typeof value}' not supported for value '${value}'`);
}

class D1PreparedStatement {
  #session;

  constructor(session, statement, params = []) {
    this.#session = session;
    this.statement = statement;
    this.params = params;
  }

  bind(...values) {
    return new D1PreparedStatement(this.#session, this.statement, values.map(bindable));
  }

  async first(column) {
    const { results } = withObjects(await this.#session._run(QUERY, this.statement, this.params));
    if (results.length === 0) return null;
    if (column === undefined) return results[0];
    if (results[0][column] === undefined) {
      throw new Error(`D1_COLUMN_NOTFOUND: Column not found (${column})`, { cause: new Error('Column not found') });
    }
    return results[0][column];
  }

  async all() {
    return withObjects(await this.#session._run(QUERY, this.statement, this.params));
  }

  async run() {
    return withObjects(await this.#session._run(isSelect.test(this.statement) ? QUERY : EXECUTE, this.statement, this.params));
  }

  async raw(options) {
    const { results: { columns, rows } } = await this.#session._run(QUERY, this.statement, this.params);
    return options?.columnNames ? [columns, ...rows] : rows;
  }
}

class D1Database {
  #fetcher;
  #primary;

  constructor(fetcher) {
    this.#fetcher = fetcher;
    this.#primary = new D1DatabaseSession(fetcher, null, new Reads(fetcher));
  }

  prepare(sql) {
    return this.#primary.prepare(sql);
  }

  async batch(statements) {
    return this.#primary.batch(statements);
  }

  async exec(text) {
    const lines = text.trim().split('\n');
    const results = await this.#primary._send(EXECUTE, JSON.stringify(lines.map((sql) => ({ sql }))));
    for (const [i, { error }] of results.entries()) {
      if (error) throw failure('D1_EXEC_ERROR', `Error in line ${i + 1}: ${lines[i]}: ${error}`);
    }
    return { count: results.length, duration: results.reduce((sum, { meta }) => sum + meta.duration, 0) };
  }

  withSession(constraint) {
    return new D1DatabaseSession(this.#fetcher, constraint?.trim() || 'first-unconstrained', null);
  }

  async query() {
    throw new Error('D1_ERROR: D1Database.query() requires the d1_binding_jsrpc compatibility flag. Enable d1_binding_jsrpc before calling query().');
  }

  async dump() {
    const { status } = await this.#fetcher.fetch('http://d1/dump', { method: 'POST' });
    throw new Error(`D1_DUMP_ERROR: Status + ${status}`, { cause: new Error(`Status ${status}`) });
  }
}

export default ({ fetcher }) => new D1Database(fetcher);
