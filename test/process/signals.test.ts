// A replica as process 1 of a container: there a signal counts only if the process itself handles it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { until } from '../support/until.ts';

/** How a replica ends, and what it says, that gets a SIGTERM while it starts. */
async function stopDuringStart(t: ExecutionContext, env: NodeJS.ProcessEnv = {}) {
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
      ...env,
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
  return { how: await ended, output };
}

test('a SIGTERM that comes during the start is handled: it stops in order, with 0', async (t) => {
  const { how, output } = await stopDuringStart(t);
  t.deepEqual(how, [0, null], output);
  t.regex(output, /^SIGTERM: stopping, at most 5000 ms\n/);
});

test('a stop that fails ends with 1, and says why without what a store was told', async (t) => {
  const fail = `--import=data:text/javascript,${encodeURIComponent(`
    AsyncDisposableStack.prototype.disposeAsync = async () => {
      const command = { name: 'auth', args: ['told-to-redis'] };
      throw Object.assign(new Error('WRONGPASS for redis://user:hunter2@host'), { command });
    };`)}`;
  const { how, output } = await stopDuringStart(t, { NODE_OPTIONS: fail });
  t.deepEqual(how, [1, null], output);
  t.regex(output, /^The stop failed: WRONGPASS for redis:\/\/\[hidden\]@host$/m);
  t.notRegex(output, /told-to-redis|hunter2/);
});

test('what waits for the schema ends on a SIGTERM', async (t) => {
  const child = spawn(process.execPath, ['src/database/migrate-command.ts', '--wait', '30'], {
    cwd: fileURLToPath(new URL('../../', import.meta.url)),
    env: { DATABASE_URL: 'postgres://moolai@127.0.0.1:1/moolai' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const ended = once(child, 'close');
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  // By itself, and not by the signal, which process 1 would never get.
  t.deepEqual(await ended, [143, null]);
});
