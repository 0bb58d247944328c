// What is dear to read from Redis is read once for many who ask at the same moment.
import test from 'ava';
import type { Redis } from 'ioredis';
import { createMetrics } from '../../src/metrics.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { createLogRing } from '../../src/redis/log-ring.ts';
import { createPresence } from '../../src/redis/presence.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());
const { controller, connect } = world.replica(0);
const keys = createKeys(world.settings.redis.prefix);
const callers = 40;

/** The world's Redis, and the names of the commands that were given to it. */
function countedRedis() {
  const given: string[] = [];
  const redis = new Proxy(world.redis, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        // Each reading of the log reads the audit's as well, and looks which is the oldest.
        if (args[0] !== keys.audit && args[1] !== '-') given.push(String(name));
        return Reflect.apply(value, target, args);
      };
    },
  });
  return { redis, times: (name: string) => given.filter((each) => each === name).length };
}

const readers = {
  xrange({ redis }: ReturnType<typeof countedRedis>) {
    const ring = ringOn(redis);
    return async (id: string) => (await ring.read()).some((line) => line.orchestrator_id === id);
  },
  evalsha({ redis }: ReturnType<typeof countedRedis>) {
    const presence = presenceOn(redis);
    return async (id: string) => (await presence.list()).all().some((each) => each.orchestrator_id === id);
  },
};

function ringOn(redis: Redis) {
  return createLogRing({
    redis,
    keys,
    size: 5_000,
    auditSize: 100,
    backlog: 100,
    onDropped() {},
    metrics: createMetrics(),
  });
}

function presenceOn(redis: Redis) {
  const { nodeId } = controller;
  return createPresence({
    ...{ redis, keys, nodeId, liveNodes: async () => [nodeId] },
    now: () => Date.now(),
    metrics: createMetrics(),
  });
}

for (const [command, what] of [
  ['xrange', 'the log'],
  ['evalsha', 'who is connected'],
] as const)
  test(`${what} is read once for many who ask at once, and never from before they asked`, async (t) => {
    const counted = countedRedis();
    const shows = readers[command](counted);
    await connect(`old-${command}`);
    // The lines of the world's own replica are on their way.
    await until('it to be shown', () => shows(`old-${command}`));
    const before = counted.times(command);
    const first = shows(`old-${command}`);
    await new Promise(setImmediate);
    const all = await Promise.all([first, ...Array.from({ length: callers }, () => shows(`old-${command}`))]);
    t.true(all.every((shown) => shown));
    t.is(counted.times(command) - before, 2);

    const reading = [shows('none'), shows('none')];
    const line = {
      timestamp: '',
      level: 'INFO',
      source: 'test',
      node_id: 'x',
      orchestrator_id: `new-${command}`,
    };
    const entry = { organization_id: 'o', name: 'n', connected_at: new Date().toISOString(), metadata: {} };
    if (command === 'xrange') {
      const other = ringOn(world.redis);
      other.write(`${JSON.stringify(line)}\n`);
      await other.settled();
    } else await presenceOn(world.redis).claim(`new-${command}`, { epoch: 1, entry, lastSeenMs: Date.now() });
    t.true(await shows(`new-${command}`));
    t.deepEqual(await Promise.all(reading), [false, false]);
  });
