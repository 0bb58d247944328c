// The list of who is connected, kept from one read to the next: it is what a list read anew is, whatever happened meanwhile.
import test, { type ExecutionContext } from 'ava';
import type { Redis } from 'ioredis';
import { createLogs } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { createLease } from '../../src/redis/lease.ts';
import type { LiveList } from '../../src/redis/live-list.ts';
import { createPresence, type Presence } from '../../src/redis/presence.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());
const { log } = createLogs({ level: 'silent', ringLevel: 'silent', nodeId: 'node-x', ring: { write() {} } });

interface Fleet extends Disposable {
  readonly keys: ReturnType<typeof createKeys>;
  readonly redis: Redis;
  /** Of one replica, that reads and is never restarted. */
  readonly reader: Presence;
  /** The names of the commands that it gave, since the last time. */
  given(): string[];
  readonly one: Presence;
  readonly other: Presence;
  /** Reads with the reader, and with one that knows of nothing: they must say the same. */
  read(t: ExecutionContext): Promise<LiveList>;
}

/** Two nodes with leases, in a corner of Redis of their own. */
async function openFleet(name: string): Promise<Fleet> {
  const { redis } = world;
  const keys = createKeys(`${world.settings.redis.prefix}-${name}`);
  const metrics = createMetrics();
  const leases = await Promise.all(
    ['node-1', 'node-2'].map(async (nodeId) => {
      const lease = createLease({
        ...{ redis, keys, nodeId, startedAt: '', leaseMs: 60_000, renewEveryMs: 60_000, metrics, log },
        onRegained: async () => undefined,
      });
      await lease.start();
      return lease;
    }),
  );
  const given: string[] = [];
  const watched = new Proxy(redis, {
    get(target, command) {
      const value: unknown = Reflect.get(target, command);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        given.push(String(command));
        return Reflect.apply(value, target, args);
      };
    },
  });
  const presenceOf = (nodeId: string, on: Redis = redis) =>
    createPresence({
      ...{ redis: on, keys, nodeId, metrics },
      liveNodes: async () => (await leases[0]?.roster())?.live ?? [],
      now: () => Date.now(),
    });
  const one = presenceOf('node-1');
  await one.settleWhole(['node-1', 'node-2']);
  const reader = presenceOf('node-1', watched);
  return {
    ...{ keys, redis, reader, one, other: presenceOf('node-2') },
    given: () => given.splice(0),
    async read(t) {
      const [list, anew] = [await reader.list(), await presenceOf('node-1').list()];
      t.deepEqual(list.all(), anew.all());
      t.is(list.total, list.all().length);
      t.deepEqual(list.parts, anew.parts, 'in the same parts, on whichever replica');
      return list;
    },
    [Symbol.dispose]() {
      for (const lease of leases) lease.end();
    },
  };
}

let epoch = 0;
/** @returns its epoch */
async function connect(presence: Presence, id: string, name = 'n'): Promise<number> {
  epoch += 1;
  const mine = epoch;
  const entry = {
    ...{ organization_id: 'o', name, metadata: { a: 1 } },
    connected_at: new Date(1_790_000_000_000).toISOString(),
  };
  await presence.claim(id, { epoch: mine, entry, lastSeenMs: 1_790_000_000_000 });
  return mine;
}
const ids = (list: LiveList) => list.all().map((each) => each.orchestrator_id);
const numbered = (count: number) =>
  Array.from({ length: count }, (_, at) => `id-${String(at).padStart(4, '0')}`);

test('what changed is read, and no more', async (t) => {
  using fleet = await openFleet('changed');
  const { one, reader, given } = fleet;
  await Promise.all(numbered(300).map((id) => connect(one, id)));
  const first = await fleet.read(t);
  t.true(given().includes('hgetall'));

  const unchanged = await reader.list();
  t.deepEqual(given(), ['evalsha']);
  t.is(unchanged.parts, first.parts);

  one.seen({ ids: ['id-0123'], atMs: [1_790_000_001_000], beats: 1 });
  await one.settled();
  const beaten = await reader.list();
  t.deepEqual(given(), ['evalsha']);
  t.is(beaten.parts.filter((part) => !first.parts.includes(part)).length, 1, 'one part is another');
  t.is(beaten.all()[123]?.last_seen, '2026-09-21T14:13:21.000Z');
  t.is(first.all()[123]?.last_seen, '2026-09-21T14:13:20.000Z', 'what was told before is as it was');

  await connect(one, 'id-0123-b');
  const joined = await reader.list();
  t.false(given().includes('hgetall'));
  t.is(joined.total, 301);
  t.true(joined.parts.filter((part) => !beaten.parts.includes(part)).length <= 2);
  await fleet.read(t);
});

