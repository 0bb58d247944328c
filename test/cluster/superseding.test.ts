// However many handshakes of one id there are, and wherever, one connection is left: the one of the row.
import test from 'ava';
import { rowsOf } from '../support/rows.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ replicas: 3 });
test.after.always(() => world.close());

for (const round of [1, 2, 3])
  test.serial(
    `20 handshakes of one id at once on three replicas leave one connection (${round})`,
    async (t) => {
      const id = `rush-${round}`;
      const rivals = await Promise.all(Array.from({ length: 20 }, (_, at) => world.replica(at % 3).open()));
      for (const rival of rivals) rival.socket.emit('handshake', { data: { orchestrator_id: id } });

      await until('all but one to be closed', () => {
        return rivals.filter((each) => each.socket.connected).length === 1;
      });
      const winner = await until('the winner', () => rivals.find((each) => each.socket.connected));
      const ack = await winner.event('handshake_ack');
      const { instance } = await rowsOf(world, id);
      t.like(instance, { status: 'active', connection_epoch: ack.epoch, node_id: ack.node_id });
      for (const rival of rivals)
        if (rival !== winner) t.truthy(rival.received.find((each) => each.event === 'superseded'));

      for (const { api } of world.replicas) {
        const live = await api.get(`/api/v1/controller/orchestrators/live/${id}`);
        t.is(live.body.data.node_id, ack.node_id);
        const sent = await api.post(`/api/v1/internal/orchestrators/${id}/send`, { type: 'hello' });
        t.is(sent.body.node_id, ack.node_id);
      }
      // An answer may overtake its message on the last step, to this process.
      const hellos = () => winner.received.filter((each) => each.event === 'hello').length;
      await until('three messages', () => hellos() >= 3);
      t.is(hellos(), 3);
      t.is((await winner.ask('i_am_alive', {})).status, 'processed');
      await until('every replica to count the same', async () => {
        const { body } = await world.api.get('/api/v1/internal/nodes');
        const counts = body.nodes.map((node: { connections: number }) => node.connections);
        return counts.reduce((sum: number, count: number) => sum + count, 0) === 1;
      });
      winner.close();
      await until('it to be inactive', async () => (await rowsOf(world, id)).instance?.status === 'inactive');
    },
  );

test.serial('an orchestrator that wanders between replicas is where it connected last', async (t) => {
  for (let step = 0; step < 9; step += 1) {
    const replica = world.replica(step % 3);
    const orchestrator = await replica.connect('wanders-1');
    const sent = await world
      .replica((step + 1) % 3)
      .api.post('/api/v1/internal/orchestrators/wanders-1/send', { type: 'hello' });
    t.is(sent.body.node_id, replica.controller.nodeId);
    t.is((await orchestrator.event('hello')).message_id, sent.body.message_id);
  }
  t.like((await rowsOf(world, 'wanders-1')).instance, {
    status: 'active',
    node_id: world.replica(2).controller.nodeId,
  });
});
