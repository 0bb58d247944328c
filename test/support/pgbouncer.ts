// Owns a PgBouncer of one test's own, before its Postgres, in transaction mode.
import { chown, mkdir, realpath, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { launch, type RunningServer } from '../../src/local/server-process.ts';
import { findProgram } from '../../src/local/system-install.ts';
import type { Guard } from './guarded.ts';
import { freePort, type OwnStore, ownStore } from './own-stores.ts';

const program = {
  name: 'PgBouncer',
  commands: ['pgbouncer'],
  aptPackage: 'pgbouncer',
  brewFormula: 'pgbouncer',
  advice:
    'install pgbouncer (Debian, Ubuntu: apt-get install pgbouncer; macOS: brew install pgbouncer), which the tests need',
} as const;

/** Its `url` is that of the same database through it. `folder` is the one that the Postgres was opened in. */
export async function openPgBouncer(options: {
  folder: string;
  guard: Guard;
  postgresUrl: string;
  /** Connections to Postgres, at the most. */
  poolSize: number;
}): Promise<OwnStore> {
  const command = await findProgram(program, {
    onProgress: (line) => console.log(line),
    signal: new AbortController().signal,
  });
  const port = await freePort();
  const { folder, user } = await ownFolder(options.folder);
  const url = new URL(options.postgresUrl);
  const [name, password] = [url.username, url.password].map(decodeURIComponent);
  const users = join(folder, 'users.txt');
  const settings = join(folder, 'pgbouncer.ini');
  await writeFile(users, `"${name}" "${password}"\n`, { mode: 0o600 });
  await writeFile(
    settings,
    `[databases]
* = host=127.0.0.1 port=${url.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${users}
pool_mode = transaction
default_pool_size = ${options.poolSize}
max_client_conn = 200
server_login_retry = 1
`,
    { mode: 0o600 },
  );
  // PgBouncer refuses root, and so reads them as somebody else.
  for (const file of [users, settings]) if (user !== undefined) await chown(file, user.uid, user.gid);
  url.port = String(port);
  const start = async (): Promise<RunningServer> => ({
    ...(await launch({
      name: 'PgBouncer',
      command,
      args: [settings],
      env: { PATH: process.env.PATH, LC_ALL: 'C' },
      cwd: '/',
      user,
      logFile: join(folder, 'pgbouncer.log'),
      ending: [
        { signal: 'SIGTERM', waitMs: 2_000 },
        { signal: 'SIGKILL', waitMs: 2_000 },
      ],
      readyWithinMs: 20_000,
      isReady: () => takesConnections(port),
    })),
    url: url.href,
    title: 'PgBouncer',
  });
  return ownStore(start, options.guard);
}

/** Beside the data of the Postgres, which runs as the user that this one is to run as. */
async function ownFolder(parent: string) {
  const home = await realpath(join(parent, 'postgres'));
  const { uid, gid } = await stat(home);
  const folder = join(home, 'pgbouncer');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const user = uid === process.getuid?.() ? undefined : { uid, gid };
  if (user !== undefined) await chown(folder, uid, gid);
  return { folder, user };
}

function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
