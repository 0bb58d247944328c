// Owns a streaming standby of a test's own Postgres: a copy of its data, that follows it.
import { execFileSync } from 'node:child_process';
import {
  appendFile,
  chmod,
  copyFile,
  cp,
  mkdir,
  readFile,
  realpath,
  stat,
  writeFile,
} from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { MikroORM } from '@mikro-orm/postgresql';
import { startPostgres } from '../../src/local/postgres.ts';
import type { Guard } from './guarded.ts';
import { freePort, type OwnStore, ownStore } from './own-stores.ts';

/** @param options.folder the one that the primary was opened in */
export async function openStandby(options: {
  folder: string;
  guard: Guard;
  primaryUrl: string;
}): Promise<OwnStore> {
  const { guard } = options;
  const place = join(options.folder, 'standby');
  const folder = join(place, 'postgres');
  const home = await realpath(join(options.folder, 'postgres'));
  guard.remove(place);
  await mkdir(folder, { recursive: true });
  await copyFile(join(home, 'password'), join(folder, 'password'));
  await copyData(options.primaryUrl, join(home, 'data'), join(folder, 'data'));
  const { uid, gid } = await stat(home);
  if (uid !== process.getuid?.()) execFileSync('chown', ['-R', `${uid}:${gid}`, folder]);
  const port = await freePort();
  const start = () => startPostgres({ folder, port, durable: false, onProgress: () => undefined });
  return ownStore(start, guard);
}

/** Source: https://www.postgresql.org/docs/18/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP */
async function copyData(primaryUrl: string, from: string, to: string): Promise<void> {
  const orm = await MikroORM.init({
    clientUrl: primaryUrl,
    entities: [],
    discovery: { warnWhenNoEntities: false },
    ensureDatabase: false,
    // A backup begins and ends in one session.
    pool: { min: 1, max: 1 },
  });
  try {
    const ask = (sql: string) => orm.driver.execute<Record<string, unknown>[]>(sql);
    await ask("SELECT pg_backup_start('standby', true)");
    // The log is streamed; who has the primary's data open is no business of the copy's.
    const isOfCopy = (path: string) => !/^postmaster\./.test(path) && !path.startsWith(`pg_wal${sep}`);
    await cp(from, to, { recursive: true, filter: (path) => isOfCopy(path.slice(from.length + 1)) });
    await mkdir(join(to, 'pg_wal/archive_status'), { recursive: true });
    await chmod(to, 0o700);
    const [stopped] = await ask('SELECT labelfile FROM pg_backup_stop(false)');
    await writeFile(join(to, 'backup_label'), String(stopped?.labelfile));
  } finally {
    await orm.close(true);
  }
  const { hostname, port, username } = new URL(primaryUrl);
  const password = (await readFile(join(dirname(to), 'password'), 'utf8')).trim();
  await writeFile(join(to, 'standby.signal'), '');
  await appendFile(
    join(to, 'postgresql.auto.conf'),
    `primary_conninfo = 'host=${hostname} port=${port} user=${username} password=${password}'\n`,
  );
}
