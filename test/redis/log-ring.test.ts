// The ring takes lines by the thousand, in their order, keeps the newest, and says how many it lost.
import { randomUUID } from 'node:crypto';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Redis } from 'ioredis';
import { createMetrics } from '../../src/metrics.ts';
import { createKeys, type Keys } from '../../src/redis/keys.ts';
import { createLogRing } from '../../src/redis/log-ring.ts';
import { openGuard } from '../support/guarded.ts';
import { openRedisServer } from '../support/own-stores.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());

interface Options {
  redis?: Redis;
  keys?: Keys;
  size?: number;
  backlog?: number;
}

function createRing({ redis = world.redis, keys = createKeys(randomUUID()), ...rest }: Options = {}) {
  const dropped: number[] = [];
  const metrics = createMetrics();
  const ring = createLogRing({
    ...{ redis, keys, metrics, size: 5_000, auditSize: 10, backlog: 10_000, ...rest },
    onDropped: (count) => dropped.push(count),
  });
  const count = async (name: string) =>
    Number(
      new RegExp(`^${RegExp.escape(name)} (\\d+)`, 'm').exec(await metrics.registry.metrics())?.[1] ?? 0,
    );
  return {
    ...{ ring, dropped, count, keys },
    async write(from: number, to: number, event?: string) {
      for (let at = from; at < to; at += 1) ring.write(line(at, event));
      await ring.settled();
    },
    read: async () => (await ring.read()).map(({ message }) => Number(message)),
    ids: async () => (await ring.read()).map(({ id }) => id),
  };
}

const line = (at: number, event?: string) =>
  `${JSON.stringify({ timestamp: '', level: 'INFO', message: String(at), source: 'test', node_id: 'n', event })}\n`;

/** Newest first. */
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => to - 1 - at);

/** The part of an id that orders lines. */
const numberOf = (id: string | undefined) => Number(id?.split('-')[0]);

test('thousands of lines at once are written in several steps, and read in their order', async (t) => {
  const { ring, dropped, count, read } = createRing();
  for (let at = 0; at < 2_700; at += 1) ring.write(line(at));
  t.deepEqual(await read(), range(0, 2_700));
  t.is(await count('moolai_log_lines_written_total'), 2_700);
  t.is(await count('moolai_commit_entries_sum{batch="log_lines"}'), 2_700);
  t.deepEqual(dropped, []);
});

test('whatever is written together, the newest are kept, as many as the ring is to have, and not many more in Redis', async (t) => {
  const { ring, write, read, keys } = createRing({ size: 250 });
  const fresh = createRing({ keys, size: 250 });
  let written = 0;
  for (const many of [1, 249, 1, 30, 101, 1, 1, 700, 250, 99]) {
    await write(written, written + many);
    written += many;
    const kept = range(Math.max(0, written - 250), written);
    t.deepEqual(await read(), kept, `${written} lines`);
    t.deepEqual(await createRing({ keys, size: 250 }).read(), kept, `${written} lines, read anew`);
    t.deepEqual(
      await fresh.ids(),
      (await ring.read()).map(({ id }) => id),
    );
  }
  const entries = await world.redis.xrange(keys.logs, '-', '+');
  const held = entries.flatMap(([, [, text = '']]) => text.trimEnd().split('\n'));
  t.true(held.length < 250 + 200, String(held.length));
});

test('lines of several replicas have ids of their own, that sort as they were written and come from the clock', async (t) => {
  const keys = createKeys(randomUUID());
  const rings = [createRing({ keys }), createRing({ keys })];
  const before = Date.now();
  for (let step = 0; step < 20; step += 1)
    await Promise.all(rings.map((each, at) => each.write(step * 10, step * 10 + 7 * at + 1)));
  const ids = await createRing({ keys }).ids();
  t.is(ids.length, 20 * (1 + 8));
  t.is(new Set(ids).size, ids.length);
  const numbers = ids.map(numberOf);
  t.deepEqual(
    numbers,
    numbers.toSorted((one, other) => other - one),
  );
  t.true(Number(numbers.at(-1)) >= (before - 1_000) * 1_000);
});

test('lines of the audit stay when others push them out, each told once and in its place', async (t) => {
  const { write, read, ring } = createRing({ size: 120 });
  await write(0, 3, 'audit');
  await write(3, 203);
  t.deepEqual(await read(), [...range(83, 203), 2, 1, 0]);
  // Among the lines of one entry as well.
  ring.write(line(203));
  for (let at = 204; at < 216; at += 1) ring.write(line(at, at % 2 === 0 ? 'audit' : 'keepalive'));
  await ring.settled();
  const kept = range(96, 216);
  t.deepEqual(await read(), [...kept, 2, 1, 0]);
  await write(216, 416);
  t.deepEqual(await read(), [...range(296, 416), 214, 212, 210, 208, 206, 204, 2, 1, 0]);
  await write(416, 440, 'audit');
  t.deepEqual(await read(), [...range(320, 440)], 'the newest ten of the audit are in the ring itself');
});

