// Owns the Postgres and the Redis of one test alone, which it may kill, pause and start again on the same port.
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { startPostgres } from '../../src/local/postgres.ts';
import { startRedis } from '../../src/local/redis-server.ts';
import type { RunningServer } from '../../src/local/server-process.ts';
import type { Guard } from './guarded.ts';
import { signalTree } from './process-tree.ts';

export interface OwnStore {
  /** The same through every restart. */
  readonly url: string;
  readonly pid: number;
  /** SIGKILL; resolves once it is gone. */
  kill(): Promise<void>;
  /** Starts it again, on what it had. Resolves once it takes connections. */
  start(): Promise<void>;
  /** SIGSTOP: connections stay and new ones are made, but nothing is answered. */
  pause(): void;
  resume(): void;
}

export interface OwnRedis extends OwnStore {
  start(options?: { empty?: boolean }): Promise<void>;
}

interface Place {
  readonly folder: string;
  readonly guard: Guard;
  /** As in production: what is committed outlives the machine. Default false, which is quicker. */
  readonly durable?: boolean;
}

export async function openPostgres({ folder, guard, durable = false }: Place): Promise<OwnStore> {
  const port = await freePort();
  const options = { folder: join(folder, 'postgres'), port, durable, onProgress: () => undefined };
  return ownStore(() => startPostgres(options), guard);
}

export async function openRedisServer({ folder, guard }: Place): Promise<OwnRedis> {
  const port = await freePort();
  const options = { port, onProgress: () => undefined, password: 'the-same-at-each-start' };
  const data = join(folder, 'redis');
  // It writes each command before it answers, so that a killed one comes back with its data.
  const store = await ownStore(() => startRedis({ ...options, folder: data, durable: true }), guard);
  return {
    ...store,
    get pid() {
      return store.pid;
    },
    async start({ empty = false } = {}) {
      if (empty) await rm(join(data, 'appendonlydir'), { recursive: true, force: true });
      await store.start();
    },
  };
}

export async function ownStore(launch: () => Promise<RunningServer>, guard: Guard): Promise<OwnStore> {
  let server = await launch();
  guard.watch(server.pid);
  return {
    url: server.url,
    get pid() {
      return server.pid;
    },
    async kill() {
      signalTree(server.pid, 'SIGKILL');
      await server.ended;
      guard.release(server.pid);
    },
    async start() {
      server = await launch();
      guard.watch(server.pid);
    },
    pause: () => signalTree(server.pid, 'SIGSTOP'),
    resume: () => signalTree(server.pid, 'SIGCONT'),
  };
}

/**
 * Below the ports that systems give to outgoing connections: while a store is down, a client that dials its port from
 * that very port would reach itself, and hold the port.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 22_000);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer().once('error', () => resolve(false));
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)));
  });
}
