// What keeps a replica from being ready is said, and no longer than it holds.
import test from 'ava';
import { openDatabase } from '../../src/database/database.ts';
import { createReadiness } from '../../src/fleet/readiness.ts';
import { createLogs } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import { openRedis } from '../../src/redis/connection.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { createLease } from '../../src/redis/lease.ts';
import { openProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import { openWorld, shippedTimeouts } from '../support/world.ts';

test('a replica whose lease has lapsed is not ready, and ready again once it has renewed', async (t) => {
  await using stack = new AsyncDisposableStack();
  const redis = stack.adopt(await openProxy(), (it) => it.close());
  const settings = { ...shippedTimeouts(), presence: { leaseMs: 400, renewEveryMs: 100 } };
  const world = stack.adopt(await openWorld({ reach: { redis: redis.through }, settings }), (it) =>
    it.close(),
  );
  const ready = () => world.api.get('/health/ready');
  await until('the replica to be ready', async () => (await ready()).status === 200);

  redis.cut();
  const faults = await until('the lease to lapse', async () => {
    const { status, body } = await ready();
    return status === 503 && body.faults.includes('the lease is not held') && body.faults;
  });
  t.deepEqual(faults, ['Redis does not answer', 'the lease is not held']);

  redis.mend();
  const { body } = await until('the replica to be ready', async () => {
    const answer = await ready();
    return answer.status === 200 && answer;
  });
  t.deepEqual(body.faults, []);
});

test('a queue that does not answer is a fault of its own only while Redis answers, and is asked once for many', async (t) => {
  await using stack = new AsyncDisposableStack();
  const proxy = stack.adopt(await openProxy(), (it) => it.close());
  const world = stack.adopt(await openWorld(), (it) => it.close());
  const { log } = createLogs({
    level: 'silent',
    ringLevel: 'silent',
    nodeId: 'node-x',
    ring: { write() {} },
  });
  const database = stack.adopt(await openDatabase({ ...world.settings.database, log }), (it) => it.close());
  const url = proxy.through(world.settings.redis.url);
  const redis = stack.adopt(openRedis({ ...world.settings.redis, url, log }), (it) => it.close());
  await redis.tried();
  const lease = createLease({
    redis: redis.commands,
    keys: createKeys(world.settings.redis.prefix),
    nodeId: 'node-x',
    startedAt: new Date().toISOString(),
    leaseMs: 60_000,
    renewEveryMs: 20_000,
    async onRegained() {},
    metrics: createMetrics(),
    log,
  });
  await lease.start();
  stack.defer(() => lease.end());
  const asked = { answers: true, times: 0 };
  const readiness = createReadiness({
    database,
    redis,
    lease,
    async queueDepth() {
      asked.times += 1;
      if (!asked.answers) throw new Error('no queue');
      return 0;
    },
    answerWithinMs: 5_000,
    log,
  });
  t.deepEqual(await readiness.faults(), []);
  t.is(asked.times, 1);
  const all = await Promise.all(Array.from({ length: 100 }, () => readiness.check()));
  t.true(all.every(({ stores }) => stores.queue === 'up'));
  t.is(asked.times, 2, 'once for all who ask at once');

  asked.answers = false;
  t.deepEqual(await readiness.stores(), { database: 'up', redis: 'up', queue: 'down' });
  t.deepEqual(await readiness.faults(), ['the queue does not answer']);

  // The queue is in Redis: where that is away, it alone is named.
  proxy.cut();
  t.deepEqual(await readiness.faults(), ['Redis does not answer']);
});

test('a replica does not start on a schema that is older than its build, but on a newer one', async (t) => {
  await using stack = new AsyncDisposableStack();
  const world = stack.adopt(await openWorld(), (it) => it.close());
  await world.sql("INSERT INTO schema_migrations (name) VALUES ('2999-01-01-of-a-newer-build')");
  await t.notThrowsAsync(world.grow());
  await world.sql("DELETE FROM schema_migrations WHERE name = '2026-11-23-tables'");
  const error = await t.throwsAsync(world.grow());
  t.regex(
    error?.message ?? '',
    /^The database that DATABASE_URL names .*: run node src\/database\/migrate-command\.ts/,
  );
});

test('a replica that started without Postgres is not ready on an older schema', async (t) => {
  await using stack = new AsyncDisposableStack();
  const proxy = stack.adopt(await openProxy(), (it) => it.close());
  const world = stack.adopt(
    await openWorld({ reach: { database: proxy.through }, settings: shippedTimeouts() }),
    (it) => it.close(),
  );
  proxy.cut();
  const { api } = await world.grow();
  await world.sql("UPDATE schema_migrations SET name = 'gone ' || name");
  t.deepEqual((await api.get('/health/ready')).body.faults, ['Postgres does not answer']);
  proxy.mend();
  const faults = await until('the schema to be looked at', async () => {
    const { body } = await api.get('/health/ready');
    return body.faults[0] !== 'Postgres does not answer' && body.faults;
  });
  t.deepEqual(faults, ['the database that DATABASE_URL names has no tables yet']);
  await world.sql("UPDATE schema_migrations SET name = replace(name, 'gone ', '')");
  await until('readiness', async () => (await api.get('/health/ready')).status === 200);
});
