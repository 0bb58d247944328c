// The command `npm test`: brings up the stores the tests share, runs ava, and takes the stores down again.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openStores } from '../../src/local/stores.ts';
import { createTemplate } from './template.ts';

const folder = await mkdtemp(join(tmpdir(), 'moolai-controller-test-'));
console.log('Bringing up Postgres and Redis for the tests…');
const stores = await openStores({ folder, durable: false, onProgress: (line) => console.log(line) });

// Every test world copies this database, which is quicker than to migrate its own.
await createTemplate(stores.databaseUrl);

let exitCode = 1;
try {
  const ava = spawn(process.execPath, ['node_modules/ava/entrypoints/cli.js', ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: {
      ...process.env,
      NODE_ENV: 'test',
      TEST_DATABASE_URL: stores.databaseUrl,
      TEST_REDIS_URL: stores.redisUrl,
      TEST_FOLDER: folder,
      // Each test file is a process of its own as far as modules go: compile them once.
      NODE_COMPILE_CACHE: join(folder, 'compiled'),
    },
  });
  // A terminal's Ctrl-C reaches ava too; what is left to do here is to take the stores down.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => ava.kill(signal));
  const [code] = await once(ava, 'exit');
  exitCode = typeof code === 'number' ? code : 1;
} finally {
  await stores.close();
  await rm(folder, { recursive: true, force: true });
}
process.exit(exitCode);
