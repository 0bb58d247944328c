// A message goes through the replica that owns the socket, whichever replica took the call.
import test from 'ava';
import { Queue } from 'bullmq';
import { createKeys } from '../../src/redis/keys.ts';
import type { TestOrchestrator } from '../support/orchestrator.ts';
import { postAtOnce } from '../support/pipeline.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ replicas: 2 });
test.after.always(() => world.close());

const [a, b] = [world.replica(0), world.replica(1)];
const pathOf = (id: string) => `/api/v1/internal/orchestrators/${id}/send`;

/** The messages of one type as a receiver has them that drops repeats by message_id. */
function receivedBy(
  orchestrators: TestOrchestrator[],
  type: string,
): { data: unknown; message_id: string }[] {
  const byId = new Map<string, { data: unknown; message_id: string }>();
  for (const { received } of orchestrators)
    for (const { event, payload } of received) if (event === type) byId.set(payload.message_id, payload);
  return [...byId.values()];
}

test('what an orchestrator on A acknowledges is answered by B', async (t) => {
  const orchestrator = await a.connect('ack-1');
  orchestrator.socket.on('ask', (frame, acknowledge) => acknowledge({ seen: frame.data }));
  const sent = await b.api.post(pathOf('ack-1'), { type: 'ask', data: [1], ack: true });
  t.is(sent.status, 200);
  t.like(sent.body, { orchestrator_id: 'ack-1', type: 'ask', node_id: a.controller.nodeId });
  t.deepEqual(sent.body.ack, { seen: [1] });
});

test('an acknowledgement of nothing is null', async (t) => {
  const orchestrator = await a.connect('ack-2');
  orchestrator.socket.on('ask', (_frame, acknowledge) => acknowledge());
  const sent = await b.api.post(pathOf('ack-2'), { type: 'ask', ack: true });
  t.is(sent.body.ack, null);
});

test('without waiting B answers 202, and A delivers', async (t) => {
  const orchestrator = await a.connect('nowait-1');
  const sent = await b.api.post(pathOf('nowait-1'), { type: 'later', data: 1, wait: false });
  t.is(sent.status, 202);
  const frame = await orchestrator.event('later');
  t.is(frame.message_id, sent.body.message_id);
  await until('B to log it', async () => {
    const { body } = await b.api.get('/api/v1/internal/logs?orchestrator_id=nowait-1&event=message_sent');
    return body.data.total === 1 && body.data.items[0].node_id === b.controller.nodeId;
  });
});

test('no acknowledgement in time is a 504 from B', async (t) => {
  const orchestrator = await a.connect('mute-1');
  const sent = await b.api.post(pathOf('mute-1'), { type: 'ask', ack: true, timeout_ms: 5_000 });
  t.is(sent.status, 504);
  t.is(sent.body.code, 'delivery_timeout');
  t.is((await orchestrator.event('ask')).type, 'ask');
});

test('B refuses a message to an orchestrator that is on no replica', async (t) => {
  const sent = await b.api.post(pathOf('nobody-1'), { type: 'ask' });
  t.is(sent.status, 409);
  t.is(sent.body.code, 'not_connected');
});

test('200 messages sent at once through B arrive on A in the order of their acceptance', async (t) => {
  const orchestrator = await a.connect('order-1');
  const numbers = Array.from({ length: 200 }, (_, n) => n);
  const bodies = numbers.map((n) => ({ type: 'count', data: n }));
  const codes = await postAtOnce(b.controller.url, pathOf('order-1'), bodies);
  t.true(codes.every((code) => code === 200));
  // An answer may overtake its message on the last step, to this process.
  await until('200 messages', () => receivedBy([orchestrator], 'count').length === 200);
  t.deepEqual(
    receivedBy([orchestrator], 'count').map((each) => each.data),
    numbers,
  );
});

test('100 messages sent at once through both replicas all arrive, once', async (t) => {
  const orchestrator = await a.connect('both-1');
  const sent = await Promise.all(
    Array.from({ length: 100 }, (_, n) =>
      world.replica(n % 2).api.post(pathOf('both-1'), { type: 'count', data: n }),
    ),
  );
  t.true(sent.every((each) => each.status === 200));
  const counts = () => orchestrator.received.filter((each) => each.event === 'count');
  await until('100 messages', () => counts().length >= 100);
  t.deepEqual(
    counts()
      .map((each) => each.payload.message_id)
      .sort(),
    sent.map((each) => each.body.message_id).sort(),
  );
});

