// d1.js - env.DB of the Workers that Dione runs: D1's API over the binding protocol (src/d1/binding.h).
//
// workerd brings such a module (cloudflare-internal:d1-api), which works with Dione as well. This one gives the same
// answers with half of the processor time: it does not trace, and reads that a Worker makes at the same time share a
// request. tests/differential runs the same script on both.
//
// Sharing. While MAX_FLIGHTS reads are under way, further ones wait for the end of one; then the first of them asks for
// all. So under load a request to the server carries several reads, and without load nothing waits. Only what can do no
// harm is shared: a SELECT outside of sessions, in a Worker whose compatibility date lets promises be settled by
// another request. The server answers those that are quick (POST /reads); any other, and any that fails, is asked again alone,
// as are those whose turn does not come within PATIENCE_MS: the request that should have asked may have been cancelled.

const QUERY = 'http://d1/query?resultsFormat=ROWS_AND_COLUMNS';
const EXECUTE = 'http://d1/execute?resultsFormat=ROWS_AND_COLUMNS';
const READS = 'http://d1/reads';
const SESSION_HEADER = 'x-cf-d1-session-commit-token';

const MAX_FLIGHTS = 2;
const MAX_SHARED = 32; // reads in one request
const MAX_SHARED_LENGTH = 8192; // of a read
const PATIENCE_MS = 5;
const STALE_MS = 100; // after which a flight is taken for one that was cancelled
const ALONE_MS = 1000; // for which a text that the server would not share is asked alone
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
  #flights = new Set();
  #waiting = [];
  #alone = new Map();

  constructor(fetcher) {
    this.#fetcher = fetcher;
  }

  takes(sql, json) {
    if (!canShare || json.length > MAX_SHARED_LENGTH || !isSelect.test(sql)) return false;
    const since = this.#alone.get(sql);
    return since === undefined || Date.now() - since > ALONE_MS;
  }

  #isBusy() {
    const now = Date.now();
    for (const flight of this.#flights) if (now - flight.since > STALE_MS) this.#flights.delete(flight);
    return this.#flights.size >= MAX_FLIGHTS;
  }

  /** `ask` sends the read alone. */
  async run(sql, json, ask) {
    if (!this.#isBusy()) return this.#fly(ask);
    const told = await this.#wait(sql, json);
    if (told === ALONE) return ask();
    return told === LEAD ? this.#lead(sql, json, ask) : told;
  }

  /** The result, or LEAD, or ALONE. The timer also tells workerd that this request still waits for something. */
  async #wait(sql, json) {
    const { promise, resolve } = Promise.withResolvers();
    const one = { sql, json, resolve };
    this.#waiting.push(one);
    const timer = setTimeout(() => {
      const at = this.#waiting.indexOf(one);
      if (at >= 0) this.#waiting.splice(at, 1);
      resolve(at >= 0 ? LEAD : ALONE);
    }, PATIENCE_MS);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  async #fly(ask) {
    const flight = { since: Date.now() };
    this.#flights.add(flight);
    try {
      return await ask();
    } finally {
      this.#flights.delete(flight);
      if (this.#waiting.length > 0 && !this.#isBusy()) this.#waiting.shift().resolve(LEAD);
    }
  }

  #lead(sql, json, ask) {
    const others = this.#waiting.splice(0, MAX_SHARED - 1);
    return others.length === 0 ? this.#fly(ask) : this.#fly(() => this.#ask({ sql, json }, others, ask));
  }

  async #ask(own, others, ask) {
    const all = [own, ...others];
    let answers;
    try {
      const response = await this.#fetcher.fetch(READS, { method: 'POST', body: `[${all.map(({ json }) => json).join()}]` });
      answers = JSON.parse(await response.text());
      if (answers.length !== all.length) throw new Error('one answer for each read');
    } catch {
      answers = all.map(() => ALONE); // whatever it is, each hears of it by itself
    }
    answers = answers.map((answer, i) => (answer.success ? answer : this.#refused(all[i], answer)));
    others.forEach((one, i) => one.resolve(answers[i + 1]));
    return answers[0] === ALONE ? ask() : answers[0];
  }

  #refused({ sql }, answer) {
    if (answer !== ALONE) {
      if (this.#alone.size >= 100) this.#alone.clear();
      this.#alone.set(sql, Date.now());
    }
    return ALONE;
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
    const shared = url === QUERY && this.#reads?.takes(sql, json);
    const result = await (shared ? this.#reads.run(sql, json, ask) : ask());
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

/** {columns, rows} as an array of objects; the last of columns with one name counts. */
function withObjects({ meta, results: { columns, rows } }) {
  const toObject = (row) => Object.fromEntries(row.map((value, i) => [columns[i], value]));
  return { success: true, meta, results: rows.map(toObject) };
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
