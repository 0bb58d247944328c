// Owns the contest of starts: how long `npm start` takes until it is ready, with nothing there yet and with its data.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../support/own-stores.ts';
import type { Contest, Figures } from '../contest.ts';

const projectFolder = fileURLToPath(new URL('../../../', import.meta.url));
const readyLine = /^Moolai Controller ready at /m;

export const start: Contest = {
  name: 'start',
  title: 'From `npm start` to the line that says it is ready; the packages are there',
  figures: {
    seconds: { label: 'ready within', unit: 's' },
  },
  aims: [
    { figure: 'seconds', of: 'first start', atMost: 5 },
    { figure: 'seconds', of: 'second start', atMost: 3 },
  ],
  async open({ closing }) {
    let folder: string | undefined;
    const remove = async () => {
      if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    };
    closing.defer(remove);
    return [
      {
        name: 'first start',
        async round() {
          await remove();
          folder = await mkdtemp(join(tmpdir(), 'moolai-start-'));
          // Postgres's own user, where we are root, must get in.
          await chmod(folder, 0o755);
          return startIn(folder);
        },
      },
      // Of the data that the first start of the same round left.
      { name: 'second start', round: () => startIn(folder ?? '') },
    ];
  },
};

/** Starts, waits until it is ready, and stops it as Ctrl-C does. @throws with what it wrote, if it ends before */
async function startIn(folder: string): Promise<Figures> {
  const port = await freePort();
  const startedAt = performance.now();
  const child = spawn('npm', ['start'], {
    cwd: projectFolder,
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      LOCAL_FOLDER: join(folder, 'local'),
      // As on a machine that has never run it: else a first start would find what another one compiled.
      NODE_COMPILE_CACHE: join(folder, 'compiled'),
      PORT: String(port),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, which gets the signal as a terminal sends it.
    detached: true,
  });
  const ended = once(child, 'close');
  let output = '';
  const ready = new Promise<number>((resolve) => {
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString();
        if (readyLine.test(output)) resolve((performance.now() - startedAt) / 1_000);
      });
  });
  const failed = ended.then(() => {
    throw new Error(`npm start ended before it was ready:\n${output}`);
  });
  failed.catch(() => undefined);
  const seconds = await Promise.race([ready, failed]);
  if (child.pid !== undefined) process.kill(-child.pid, 'SIGINT');
  await ended;
  return { seconds };
}
