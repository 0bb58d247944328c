// An orchestrator that is removed through one replica loses its connection on another.
import test from 'ava';
import { createKeys } from '../../src/redis/keys.ts';
import { rowsOf } from '../support/rows.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ replicas: 2 });
test.after.always(() => world.close());

const [a, b] = [world.replica(0), world.replica(1)];
const keys = createKeys(world.settings.redis.prefix);

for (const [what, pathOf] of [
  ['deregister', (id: string) => `/api/v1/internal/orchestrators/${id}/deregister`],
  ['delete', (id: string) => `/api/v1/controller/orchestrator-instances/${id}`],
] as const) {
  test(`${what} through B closes the socket on A`, async (t) => {
    const id = `${what}-1`;
    const orchestrator = await a.connect(id);
    await b.api.post(`/api/v1/internal/orchestrators/${id}/messages`, {
      message_type: 'monitoring',
      content: 'x',
    });

    t.is((await b.api.delete(pathOf(id))).status, 200);

    t.is(await world.redis.hexists(keys.owners, id), 0);
    t.like(await orchestrator.event('error'), { code: 'deregistered', retryable: false });
    t.is(await orchestrator.closed(), 'io server disconnect');
    t.deepEqual(await rowsOf(world, id), { instance: undefined, organization: undefined });
    t.deepEqual(await world.sql('SELECT 1 FROM orchestrator_messages WHERE orchestrator_id = $1', [id]), []);
    for (const { api } of [a, b]) {
      t.is((await api.get(`/api/v1/controller/orchestrators/live/${id}`)).status, 404);
      t.is((await api.post(`/api/v1/internal/orchestrators/${id}/send`, { type: 'hello' })).status, 409);
    }
    t.is((await b.api.delete(pathOf(id))).status, 404);
  });

  test(`${what} of one leaves the others of its organization connected`, async (t) => {
    const [one, other] = await Promise.all([
      a.connect(`${what}-2`, { organization_id: `${what}-org` }),
      a.connect(`${what}-3`, { organization_id: `${what}-org` }),
    ]);
    await b.api.delete(pathOf(`${what}-2`));
    await one.closed();
    t.is((await other.ask('i_am_alive', {})).status, 'processed');
    t.like((await rowsOf(world, `${what}-3`)).organization, { status: 'active' });
  });

  test(`an orchestrator that comes back on B after ${what} is new, and keeps its connection`, async (t) => {
    const id = `${what}-4`;
    for (let time = 0; time < 6; time += 1) {
      const before = await a.connect(id);
      await b.api.delete(pathOf(id));
      // At once, while A has yet to hear of it.
      const after = await b.open();
      const ack = await after.handshake(id);
      await before.closed();
      t.true(ack.epoch > (await before.event('handshake_ack')).epoch);
      t.is(ack.node_id, b.controller.nodeId);
      const marker = await a.connect(`${id}-marker`);
      marker.close();
      await until('A to have written its disconnects', async () => {
        return (await rowsOf(world, `${id}-marker`)).instance?.status === 'inactive';
      });
      t.like((await rowsOf(world, id)).instance, { status: 'active', node_id: b.controller.nodeId });
      t.is((await after.ask('i_am_alive', {})).status, 'processed');
      await a.api.delete(pathOf(id));
      await after.closed();
    }
  });
}
