// Whichever replica is asked, the answer is the same.
import test from 'ava';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ replicas: 2 });
const [a, b] = [world.replica(0), world.replica(1)];

/** What both replicas answer, once they agree. */
async function agreed(path: string) {
  return until(`both replicas to agree on ${path}`, async () => {
    const [ofA, ofB] = await Promise.all([a.api.get(path), b.api.get(path)]);
    const { timestamp: _a, ...bodyA } = ofA.body;
    const { timestamp: _b, ...bodyB } = ofB.body;
    return ofA.status === 200 && JSON.stringify(bodyA) === JSON.stringify(bodyB) && bodyA;
  });
}

const onA = await Promise.all(['a-1', 'a-2'].map((id) => a.connect(id, { organization_id: 'shared' })));
const onB = await Promise.all(['b-1'].map((id) => b.connect(id)));
await a.api.post('/api/v1/internal/orchestrators/register', { organization_id: 'idle-1' });
await b.api.post('/api/v1/internal/orchestrators/a-1/messages', { message_type: 'monitoring', content: 'x' });
for (const each of [...onA, ...onB]) await each.ask('i_am_alive', {});
test.after.always(() => world.close());

test('live says who is connected where', async (t) => {
  const { data } = await agreed('/api/v1/controller/orchestrators/live');
  t.is(data.total_count, 3);
  t.like(data.orchestrators['a-1'], { organization_id: 'shared', node_id: a.controller.nodeId });
  t.like(data.orchestrators['a-2'], { organization_id: 'shared', node_id: a.controller.nodeId });
  t.like(data.orchestrators['b-1'], { organization_id: 'b-1', node_id: b.controller.nodeId });

  const one = await agreed('/api/v1/controller/orchestrators/live/b-1');
  t.is(one.data.node_id, b.controller.nodeId);
  const some = await agreed('/api/v1/controller/orchestrators/live?organization_id=shared');
  t.deepEqual(Object.keys(some.data.orchestrators), ['a-1', 'a-2']);
});

test('overview has the true counts of the whole fleet', async (t) => {
  // Heartbeats are counted behind their acknowledgement.
  const data = await until('three heartbeats', async () => {
    const overview = (await agreed('/api/v1/controller/overview')).data;
    return overview.heartbeats_per_minute === 3 && overview;
  });
  t.like(data, {
    organizations: 3,
    instances: {
      total: 4,
      by_status: { active: 3, inactive: 1, independent: 0 },
      by_health: { healthy: 3, degraded: 0, unhealthy: 0, unknown: 1 },
    },
    pending_messages: 1,
    connected: 3,
    nodes: 2,
    heartbeats_per_minute: 3,
  });
});

test('nodes lists both replicas with their connections', async (t) => {
  const path = '/api/v1/internal/nodes';
  await until('the connections to be counted', async () => {
    const { nodes } = await agreed(path);
    return nodes.reduce((sum: number, node: { connections: number }) => sum + node.connections, 0) === 3;
  });
  const { nodes } = await agreed(path);
  const byId = new Map(nodes.map((node: { node_id: string }) => [node.node_id, node]));
  t.is(byId.size, 2);
  t.like(byId.get(a.controller.nodeId), { connections: 2, draining: false });
  t.like(byId.get(b.controller.nodeId), { connections: 1, draining: false });
});

test('health counts the connections of the whole cluster', async (t) => {
  const { ws } = await agreed('/api/v1/internal/health');
  t.is(ws.active_connections, 3);
});

test('logs are the lines of both replicas, newest first', async (t) => {
  const { data } = await agreed('/api/v1/internal/logs?limit=1000');
  const items: { node_id: string; id: string; message: string }[] = data.items;
  t.deepEqual(new Set(items.map((line) => line.node_id)).size, 2, 'both replicas have lines');
  t.true(items.some((line) => line.message === '[C-OCS] Orchestrator a-1 connected'));
  t.true(items.some((line) => line.message === '[C-OCS] Orchestrator b-1 connected'));
  const orderOf = (id: string) =>
    id
      .split('-')
      .map((part) => part.padStart(20, '0'))
      .join('-');
  const order = items.map((line) => orderOf(line.id));
  t.deepEqual(order, order.toSorted().toReversed());
});

test('rows are the same, and so are messages', async (t) => {
  for (const path of [
    '/api/v1/controller/organizations',
    '/api/v1/controller/orchestrators',
    '/api/v1/controller/orchestrators/a-1',
    '/api/v1/internal/messages',
  ])
    t.truthy(await agreed(path));
});
