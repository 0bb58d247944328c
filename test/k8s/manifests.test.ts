import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import test from 'ava';
import { Job } from 'kubernetes-models/batch/v1/Job';
import { z } from 'zod';
import { startController } from '../../src/controller.ts';
import { loadSettings } from '../../src/settings.ts';
import { createApi } from '../support/api.ts';
import { openWorld } from '../support/world.ts';
import { environmentFaults, environmentOf, settingsOf } from './environment.ts';
import { all, controllerOf, type Installation, podsOf } from './objects.ts';
import { operationFaults } from './operation.ts';
import { referenceFaults, selectorFaults } from './references.ts';
import { findRenderers } from './render.ts';
import { safetyFaults } from './safety.ts';
import { schemaFaults } from './schema.ts';
import { secretsByHand } from './secret-example.ts';

const renderers = await findRenderers();
const [renderer] = renderers;
if (renderer === undefined) throw new Error('nothing renders');

/** What each installation takes from others' hands. */
const production = new Set([
  ...(await secretsByHand('k8s/overlays/production/secret.example.env')),
  // By cert-manager or by hand: k8s/README.md.
  'Secret/controller-tls',
]);
const overlays: readonly { name: string; madeByHand: ReadonlySet<string> }[] = [
  { name: 'local', madeByHand: new Set() },
  { name: 'production', madeByHand: production },
  { name: 'production-keda', madeByHand: production },
];
const rendered = new Map<string, Installation>();
for (const { name } of overlays) rendered.set(name, await renderer.render(`k8s/overlays/${name}`));
const installationOf = (name: string) => rendered.get(name) ?? [];

for (const { name, madeByHand } of overlays) {
  const installation = installationOf(name);

  test(`${name}: selectors select what they mean, and what is named is there`, (t) => {
    t.deepEqual(selectorFaults(installation), []);
    t.deepEqual(referenceFaults(installation, madeByHand), []);
  });

  test(`${name}: every pod is confined, and knows its bounds`, (t) => {
    t.deepEqual(safetyFaults(installation), []);
  });

  test(`${name}: every variable is a setting, and with them a replica starts`, (t) => {
    t.deepEqual(environmentFaults(installation), []);
  });

  test(`${name}: what holds a credential comes from the Secret, where it is given at all`, (t) => {
    const { env = [] } = controllerOf(installation).container;
    const secret = env.flatMap(({ name, valueFrom }) =>
      valueFrom?.secretKeyRef === undefined ? [] : [name],
    );
    for (const variable of [
      ...['DATABASE_URL', 'DATABASE_READ_URL', 'REDIS_URL', 'AUTH_KEYS'],
      'OTEL_EXPORTER_OTLP_HEADERS',
    ])
      t.true(secret.includes(variable), variable);
  });

  test(`${name}: probes, stops, restarts, memory and scaling add up`, (t) => {
    t.deepEqual(operationFaults(installation), []);
  });

  test(`${name}: the image is of this version, and so is the name of the Job that migrates for it`, async (t) => {
    const { version } = z
      .object({ version: z.string() })
      .parse(JSON.parse(await readFile('package.json', 'utf8')));
    const { container } = controllerOf(installation);
    t.is(container.image?.split(':').at(-1), version);
    t.deepEqual(
      all(installation, Job.is).map(({ metadata }) => metadata?.name),
      [`controller-migration-${version}`],
    );
  });
}

test('local: nothing is needed besides, and whoever reaches it is let in, as its README says', (t) => {
  t.is(settingsOf(installationOf('local')).auth.mode, 'off');
});

test('production: without a Secret that says who signs tokens it does not start', (t) => {
  const installation = structuredClone(installationOf('production'));
  const { container } = controllerOf(installation);
  container.env = (container.env ?? []).filter(({ name }) => !name.startsWith('AUTH_'));
  t.regex(environmentFaults(installation).join('\n'), /auth\.keys \(AUTH_KEYS\): is not set/);
});

test('KEDA and the autoscaler of the base ask for the same', (t) => {
  const [base] = installationOf('production').filter(({ kind }) => kind === 'HorizontalPodAutoscaler');
  const [keda] = installationOf('production-keda').filter(({ kind }) => kind === 'ScaledObject');
  const autoscaler = z
    .object({ spec: z.object({ minReplicas: z.int(), maxReplicas: z.int(), behavior: z.unknown() }) })
    .parse(base).spec;
  const scaled = z
    .object({
      spec: z.object({
        minReplicaCount: z.int(),
        maxReplicaCount: z.int(),
        advanced: z.object({ horizontalPodAutoscalerConfig: z.object({ behavior: z.unknown() }) }),
      }),
    })
    .parse(keda).spec;
  t.deepEqual(
    [scaled.minReplicaCount, scaled.maxReplicaCount],
    [autoscaler.minReplicas, autoscaler.maxReplicas],
  );
  t.deepEqual(scaled.advanced.horizontalPodAutoscalerConfig.behavior, autoscaler.behavior);
});

test('a private authority is believed by the replicas, by what waits for the schema, and by the migration', async (t) => {
  const folder = await mkdtemp(join(process.env.TEST_FOLDER ?? '', 'overlay-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const from = (path: string) => relative(folder, path);
  await writeFile(
    join(folder, 'kustomization.yaml'),
    `resources: [${from('k8s/overlays/production')}]\ncomponents: [${from('k8s/components/private-ca')}]\n`,
  );
  const installation = await renderer.render(folder);
  const byHand = new Set([...production, 'Secret/controller-ca']);
  t.deepEqual(await schemaFaults(installation), []);
  t.deepEqual(referenceFaults(installation, byHand), []);
  t.deepEqual(environmentFaults(installation), []);
  for (const { of, containers } of podsOf(installation))
    for (const { name, env = [] } of containers)
      t.true(
        env.some((each) => each.name === 'NODE_EXTRA_CA_CERTS'),
        `${of}, ${name}`,
      );
});

test('the environment of a replica is that of its ConfigMap and of its Secret', (t) => {
  const env = environmentOf(installationOf('production'));
  t.is(env.PROCESS_PORT, '9090');
  t.is(env.TRUSTED_PROXIES, '10.0.0.0/8');
  t.regex(env.DATABASE_URL ?? '', /^postgres:/);
});

test('a replica with the environment of the manifests answers what its probes ask, on the port that they ask', async (t) => {
  const world = await openWorld();
  t.teardown(() => world.close());
  const installation = installationOf('local');
  const controller = await startController(
    loadSettings({
      env: {
        ...environmentOf(installation),
        DATABASE_URL: world.settings.database.url,
        REDIS_URL: world.settings.redis.url,
        REDIS_PREFIX: world.settings.redis.prefix,
        INDEPENDENCE_FOLDER: world.folder,
        LOG_LEVEL: 'silent',
        HOST: '127.0.0.1',
        PORT: '0',
        PROCESS_PORT: '0',
      },
    }),
  );
  t.teardown(() => controller.stop());
  const { startupProbe, livenessProbe, readinessProbe } = controllerOf(installation).container;
  for (const probe of [startupProbe, livenessProbe, readinessProbe]) {
    const path = probe?.httpGet?.path ?? '';
    t.is((await createApi(controller.processUrl).get(path)).status, 200, path);
    t.is((await createApi(controller.url).get(path)).status, 404, path);
  }
});
