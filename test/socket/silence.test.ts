// An orchestrator that falls silent is first unhealthy, then inactive and its connection closed.
import test from 'ava';
import { createKeys } from '../../src/redis/keys.ts';
import { openProxy } from '../support/proxy.ts';
import { rowsOf } from '../support/rows.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());

const { api, connect } = world.replica(0);
const intervalMs = world.settings.socket.heartbeatIntervalMs;

const stateOf = async (id: string) => {
  const { instance, organization } = await rowsOf(world, id);
  return {
    status: instance?.status,
    health: instance?.health_status,
    organization: organization?.status,
  };
};
const alive = { status: 'active', health: 'healthy', organization: 'active' };
const isLive = async (id: string) =>
  (await api.get(`/api/v1/controller/orchestrators/live/${id}`)).status === 200;

// In this order: all share one clock.
test.serial(
  'three intervals without a heartbeat make an orchestrator unhealthy, and one heartbeat well',
  async (t) => {
    const mute = await connect('mute-1');
    const free = await connect('free-1');
    await api.put('/api/v1/internal/orchestrators/free-1/independence', { is_independent: true });
    const steady = await connect('steady-1');

    world.clock.advance(3 * intervalMs - 30_000);
    await steady.ask('i_am_alive', {});
    t.deepEqual(await stateOf('mute-1'), alive);

    world.clock.advance(30_001);
    await until('it to be unhealthy', async () => (await stateOf('mute-1')).health === 'unhealthy');
    t.deepEqual(await stateOf('mute-1'), { ...alive, health: 'unhealthy' });
    t.deepEqual(await stateOf('steady-1'), alive);
    t.deepEqual(await stateOf('free-1'), alive);
    t.true(mute.socket.connected);

    await mute.ask('i_am_alive', {});
    t.deepEqual(await stateOf('mute-1'), alive);
    for (const each of [mute, free, steady]) each.close();
  },
);

test.serial('ten intervals without a heartbeat close the connection and make the row inactive', async (t) => {
  const mute = await connect('mute-2');
  const free = await connect('free-2');
  await api.put('/api/v1/internal/orchestrators/free-2/independence', { is_independent: true });
  const steady = await connect('steady-2');

  world.clock.advance(10 * intervalMs - 30_000);
  await steady.ask('i_am_alive', {});
  await until('it to be unhealthy', async () => (await stateOf('mute-2')).health === 'unhealthy');
  t.true(mute.socket.connected);

  world.clock.advance(30_001);
  t.like(await mute.event('error'), { code: 'silent', retryable: true });
  t.is(await mute.closed(), 'io server disconnect');
  t.deepEqual(await stateOf('mute-2'), {
    status: 'inactive',
    health: 'unhealthy',
    organization: 'inactive',
  });
  await until('its presence to end', async () => !(await isLive('mute-2')));

  t.deepEqual(await stateOf('steady-2'), alive);
  t.deepEqual(await stateOf('free-2'), alive);
  t.true(await isLive('free-2'));
  t.true(free.socket.connected);
  t.is((await free.ask('i_am_alive', {})).status, 'ignored');
  t.is((await steady.ask('i_am_alive', {})).status, 'processed');

  const lines = await until('its end to be logged', async () => {
    const { body } = await api.get('/api/v1/internal/logs?event=disconnect&orchestrator_id=mute-2');
    return body.data.total >= 2 && body.data.items;
  });
  t.deepEqual(lines.map((line: { message: string }) => line.message).reverse(), [
    '[C-OCS] Orchestrator mute-2 disconnected',
    '[C-OCS] Cleaned up connection for mute-2',
  ]);

  await connect('mute-2');
  t.deepEqual(await stateOf('mute-2'), alive);
});

test.serial(
  'an independent orchestrator that is managed again has its intervals counted from then',
  async (t) => {
    const free = await connect('free-3');
    const marker = await connect('marker-3');
    const path = '/api/v1/internal/orchestrators/free-3/independence';
    await api.put(path, { is_independent: true });
    world.clock.advance(11 * intervalMs);
    await until('the sweep to have passed', async () => (await stateOf('marker-3')).status === 'inactive');
    t.deepEqual(await stateOf('free-3'), alive);

    await api.put(path, { is_independent: false });
    const second = await connect('marker-4');
    await world.sql(
      "UPDATE orchestrator_instances SET last_seen = '2000-01-01' WHERE orchestrator_id = 'marker-4'",
    );
    await until('the sweep to have passed', async () => (await stateOf('marker-4')).status === 'inactive');
    t.deepEqual(await stateOf('free-3'), alive);
    t.true(free.socket.connected);
    t.is((await free.ask('i_am_alive', {})).status, 'processed');
    for (const each of [free, marker, second]) each.close();
  },
);

test('behind an outage of Postgres nobody’s silence counts, until heartbeats had time to be written', async (t) => {
  await using stack = new AsyncDisposableStack();
  const postgres = stack.adopt(await openProxy(), (it) => it.close());
  const own = stack.adopt(await openWorld({ reach: { database: postgres.through } }), (it) => it.close());
  const orchestrator = await own.replica(0).connect('outage-1');
  const { silenceExcused, queues } = createKeys(own.settings.redis.prefix);
  postgres.cut();
  await until('a sweep to meet the outage', async () => (await own.redis.exists(silenceExcused)) === 1);
  own.clock.advance(11 * own.settings.socket.heartbeatIntervalMs);
  const mendedAt = Date.now();
  postgres.mend();
  await until('a sweep behind the outage', async () => {
    const [, finishedAt] = await own.redis.zrange(`${queues}:sweep:completed`, 0, '-1', 'WITHSCORES');
    return Number(finishedAt) > mendedAt;
  });

  t.true(orchestrator.socket.connected);
  t.like((await rowsOf(own, 'outage-1')).instance, { status: 'active', health_status: 'healthy' });
  t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed');
});
