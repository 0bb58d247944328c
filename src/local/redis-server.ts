// A Redis of the project's own: one server in a folder, on loopback, with a password of its own.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { StoreOptions } from './postgres.ts';
import { type EndingStep, endProcess, hasLivingKeeper, isAlive } from './processes.ts';
import { findRedis } from './redis-install.ts';
import { launch, type RunningServer } from './server-process.ts';

const ending: readonly EndingStep[] = [
  { signal: 'SIGTERM', waitMs: 5_000 },
  { signal: 'SIGKILL', waitMs: 2_000 },
];

/**
 * Starts Redis on the folder's data, installing it first where the machine has none. One that an earlier run left
 * behind in this folder is stopped first. Rejects with one line that says what to install, or with Redis's log.
 */
export async function startRedis(
  options: StoreOptions & {
    /** A new one at each start, where absent. */
    readonly password?: string;
    readonly signal?: AbortSignal;
  },
): Promise<RunningServer> {
  const { port, durable, onProgress, signal = new AbortController().signal } = options;
  const { password = randomBytes(24).toString('base64url') } = options;
  const command = await findRedis({ onProgress, signal });
  await mkdir(options.folder, { recursive: true, mode: 0o700 });
  const folder = await realpath(options.folder);
  const configFile = join(folder, 'redis.conf');
  await endOrphan(folder, configFile, onProgress);

  const url = `redis://:${password}@127.0.0.1:${port}`;
  // In a file rather than in arguments, which every user of the machine can read.
  await writeFile(configFile, configuration({ folder, port, durable, password, url }), { mode: 0o600 });
  const server = await launch({
    name: 'Redis',
    command,
    args: [configFile],
    // Redis refuses to start under a locale that the machine lacks.
    env: { PATH: process.env.PATH, LC_ALL: 'C' },
    cwd: folder,
    logFile: join(folder, 'redis.log'),
    ending,
    readyWithinMs: 60_000,
    isReady: async (pid) => (await askServer(url))?.pid === pid,
  });
  return { ...server, url, title: titleOf(command) };
}

interface Configuration {
  readonly folder: string;
  readonly port: number;
  readonly durable: boolean;
  readonly password: string;
  readonly url: string;
}

function configuration({ folder, port, durable, password, url }: Configuration): string {
  const quoted = (path: string) => JSON.stringify(path);
  return `# url ${url}
port ${port}
bind 127.0.0.1
requirepass ${password}
dir ${quoted(folder)}
pidfile ${quoted(join(folder, 'redis.pid'))}
save ""
appendonly ${durable ? 'yes' : 'no'}
maxmemory-policy noeviction
`;
}

async function endOrphan(
  folder: string,
  configFile: string,
  onProgress: (line: string) => void,
): Promise<void> {
  const pid = Number(await readFile(join(folder, 'redis.pid'), 'utf8').catch(() => '0'));
  if (pid === 0 || !isAlive(pid)) return;
  // The number may be another process's by now: only the server itself can say that it is the one.
  const url = /^# url (\S+)$/m.exec(await readFile(configFile, 'utf8').catch(() => ''))?.[1];
  const server = url === undefined ? undefined : await askServer(url);
  if (server?.pid !== pid || server.configFile !== configFile) return;
  if (hasLivingKeeper(pid)) throw new Error(`${folder} is in use by Redis process ${pid}`);
  onProgress(`Stopping a Redis (process ${pid}) that an earlier run left behind`);
  await endProcess(pid, ending);
}

/** What a server says of itself once it has loaded its data; undefined while it does not answer. */
async function askServer(url: string): Promise<{ pid: number; configFile: string } | undefined> {
  const client = new Redis(url, {
    lazyConnect: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    connectTimeout: 2_000,
    commandTimeout: 2_000,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.ping();
    const info = await client.info('server');
    const field = (key: string) => new RegExp(`^${key}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
    return { pid: Number(field('process_id')), configFile: field('config_file') };
  } catch {
    return undefined;
  } finally {
    client.disconnect();
  }
}

function titleOf(command: string): string {
  const version = /v=(\S+)/.exec(execFileSync(command, ['--version'], { encoding: 'utf8' }))?.[1] ?? '';
  return `${command.includes('valkey') ? 'Valkey' : 'Redis'} ${version}`.trim();
}
