// Who holds a data folder: two keepers on one folder would stop each other's servers.
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isKeeper } from './processes.ts';

export interface FolderLock {
  release(): Promise<void>;
}

/**
 * Takes the folder for this keeper on behalf of the process that asked for it. Throws one line that names that
 * process when it is taken. The lock of a keeper that died counts for nothing.
 */
export async function lockFolder(folder: string, ownerPid: number): Promise<FolderLock> {
  const path = join(folder, 'lock');
  const mine = `${path}.${process.pid}`;
  await writeFile(mine, `${ownerPid} ${process.pid}\n`);
  try {
    // A link appears with its content or not at all, so that nobody reads a lock half written.
    while (!(await linked(mine, path))) {
      await removeStale(path, folder);
    }
  } finally {
    await rm(mine, { force: true });
  }
  return { release: () => rm(path, { force: true }) };
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

async function removeStale(path: string, folder: string): Promise<void> {
  const stale = await readFile(path, 'utf8').catch(() => '');
  const [owner, keeper] = stale.split(' ').map(Number);
  if (keeper !== undefined && isKeeper(keeper)) {
    throw new Error(`${folder} is in use by process ${owner}: stop that one first (kill ${owner})`);
  }
  // Of two that find it stale, only one may remove it: what was moved aside is looked at again.
  const aside = `${path}.stale.${process.pid}`;
  await rename(path, aside).catch(() => undefined);
  if ((await readFile(aside, 'utf8').catch(() => stale)) !== stale) {
    await linked(aside, path);
  }
  await rm(aside, { force: true });
}
