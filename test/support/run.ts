// The command `npm test`: brings up the stores the tests share, runs ava, and takes the stores down again.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, chmod, constants, mkdtemp, rm, statfs } from 'node:fs/promises';
import { enableCompileCache, flushCompileCache } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openStores } from '../../src/local/stores.ts';
import { createTemplate } from './template.ts';

/**
 * How long ava waits for a file that says nothing more, as one does that something keeps from ending. It must be longer
 * than any `t.timeout()`: a silence that is over within one of those is the last that ava looks at, and it would wait for
 * ever.
 */
const silence = '6m';

// In memory where there is room: every world has a database of its own, some three hundred files, made and removed
// again. Each file's temporary folders are in there as well.
const folder = await mkdtemp(
  join((await hasRoom('/dev/shm')) ? '/dev/shm' : tmpdir(), 'moolai-controller-test-'),
);
await chmod(folder, 0o755);
// Each test file loads the modules anew: compile them once, while the stores start, and where the next run finds them.
const compiled = fileURLToPath(
  new URL('../../node_modules/.cache/moolai-controller/compiled', import.meta.url),
);
enableCompileCache(compiled);
const loaded = import('./world.ts');
console.log('Bringing up Postgres and Redis for the tests…');
const stores = await openStores({ folder, durable: false, onProgress: (line) => console.log(line) });
await loaded;
flushCompileCache();

// Every test world copies this database, which is quicker than to migrate its own.
await createTemplate(stores.databaseUrl);

let exitCode = 1;
try {
  const asked = process.argv.slice(2);
  if (asked.length > 0) exitCode = await runAva(asked);
  else {
    // Those that start clusters of processes starve each other where four of them run at once.
    exitCode = await runAva(['test/**/*.test.ts', '!test/process/**']);
    exitCode ||= await runAva(['--concurrency', '2', 'test/process/**/*.test.ts']);
  }
} finally {
  await stores.close();
  await rm(folder, { recursive: true, force: true });
}
process.exit(exitCode);

/** A container's memory file system may be a few MiB. */
async function hasRoom(place: string): Promise<boolean> {
  try {
    await access(place, constants.W_OK);
    const { bavail, bsize } = await statfs(place);
    return bavail * bsize >= 4 * 2 ** 30;
  } catch {
    return false;
  }
}

async function runAva(args: readonly string[]): Promise<number> {
  const ava = spawn(
    process.execPath,
    ['node_modules/ava/entrypoints/cli.js', '--timeout', silence, ...args],
    {
      stdio: 'inherit',
      env: {
        ...process.env,
        NODE_ENV: 'test',
        TEST_DATABASE_URL: stores.databaseUrl,
        TEST_REDIS_URL: stores.redisUrl,
        TEST_FOLDER: folder,
        TMPDIR: folder,
        NODE_COMPILE_CACHE: compiled,
      },
    },
  );
  // A terminal's Ctrl-C reaches ava too; what is left to do here is to take the stores down.
  const pass = (signal: NodeJS.Signals) => void ava.kill(signal);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, pass);
  const [code] = await once(ava, 'exit');
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, pass);
  return typeof code === 'number' ? code : 1;
}
