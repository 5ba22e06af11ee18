// Dione at a terminal of its own, made by script(1): what a person types, and what is on the screen then.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { atEnd, binary, until, within } from './server.mjs';

/** `type` sends keys; `sees` waits for text on the screen behind what was seen last; `screen()` is all of it. */
export function terminal(owner, project, args) {
  const command = [binary, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  const child = spawn('script', ['-qec', command, '/dev/null'],
    { cwd: project.folder, env: { ...project.env, TERM: 'dumb' }, stdio: ['pipe', 'pipe', 'inherit'] });
  const gone = once(child, 'exit');
  atEnd(owner, async () => { if (child.exitCode === null) child.kill('SIGKILL'); });
  let screen = '';
  let seen = 0;
  child.stdout.setEncoding('utf8').on('data', (text) => { screen += text; });
  return {
    screen: () => screen,
    type: (keys) => child.stdin.write(keys),
    sees: (text) => until(`the screen shows ${JSON.stringify(text)}; it is ${JSON.stringify(screen)}`, () => {
      const at = screen.indexOf(text, seen);
      if (at >= 0) seen = at + text.length;
      return at >= 0;
    }),
    ended: () => within('the end at the terminal', gone),
  };
}
