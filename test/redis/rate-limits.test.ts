// The rates that the cluster keeps in Redis, and that nobody waits for it when it is away.
import test from 'ava';
import { z } from 'zod';
import { createLogs } from '../../src/log.ts';
import { openRedis } from '../../src/redis/connection.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { createRateLimits, type RateLimits } from '../../src/redis/rate-limits.ts';
import { openProxy, type StoreProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());
const keys = createKeys(world.settings.redis.prefix);
const limits = {
  requestsPerAddress: 3,
  requestsPerCaller: 3,
  windowSeconds: 60,
  handshakesPerAddress: 3,
  handshakeWindowSeconds: 60,
  // As much as a machine that runs many tests at once needs.
  patienceMs: 1_000,
};

interface Opened extends AsyncDisposable {
  rates: RateLimits;
  proxy: StoreProxy;
  /** Commands that wait for their answer. */
  unanswered(): number;
  /** What it said of itself, oldest first. */
  said(): string[];
}

/** The rates as one replica keeps them, through a proxy to Redis. */
async function open(changes: Partial<typeof limits> = {}): Promise<Opened> {
  const stack = new AsyncDisposableStack();
  const proxy = stack.adopt(await openProxy(), (it) => it.close());
  const lines: { event?: string; level: string; message: string }[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line));
  const { log } = createLogs({ level: 'silent', ringLevel: 'debug', nodeId: 'node-x', ring: { write } });
  const url = proxy.through(world.settings.redis.url);
  const redis = stack.adopt(openRedis({ url, prefix: 'moolai', commandTimeoutMs: 1_500, log }), (it) =>
    it.close(),
  );
  await redis.tried();
  return {
    rates: createRateLimits({ redis: redis.commands, keys, ...limits, ...changes, log }),
    proxy,
    unanswered: () =>
      z.object({ length: z.number() }).parse(Reflect.get(redis.commands, 'commandQueue')).length,
    said: () =>
      lines
        .filter((line) => line.event?.startsWith('limits_'))
        .map((line) => `${line.level} ${line.message}`),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function takeSeveral(rates: RateLimits, who: string, times = 5): Promise<boolean[]> {
  const passed: boolean[] = [];
  for (let count = 0; count < times; count += 1) passed.push((await rates.byAddress.take(who)) === undefined);
  return passed;
}

test('so many may pass in a window, the next is told how long to wait, whichever replica it asks', async (t) => {
  await using one = await open();
  await using other = await open();
  t.deepEqual(await takeSeveral(one.rates, 'a', 2), [true, true]);
  t.deepEqual(await takeSeveral(other.rates, 'a'), [true, false, false, false, false]);
  const seconds = await one.rates.byAddress.take('a');
  t.true(Number.isInteger(seconds) && Number(seconds) >= 1 && Number(seconds) <= 60, `${seconds}`);
  t.deepEqual(await takeSeveral(one.rates, 'b', 3), [true, true, true], 'another is not concerned');
  t.is(await one.rates.byCaller.take('a'), undefined, 'an address is no caller');
  t.is(await one.rates.handshakes.take('a'), undefined, 'a call is no handshake');
});

test('of many who come at once exactly so many pass, the first, through whichever replica', async (t) => {
  await using one = await open();
  await using other = await open();
  const comers = [one, one, one, one, one].map(({ rates }) => rates.byAddress.take('at-once'));
  const told = await Promise.all(comers);
  t.deepEqual(
    told.map((seconds) => seconds === undefined),
    [true, true, true, false, false],
  );
  const elsewhere = await Promise.all(
    [other, one, other].map(({ rates }) => rates.byAddress.take('at-once')),
  );
  t.true(elsewhere.every((seconds) => Number(seconds) >= 1 && Number(seconds) <= 60));
  const rest = await Promise.all([one, other, one, other].map(({ rates }) => rates.byAddress.take('shared')));
  t.is(rest.filter((seconds) => seconds === undefined).length, 3);
});

test('of new connections that come turn by turn exactly so many pass, the first', async (t) => {
  await using opened = await open();
  const comers: Promise<number | undefined>[] = [];
  for (let count = 0; count < 50; count += 1) {
    comers.push(opened.rates.handshakes.take('turn-by-turn'));
    await new Promise(setImmediate);
  }
  const passed = (await Promise.all(comers)).map((seconds) => seconds === undefined);
  t.deepEqual(
    passed,
    comers.map((_, at) => at < limits.handshakesPerAddress),
  );
});

test('behind the window the next one may pass', async (t) => {
  await using opened = await open({ windowSeconds: 2 });
  const { byAddress } = opened.rates;
  t.deepEqual(await takeSeveral(opened.rates, 'window', 4), [true, true, true, false]);
  t.true([1, 2].includes((await byAddress.take('window')) ?? 0));
  await until('it to pass', async () => (await byAddress.take('window')) === undefined);
});

test('every key expires, and a limit of 0 has none', async (t) => {
  await using opened = await open({ requestsPerCaller: 0 });
  const { byAddress, byCaller, handshakes } = opened.rates;
  for (let count = 0; count < 10; count += 1) t.is(await byCaller.take('expiry'), undefined);
  await byAddress.take('expiry');
  await handshakes.take('expiry');
  const found = (await world.redis.keys(`{${world.settings.redis.prefix}}:limit:*:expiry`)).sort();
  t.deepEqual(found, [`${keys.limit('address')}:expiry`, `${keys.limit('handshakes')}:expiry`]);
  for (const key of found) t.true((await world.redis.pttl(key)) > 0, key);
});

for (const [how, away] of [
  ['refuses connections', (proxy: StoreProxy) => proxy.cut()],
  ['says nothing', (proxy: StoreProxy) => proxy.stall()],
] as const)
  test(`while Redis ${how} everybody passes at once, which is told once, and so is its end`, async (t) => {
    await using opened = await open();
    const { rates, proxy, said } = opened;
    const who = `away-${how}`;
    t.deepEqual(await takeSeveral(rates, who), [true, true, true, false, false]);
    away(proxy);

    const other = `other-${how}`;
    const beganMs = performance.now();
    const together = await Promise.all(Array.from({ length: 20 }, () => rates.byAddress.take(other)));
    t.deepEqual(together, Array(20).fill(undefined));
    const firstMs = performance.now() - beganMs;
    await until('the outage to be told', () => said().length === 1);
    t.deepEqual(await takeSeveral(rates, other, 500), Array<boolean>(500).fill(true));
    t.true(opened.unanswered() <= together.length + 1, 'one call at a time looks whether it is back');
    const allMs = performance.now() - beganMs;
    t.true(firstMs < 3_000, `the first waited ${firstMs} ms`);
    t.true(allMs - firstMs < 1_000, `the others waited ${allMs - firstMs} ms`);
    t.true((await rates.byAddress.take(who)) === undefined, 'who was over the limit passes as well');

    proxy.mend();
    await until('limits to be kept again', async () => {
      await rates.byCaller.take('somebody');
      return said().length === 2;
    });
    t.deepEqual((await takeSeveral(rates, `again-${how}`)).slice(3), [false, false]);
    const [first = '', second = '', ...more] = said();
    t.regex(first, /^WARNING Rate limits are not kept: ./);
    t.regex(second, /^WARNING Rate limits are kept again, after \d+\.\d s$/);
    t.deepEqual(more, []);
  });
