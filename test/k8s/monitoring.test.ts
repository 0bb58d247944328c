// The dashboard and the alerts ask for metrics that a replica has, in PromQL that parses, and each alert is explained.
import { execFile } from 'node:child_process';
import { access, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parser } from '@prometheus-io/lezer-promql';
import test from 'ava';
import { load, loadAll } from 'js-yaml';
import { z } from 'zod';
import { metricsTable, scrape } from '../support/metrics.ts';
import { openWorld } from '../support/world.ts';

const folder = new URL('../../k8s/', import.meta.url);
const read = (file: string) => readFile(new URL(file, folder), 'utf8');

const ruleSchema = z.strictObject({
  alert: z.string().regex(/^Moolai[A-Z]/),
  expr: z.string(),
  for: z.string().regex(/^\d+m$/),
  labels: z.strictObject({ severity: z.enum(['critical', 'warning']) }),
  annotations: z.strictObject({
    summary: z.string().min(1),
    description: z.string().min(1),
    runbook_url: z.string(),
  }),
});
const rulesSchema = z.object({
  kind: z.literal('PrometheusRule'),
  spec: z.object({ groups: z.array(z.object({ name: z.string(), rules: z.array(ruleSchema) })) }),
});
const dashboardSchema = z.object({
  panels: z.array(
    z.object({
      title: z.string(),
      type: z.string(),
      fieldConfig: z.object({ defaults: z.object({ unit: z.string().min(1) }) }).optional(),
      targets: z.array(z.object({ expr: z.string(), legendFormat: z.string() })).optional(),
    }),
  ),
  templating: z.object({ list: z.array(z.object({ name: z.string() })) }),
});

const scaledSchema = z.object({
  spec: z.object({
    triggers: z.array(z.object({ metadata: z.object({ query: z.string().optional() }) })),
  }),
});
const scalerSchema = z.object({
  spec: z.object({
    metrics: z.array(z.object({ pods: z.object({ metric: z.object({ name: z.string() }) }).optional() })),
  }),
});

const rules = rulesSchema
  .parse(load(await read('monitoring/alerts.yaml')))
  .spec.groups.flatMap((group) => group.rules);
const dashboard = dashboardSchema.parse(JSON.parse(await read('monitoring/dashboard.json')));
const panels = dashboard.panels.filter(({ type }) => type !== 'row');
const targets = panels.flatMap((panel) => panel.targets ?? []);
const scaled = scaledSchema
  .parse(load(await read('components/keda/scaled-object.yaml')))
  .spec.triggers.flatMap(({ metadata }) => metadata.query ?? []);
const scaler = scalerSchema
  .parse(load(await read('base/horizontal-pod-autoscaler.yaml')))
  .spec.metrics.flatMap(({ pods }) => pods?.metric.name ?? []);
/** Grafana puts a duration there. */
const asked = (expr: string) => expr.replaceAll('$__rate_interval', '5m');

/** Of Prometheus itself, and of kube-state-metrics. */
const foreignMetrics = ['up', 'kube_job_failed'];
/** Which Prometheus adds, and kube-state-metrics has. */
const foreignLabels = ['namespace', 'pod', 'job', 'le', 'job_name', 'condition'];

interface Parsed {
  errors: number;
  metrics: string[];
  labels: string[];
}

function parse(expr: string): Parsed {
  const found: Parsed = { errors: 0, metrics: [], labels: [] };
  parser.parse(expr).iterate({
    enter(node) {
      const text = expr.slice(node.from, node.to);
      if (node.type.isError) found.errors += 1;
      if (node.name === 'Identifier' && node.node.parent?.name === 'VectorSelector') found.metrics.push(text);
      if (node.name === 'LabelName') found.labels.push(text);
    },
  });
  return found;
}

test('a slip in a query is seen here', (t) => {
  t.true(parse('sum by (pod) (rate(moolai_sends_total[5m])').errors > 0);
  t.deepEqual(parse('sum by (pod) (rate(moolai_sends_total{outcome="queued"}[5m]))'), {
    errors: 0,
    metrics: ['moolai_sends_total'],
    labels: ['pod', 'outcome'],
  });
});

