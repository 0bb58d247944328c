// What the API answers while a store is away: what needs it says so at once, what does not goes on.
import test from 'ava';
import { errorOf, linesOf } from '../support/answers.ts';
import type { Answer } from '../support/api.ts';
import { openProxy, type StoreProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import { openWorld, shippedTimeouts, type World } from '../support/world.ts';

const controller = '/api/v1/controller';
const internal = '/api/v1/internal';
const stack = new AsyncDisposableStack();
let postgres: StoreProxy;
let redis: StoreProxy;
let world: World;
let messageId = '';
test.before(async () => {
  postgres = stack.adopt(await openProxy(), (it) => it.close());
  redis = stack.adopt(await openProxy(), (it) => it.close());
  const reach = { database: postgres.through, redis: redis.through };
  world = stack.adopt(await openWorld({ reach, settings: shippedTimeouts() }), (it) => it.close());
  await world.replica(0).connect('live');
  await world.api.post(`${internal}/orchestrators/register`, { organization_id: 'row' });
  const message = { message_type: 'monitoring', content: 'x' };
  messageId = (await world.api.post(`${internal}/orchestrators/row/messages`, message)).body.message_id;
});
test.after.always(() => stack.disposeAsync());

let made = 0;
const fresh = () => {
  made += 1;
  return { org_id: `made-${made}`, name: 'Made' };
};
const { get, post, put, remove } = {
  get: (path: string) => () => world.api.get(path),
  post: (path: string, body: () => unknown) => () => world.api.post(path, body()),
  put: (path: string, body: unknown) => () => world.api.put(path, body),
  remove: (path: string) => () => world.api.delete(path),
};

/** Every call but those that tell of the stores themselves, by the store that it needs. */
const calls: Record<'postgres' | 'redis' | 'both' | 'none', [status: number, call: () => Promise<Answer>][]> =
  {
    postgres: [
      [200, get(`${controller}/organizations`)],
      [200, get(`${controller}/organizations/row`)],
      [201, post(`${controller}/organizations`, fresh)],
      [200, get(`${controller}/orchestrators`)],
      [200, get(`${controller}/orchestrators/row`)],
      [201, post(`${controller}/orchestrator-instances`, fresh)],
      [404, remove(`${controller}/orchestrator-instances/nobody`)],
      [200, post(`${internal}/orchestrators/register`, () => ({ organization_id: 'row' }))],
      [200, post(`${internal}/orchestrators/heartbeat`, () => ({ orchestrator_id: 'row' }))],
      [200, put(`${internal}/orchestrators/row/independence`, { is_independent: false })],
      [200, get(`${internal}/orchestrators/row/independence`)],
      [
        201,
        post(`${internal}/orchestrators/row/messages`, () => ({ message_type: 'monitoring', content: 'x' })),
      ],
      [200, get(`${internal}/orchestrators/row/messages`)],
      [200, get(`${internal}/messages`)],
      [200, () => world.api.put(`${internal}/messages/${messageId}/status`, { status: 'accepted' })],
      [404, remove(`${internal}/orchestrators/nobody/deregister`)],
    ],
    redis: [
      [200, get(`${controller}/orchestrators/live`)],
      [200, get(`${controller}/orchestrators/live/live`)],
      [200, post(`${internal}/orchestrators/live/send`, () => ({ type: 'a' }))],
      [202, post(`${internal}/orchestrators/live/send`, () => ({ type: 'a', wait: false }))],
      [200, get(`${internal}/logs`)],
      [200, get(`${internal}/health`)],
      [200, get(`${internal}/nodes`)],
    ],
    both: [[200, get(`${controller}/overview`)]],
    none: [
      [200, get('/health/live')],
      [200, get('/metrics')],
      [200, get('/openapi.json')],
      [200, get('/asyncapi.json')],
      [200, get('/docs')],
      [200, get('/docs/events')],
      [200, get('/docs/docs.css')],
      [404, get('/nowhere')],
      [400, get(`${controller}/organizations?page=0`)],
      [415, () => world.api.request(`${controller}/organizations`, { method: 'POST', body: 'x' })],
    ],
  };
const untouched = {
  postgres: [...calls.redis, ...calls.none],
  redis: [...calls.postgres, ...calls.none],
  nothing: [...calls.postgres, ...calls.redis, ...calls.both, ...calls.none],
};

const readyAgain = () =>
  until('the replica to be ready', async () => (await world.api.get('/health/ready')).status === 200);

for (const [store, needing, others] of [
  ['Postgres', [...calls.postgres, ...calls.both], untouched.postgres],
  ['Redis', [...calls.redis, ...calls.both], untouched.redis],
] as const) {
  const away = () => (store === 'Postgres' ? postgres : redis);

  test.serial(`without ${store} what needs it is a 503 at once, and the rest goes on`, async (t) => {
    for (const [status, call] of untouched.nothing) t.is((await call()).status, status, 'before');
    away().cut();
    t.teardown(() => away().mend());

    for (const [, call] of needing) {
      // The other tests may keep the processor for a while: the quickest of a few answers tells.
      const took: number[] = [];
      while (took.length < 3 && !took.some((ms) => ms < 2_000)) {
        const began = performance.now();
        const answer = await call();
        took.push(performance.now() - began);
        const { message } = errorOf(t, answer, 503, 'unavailable');
        t.is(message, `${store} is not available at the moment`);
        t.regex(String(answer.headers.get('retry-after')), /^[1-9]\d*$/);
        t.false(/ECONN|terminated|127\.0\.0\.1|stream/i.test(JSON.stringify(answer.body)), 'says no cause');
      }
      t.true(Math.min(...took) < 2_000, `took ${took} ms`);
    }
    for (const [status, call] of others) {
      const answer = await call();
      t.is(answer.status, status, JSON.stringify(answer.body));
    }
    away().mend();
    await readyAgain();
  });

  test.serial(`health says that ${store} is away, and calls succeed once it is back`, async (t) => {
    away().cut();
    t.teardown(() => away().mend());
    const dependencies =
      store === 'Postgres'
        ? { database: 'down', redis: 'up', queue: 'up' }
        : { database: 'up', redis: 'down', queue: 'down' };

    t.like((await world.api.get('/health/live')).body, { status: 'alive' });
    const ready = await world.api.get('/health/ready');
    t.is(ready.status, 503);
    t.like(ready.body, { status: 'not ready', faults: [`${store} does not answer`] });
    t.like(await world.api.get('/health'), { status: 200, body: { status: 'degraded', dependencies } });
    const shown = await world.api.get(`${controller}/health`);
    t.is(shown.status, 200);
    t.like(shown.body.data, { status: 'degraded', dependencies });

    away().mend();
    await readyAgain();
    for (const [status, call] of untouched.nothing) t.is((await call()).status, status, 'afterwards');
  });
}

test.serial('a heartbeat that was answered 503 is still written once Postgres is back', async (t) => {
  const lastSeen = async () =>
    (await world.sql("SELECT last_seen FROM orchestrator_instances WHERE orchestrator_id = 'row'"))[0]
      ?.last_seen;
  const before = await lastSeen();
  world.clock.advance(100);
  postgres.cut();
  t.teardown(postgres.mend);
  const beat = await world.api.post(`${internal}/orchestrators/heartbeat`, { orchestrator_id: 'row' });
  errorOf(t, beat, 503, 'unavailable');
  t.is(await lastSeen(), before);

  postgres.mend();
  await until('the heartbeat to be written', async () => (await lastSeen()) !== before);
  t.pass();
});

test.serial('an outage is a warning in the log, never an error', async (t) => {
  t.teardown(() => {
    postgres.mend();
    redis.mend();
  });
  for (const store of [postgres, redis]) {
    store.cut();
    for (const [, call] of [...calls.postgres, ...calls.redis, ...calls.both]) await call();
    store.mend();
    await readyAgain();
  }
  for (const name of ['Postgres', 'Redis']) {
    const away = await linesOf(world.api, { event: 'store_away', q: `${name} is away: ` });
    const back = await linesOf(world.api, { event: 'store_back', q: `${name} is back, after ` }, away.length);
    t.is(away.length, back.length, 'each outage is told once, and so is its end');
    // As often as this file cuts it.
    t.is(away.length, 3 + (name === 'Postgres' ? 1 : 0));
  }
  t.deepEqual(await linesOf(world.api, { level: 'ERROR' }, 0), []);
});
