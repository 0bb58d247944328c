import test from 'ava';
import { objectSchema } from './objects.ts';
import { findRenderers } from './render.ts';
import { schemaFaults } from './schema.ts';

const renderers = await findRenderers();
const overlays = ['local', 'production', 'production-keda'];

for (const overlay of overlays)
  test(`${overlay}: every object is one that Kubernetes understands, in every field`, async (t) => {
    const [renderer] = renderers;
    const installation = (await renderer?.render(`k8s/overlays/${overlay}`)) ?? [];
    t.true(installation.length >= 10);
    t.deepEqual(await schemaFaults(installation), []);
  });

test('a wrong value, a missing field, an unknown field and an unknown kind are faults', async (t) => {
  const selector = { matchLabels: { app: 'x' } };
  const template = { metadata: { labels: { app: 'x' } }, spec: { containers: [{ name: 'x', image: 'x' }] } };
  const deployment = (spec: object) =>
    objectSchema.parse({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'x' }, spec });
  const faultOf = async (spec: object) => (await schemaFaults([deployment(spec)])).join('\n');
  t.is(await faultOf({ selector, template }), '');
  t.regex(await faultOf({ selector, template, replicas: 'two' }), /Deployment x: .*replicas/);
  t.regex(await faultOf({ template }), /Deployment x: .*selector/);
  t.regex(await faultOf({ selector, template, replica: 2 }), /Deployment x: .*"replica"' does not exist/);
  t.regex(
    await faultOf({ selector, template: { ...template, spec: { ...template.spec, restart: 'Never' } } }),
    /Deployment x: .*"restart"' does not exist/,
  );
  const thing = objectSchema.parse({ apiVersion: 'example.com/v1', kind: 'Thing', metadata: { name: 'y' } });
  t.deepEqual(await schemaFaults([thing]), ['Thing y: nothing is known of its kind']);
});

test('what renders an overlay makes the same of it, whichever it is', async (t) => {
  for (const overlay of overlays) {
    const [first, ...others] = await Promise.all(
      renderers.map(({ render }) => render(`k8s/overlays/${overlay}`)),
    );
    for (const other of others) t.deepEqual(other, first);
    t.true((first?.length ?? 0) > 0);
  }
});
