// The ring takes lines by the thousand, in their order, and says how many it lost.
import { randomUUID } from 'node:crypto';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Redis } from 'ioredis';
import { createMetrics } from '../../src/metrics.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { createLogRing } from '../../src/redis/log-ring.ts';
import { openGuard } from '../support/guarded.ts';
import { openRedisServer } from '../support/own-stores.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());

function createRing(redis: Redis, { backlog = 10_000 } = {}) {
  const dropped: number[] = [];
  const metrics = createMetrics();
  const ring = createLogRing({
    redis,
    keys: createKeys(randomUUID()),
    size: 5_000,
    auditSize: 10,
    backlog,
    onDropped: (count) => dropped.push(count),
    metrics,
  });
  const count = async (name: string) =>
    Number(
      new RegExp(`^${RegExp.escape(name)} (\\d+)`, 'm').exec(await metrics.registry.metrics())?.[1] ?? 0,
    );
  return { ring, dropped, count };
}

const line = (at: number) =>
  JSON.stringify({ timestamp: '', level: 'INFO', message: String(at), source: 'test', node_id: 'n' });

test('thousands of lines at once are written in several steps, and read in their order', async (t) => {
  const { ring, dropped, count } = createRing(world.redis);
  for (let at = 0; at < 1_700; at += 1) ring.write(line(at));
  const read = await ring.read();
  t.deepEqual(
    read.map((each) => Number(each.message)),
    Array.from({ length: 1_700 }, (_, at) => 1_699 - at),
  );
  t.is(await count('moolai_log_lines_written_total'), 1_700);
  t.deepEqual(dropped, []);
});

test('beyond what may wait for a Redis that is away the oldest are lost, and counted', async (t) => {
  const redis = new Redis({
    port: 1,
    lazyConnect: true,
    maxRetriesPerRequest: null,
    retryStrategy: () => 50,
  });
  redis.on('error', () => undefined);
  const { ring, count } = createRing(redis, { backlog: 100 });
  for (let at = 0; at < 126; at += 1) ring.write(line(at));
  // A quarter more than the backlog is let be, so that it is not cut at each line.
  t.is(await count('moolai_log_lines_dropped_total'), 26);
  ring.abandon();
  redis.disconnect();
  await ring.settled();
  t.is(await count('moolai_log_lines_dropped_total'), 126);
  t.is(await count('moolai_log_lines_written_total'), 0);
});

test('lines whose write was answered too late are there once, in their order', async (t) => {
  await using stack = new AsyncDisposableStack();
  const guard = stack.adopt(openGuard(), (it) => it.close());
  const folder = await mkdtemp(join(tmpdir(), 'moolai-log-ring-'));
  guard.remove(folder);
  const store = await openRedisServer({ folder, guard });
  const redis = stack.adopt(new Redis(store.url, { commandTimeout: 100 }), (it) => it.disconnect());
  const { ring, count } = createRing(redis);
  ring.write(line(0));
  await ring.settled();
  store.pause();
  ring.write(line(1));
  ring.write(line(2));
  await until('a write to be given up', () => count('moolai_commit_failures_total{batch="log_lines"}'));
  ring.write(line(3));
  await until(
    'it to be given up twice',
    async () => (await count('moolai_commit_failures_total{batch="log_lines"}')) > 1,
  );
  store.resume();
  await ring.settled();
  ring.write(line(4));
  const read = await ring.read();
  t.deepEqual(
    read.map((each) => each.message),
    ['4', '3', '2', '1', '0'],
  );
  t.is(await count('moolai_log_lines_written_total'), 5);
});