test('every query parses and asks for metrics and labels that a replica has', async (t) => {
  await using stack = new AsyncDisposableStack();
  const world = stack.adopt(await openWorld(), (it) => it.close());
  const { families } = await scrape(world.api);
  const table = await metricsTable();
  const known = new Set(foreignMetrics);
  for (const [name, { type }] of families)
    for (const end of type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']) known.add(name + end);

  const queries = [
    ...rules.map(({ expr }) => expr),
    ...targets.map(({ expr }) => asked(expr)),
    ...scaled,
    ...scaler,
  ];
  t.deepEqual([scaled.length, scaler.length], [2, 2]);
  // As the ServiceMonitor has it from the Service's label.
  for (const [, job] of queries.join().matchAll(/job="([^"]+)"/g)) t.is(job, 'moolai-controller');
  t.true(queries.length > 40);
  for (const query of queries) {
    const { errors, metrics, labels } = parse(query);
    t.is(errors, 0, query);
    t.true(metrics.length > 0, query);
    for (const name of metrics) t.true(known.has(name), `${name} in ${query}`);
    const own = metrics.flatMap((name) => table.get(name.replace(/_(bucket|sum|count)$/, ''))?.labels ?? []);
    const may = new Set([...own, ...foreignLabels]);
    for (const label of labels) t.true(may.has(label), `${label} in ${query}`);
  }
});

test('a panel has a unit, and its legend names labels that are left', (t) => {
  const variables = dashboard.templating.list.map(({ name }) => name);
  t.deepEqual(variables, ['datasource', 'namespace', 'pod']);
  for (const { title, fieldConfig, targets: queries = [] } of panels) {
    t.truthy(fieldConfig, title);
    t.true(queries.length > 0, title);
    for (const { expr, legendFormat } of queries) {
      for (const [, name = ''] of expr.matchAll(/\$(\w+)/g))
        t.true([...variables, '__rate_interval'].includes(name), `${name} in ${expr}`);
      for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) {
        const isLeft = /\bby \(/.test(expr)
          ? [...expr.matchAll(/by \(([^)]*)\)/g)].every(([, names = '']) => names.split(', ').includes(label))
          : label === 'pod' && !/^(sum|max|count)\b/.test(expr);
        t.true(isLeft, `${label} in ${title}`);
      }
    }
  }
});

test('the alert about the migration is about the Job that migrates', async (t) => {
  const job = z
    .object({ metadata: z.object({ name: z.string() }) })
    .parse(load(await read('base/migration-job.yaml')));
  const pattern = rules.flatMap(({ expr }) => /job_name=~"([^"]+)"/.exec(expr)?.[1] ?? []);
  t.is(pattern.length, 1);
  t.regex(job.metadata.name, new RegExp(`^(?:${pattern[0]})$`));
});

test('each alert leads to what to do about it, and nothing else is explained', async (t) => {
  const headings = [...(await read('README.md')).matchAll(/^#{1,6} (.+)$/gm)].map(([, text = '']) => text);
  // As GitHub makes anchors of headings.
  const anchors = headings.map((text) =>
    text
      .toLowerCase()
      .replace(/[^a-z0-9 -]/g, '')
      .replaceAll(' ', '-'),
  );
  const led = rules.map(({ alert, annotations }) => {
    const name = alert
      .replace(/^Moolai/, '')
      .replace(/\B[A-Z]/g, '-$&')
      .toLowerCase();
    t.is(annotations.runbook_url, `k8s/README.md#alert-${name}`);
    return `alert-${name}`;
  });
  t.is(new Set(led).size, rules.length);
  t.deepEqual(anchors.filter((anchor) => anchor.startsWith('alert-')).sort(), [...led].sort());
});

test('kustomize has all of it, the dashboard as what Grafana looks for', async (t) => {
  const kustomization = z
    .object({
      resources: z.array(z.string()),
      configMapGenerator: z.tuple([
        z.object({
          name: z.string(),
          files: z.array(z.string()),
          options: z.object({ labels: z.object({ grafana_dashboard: z.literal('1') }) }),
        }),
      ]),
      generatorOptions: z.object({ disableNameSuffixHash: z.literal(true) }),
    })
    .parse(load(await read('monitoring/kustomization.yaml')));
  const files = [...kustomization.resources, ...kustomization.configMapGenerator[0].files];
  t.deepEqual(files.sort(), ['alerts.yaml', 'dashboard.json', 'service-monitor.yaml']);
  for (const file of files) await t.notThrowsAsync(access(new URL(`monitoring/${file}`, folder)));

  const rendered = await promisify(execFile)(
    'kubectl',
    ['kustomize', fileURLToPath(new URL('monitoring', folder))],
    { maxBuffer: 10_000_000 },
  ).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    return undefined;
  });
  if (rendered === undefined) return t.log('kubectl is not here: what it renders was not looked at');
  const objects = z.array(z.object({ kind: z.string(), metadata: z.object({ name: z.string() }) }));
  t.deepEqual(
    objects
      .parse(loadAll(rendered.stdout))
      .map(({ kind, metadata }) => `${kind} ${metadata.name}`)
      .sort(),
    [
      'ConfigMap moolai-controller-dashboard',
      'PrometheusRule moolai-controller',
      'ServiceMonitor moolai-controller',
    ],
  );
});
