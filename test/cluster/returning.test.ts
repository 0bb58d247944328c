// A replica that was taken for dead and is not has its orchestrators back, in Redis and in Postgres, on their sockets.
import test from 'ava';
import { createKeys } from '../../src/redis/keys.ts';
import { openProxy } from '../support/proxy.ts';
import { rowsOf } from '../support/rows.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const presence = { leaseMs: 2_500, renewEveryMs: 200 };
const proxy = await openProxy();
const world = await openWorld({ settings: { presence } });
const { redis } = world.settings;
const a = await world.grow({ redis: { ...redis, url: proxy.through(redis.url), commandTimeoutMs: 500 } });
const b = world.replica(0);
const keys = createKeys(redis.prefix);
test.after.always(async () => {
  await world.close();
  await proxy.close();
});

// One that fails while A is cut off is not to take the others with it.
test.afterEach.always(() => proxy.mend());

const statusOf = async (id: string) => {
  const { instance, organization } = await rowsOf(world, id);
  return [instance?.status, organization?.status, instance?.node_id];
};
const active = ['active', 'active', a.controller.nodeId];
const gone = ['inactive', 'inactive', null];
const isReady = (replica: typeof a) =>
  until('the replica to be ready', async () => (await replica.api.get('/health/ready')).status === 200);
const hasStatus = (id: string, expected: unknown[]) =>
  until(`${id} to be ${expected[0]}`, async () => String(await statusOf(id)) === String(expected));

/** What a sweep that takes A for dead leaves of it, all at once and without the sweep. */
async function buryA(ids: string[]): Promise<void> {
  const names = [ids];
  await world.sql(
    "UPDATE orchestrator_instances SET status = 'inactive', node_id = NULL WHERE orchestrator_id = ANY ($1)",
    names,
  );
  await world.sql("UPDATE organizations SET status = 'inactive' WHERE organization_id = ANY ($1)", names);
  const { nodeId } = a.controller;
  await world.redis
    .multi()
    .hdel(keys.owners, ...ids)
    .zrem(keys.lastSeen, ...ids)
    .del(keys.node(nodeId), keys.presence(nodeId))
    .zrem(keys.nodes, nodeId)
    .exec();
}

test.serial(
  'cut off beyond its lease and swept, a replica has its rows and presence back with its lease',
  async (t) => {
    const fleet = await Promise.all(['swept-1', 'swept-2'].map((id) => a.connect(id)));
    const free = await a.connect('swept-free');
    await b.api.put('/api/v1/internal/orchestrators/swept-free/independence', { is_independent: true });
    const ids = ['swept-1', 'swept-2', 'swept-free'];
    const epochs = await Promise.all(
      ids.map(async (id) => (await rowsOf(world, id)).instance?.connection_epoch),
    );
    proxy.cut();
    for (const id of ids) await hasStatus(id, gone);
    proxy.mend();
    for (const id of ids) await hasStatus(id, active);

    for (const [at, id] of ids.entries()) {
      t.is((await rowsOf(world, id)).instance?.connection_epoch, epochs[at]);
      const live = await until(`${id} to be live`, async () => {
        const answer = await b.api.get(`/api/v1/controller/orchestrators/live/${id}`);
        return answer.status === 200 && answer;
      });
      t.is(live.body.data.node_id, a.controller.nodeId);
    }
    for (const each of [...fleet, free]) t.true(each.socket.connected);
    await isReady(a);
    const sent = await b.api.post('/api/v1/internal/orchestrators/swept-1/send', { type: 'hello' });
    t.is(sent.status, 200);
  },
);

test.serial(
  'a sweep that waits to write off a replica leaves it alone when that is back by then',
  async (t) => {
    await isReady(a);
    const orchestrator = await a.connect('spared-1');
    await using held = await world.hold(
      "SELECT 1 FROM organizations WHERE organization_id = 'spared-1' FOR UPDATE",
    );
    proxy.cut();
    await held.awaited();
    proxy.mend();
    // The sweep, and behind it what A looks up for its return.
    await held.awaited(2);
    await held.release();

    await until('A to be ready', async () => (await a.api.get('/health/ready')).status === 200);
    t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed');
    t.deepEqual(await statusOf('spared-1'), active);
    const { body } = await b.api.get('/api/v1/internal/logs?event=disconnect&orchestrator_id=spared-1');
    t.is(body.data.total, 0);
  },
);

test.serial('a connection that ends while its row waits to be active again ends inactive', async (t) => {
  await isReady(a);
  const orchestrator = await a.connect('ends-1');
  await world.sql(
    "UPDATE orchestrator_instances SET status = 'inactive', node_id = NULL WHERE orchestrator_id = 'ends-1'",
  );
  await using held = await world.hold(
    "SELECT 1 FROM organizations WHERE organization_id = 'ends-1' FOR UPDATE",
  );
  await world.redis.zrem(keys.nodes, a.controller.nodeId);
  await held.awaited();
  orchestrator.close();
  // What brings it back, and its end.
  await held.awaited(2);
  await held.release();

  await hasStatus('ends-1', gone);
  const other = await a.connect('ends-2');
  t.is((await other.ask('i_am_alive', {})).status, 'processed');
  t.deepEqual(await statusOf('ends-1'), gone);
});

test.serial(
  'one that a sweep closed for its silence is closed on return, and its row stays inactive',
  async (t) => {
    await isReady(a);
    const [mute, free] = await Promise.all([a.connect('mute-1'), a.connect('mute-free')]);
    await b.api.put('/api/v1/internal/orchestrators/mute-free/independence', { is_independent: true });
    await world.sql(
      "UPDATE orchestrator_instances SET status = 'inactive', last_seen = '2000-01-01' WHERE orchestrator_id LIKE 'mute-%'",
    );
    await buryA(['mute-1', 'mute-free']);

    t.like(await mute.event('error'), { code: 'silent', retryable: true });
    t.is(await mute.closed(), 'io server disconnect');
    t.deepEqual(await statusOf('mute-1'), gone);
    await hasStatus('mute-free', active);
    t.true(free.socket.connected);
  },
);

test.serial(
  'one whose row names a newer connection is superseded, also where Redis knows of none',
  async (t) => {
    await isReady(a);
    const older = await a.connect('moved-1');
    await world.sql(
      "UPDATE orchestrator_instances SET connection_epoch = connection_epoch + 1000, node_id = $1 WHERE orchestrator_id = 'moved-1'",
      [b.controller.nodeId],
    );
    await world.redis.multi().hdel(keys.owners, 'moved-1').zrem(keys.nodes, a.controller.nodeId).exec();

    t.is((await older.event('superseded')).by_node, b.controller.nodeId);
    await older.closed();
    t.deepEqual(await statusOf('moved-1'), ['active', 'active', b.controller.nodeId]);
  },
);
