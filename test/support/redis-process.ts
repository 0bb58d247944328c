// Owns one Redis process among several: a node of a cluster, a master, a replica or a sentinel.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { findRedis } from '../../src/local/redis-install.ts';
import { launch } from '../../src/local/server-process.ts';
import type { Guard } from './guarded.ts';
import { freePort } from './own-stores.ts';

export interface Place {
  readonly folder: string;
  readonly guard: Guard;
}

export interface RedisProcess {
  readonly port: number;
  readonly pid: number;
  /** A client on this very process. While that is away its commands wait. */
  readonly client: Redis;
  /** SIGKILL; resolves once it is gone. */
  kill(): Promise<void>;
  /** SIGSTOP: it takes nothing in and answers nothing. */
  pause(): void;
  resume(): void;
}

export const password = 'of-these-tests-only';

/** @param options.lines of its configuration, besides port, password and folder; told the port */
export async function startRedisProcess(
  { folder, guard }: Place,
  options: {
    readonly name: string;
    readonly lines: (port: number) => readonly string[];
    readonly sentinel?: boolean;
    /** An authority, a certificate and its key, as PEM: it then speaks TLS alone. */
    readonly tls?: Readonly<Record<'ca' | 'cert' | 'key', string>>;
  },
): Promise<RedisProcess> {
  const { name, sentinel = false, tls } = options;
  const port = await freePort();
  const home = join(folder, name);
  await mkdir(home);
  const file = join(home, 'redis.conf');
  const lines = [
    ...(tls === undefined ? [`port ${port}`] : ['port 0', `tls-port ${port}`, ...tlsLines(home)]),
    'bind 127.0.0.1',
    `dir "${home}"`,
    `requirepass ${password}`,
    ...(sentinel ? [] : [`masterauth ${password}`, 'save ""', 'appendonly no', 'repl-diskless-sync-delay 0']),
    ...options.lines(port),
  ];
  for (const [what, pem] of Object.entries(tls ?? {}))
    await writeFile(join(home, `${what}.pem`), pem, { mode: 0o600 });
  await writeFile(file, lines.map((line) => `${line}\n`).join(''));
  const client = new Redis({
    host: '127.0.0.1',
    port,
    password,
    lazyConnect: true,
    maxRetriesPerRequest: null,
    retryStrategy: () => 20,
    // It is asked before it has loaded what it has, and while it is a replica.
    enableReadyCheck: false,
    ...(tls === undefined ? {} : { tls: { ca: tls.ca } }),
  });
  client.on('error', () => undefined);
  const server = await launch({
    name,
    command: await findRedis({ onProgress: () => undefined, signal: new AbortController().signal }),
    args: [file, ...(sentinel ? ['--sentinel'] : [])],
    env: { PATH: process.env.PATH, LC_ALL: 'C' },
    cwd: home,
    logFile: join(home, 'redis.log'),
    ending: [{ signal: 'SIGKILL', waitMs: 5_000 }],
    readyWithinMs: 20_000,
    isReady: async () => (await client.ping()) === 'PONG',
  });
  guard.watch(server.pid);
  return {
    port,
    pid: server.pid,
    client,
    async kill() {
      client.disconnect();
      process.kill(server.pid, 'SIGKILL');
      await server.ended;
      guard.release(server.pid);
    },
    pause: () => void process.kill(server.pid, 'SIGSTOP'),
    resume: () => void process.kill(server.pid, 'SIGCONT'),
  };
}

function tlsLines(home: string): string[] {
  return [
    `tls-ca-cert-file "${join(home, 'ca.pem')}"`,
    `tls-cert-file "${join(home, 'cert.pem')}"`,
    `tls-key-file "${join(home, 'key.pem')}"`,
    'tls-auth-clients no',
    'tls-replication yes',
    'tls-cluster yes',
  ];
}

/** A field of INFO. */
export async function infoOf({ client }: RedisProcess, section: string, field: string): Promise<string> {
  return new RegExp(`^${field}:(.*?)\\r?$`, 'm').exec(await client.info(section))?.[1] ?? '';
}
