// HTTP without a client's good manners: bytes on a socket, for requests that no well-behaved client would send.
import { connect } from 'node:net';
import { atEnd, within } from './server.mjs';

/** The first complete answer in `text`: `{status, headers, body, length}`, or undefined while it is incomplete. */
export function parseAnswer(text, closed = false) {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [first, ...lines] = text.slice(0, end).split('\r\n');
  const headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
  const status = Number(first.split(' ')[1]);
  const size = status < 200 || status === 204 || status === 304 ? 0 : Number(headers['content-length'] ?? (closed ? text.length - end - 4 : NaN));
  if (!(text.length >= end + 4 + size)) return undefined;
  return { status, headers, body: text.slice(end + 4, end + 4 + size), length: end + 4 + size };
}

/** An open socket: `send`, `answer` (the next one), `closed` (a promise), `end`. */
export async function openSocket(owner, server) {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  atEnd(owner, () => socket.destroy());
  let text = '';
  let gone = false;
  const waiting = new Set();
  const wake = () => { for (const one of waiting) one(); };
  socket.setEncoding('latin1').on('data', (part) => { text += part; wake(); });
  socket.on('error', () => {});  // the server may end the connection while we are sending: what it said counts
  const closed = new Promise((settle) => socket.on('close', () => { gone = true; wake(); settle(); }));
  await within('a connection', new Promise((settle) => socket.on('connect', settle).on('close', settle)));
  return {
    socket,
    closed: (what = 'the server to close the connection') => within(what, closed),
    get gone() { return gone; },
    get received() { return text; },
    /** Sends; resolves once the bytes are on their way, or the connection is over. */
    async send(bytes) {
      if (gone) return;
      if (!socket.write(bytes)) {
        let drained;
        await within('the server to take more bytes', Promise.race([closed, new Promise((settle) => socket.once('drain', drained = settle))]));
        socket.off('drain', drained);
      }
    },
    /** The next answer; undefined when the connection ends without one. */
    answer: () => within('an answer', new Promise((settle) => {
      const look = () => {
        const found = parseAnswer(text, gone);
        if (!found && !gone) return;
        waiting.delete(look);
        if (found) text = text.slice(found.length);
        settle(found);
      };
      waiting.add(look);
      look();
    })),
    end: () => socket.end(),
  };
}