test('a line that quotes a line of the audit is none', async (t) => {
  const { ring, write, read } = createRing({ size: 1 });
  const quoting = JSON.parse(line(1));
  ring.write(`${JSON.stringify({ ...quoting, quoted: '{"event":"audit"}' })}\n`);
  await write(2, 3);
  t.deepEqual(await read(), [2]);
});

for (const lost of ['logs', 'newestLog', 'audit'] as const)
  test(`a ring goes on when Redis lost its ${lost} alone`, async (t) => {
    const { write, read, ids, keys } = createRing({ size: 100 });
    await write(0, 2, 'audit');
    await write(2, 60);
    const before = await ids();
    await world.redis.del(keys[lost]);
    await write(60, 70);
    await write(70, 72, 'audit');
    // Those of the audit are gone from the ring, and are what is left.
    t.deepEqual(await read(), lost === 'logs' ? [...range(60, 72), 1, 0] : range(0, 72));
    t.deepEqual(await createRing({ keys, size: 100 }).read(), await read());
    const added = (await ids()).slice(0, 12);
    t.true(added.every((id) => numberOf(id) > numberOf(before[0])));
    await write(72, 272);
    t.deepEqual(await read(), [...range(172, 272), 71, 70, ...(lost === 'audit' ? [] : [1, 0])]);
  });

test('a ring that was lost as a whole begins anew, with ids behind those it had', async (t) => {
  const { write, read, ids, keys } = createRing();
  await write(0, 500);
  const [newest] = await ids();
  await world.redis.del(keys.logs, keys.newestLog, keys.audit);
  t.deepEqual(await read(), []);
  await write(500, 501);
  t.deepEqual(await read(), [500]);
  t.true(numberOf((await ids())[0]) > numberOf(newest));
});

test('where a server goes on without the newest lines, others may get their numbers, but not their ids', async (t) => {
  const { write, read, ids, keys } = createRing();
  await write(0, 10);
  const known = await Promise.all(
    [keys.logs, keys.newestLog].map(async (key) => ({ key, dump: await world.redis.dumpBuffer(key) })),
  );
  await write(10, 20);
  t.deepEqual(await read(), range(0, 20));
  const [lost] = await ids();
  for (const { key, dump } of known) await world.redis.restore(key, 0, dump, 'REPLACE');
  await write(30, 40);
  t.deepEqual(await read(), [...range(30, 40), ...range(0, 10)]);
  const [found] = await ids();
  t.is(numberOf(found), numberOf(lost));
  t.not(found, lost);
});

test('a clock that went back does not put the lines in another order', async (t) => {
  const { write, read, keys } = createRing();
  // As begun by a clock that was an hour ahead.
  await world.redis.set(keys.newestLog, (Date.now() + 3_600_000) * 1_000);
  await write(0, 5, 'audit');
  await world.redis.del(keys.logs, keys.newestLog);
  await write(5, 10, 'audit');
  t.deepEqual(await read(), range(0, 10));
});

test('what a build before has under its own names is let be', async (t) => {
  const { write, read } = createRing({ keys: createKeys(world.settings.redis.prefix) });
  const root = `{${world.settings.redis.prefix}}`;
  for (const name of ['logs', 'audit']) await world.redis.xadd(`${root}:${name}`, '*', 'line', line(-1));
  await write(1_000_000, 1_000_001);
  const found = await read();
  t.true(found.includes(1_000_000) && !found.includes(-1));
});

test('beyond what may wait for a Redis that is away the oldest are lost, and counted', async (t) => {
  const redis = new Redis({
    port: 1,
    lazyConnect: true,
    maxRetriesPerRequest: null,
    retryStrategy: () => 50,
  });
  redis.on('error', () => undefined);
  const { ring, count } = createRing({ redis, backlog: 100 });
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
  const hasty = stack.adopt(new Redis(store.url, { commandTimeout: 100 }), (it) => it.disconnect());
  const { ring, count, keys } = createRing({ redis: hasty });
  const givenUp = () => count('moolai_commit_failures_total{batch="log_lines"}');
  ring.write(line(0));
  await ring.settled();
  // On a machine with much else to do even that may have taken longer.
  const before = await givenUp();
  store.pause();
  ring.write(line(1));
  ring.write(line(2));
  await until('a write to be given up', async () => (await givenUp()) > before);
  ring.write(line(3));
  await until('it to be given up twice', async () => (await givenUp()) > before + 1);
  store.resume();
  await ring.settled();
  ring.write(line(4));
  await ring.settled();
  t.is(await count('moolai_log_lines_written_total'), 5);
  // By one who has the time to wait for it.
  const patient = stack.adopt(new Redis(store.url), (it) => it.disconnect());
  t.deepEqual(await createRing({ redis: patient, keys }).read(), range(0, 5));
});
