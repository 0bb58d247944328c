// `npm start` from the outside: what it prints, what it leaves behind, and which signals it heeds.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readlink, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { isAlive, waitUntil } from '../../src/local/processes.ts';
import { openWorld } from '../support/world.ts';

const projectFolder = fileURLToPath(new URL('../../', import.meta.url));
const startFile = join(projectFolder, 'src/local/start.ts');
const withinMs = 30_000;

/** The data of the tests that need some, one after the other; none depends on what another left in it. */
let kept: string;
test.before(async () => {
  kept = await mkdtemp(join(tmpdir(), 'moolai-start-'));
});
test.after.always(() => removeFolder(kept));

test.serial('a start says where it is ready and what to try, and the next one finds its data', async (t) => {
  const first = start(t, kept);
  const url = await first.ready();
  t.regex(first.output(), /✔ Postgres 18 ready \(\d+\.\d s\)/);
  t.regex(first.output(), /✔ Redis [\d.]+ ready \(\d+\.\d s\)/);
  t.is(first.output().match(/^ {2}curl http|^ {2}npm run orchestrator/gm)?.length, 3);
  const created = await fetch(`${url}/api/v1/controller/organizations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ org_id: 'kept', name: 'Kept' }),
  });
  t.is(created.status, 201);
  const pids = await storePids(kept);
  const urls = await readFile(join(kept, 'local/stores.env'), 'utf8');
  t.regex(urls, /^DATABASE_URL=postgres:\/\/\S+\nREDIS_URL=redis:\/\/\S+\n$/);
  t.is((await stat(join(kept, 'local/stores.env'))).mode & 0o777, 0o600);
  first.child.kill('SIGTERM');
  t.deepEqual(await first.ended, [0, null], first.output());
  t.deepEqual(pids.filter(isAlive), []);
  t.false(existsSync(join(kept, 'local/stores.env')));

  const second = start(t, kept);
  const found = await fetch(`${await second.ready()}/api/v1/controller/organizations/kept`);
  t.is(found.status, 200);
  const third = start(t, kept);
  t.deepEqual(await third.ended, [1, null], third.output());
  t.is(
    third.output(),
    `${join(kept, 'local')} is in use by process ${second.child.pid}: stop that one first (kill ${second.child.pid})\n`,
  );
  second.child.kill('SIGINT');
  t.deepEqual(await second.ended, [0, null], second.output());
});

test.serial('of three replicas one that is killed is replaced, and Ctrl-C ends them all', async (t) => {
  const cluster = start(t, kept, { REPLICAS: '3' });
  const url = await cluster.ready();
  const replicas = replicaPids(cluster.output());
  t.is(replicas.length, 3);
  process.kill(replicas[0] ?? 0, 'SIGKILL');
  t.true(await waitUntil(() => replicaPids(cluster.output()).length === 4, withinMs), cluster.output());
  t.regex(cluster.output(), new RegExp(`process ${replicas[0]} ended with SIGKILL; starting another`));
  const answers = await Promise.all(Array.from({ length: 12 }, () => fetch(`${url}/health/live`)));
  t.true(answers.every((answer) => answer.status === 200));
  t.deepEqual(
    new Set(await Promise.all(Array.from({ length: 100 }, () => pollAtOnce(url)))),
    new Set(['ok']),
  );

  const all = [...replicaPids(cluster.output()), ...(await storePids(kept))];
  // A terminal sends Ctrl-C to the whole group, and npm passes it on once more.
  process.kill(-(cluster.child.pid ?? 0), 'SIGINT');
  process.kill(cluster.child.pid ?? 0, 'SIGINT');
  t.deepEqual(await cluster.ended, [0, null], cluster.output());
  t.deepEqual(all.filter(isAlive), []);
});

test.serial('a signal that npm alone gets stops everything', async (t) => {
  const started = start(t, kept, {}, ['npm', 'start']);
  await started.ready();
  const pids = await storePids(kept);
  started.child.kill('SIGTERM');
  await started.ended;
  t.true(await waitUntil(() => !pids.some(isAlive), withinMs), started.output());
});

test('with both urls given nothing is embedded', async (t) => {
  await using stack = new AsyncDisposableStack();
  const { settings } = stack.adopt(await openWorld(), (it) => it.close());
  const folder = await localFolder(t);
  const given = start(t, folder, {
    DATABASE_URL: settings.database.url,
    REDIS_URL: settings.redis.url,
    REDIS_PREFIX: settings.redis.prefix,
  });
  await given.ready();
  t.false(existsSync(join(folder, 'local')));
  given.child.kill('SIGTERM');
  t.deepEqual(await given.ended, [0, null], given.output());
});

for (const REPLICAS of ['', '2'])
  test(`once npm run token has made a key, npm start asks for tokens: REPLICAS=${REPLICAS || 1}`, async (t) => {
    await using stack = new AsyncDisposableStack();
    const { settings } = stack.adopt(await openWorld(), (it) => it.close());
    const folder = await localFolder(t);
    const token = spawn(process.execPath, ['src/local/token.ts', '--role', 'viewer'], {
      cwd: projectFolder,
      env: { ...process.env, AUTH_KEYS: '', LOCAL_FOLDER: join(folder, 'local') },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const authorization = `Bearer ${(await text(token.stdout)).trim()}`;
    const started = start(t, folder, {
      DATABASE_URL: settings.database.url,
      REDIS_URL: settings.redis.url,
      REDIS_PREFIX: settings.redis.prefix,
      REPLICAS,
    });
    const organizations = `${await started.ready()}/api/v1/controller/organizations`;
    t.is((await fetch(organizations)).status, 401);
    t.is((await fetch(organizations, { headers: { authorization } })).status, 200);
    t.true(started.output().includes('TOKEN=$(npm run -s token -- --role admin)'), started.output());
    started.child.kill('SIGTERM');
    t.deepEqual(await started.ended, [0, null], started.output());
  });

test('a taken port is one line, before anything is started', async (t) => {
  const folder = await localFolder(t);
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  t.teardown(() => holder.close());
  const address = holder.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  const refused = start(t, folder, { PORT: String(port) });
  t.deepEqual(await refused.ended, [1, null]);
  t.regex(
    refused.output(),
    new RegExp(`^Port ${port} on 127\\.0\\.0\\.1 is already in use: .*PORT=\\d+ npm start\\n$`),
  );
  t.false(existsSync(join(folder, 'local')));
});

test('unusable settings are listed, before anything is started', async (t) => {
  const folder = await localFolder(t);
  const refused = start(t, folder, { PORT: 'many', LOG_LEVEL: 'loud' });
  t.deepEqual(await refused.ended, [1, null]);
  const lines = refused.output().trim().split('\n');
  t.is(lines.length, 2);
  t.regex(refused.output(), /^http\.port \(PORT\): /m);
  t.false(existsSync(join(folder, 'local')));
});

interface Started {
  readonly child: ChildProcess;
  /** Exit code and signal. */
  readonly ended: Promise<unknown[]>;
  output(): string;
  /** Resolves to the url of the ready line, once all that a start says has been read. */
  ready(): Promise<string>;
}

/** In a process group of its own, as in a terminal, and with data of its own. */
function start(
  t: ExecutionContext,
  folder: string,
  env: NodeJS.ProcessEnv = {},
  [command = process.execPath, ...args] = [process.execPath, startFile],
): Started {
  const child = spawn(command, args, {
    cwd: projectFolder,
    detached: true,
    env: {
      ...process.env,
      NODE_ENV: 'development',
      // An empty variable counts as none: what this test run itself was given is not to be used.
      ...{ DATABASE_URL: '', REDIS_URL: '', LOG_LEVEL: '', REPLICAS: '' },
      PORT: '0',
      LOCAL_FOLDER: join(folder, 'local'),
      INDEPENDENCE_FOLDER: join(folder, 'independence'),
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => {
    // The whole group, and also when npm, its leader, is gone: what a failed test leaves must not outlive it.
    try {
      process.kill(-(child.pid ?? 0), 'SIGKILL');
    } catch {
      // Nothing was left.
    }
  });
  const ended = once(child, 'close');
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  // The lines that follow it are other writes, which may come later.
  const urlInOutput = () =>
    /^Moolai Controller ready at (http:\/\/\S+)$.*^Ctrl-C stops everything/ms.exec(output)?.[1];
  return {
    child,
    ended,
    output: () => output,
    async ready() {
      await waitUntil(() => urlInOutput() !== undefined || child.exitCode !== null, withinMs);
      const url = urlInOutput();
      if (url === undefined) throw new Error(`not ready:\n${output}`);
      return url;
    },
  };
}

async function localFolder(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'moolai-start-'));
  t.teardown(() => removeFolder(folder));
  return folder;
}

/** With the data that went elsewhere because Postgres's user could not enter. */
async function removeFolder(folder: string): Promise<void> {
  const elsewhere = await readlink(join(folder, 'local/postgres')).catch(() => undefined);
  if (elsewhere !== undefined) await rm(elsewhere, { recursive: true, force: true });
  await rm(folder, { recursive: true, force: true });
}

/** Opens a polling session and posts on it at once, on another connection: what its replica answers to that. */
async function pollAtOnce(url: string): Promise<string> {
  const path = `${url}/ws?EIO=4&transport=polling`;
  const { sid } = JSON.parse((await (await fetch(path)).text()).slice(1));
  return (await fetch(`${path}&sid=${sid}`, { method: 'POST', body: '40' })).text();
}

function replicaPids(output: string): number[] {
  return [...output.matchAll(/Replica \d ready \(process (\d+)/g)].map((match) => Number(match[1]));
}

async function storePids(folder: string): Promise<number[]> {
  const words = async (file: string) => (await readFile(join(folder, 'local', file), 'utf8')).split(/\s+/);
  const files = [
    await words('lock'),
    await words('postgres/data/postmaster.pid'),
    await words('redis/redis.pid'),
  ];
  return [Number(files[0]?.[1]), Number(files[1]?.[0]), Number(files[2]?.[0])];
}
