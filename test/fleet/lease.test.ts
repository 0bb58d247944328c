// Behind a gap a lease is held only once the presence is registered again.
import test from 'ava';
import { createLogs } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { createLease } from '../../src/redis/lease.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());

const keys = createKeys(world.settings.redis.prefix);
const { log } = createLogs({ level: 'silent', ringLevel: 'silent', nodeId: 'node-x', ring: { write() {} } });

/** A lease whose registrations stand still until the test says how each ends. */
function openLease(nodeId: string) {
  const registrations: PromiseWithResolvers<void>[] = [];
  let held = 0;
  const lease = createLease({
    redis: world.redis,
    keys,
    nodeId,
    startedAt: new Date().toISOString(),
    leaseMs: 10_000,
    renewEveryMs: 20,
    onRegained() {
      const registration = Promise.withResolvers<void>();
      registrations.push(registration);
      return registration.promise;
    },
    async onHeld() {
      held += 1;
    },
    metrics: createMetrics(),
    log,
  });
  const registration = (nth: number) => until(`registration ${nth}`, () => registrations[nth - 1]);
  const hasHeld = (times: number) => until(`it to be held ${times} times`, () => held === times);
  return { lease, registration, hasHeld };
}

test('a lease that was lost is held again once the presence is registered, and counts from then', async (t) => {
  const { lease, registration, hasHeld } = openLease('node-gap');
  const started = lease.start();
  (await registration(1)).resolve();
  await started;
  t.true(lease.held());
  await until('it to be held for a while', () => lease.heldForMs() > 50);

  await world.redis.zrem(keys.nodes, 'node-gap');
  const failing = await registration(2);
  t.false(lease.held());
  t.is(lease.heldForMs(), 0);
  failing.reject(new Error('Redis is away'));
  const second = await registration(3);
  t.false(lease.held());
  const registeredAt = performance.now();
  second.resolve();
  await hasHeld(2);
  t.true(lease.held());
  t.true(lease.heldForMs() <= performance.now() - registeredAt);
  lease.end();
});

test('a presence that is to be registered anew does not end the lease', async (t) => {
  const { lease, registration, hasHeld } = openLease('node-whole');
  const started = lease.start();
  (await registration(1)).resolve();
  await started;
  lease.invalidate();
  const again = await registration(2);
  t.true(lease.held());
  t.true(lease.heldForMs() > 0);
  again.resolve();
  await hasHeld(2);
  t.true(lease.held());
  lease.end();
});

test('on data that another server held before the presence is registered anew, and the lease counts from then', async (t) => {
  const { lease, registration, hasHeld } = openLease('node-failover');
  const started = lease.start();
  (await registration(1)).resolve();
  await started;

  await until('it to be held for a while', () => lease.heldForMs() > 50);
  const failedOverAt = performance.now();
  // As its replica has it that takes over: the data of the one before, word for word.
  await world.redis.set(keys.server, 'another');
  await world.redis.hset(keys.node('node-failover'), 'registered', 'another');
  const again = await registration(2);
  t.true(lease.held());
  t.true(lease.heldForMs() <= performance.now() - failedOverAt);
  again.resolve();
  await hasHeld(2);
  t.true(lease.held());
  lease.end();
});
