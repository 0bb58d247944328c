// The embedded Postgres: one cluster in a folder, on loopback, with a password of its own.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chown, readFile, readlink, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type PostgresHome, preparePostgresHome } from './postgres-home.ts';
import { commandOf, type EndingStep, endProcess, hasLivingKeeper, isAlive } from './processes.ts';
import { indent, launch, type RunningServer } from './server-process.ts';

export interface StoreOptions {
  /** Where data, password and log are kept; made if missing. */
  readonly folder: string;
  readonly port: number;
  /** false trades the safety of the data for speed, for tests. */
  readonly durable: boolean;
  readonly onProgress: (line: string) => void;
}

/** SIGINT ends sessions and writes a checkpoint; SIGQUIT leaves recovery to the next start. */
const ending: readonly EndingStep[] = [
  { signal: 'SIGINT', waitMs: 5_000 },
  { signal: 'SIGQUIT', waitMs: 2_000 },
  { signal: 'SIGKILL', waitMs: 2_000 },
];
const name = 'moolai';
/** Independent of the person's locale and of PGDATA, PGOPTIONS and the like. */
const environment = { PATH: process.env.PATH, LC_ALL: 'C' };

/**
 * Starts Postgres on the folder's data, which is made at the first start with a database `moolai` in it. One that an
 * earlier run left behind on this data is stopped first. Rejects with the tail of Postgres's log.
 */
export async function startPostgres({
  folder,
  port,
  durable,
  onProgress,
}: StoreOptions): Promise<RunningServer> {
  const place = await preparePostgresHome(folder, onProgress);
  const data = join(place.home, 'data');
  if (existsSync(data)) {
    await endOrphan(data, onProgress);
  } else {
    await initialise(place, data, durable);
  }
  const options = {
    name: 'Postgres',
    command: join(place.program, 'bin/postgres'),
    args: ['-D', data, '-p', String(port), ...settings(durable)],
    env: environment,
    cwd: '/',
    user: place.user,
    logFile: join(place.home, 'postgres.log'),
    ending,
    readyWithinMs: 60_000,
    isReady: (pid: number) => isReady(data, pid),
  };
  const server = await launch(options);
  const password = (await readFile(join(place.home, 'password'), 'utf8')).trim();
  const version = (await readFile(join(data, 'PG_VERSION'), 'utf8')).trim();
  return {
    ...server,
    title: `Postgres ${version}`,
    url: `postgres://${name}:${password}@127.0.0.1:${port}/${name}`,
  };
}

/** Made beside its final place and moved there whole: an interrupted first start leaves nothing half made. */
async function initialise(
  { home, program, user }: PostgresHome,
  data: string,
  durable: boolean,
): Promise<void> {
  const partial = `${data}.partial`;
  const password = join(home, 'password');
  await rm(partial, { recursive: true, force: true });
  await rm(password, { force: true });
  await writeFile(password, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 });
  if (user !== undefined) await chown(password, user.uid, user.gid);
  const initdb = [
    ...['--pgdata', partial, '--username', name, '--pwfile', password, '--auth', 'scram-sha-256'],
    ...['--encoding', 'UTF8', '--locale', 'C', '--locale-provider', 'builtin', '--builtin-locale', 'C.UTF-8'],
    ...['--no-instructions', ...(durable ? [] : ['--no-sync'])],
  ];
  await run(join(program, 'bin/initdb'), initdb, user);
  const single = ['--single', '-D', partial, '-c', 'exit_on_error=true', 'template1'];
  await run(join(program, 'bin/postgres'), single, user, `CREATE DATABASE ${name};\n`);
  await rename(partial, data);
}

function run(command: string, args: string[], user: PostgresHome['user'], input = ''): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env: environment, cwd: '/', ...user });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
    }
    // A command that fails at once closes its input before it is written; its exit code tells more.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) return resolve();
      reject(new Error(`${command} ended with ${signal ?? `exit code ${code}`}:\n${indent(output)}`));
    });
  });
}

function settings(durable: boolean): string[] {
  const values = {
    listen_addresses: '127.0.0.1',
    // A socket's path may be 107 bytes at most, less than a project's path may be.
    unix_socket_directories: '',
    max_connections: '200',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_checkpoints: 'off',
    // In its own folder: one that is killed leaves nothing in the system's.
    dynamic_shared_memory_type: 'mmap',
    ...(durable ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
  };
  return Object.entries(values).flatMap(([key, value]) => ['-c', `${key}=${value}`]);
}

/** The eighth line of postmaster.pid is the server's state, which is what pg_ctl waits for as well. */
async function isReady(data: string, pid: number): Promise<boolean> {
  const lines = await pidFileOf(data);
  return Number(lines[0]) === pid && lines[7]?.trim() === 'ready';
}

async function endOrphan(data: string, onProgress: (line: string) => void): Promise<void> {
  const pid = Number((await pidFileOf(data))[0] ?? 0);
  if (pid === 0 || !isAlive(pid)) return;
  if (!(await servesFolder(pid, data))) {
    // Its number went to another process, after a reboot for instance; Postgres would take that for itself.
    await rm(join(data, 'postmaster.pid'), { force: true });
    return;
  }
  if (hasLivingKeeper(pid)) throw new Error(`${data} is in use by Postgres process ${pid}`);
  onProgress(`Stopping a Postgres (process ${pid}) that an earlier run left behind`);
  await endProcess(pid, ending);
}

/** A postmaster works in its data folder; where /proc does not tell, its command line names that folder. */
async function servesFolder(pid: number, data: string): Promise<boolean> {
  const command = commandOf(pid);
  if (!command.includes('postgres')) return false;
  const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => undefined);
  return cwd === undefined ? command.includes(data) : cwd === (await realpath(data));
}

async function pidFileOf(data: string): Promise<string[]> {
  return (await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
}
