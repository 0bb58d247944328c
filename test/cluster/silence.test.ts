// Silence ends on whichever replica the socket is, if there is one at all.
import test from 'ava';
import { rowsOf } from '../support/rows.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ replicas: 2 });
test.after.always(() => world.close());

const [a, b] = [world.replica(0), world.replica(1)];
const intervalMs = world.settings.socket.heartbeatIntervalMs;
const stateOf = async (id: string) => {
  const { instance, organization } = await rowsOf(world, id);
  return [instance?.status, instance?.health_status, organization?.status];
};
/** The replica that found an orchestrator silent: the one that swept. */
const sweeperOf = async (id: string): Promise<string> => {
  const path = `/api/v1/internal/logs?event=silent&orchestrator_id=${id}`;
  const [line] = await until(`the silence of ${id} to be logged`, async () => {
    const { items } = (await a.api.get(path)).body.data;
    return items.length > 0 && items;
  });
  return line.node_id;
};

// One after the other: both advance the clock.
test.serial(
  'ten intervals without a heartbeat over HTTP make an orchestrator inactive that has no socket',
  async (t) => {
    const register = '/api/v1/internal/orchestrators/register';
    const beat = (id: string) =>
      a.api.post('/api/v1/internal/orchestrators/heartbeat', { orchestrator_id: id });
    for (const id of ['mute-1', 'steady-1']) {
      await a.api.post(register, { organization_id: id });
      await beat(id);
    }
    world.clock.advance(10 * intervalMs - 30_000);
    await until('it to be unhealthy', async () => (await stateOf('mute-1'))[1] === 'unhealthy');
    t.deepEqual(await stateOf('mute-1'), ['active', 'unhealthy', 'active']);
    await beat('steady-1');

    world.clock.advance(30_001);
    await until('it to be inactive', async () => (await stateOf('mute-1'))[0] === 'inactive');

    t.deepEqual(await stateOf('mute-1'), ['inactive', 'unhealthy', 'inactive']);
    t.deepEqual(await stateOf('steady-1'), ['active', 'healthy', 'active']);
    await beat('mute-1');
    t.deepEqual(await stateOf('mute-1'), ['active', 'healthy', 'active']);
  },
);

test.serial('ten intervals of silence close the socket also where another replica sweeps', async (t) => {
  // One on each: whichever replica sweeps, the socket of one of them is on the other.
  const silent = await Promise.all([a.connect('mute-a'), b.connect('mute-b')]);
  const steady = await Promise.all([a.connect('steady-a'), b.connect('steady-b')]);
  world.clock.advance(10 * intervalMs - 30_000);
  for (const each of steady) await each.ask('i_am_alive', {});
  world.clock.advance(30_001);

  for (const each of silent) {
    t.like(await each.event('error'), { code: 'silent', retryable: true });
    t.is(await each.closed(), 'io server disconnect');
  }
  for (const id of ['mute-a', 'mute-b']) t.is((await stateOf(id))[0], 'inactive');
  for (const each of steady) t.is((await each.ask('i_am_alive', {})).status, 'processed');
  const sweepers = [await sweeperOf('mute-a'), await sweeperOf('mute-b')];
  t.true(sweepers[0] !== a.controller.nodeId || sweepers[1] !== b.controller.nodeId);
});
