// Two replicas on one Redis and one Postgres are one controller.
import test from 'ava';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ replicas: 2 });
test.after.always(() => world.close());
const [a, b] = [world.replica(0), world.replica(1)];

test.serial('a message sent through B reaches an orchestrator on A', async (t) => {
  const orchestrator = await a.connect('sent-1');

  const sent = await b.api.post('/api/v1/internal/orchestrators/sent-1/send', {
    type: 'hello',
    data: { n: 1 },
  });

  t.is(sent.status, 200);
  t.is(sent.body.node_id, a.controller.nodeId);
  const frame = await orchestrator.event('hello');
  t.is(frame.message_id, sent.body.message_id);
  t.deepEqual(frame.data, { n: 1 });
  orchestrator.close();
});

test.serial('the newest of two connections wins across replicas', async (t) => {
  const older = await a.connect('twice-1');
  const newer = await b.connect('twice-1');

  const { epoch } = await newer.event('handshake_ack');
  t.deepEqual(await older.event('superseded'), { epoch, by_node: b.controller.nodeId });
  t.is(await older.closed(), 'io server disconnect');
  await until('the older socket to be forgotten', async () => {
    const nodes = await a.api.get('/api/v1/internal/nodes');
    return nodes.body.nodes.every(
      (node: { node_id: string; connections: number }) =>
        node.node_id !== a.controller.nodeId || node.connections === 0,
    );
  });
  t.is((await newer.ask('i_am_alive', {})).status, 'processed');
  const [row] = await world.sql(
    "SELECT status, connection_epoch FROM orchestrator_instances WHERE orchestrator_id = 'twice-1'",
  );
  t.deepEqual(row, { status: 'active', connection_epoch: String(epoch) });
});
