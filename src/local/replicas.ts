// Several controllers as processes behind one port, for trying out a cluster on one machine.
import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Settings } from '../settings.ts';
import { isReadyMessage } from './replica-message.ts';
import { setupPrimary } from './sticky-primary.ts';

/** A replica that ends before it is ready this often in a row keeps the start from ever succeeding. */
const attemptsToStart = 3;
const longestBackoffMs = 5_000;
const stopMarginMs = 2_000;

interface ReplicaOptions {
  readonly count: number;
  readonly settings: Settings;
  /** What the replicas read their settings from. */
  readonly env: NodeJS.ProcessEnv;
  readonly onProgress: (line: string) => void;
  /** Asked to stop while starting: replicas that end are not tried again. */
  readonly signal: AbortSignal;
}

export interface Replicas {
  readonly url: string;
  /** Lets all drain at once, and ends by force what outlives the settings' deadline. */
  stop(): Promise<void>;
}

/**
 * Resolves once every replica answers; one that dies later is replaced. Connections go to the ready replica with the
 * fewest orchestrators, and a polling session stays with its replica.
 */
export async function startReplicas(options: ReplicaOptions): Promise<Replicas> {
  const { count, settings, env, onProgress, signal } = options;
  const { server, closeAll } = await listen(settings.http);
  const url = urlOf(server, settings.http.host);
  cluster.setupPrimary({
    exec: fileURLToPath(new URL('replica.ts', import.meta.url)),
    args: [],
    execArgv: [],
    // Sticky forwards request bodies as buffers.
    serialization: 'advanced',
  });
  let isStopping = signal.aborted;
  signal.addEventListener('abort', () => {
    isStopping = true;
  });

  /** Keeps one place filled: resolves when its first replica is ready, rejects when it never gets there. */
  async function fill(place: number): Promise<void> {
    for (let failures = 0; !isStopping; ) {
      const startedAt = performance.now();
      const worker = forkReplica(env, url);
      const ended = endOf(worker);
      const isReady = await Promise.race([ready(worker), ended.then(() => false)]);
      if (isReady) {
        const { pid } = worker.process;
        const elapsedMs = performance.now() - startedAt;
        onProgress(`✔ Replica ${place} ready (process ${pid}, ${(elapsedMs / 1000).toFixed(1)} s)`);
        void ended.then((how) => replace(place, `process ${pid} ended with ${how}`));
        return;
      }
      failures += 1;
      if (isStopping) return;
      const how = await ended;
      if (failures >= attemptsToStart) throw new Error(`Replica ${place} does not start (${how})`);
      onProgress(`Replica ${place} ended with ${how} before it was ready: trying again`);
      await pause(Math.min(250 * 2 ** failures, longestBackoffMs));
    }
  }

  async function replace(place: number, why: string): Promise<void> {
    while (!isStopping) {
      onProgress(`Replica ${place}: ${why}; starting another`);
      try {
        return await fill(place);
      } catch {
        await pause(longestBackoffMs);
      }
    }
  }

  async function stop(): Promise<void> {
    isStopping = true;
    // Its 'close' event is not waited for: of sockets that went to a worker the server loses count.
    server.close();
    await Promise.all(workers().map((worker) => endReplica(worker, settings.shutdown.deadlineMs)));
    closeAll();
  }

  try {
    await Promise.all(Array.from({ length: count }, (_, index) => fill(index + 1)));
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, stop };
}

/** The one port. */
async function listen({ host, port }: Settings['http']): Promise<{ server: Server; closeAll(): void }> {
  const server = createServer();
  const { closeAll } = setupPrimary(server);
  server.listen({ host, port });
  await once(server, 'listening');
  return { server, closeAll };
}

function urlOf(server: Server, host: string): string {
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function forkReplica(env: NodeJS.ProcessEnv, url: string): Worker {
  return cluster.fork({ ...env, REPLICA_URL: url });
}

function ready(worker: Worker): Promise<boolean> {
  return new Promise((resolve) => {
    worker.on('message', (message: unknown) => {
      if (isReadyMessage(message)) resolve(true);
    });
  });
}

async function endOf(worker: Worker): Promise<string> {
  const [code, signal] = await once(worker.process, 'exit');
  return signal ?? `exit code ${code}`;
}

async function endReplica(worker: Worker, deadlineMs: number): Promise<void> {
  if (worker.isDead()) return;
  const ended = once(worker.process, 'exit');
  worker.process.kill('SIGTERM');
  const timer = setTimeout(() => worker.process.kill('SIGKILL'), deadlineMs + stopMarginMs);
  await ended;
  clearTimeout(timer);
}

function workers(): Worker[] {
  return Object.values(cluster.workers ?? {}).flatMap((worker) => worker ?? []);
}
