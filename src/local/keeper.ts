// The process that keeps the embedded stores: apart from the terminal's Ctrl-C, and gone once its parent is.
import { mkdir, realpath } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type KeeperMessage, keeperOptionsSchema, stopRequest } from './keeper-protocol.ts';
import { lockFolder } from './lock.ts';
import { type StoreOptions, startPostgres } from './postgres.ts';
import { startRedis } from './redis-server.ts';
import type { RunningServer } from './server-process.ts';

const options = keeperOptionsSchema.parse(JSON.parse(process.argv[2] ?? ''));
const parentPid = process.ppid;
const stopping = new AbortController();
const asked = new Promise<void>((resolve) => {
  stopping.signal.addEventListener('abort', () => resolve());
});

const stop = () => stopping.abort();
process.on('disconnect', stop);
process.on('message', (message) => {
  if (message === stopRequest) stop();
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
// The parent may have died before the line above could hear of it.
if (!process.connected) stop();

const exitCode = await keep().then(
  () => 0,
  async (error: unknown) => {
    await send({ type: 'failed', message: messageOf(error) });
    return 1;
  },
);
// By force: clients that asked the servers for their state may still have timers running.
process.exit(exitCode);

/** Starts the stores, keeps them until asked to stop or until one ends on its own, and stops what runs. */
async function keep(): Promise<void> {
  await mkdir(options.folder, { recursive: true });
  const folder = await realpath(options.folder);
  const lock = await lockFolder(folder, parentPid);
  const servers: RunningServer[] = [];
  try {
    const [postgres, redis] = await startBoth(folder, servers);
    if (stopping.signal.aborted) return;
    await send({ type: 'ready', databaseUrl: postgres?.url, redisUrl: redis?.url });
    const lost = await Promise.race([asked, ...servers.map((server) => server.ended)]);
    if (lost !== undefined && !stopping.signal.aborted) throw new Error(lost);
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
    await lock.release();
  }
}

/** Both at once; when one fails, the other is awaited all the same so that it can be stopped. */
async function startBoth(folder: string, servers: RunningServer[]) {
  const start = async (
    wanted: boolean,
    name: string,
    server: (o: StoreOptions) => Promise<RunningServer>,
  ) => {
    if (!wanted) return undefined;
    const startedAt = performance.now();
    const started = await onFreePort((port) =>
      server({ folder: join(folder, name), port, durable: options.durable, onProgress }),
    );
    servers.push(started);
    await send({ type: 'started', title: started.title, elapsedMs: performance.now() - startedAt });
    return started;
  };
  const outcomes = await Promise.allSettled([
    start(options.postgres, 'postgres', startPostgres),
    start(options.redis, 'redis', (o) => startRedis({ ...o, signal: stopping.signal })),
  ]);
  const faults = outcomes.flatMap((o) => (o.status === 'rejected' ? [messageOf(o.reason)] : []));
  if (faults.length > 0) throw new Error(faults.join('\n'));
  return outcomes.map((o) => (o.status === 'fulfilled' ? o.value : undefined));
}

/** A port that is free now may be taken a moment later by someone else: then another is tried. */
async function onFreePort<T>(start: (port: number) => Promise<T>, attempts = 3): Promise<T> {
  try {
    return await start(await freePort());
  } catch (error) {
    if (attempts === 1 || !/address already in use/i.test(messageOf(error))) throw error;
    return onFreePort(start, attempts - 1);
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      const port = address !== null && typeof address === 'object' ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}

function onProgress(line: string): void {
  void send({ type: 'progress', line });
}

/** Resolves once the parent's end of the channel has it, or cannot have it: then nobody is left to tell. */
function send(message: KeeperMessage): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send?.(message, () => resolve());
    else resolve();
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
