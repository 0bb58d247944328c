// A replica as process 1 of a container: there a signal counts only if the process itself handles it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { until } from '../support/until.ts';

test('a SIGTERM that comes during the start is handled: it stops in order, with 0', async (t) => {
  // Stores that take connections and never say a word: the start is under way, and not over.
  const open = new Set<Socket>();
  const silent = createServer((socket) => open.add(socket.on('error', () => undefined))).listen(
    0,
    '127.0.0.1',
  );
  await once(silent, 'listening');
  const hangUp = () => {
    for (const socket of open) socket.destroy();
    silent.close();
  };
  t.teardown(hangUp);
  const address = silent.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  const child = spawn(process.execPath, ['src/main.ts'], {
    cwd: fileURLToPath(new URL('../../', import.meta.url)),
    env: {
      PORT: '0',
      DATABASE_URL: `postgres://moolai@127.0.0.1:${port}/moolai`,
      REDIS_URL: `redis://127.0.0.1:${port}`,
      SHUTDOWN_DEADLINE_MS: '5000',
      LOG_LEVEL: 'silent',
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let output = '';
  child.stderr.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  const ended = once(child, 'close');
  await once(silent, 'connection');
  child.kill('SIGTERM');
  await until('the signal to be heeded', () => output !== '' || child.signalCode !== null);
  hangUp();
  t.deepEqual(await ended, [0, null], output);
  t.regex(output, /^SIGTERM: stopping, at most 5000 ms\n/);
});