test('whoever comes, goes, moves, beats or tells another name is in the list as in one read anew', async (t) => {
  using fleet = await openFleet('random');
  const { one, other } = fleet;
  const all = numbered(150);
  const owners = new Map<string, { presence: Presence; epoch: number }>();
  // The same each time: a linear congruential generator, as in Numerical Recipes.
  let seed = 7;
  const below = (bound: number) => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((seed / 2 ** 32) * bound);
  };
  for (let round = 0; round < 60; round += 1) {
    for (let step = below(12); step > 0; step -= 1) {
      const id = all[below(all.length)] ?? '';
      const owner = owners.get(id);
      const act = below(4);
      if (act === 0 && owner !== undefined) {
        await owner.presence.release(id, owner.epoch);
        owners.delete(id);
      } else if (act === 1 || owner === undefined) {
        const presence = below(2) === 0 ? one : other;
        owners.set(id, { presence, epoch: await connect(presence, id, `name-${round}`) });
      } else owner.presence.seen({ ids: [id], atMs: [1_790_000_000_000 + below(5_000)], beats: 1 });
    }
    await Promise.all([one.settled(), other.settled()]);
    t.deepEqual(ids(await fleet.read(t)), [...owners.keys()].sort());
  }
});

test('a node that is dead has nobody, and one that is back has its own again', async (t) => {
  using fleet = await openFleet('dead');
  const { one, other, redis, keys } = fleet;
  await connect(one, 'a');
  await connect(other, 'b');
  t.deepEqual(ids(await fleet.read(t)), ['a', 'b']);
  const ends = await redis.zscore(keys.nodes, 'node-2');
  await redis.zadd(keys.nodes, 0, 'node-2');
  t.deepEqual(ids(await fleet.read(t)), ['a']);
  await connect(other, 'c');
  t.deepEqual(ids(await fleet.read(t)), ['a']);
  await redis.zadd(keys.nodes, String(ends), 'node-2');
  t.deepEqual(ids(await fleet.read(t)), ['a', 'b', 'c']);
  await redis.zadd(keys.nodes, 0, 'node-2');
  t.true(await one.bury('node-2'));
  await redis.zadd(keys.nodes, String(ends), 'node-2');
  t.deepEqual(ids(await fleet.read(t)), ['a']);
});

test('changes that are trimmed, lost or told by nobody are no changes missed', async (t) => {
  using fleet = await openFleet('lost');
  const { one, redis, keys, given } = fleet;
  for (const id of ['a', 'b', 'c']) await connect(one, id);
  t.deepEqual(ids(await fleet.read(t)), ['a', 'b', 'c']);

  for (const [what, lose] of [
    ['trimmed', () => redis.xtrim(keys.changes, 'MAXLEN', 1)],
    ['trimmed to nothing', () => redis.xtrim(keys.changes, 'MAXLEN', 0)],
    ['gone', () => redis.del(keys.changes)],
  ] as const) {
    await connect(one, `after ${what}`.replaceAll(' ', '-'));
    await connect(one, 'd');
    await lose();
    given();
    await fleet.read(t);
    t.true(given().includes('hgetall'), what);
  }
  const entry = await redis.hget(keys.presence('node-1'), 'a');
  await redis.hset(keys.presence('node-1'), 'e', String(entry));
  t.true(ids(await fleet.read(t)).includes('e'), 'as another version writes it');
  await redis.del(keys.presence('node-1'), keys.lastSeen, keys.changes);
  t.deepEqual(ids(await fleet.read(t)), []);

  await connect(one, 'f');
  await redis.set(keys.server, 'another');
  await t.throwsAsync(fleet.reader.list(), { name: 'PresenceIncomplete' });
});

test('changes are kept for a while, and then trimmed with a renewal', async (t) => {
  const { redis } = world;
  const keys = createKeys(`${world.settings.redis.prefix}-trimmed`);
  const old = Date.now() - 60_000;
  for (let at = 0; at < 300; at += 1) await redis.xadd(keys.changes, `${old}-${at + 1}`, 'id', 'x');
  await redis.xadd(keys.changes, '*', 'id', 'y');
  const lease = createLease({
    ...{ redis, keys, nodeId: 'node-1', startedAt: '', leaseMs: 60_000, renewEveryMs: 60_000 },
    ...{ metrics: createMetrics(), log, onRegained: async () => undefined },
  });
  await lease.start();
  lease.end();
  // Whole nodes of the stream go, of a hundred entries each.
  t.is(await redis.xlen(keys.changes), 1);
});
