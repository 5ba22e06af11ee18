// Numbers about processes and lists: running programs, reading /proc, medians.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const repo = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
export const build = join(repo, 'build');
export const dioneBinary = resolve(process.env.DIONE_BIN ?? join(build, 'dione'));

export const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));
export const progress = (text) => process.stderr.write(`${text}\n`);

export function median(values) {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  if (sorted.length === 0) return NaN;
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The median of run i of one side over run i of the other: both saw the machine in the same mood. */
export const ratio = (ours, theirs) => median(ours.map((value, i) => value / theirs[i]));

// Everything that was started ends with this program, however it ends.
const living = new Set();
process.on('exit', () => { for (const child of living) child.kill('SIGKILL'); });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));

function start(file, args, options) {
  const child = spawn(file, args, options);
  living.add(child);
  child.on('close', () => living.delete(child));
  return child;
}

/** Runs a program to its end: `{ code, stdout, stderr, seconds }`. A failure is thrown unless `mayFail`. */
export async function run(file, args, { mayFail = false, input = 'ignore', ...options } = {}) {
  const began = performance.now();
  const child = start(file, args, { ...options, stdio: [input, 'pipe', 'pipe'] });
  const out = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) child[name].setEncoding('utf8').on('data', (text) => { out[name] += text; });
  const code = await new Promise((settle, fail) => {
    child.on('error', fail);
    child.on('close', settle);
  });
  const seconds = (performance.now() - began) / 1000;
  if (code !== 0 && !mayFail) {
    throw new Error(`${file} ${args.join(' ')} ended with ${code}: ${out.stderr || out.stdout}`);
  }
  return { code, seconds, ...out };
}

/** A server that says `ready URL` on its standard output. */
export class Server {
  async start(file, args, options = {}) {
    const began = performance.now();
    this.child = start(file, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    this.stderr = '';
    this.child.stderr.setEncoding('utf8').on('data', (text) => { this.stderr = (this.stderr + text).slice(-10_000); });
    this.ended = new Promise((settle) => this.child.on('close', settle));
    const ready = new Promise((settle, fail) => {
      let text = '';
      this.child.on('error', fail);
      this.child.stdout.setEncoding('utf8').on('data', (more) => {
        text += more;
        const match = /^ready (http:\S+)$/m.exec(text);
        if (match && text.endsWith('\n')) settle(match[1]);
      });
    });
    const gone = this.ended.then((code) => { throw new Error(`${file} ended with ${code}: ${this.stderr}`); });
    gone.catch(() => {}); // once it is ready, its end is somebody else's news
    this.url = await Promise.race([ready, gone]);
    this.startSeconds = (performance.now() - began) / 1000;
    this.port = Number(new URL(this.url).port);
    return this;
  }

  /** The process and its children, whichever of its threads started them: Workers run in them. */
  get pids() {
    const all = [this.child.pid];
    for (let i = 0; i < all.length; i += 1) {
      for (const thread of readdirSync(`/proc/${all[i]}/task`)) {
        const children = readFileSync(`/proc/${all[i]}/task/${thread}/children`, 'utf8');
        all.push(...children.split(' ').filter(Boolean).map(Number));
      }
    }
    return all;
  }

  #statusKb(field) {
    let sum = 0;
    const line = new RegExp(`^${field}:\\s+(\\d+)`, 'm');
    for (const pid of this.pids) sum += Number(line.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
    return sum;
  }

  get residentKb() { return this.#statusKb('VmRSS'); }
  get peakKb() { return this.#statusKb('VmHWM'); }
  resetPeak() { for (const pid of this.pids) writeFileSync(`/proc/${pid}/clear_refs`, '5'); }

  async stop() {
    if (!living.has(this.child)) return;
    this.child.kill('SIGTERM');
    const code = await Promise.race([this.ended, sleep(20_000).then(() => 'late')]);
    if (code !== 'late') return;
    this.child.kill('SIGKILL');
    await this.ended;
    throw new Error(`${this.child.spawnfile} did not end within 20 s of SIGTERM`);
  }
}