test('messages to an orchestrator that moves from A to B are each delivered, once', async (t) => {
  const first = await a.connect('moves-1');
  const second = await b.open();
  const sending: Promise<{ status: number; body: { message_id: string } }>[] = [];
  const send = () =>
    sending.push(b.api.post(pathOf('moves-1'), { type: 'count', data: sending.length, timeout_ms: 30_000 }));
  const sendMany = () => {
    for (let count = 0; count < 20; count += 1) send();
  };
  sendMany();
  await first.event('count');
  second.socket.emit('handshake', { data: { orchestrator_id: 'moves-1' } });
  await until('the move', () => {
    if (sending.length < 100) sendMany();
    return first.received.some((each) => each.event === 'superseded');
  });
  await second.event('handshake_ack');
  sendMany();

  const sent = await Promise.all(sending);
  t.deepEqual(
    sent.filter((each) => each.status !== 200),
    [],
  );
  const received = () => receivedBy([first, second], 'count');
  await until('every message', () => received().length >= sent.length);
  t.deepEqual(
    received()
      .map((each) => each.message_id)
      .sort(),
    sent.map((each) => each.body.message_id).sort(),
  );
  t.true(receivedBy([first], 'count').length > 0);
  t.true(receivedBy([second], 'count').length > 0);
});

test('messages to an orchestrator that leaves A and comes back on B are delivered, or refused', async (t) => {
  const first = await a.connect('returns-1');
  const sending: Promise<{ status: number; body: { message_id: string } }>[] = [];
  const sendMany = () => {
    for (let count = 0; count < 20; count += 1)
      sending.push(b.api.post(pathOf('returns-1'), { type: 'count', timeout_ms: 30_000 }));
  };
  sendMany();
  await first.event('count');
  sendMany();
  first.close();
  await until('A to have forgotten it', async () => {
    return (await a.api.get('/api/v1/controller/orchestrators/live/returns-1')).status === 404;
  });
  sendMany();
  const second = await b.connect('returns-1');
  sendMany();

  const sent = await Promise.all(sending);
  t.true(sent.every((each) => each.status === 200 || each.status === 409));
  t.true(sent.slice(-20).every((each) => each.status === 200));
  const received = new Set(receivedBy([first, second], 'count').map((each) => each.message_id));
  for (const each of sent) if (each.status === 200) t.true(received.has(each.body.message_id));
});

test('a message in the queue of A follows its orchestrator to B', async (t) => {
  await using stack = new AsyncDisposableStack();
  const c = await world.grow();
  const queue = stack.adopt(
    new Queue(`outbound.${c.controller.nodeId}`, {
      connection: world.redis,
      prefix: createKeys(world.settings.redis.prefix).queues,
      skipVersionCheck: true,
    }),
    (it) => it.close(),
  );
  const first = await c.connect('follows-1');
  await queue.pause();
  const sending = b.api.post(pathOf('follows-1'), { type: 'kept', timeout_ms: 30_000 });
  await until('the message to be queued', async () => (await queue.getWaitingCount()) > 0);
  const second = await b.connect('follows-1');

  const sent = await sending;
  t.is(sent.status, 200);
  t.is(sent.body.node_id, b.controller.nodeId);
  t.is((await second.event('kept')).message_id, sent.body.message_id);
  await queue.resume();
  await until('the queue to be empty', async () => (await queue.getWaitingCount()) === 0);
  await first.closed();
  t.deepEqual(
    receivedBy([first, second], 'kept').map((each) => each.message_id),
    [sent.body.message_id],
  );
});

test('a message whose time is up while it waits on A is never delivered', async (t) => {
  await using stack = new AsyncDisposableStack();
  const c = await world.grow();
  const queue = stack.adopt(
    new Queue(`outbound.${c.controller.nodeId}`, {
      connection: world.redis,
      prefix: createKeys(world.settings.redis.prefix).queues,
      skipVersionCheck: true,
    }),
    (it) => it.close(),
  );
  const orchestrator = await c.connect('overdue-1');
  await queue.pause();
  const sent = await b.api.post(pathOf('overdue-1'), { type: 'overdue', timeout_ms: 100 });
  t.is(sent.status, 504);
  t.is(sent.body.code, 'delivery_timeout');
  await queue.resume();
  const marker = await b.api.post(pathOf('overdue-1'), { type: 'marker' });
  t.is(marker.status, 200);
  await orchestrator.event('marker');
  t.false(orchestrator.received.some((each) => each.event === 'overdue'));
});
