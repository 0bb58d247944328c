// The socket side tells what it does in the ring of log lines, word for word.
import test from 'ava';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());

const { api, controller, open, connect } = world.replica(0);

interface Line {
  message: string;
  event: string;
  level: string;
  orchestrator_id: string;
  node_id: string;
  source: string;
  id: string;
  timestamp: string;
}

/** The lines of one orchestrator, oldest first, once there are so many. */
function linesOf(id: string, atLeast: number, query = ''): Promise<Line[]> {
  return until(`${atLeast} lines about ${id}`, async () => {
    const { body } = await api.get(`/api/v1/internal/logs?orchestrator_id=${id}${query}`);
    return body.data.total >= atLeast && body.data.items.toReversed();
  });
}

const told = (lines: Line[]) => lines.map(({ event, message }) => [event, message]);

test.serial('a connection is logged as accepted, before anybody knows whose it is', async (t) => {
  const { body: before } = await api.get('/api/v1/internal/logs?event=connection');
  await open();
  const after = await until('one line more', async () => {
    const { body } = await api.get('/api/v1/internal/logs?event=connection');
    return body.data.total > before.data.total && body;
  });
  t.is(after.data.total, before.data.total + 1);
  t.like(after.data.items[0], {
    message: '[C-OCS] WebSocket connection accepted',
    level: 'INFO',
    node_id: controller.nodeId,
    event: 'connection',
  });
});

test('a handshake is logged in four lines', async (t) => {
  const orchestrator = await connect('hello-1');
  await orchestrator.event('provision_config');
  const lines = await linesOf('hello-1', 4);
  t.deepEqual(told(lines), [
    ['handshake', '[C-OCS] DB: Registered hello-1 in both tables'],
    ['handshake', '[C-OCS] Orchestrator hello-1 connected'],
    ['handshake', '[C-OCS] handshake_ack sent to hello-1'],
    ['provision', '[C-OCS] Initial provisioning sent to hello-1'],
  ]);
  for (const line of lines) {
    t.like(line, { level: 'INFO', node_id: controller.nodeId, orchestrator_id: 'hello-1' });
    t.regex(line.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    t.truthy(line.id);
    t.truthy(line.source);
  }
});

test('a heartbeat is logged, and one of an independent orchestrator as ignored', async (t) => {
  const orchestrator = await connect('beat-1');
  await orchestrator.ask('i_am_alive', {});
  await api.put('/api/v1/internal/orchestrators/beat-1/independence', { is_independent: true });
  await orchestrator.ask('i_am_alive', {});
  t.deepEqual(told(await linesOf('beat-1', 2, '&event=keepalive')), [
    ['keepalive', '[C-OCS] Processing heartbeat from orchestrator beat-1'],
    ['keepalive', '[C-OCS] Ignoring heartbeat from independent orchestrator beat-1'],
  ]);
  t.deepEqual(told(await linesOf('beat-1', 2, '&event=independence')), [
    ['independence', 'Independence mode enabled for beat-1'],
    ['independence', 'Independence setting written to environment files'],
  ]);
});

test('a disconnect is logged in two lines', async (t) => {
  const orchestrator = await connect('bye-1');
  orchestrator.close();
  t.deepEqual(told(await linesOf('bye-1', 2, '&event=disconnect')), [
    ['disconnect', '[C-OCS] Orchestrator bye-1 disconnected'],
    ['disconnect', '[C-OCS] Cleaned up connection for bye-1'],
  ]);
});

test('a message sent is logged with its type, waited for or not', async (t) => {
  await connect('sent-1');
  const path = '/api/v1/internal/orchestrators/sent-1/send';
  await api.post(path, { type: 'first' });
  await api.post(path, { type: 'second', wait: false });
  t.deepEqual(told(await linesOf('sent-1', 2, '&event=message_sent')), [
    ['message_sent', 'Sent message to orchestrator sent-1 (type: first)'],
    ['message_sent', 'Sent message to orchestrator sent-1 (type: second)'],
  ]);
});

test('a deregistration is logged in three lines', async (t) => {
  const orchestrator = await connect('leaves-1');
  await api.delete('/api/v1/internal/orchestrators/leaves-1/deregister');
  await orchestrator.closed();
  t.deepEqual(told(await linesOf('leaves-1', 3, '&event=deregister')), [
    ['deregister', 'Orchestrator leaves-1 disconnected'],
    ['deregister', 'Cleaned up connection for leaves-1'],
    ['deregister', 'Orchestrator leaves-1 deregistered from database'],
  ]);
});

test('nothing that a client says of itself becomes a line of its own', async (t) => {
  const orchestrator = await connect('quiet-1');
  orchestrator.socket.emit('no_such_event\n[C-OCS] forged', 'secret-of-mine');
  await orchestrator.event('error');
  // Lines are written in their order: behind this one, what went before it would be there.
  await api.put('/api/v1/internal/orchestrators/quiet-1/independence', { is_independent: false });
  await linesOf('quiet-1', 1, '&event=independence');
  t.is((await api.get('/api/v1/internal/logs?q=forged')).body.data.total, 0);
  t.is((await api.get('/api/v1/internal/logs?q=secret-of-mine')).body.data.total, 0);
});
