// The orchestrators of a replica that stops have a connection at every moment: the old one until there is a new one.
import test from 'ava';
import { connectOrchestrator, type OrchestratorEvent } from '../../src/local/orchestrator-client.ts';
import { openProxy } from '../support/proxy.ts';
import { rowsOf } from '../support/rows.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

test('no message fails while its orchestrator is sent from a replica that stops to another', async (t) => {
  await using stack = new AsyncDisposableStack();
  const settings = { shutdown: { reconnectGraceMs: 20_000 } };
  const world = stack.adopt(await openWorld({ replicas: 2, settings }), (it) => it.close());
  const [a, b] = [world.replica(0), world.replica(1)];
  const network = stack.adopt(await openProxy(), (it) => it.close());
  const received = new Set<unknown>();
  const events: OrchestratorEvent[] = [];
  const orchestrator = connectOrchestrator({
    url: network.through(a.controller.url),
    orchestratorId: 'org-1',
    onFrame: (frame) => received.add(frame.data).size,
    onEvent: (event) => events.push(event),
  });
  stack.defer(() => orchestrator.stop());
  const connectedTo = () => events.findLast((event) => event.type === 'connected')?.handshakeAck.node_id;
  await until('it to be on A', () => connectedTo() === a.controller.nodeId);
  // New connections go to B from here on.
  network.through(b.controller.url);
  const failed: unknown[] = [];
  let count = 0;
  async function send(): Promise<void> {
    count += 1;
    const sent = await b.api.post('/api/v1/internal/orchestrators/org-1/send', {
      type: 'count',
      data: count,
    });
    if (sent.status !== 200) failed.push(sent.body);
  }

  let stopped = false;
  const stopping = a.controller.stop().then(() => {
    stopped = true;
  });
  while (!stopped) await send();
  await stopping;
  await send();

  t.deepEqual(failed, []);
  t.is(received.size, count);
  t.is(connectedTo(), b.controller.nodeId);
  t.deepEqual(
    events.filter((event) => event.type === 'waiting').map((event) => event.code),
    ['draining'],
  );
  t.like((await rowsOf(world, 'org-1')).instance, { status: 'active', node_id: b.controller.nodeId });
  t.is((await orchestrator.beat()).status, 'processed');
});
