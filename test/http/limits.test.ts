// How often one address and one caller may call REST, and how many may wait for `/send`.
import test from 'ava';
import { createLimits } from '../../src/http/limits.ts';
import { createSendWaits } from '../../src/http/send-waits.ts';
import { createLogs } from '../../src/log.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { createRateLimits } from '../../src/redis/rate-limits.ts';
import { errorOf } from '../support/answers.ts';
import type { Answer } from '../support/api.ts';
import { asksForTokens, newSecretKey } from '../support/tokens.ts';
import { until } from '../support/until.ts';
import { openWorld, type World } from '../support/world.ts';

const requestsPerAddress = 20;
const sendWaitsPerCaller = 2;
let world: World;
test.before(async () => {
  world = await openWorld({
    replicas: 2,
    settings: {
      // Behind a proxy, and open all the same.
      auth: { mode: 'off' },
      http: { trustedProxies: ['loopback'] },
      limits: { requestsPerAddress, windowSeconds: 60, sendWaitsPerCaller },
    },
  });
});
test.after.always(() => world.close());

const organizations = '/api/v1/controller/organizations';
/** A call from an address, by way of a proxy that is trusted. */
const from = (address: string, path: string, replica = 0, init: RequestInit = {}): Promise<Answer> =>
  world.replica(replica).api.request(path, {
    ...init,
    headers: { 'content-type': 'application/json', 'x-forwarded-for': address },
  });

test('more calls from one address than it may make are a 429, through whichever replica', async (t) => {
  const statuses = await Promise.all(
    Array.from({ length: requestsPerAddress + 10 }, (_, nth) => from('192.0.2.1', organizations, nth % 2)),
  ).then((answers) => answers.map(({ status }) => status));
  t.is(statuses.filter((status) => status === 200).length, requestsPerAddress);
  t.is(statuses.filter((status) => status === 429).length, 10);

  for (const [path, init] of [
    [organizations, {}],
    [organizations, { method: 'POST', body: 'no JSON' }],
    ['/nowhere', {}],
    ['/docs', {}],
    ['/docs/swagger-ui-bundle.js', {}],
  ] as const) {
    const refused = await from('192.0.2.1', path, 1, init);
    errorOf(t, refused, 429, 'rate_limited');
    const seconds = Number(refused.headers.get('retry-after'));
    t.true(Number.isInteger(seconds) && seconds >= 1 && seconds <= 60, `${seconds}`);
  }
  t.is((await from('192.0.2.2', organizations)).status, 200, 'another address is not concerned');
});

test('a stranger who calls too often is told that, and without a look at the token', async (t) => {
  const own = await openWorld({
    settings: { ...asksForTokens(newSecretKey()), limits: { requestsPerAddress: 2, windowSeconds: 60 } },
  });
  t.teardown(() => own.close());
  const call = () => own.api.request(organizations, { headers: { authorization: 'Bearer x.y.z' } });
  const statuses = [];
  for (let count = 0; count < 5; count += 1) statuses.push((await call()).status);
  t.deepEqual(statuses, [401, 401, 429, 429, 429]);
});

test('probes and metrics are never refused', async (t) => {
  for (let count = 0; count < requestsPerAddress; count += 1) await from('192.0.2.3', '/nowhere');
  t.is((await from('192.0.2.3', organizations)).status, 429);
  for (const path of ['/health', '/health/live', '/health/ready', '/metrics'])
    t.is((await from('192.0.2.3', path)).status, 200, path);
});

test('one network of IPv6 is one client', async (t) => {
  for (let count = 0; count < requestsPerAddress; count += 1)
    await from(`2001:db8:0:1::${count.toString(16)}`, '/nowhere');
  errorOf(t, await from('2001:db8:0:1::ffff', organizations), 429, 'rate_limited');
  t.is((await from('2001:db8:0:2::1', organizations)).status, 200);
});

test('a caller is limited by its subject', async (t) => {
  const { log } = createLogs({
    level: 'silent',
    ringLevel: 'silent',
    nodeId: 'node-x',
    ring: { write() {} },
  });
  const limits = createLimits({
    rates: createRateLimits({
      redis: world.redis,
      keys: createKeys(world.settings.redis.prefix),
      ...world.settings.limits,
      requestsPerCaller: 2,
      log,
    }),
    addressOf: () => 'any',
    log,
  });
  await limits.limitCaller('one');
  await limits.limitCaller('one');
  await t.throwsAsync(limits.limitCaller('one'), {
    name: 'FleetError',
    message: 'Too many calls of this caller',
    code: 'rate_limited',
  });
  await limits.limitCaller('two');
});

test('waiting calls of one caller are no matter of another', async (t) => {
  const waits = createSendWaits(1);
  const { promise, resolve } = Promise.withResolvers<string>();
  const first = waits.count('one', () => promise);
  await t.throwsAsync(
    waits.count('one', async () => 'never'),
    { code: 'rate_limited' },
  );
  t.is(await waits.count('two', async () => 'at once'), 'at once');
  resolve('at last');
  t.is(await first, 'at last');
  t.is(await waits.count('one', async () => 'again'), 'again');
});

test('of one caller so many calls of /send may wait at once, and those that do not wait are not counted', async (t) => {
  const orchestrator = await world.replica(0).connect('waited-for');
  const send = (address: string, body: object) =>
    from(address, '/api/v1/internal/orchestrators/waited-for/send', 0, {
      method: 'POST',
      body: JSON.stringify({ type: 'a', ...body }),
    });
  const acknowledges: ((answer: unknown) => void)[] = [];
  orchestrator.socket.on('ask', (_frame, acknowledge) => void acknowledges.push(acknowledge));
  const waiting = Array.from({ length: sendWaitsPerCaller }, () =>
    send('192.0.2.7', { type: 'ask', ack: true, timeout_ms: 30_000 }),
  );
  await until('both to be asked', () => acknowledges.length === sendWaitsPerCaller);

  const refused = await send('192.0.2.7', {});
  errorOf(t, refused, 429, 'rate_limited');
  t.is(refused.headers.get('retry-after'), '1');
  t.is((await send('192.0.2.7', { wait: false })).status, 202);

  for (const acknowledge of acknowledges) acknowledge('yes');
  for (const answer of await Promise.all(waiting)) t.is(answer.status, 200);
  t.is((await send('192.0.2.7', {})).status, 200);
});
