// The embedded stores as real processes: up, persistent, one holder at a time, and never left behind.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MikroORM } from '@mikro-orm/postgresql';
import test, { type ExecutionContext } from 'ava';
import { Redis } from 'ioredis';
import { isAlive, waitUntil } from '../../src/local/processes.ts';
import { openStores } from '../../src/local/stores.ts';

const storesModule = new URL('../../src/local/stores.ts', import.meta.url).href;
const goneWithinMs = 30_000;

test('what was written is there again after a restart', async (t) => {
  const folder = await temporaryFolder(t);
  const first = await openStores({ folder });
  await onDatabase(first.databaseUrl, (run) => run('create table kept as select 42 as answer'));
  await onRedis(first.redisUrl, (redis) => redis.set('kept', 'yes'));
  await first.close();

  const second = await openStores({ folder });
  const rows = await onDatabase(second.databaseUrl, (run) => run('select answer from kept'));
  t.deepEqual(rows, [{ answer: 42 }]);
  t.is(await onRedis(second.redisUrl, (redis) => redis.get('kept')), 'yes');
  const pids = await pidsIn(folder);
  t.is(pids.length, 3);
  await second.close();
  t.deepEqual(pids.filter(isAlive), []);
});

test('the stores of a process that was killed end with it', async (t) => {
  const folder = await temporaryFolder(t);
  const owner = await openInProcess(t, folder);
  const pids = await pidsIn(folder);
  t.is(pids.length, 3);
  owner.kill('SIGKILL');
  t.true(await waitUntil(() => !pids.some(isAlive), goneWithinMs));
});

test('the stores of a process that ends without closing them end with it', async (t) => {
  const folder = await temporaryFolder(t);
  const owner = await openInProcess(t, folder, '');
  await once(owner, 'exit');
  t.is(owner.exitCode, 0);
  t.true(await waitUntil(async () => !(await pidsIn(folder)).some(isAlive), goneWithinMs));
});

test('servers whose keeper was killed are stopped by the next start', async (t) => {
  const folder = await temporaryFolder(t);
  let lost: string | undefined;
  const stores = await openStores({
    folder,
    durable: false,
    onLost: (reason) => {
      lost = reason;
    },
  });
  const [keeper = 0, ...servers] = await pidsIn(folder);
  process.kill(keeper, 'SIGKILL');
  t.true(await waitUntil(() => lost !== undefined, goneWithinMs));
  t.regex(lost ?? '', /SIGKILL/);
  t.deepEqual(servers.map(isAlive), [true, true]);
  await stores.close();

  const lines: string[] = [];
  const again = await openStores({ folder, durable: false, onProgress: (line) => lines.push(line) });
  t.deepEqual(servers.filter(isAlive), []);
  t.is(lines.filter((line) => line.includes('left behind')).length, 2);
  await again.close();
});

test('the loss of a server is told, and nothing goes on without it', async (t) => {
  const folder = await temporaryFolder(t);
  const lost = new Promise<string>((resolve) => {
    void openStores({ folder, durable: false, onLost: resolve }).then(async () => {
      const [, postgres = 0] = await pidsIn(folder);
      process.kill(postgres, 'SIGKILL');
    }, t.fail);
  });
  t.is(await lost, 'Postgres ended (SIGKILL)');
  t.true(await waitUntil(async () => !(await pidsIn(folder)).some(isAlive), goneWithinMs));
});

test('a folder has one holder, whose process the second is told', async (t) => {
  const folder = await temporaryFolder(t);
  const stores = await openStores({ folder, durable: false, postgres: false, redis: true });
  t.is(stores.databaseUrl, undefined);
  await t.throwsAsync(openStores({ folder, durable: false }), {
    message: `${folder} is in use by process ${process.pid}: stop that one first (kill ${process.pid})`,
  });
  t.is(await onRedis(stores.redisUrl ?? '', (redis) => redis.ping()), 'PONG');
  await stores.close();
});

test('process numbers left by a crash, and used by others since, mean nothing', async (t) => {
  const folder = await temporaryFolder(t);
  await (await openStores({ folder, durable: false })).close();
  const data = join(folder, 'postgres/data');
  await writeFile(join(data, 'postmaster.pid'), `${process.pid}\n${data}\n0\n1\n\n127.0.0.1\n0 0\nready\n`);
  await writeFile(join(folder, 'redis/redis.pid'), `${process.pid}\n`);
  await writeFile(join(folder, 'lock'), `${process.pid} ${process.pid}\n`);
  const stores = await openStores({ folder, durable: false });
  t.is(await onRedis(stores.redisUrl, (redis) => redis.ping()), 'PONG');
  await stores.close();
});

test('an opening that is given up leaves nothing', async (t) => {
  const folder = await temporaryFolder(t);
  const giveUp = new AbortController();
  const opening = openStores({
    folder,
    durable: false,
    signal: giveUp.signal,
    onProgress: () => giveUp.abort(),
  });
  await t.throwsAsync(opening, { name: 'AbortError' });
  t.false((await pidsIn(folder)).some(isAlive));
});

test('without Redis and a way to install it, one line says what to do', async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'no-commands'));
  const code = `const { openStores } = await import(${JSON.stringify(storesModule)});
    await openStores({ folder: ${JSON.stringify(folder)}, postgres: false, redis: true })
      .catch((error) => console.log(error.message));`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
    env: { PATH: join(folder, 'no-commands') },
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  await once(child, 'close');
  t.is(
    output,
    'Redis was not found: install redis-server (Debian, Ubuntu: apt-get install redis-server; ' +
      'macOS: brew install redis), or set REDIS_URL for npm start\n',
  );
});

/** A folder that goes with the test, and with it what a Postgres that may not enter it was given elsewhere. */
async function temporaryFolder(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'moolai-stores-'));
  t.teardown(async () => {
    const elsewhere = await readlink(join(folder, 'postgres')).catch(() => undefined);
    if (elsewhere !== undefined) await rm(elsewhere, { recursive: true, force: true });
    await rm(folder, { recursive: true, force: true });
  });
  return folder;
}

/** Keeper, Postgres and Redis by their pid files; a file that is gone counts as a process that is. */
async function pidsIn(folder: string): Promise<number[]> {
  const words = async (file: string) =>
    (await readFile(join(folder, file), 'utf8').catch(() => '')).split(/\s+/).map(Number);
  const keeper = (await words('lock'))[1];
  const postgres = (await words('postgres/data/postmaster.pid'))[0];
  const redis = (await words('redis/redis.pid'))[0];
  return [keeper, postgres, redis].filter((pid) => pid !== undefined && pid > 0).map(Number);
}

/** Opens the stores in a process of their own, which then lives on for as long as the code makes it. */
async function openInProcess(
  t: ExecutionContext,
  folder: string,
  afterwards = 'setInterval(() => {}, 1000);',
): Promise<ChildProcess> {
  const code = `const { openStores } = await import(${JSON.stringify(storesModule)});
    await openStores({ folder: ${JSON.stringify(folder)}, durable: false });
    console.log('open'); ${afterwards}`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child;
}

type Run = (sql: string) => Promise<unknown>;

async function onDatabase<T>(url: string, use: (run: Run) => Promise<T>): Promise<T> {
  const orm = await MikroORM.init({ clientUrl: url, entities: [], discovery: { warnWhenNoEntities: false } });
  try {
    return await use((sql) => orm.em.getConnection().execute(sql));
  } finally {
    await orm.close();
  }
}

async function onRedis<T>(url: string, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url);
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}
