import test from 'ava';
import { costPerThousand, describeSizing, medianOf, type Usage } from './sizing-report.ts';
import { measureSizing } from './sizing-run.ts';

const usage = (value: number): Usage => ({
  replicaCores: value,
  postgresCores: value,
  redisCores: value,
  commitsPerSecond: value,
  walBytesPerSecond: value,
  redisCommandsPerSecond: value,
  replicaBytes: value,
  redisBytes: value,
  databaseBytes: value,
});

test('the median of an odd number of windows is the one in the middle, of an even number between two', (t) => {
  t.is(medianOf([usage(9), usage(1), usage(2)]).redisBytes, 2);
  t.is(medianOf([usage(9), usage(1), usage(2), usage(4)]).redisBytes, 3);
});

test('what 1,000 more cost is the slope; what is used with nobody connected is no part of it', (t) => {
  const steps = [
    { orchestrators: 0, usage: usage(500) },
    { orchestrators: 1_000, usage: usage(70) },
    { orchestrators: 2_000, usage: usage(80) },
    { orchestrators: 4_000, usage: usage(100) },
  ];
  t.is(Math.round(costPerThousand(steps, 'replicaCores')), 10);
});

test('a small fleet is measured for real: more orchestrators are more in every figure that counts them', async (t) => {
  t.timeout(120_000);
  const lines: string[] = [];
  const measured = await measureSizing({
    sizes: [40, 400],
    replicas: 2,
    stepMs: 2_500,
    windows: 1,
    onProgress: (line) => lines.push(line),
  });
  const [nobody, few, many] = measured.steps;
  t.deepEqual([nobody?.orchestrators, few?.orchestrators, many?.orchestrators], [0, 40, 400]);
  t.true((many?.usage.redisBytes ?? 0) > (few?.usage.redisBytes ?? 0));
  t.true((nobody?.usage.replicaBytes ?? 0) > 2 ** 20);
  t.true((many?.usage.commitsPerSecond ?? 0) > 0);
  t.true(measured.connectSeconds > 0);
  const report = describeSizing(measured);
  for (const word of [
    'replicas, resident memory',
    'Redis, memory',
    'each 1,000 more',
    '1,000 handshakes took',
  ])
    t.true(report.includes(word), word);
  t.true(lines.some((line) => line.startsWith('400 orchestrators')));
});
