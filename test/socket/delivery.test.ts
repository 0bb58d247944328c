// Messages sent through REST reach the orchestrator's socket, once, in their order and in their time.
import test from 'ava';
import { Queue } from 'bullmq';
import { createKeys } from '../../src/redis/keys.ts';
import { fieldsOf } from '../support/answers.ts';
import { postAtOnce } from '../support/pipeline.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());

const { api, controller, connect } = world.replica(0);

const pathOf = (id: string) => `/api/v1/internal/orchestrators/${id}/send`;
const queue = new Queue(`outbound.${controller.nodeId}`, {
  connection: world.redis,
  prefix: createKeys(world.settings.redis.prefix).queues,
  skipVersionCheck: true,
});
test.after.always(() => queue.close());

test('a message is emitted under its type, with its data, its id and its time', async (t) => {
  const orchestrator = await connect('plain-1');
  const sent = await api.post(pathOf('plain-1'), { type: 'config.update', data: { deep: [1, null, 'ä'] } });

  t.is(sent.status, 200);
  t.like(sent.body, { orchestrator_id: 'plain-1', type: 'config.update', node_id: controller.nodeId });
  t.false('ack' in sent.body);
  t.regex(sent.body.message_id, /^msg_plain-1_[0-9a-f]{32}$/);
  const frame = await orchestrator.event('config.update');
  t.deepEqual(Object.keys(frame).sort(), ['data', 'message_id', 'timestamp', 'type']);
  t.like(frame, { type: 'config.update', message_id: sent.body.message_id });
  t.deepEqual(frame.data, { deep: [1, null, 'ä'] });
  t.regex(frame.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test('a message without data carries null', async (t) => {
  const orchestrator = await connect('empty-1');
  await api.post(pathOf('empty-1'), { type: 'ping' });
  t.is((await orchestrator.event('ping')).data, null);
});

test('what the orchestrator acknowledges is in the answer', async (t) => {
  const orchestrator = await connect('ack-1');
  orchestrator.socket.on('ask', (frame, acknowledge) => acknowledge({ seen: frame.data }));
  const sent = await api.post(pathOf('ack-1'), { type: 'ask', data: 7, ack: true });
  t.is(sent.status, 200);
  t.deepEqual(sent.body.ack, { seen: 7 });
});

test('a message that is not acknowledged in time is a time-out', async (t) => {
  const orchestrator = await connect('mute-1');
  const sent = await api.post(pathOf('mute-1'), { type: 'ask', ack: true, timeout_ms: 5_000 });
  t.is(sent.status, 504);
  t.is(sent.body.code, 'delivery_timeout');
  await orchestrator.event('ask');
});

test('without waiting the answer is there as soon as the message is queued', async (t) => {
  const orchestrator = await connect('nowait-1');
  const sent = await api.post(pathOf('nowait-1'), { type: 'later', wait: false, ack: true });
  t.is(sent.status, 202);
  t.is((await orchestrator.event('later')).message_id, sent.body.message_id);
});

test('a message to nobody is refused at once', async (t) => {
  const sent = await api.post(pathOf('nobody-1'), { type: 'ask', timeout_ms: 30_000 });
  t.is(sent.status, 409);
  t.is(sent.body.code, 'not_connected');
});

test('nothing of a message is written to Postgres', async (t) => {
  await connect('unwritten-1');
  await api.post(pathOf('unwritten-1'), { type: 'ask' });
  t.deepEqual(await world.sql('SELECT * FROM orchestrator_messages'), []);
});

test('200 messages sent without waiting for one another arrive in the order of their acceptance', async (t) => {
  const orchestrator = await connect('order-1');
  const numbers = Array.from({ length: 200 }, (_, n) => n);
  const bodies = numbers.map((n) => ({ type: 'count', data: n, wait: n % 2 === 0 }));
  const codes = await postAtOnce(controller.url, pathOf('order-1'), bodies);
  t.deepEqual(
    codes,
    numbers.map((n) => (n % 2 === 0 ? 200 : 202)),
  );
  const counts = () => orchestrator.received.filter((each) => each.event === 'count');
  await until('200 messages', () => counts().length === 200);
  t.deepEqual(
    counts().map((each) => each.payload.data),
    numbers,
  );
});

test('an orchestrator that does not answer keeps no other waiting', async (t) => {
  const stuckOne = await connect('stuck-1');
  const quick = await connect('quick-1');
  let answered = 0;
  const asked = new Promise<(answer: string) => void>((resolve) => {
    stuckOne.socket.on('ask', (_frame, acknowledge) => resolve(acknowledge));
  });
  const stuck = api
    .post(pathOf('stuck-1'), { type: 'ask', ack: true, timeout_ms: 30_000 })
    .then((answer) => ({ ...answer, after: answered }));
  const acknowledge = await asked;
  quick.socket.on('ask', (_frame, acknowledge) => acknowledge('here'));
  for (; answered < 10; answered += 1) {
    const sent = await api.post(pathOf('quick-1'), { type: 'ask', ack: true });
    t.is(sent.body.ack, 'here');
  }
  acknowledge('at last');
  t.like(await stuck, { status: 200, body: { ack: 'at last' }, after: 10 });
});

test('a handshake that waits for Postgres keeps no message waiting, neither its own nor another’s', async (t) => {
  const renewing = await connect('renewing-1');
  await connect('beside-1');
  await using held = await world.hold(
    "SELECT 1 FROM orchestrator_instances WHERE orchestrator_id = 'renewing-1' FOR UPDATE",
  );
  const again = renewing.handshake('renewing-1', { metadata: { version: '2' } });
  await held.awaited();
  t.is((await api.post(pathOf('renewing-1'), { type: 'note' })).status, 200);
  t.is((await api.post(pathOf('beside-1'), { type: 'note' })).status, 200);
  await renewing.event('note');
  await held.release();
  t.is((await again).epoch, (await renewing.event('handshake_ack')).epoch);
});

// The queue stands still in these, so no other test may run beside them.
test.serial('a message whose time ran out in the queue is a time-out, and is never delivered', async (t) => {
  const orchestrator = await connect('overdue-1');
  await queue.pause();
  const sent = await api.post(pathOf('overdue-1'), { type: 'overdue', timeout_ms: 100 });
  const unwaited = await api.post(pathOf('overdue-1'), { type: 'overdue', timeout_ms: 30_000, wait: false });
  t.is(sent.status, 504);
  t.is(unwaited.status, 202);
  world.clock.advance(30_000);
  await queue.resume();
  await api.post(pathOf('overdue-1'), { type: 'marker' });
  await orchestrator.event('marker');
  t.false(orchestrator.received.some((each) => each.event === 'overdue'));
});

test.serial('a message waits for an orchestrator that comes back in time', async (t) => {
  const first = await connect('return-1');
  await queue.pause();
  const sending = api.post(pathOf('return-1'), { type: 'kept', data: 1, timeout_ms: 30_000 });
  await until('the message to be queued', async () => (await queue.getWaitingCount()) > 0);
  first.close();
  await until('its presence to end', async () => {
    return (await api.get('/api/v1/controller/orchestrators/live/return-1')).status === 404;
  });
  await queue.resume();
  await until('the queue to be empty', async () => (await queue.getJobCountByTypes('wait', 'active')) === 0);
  const second = await connect('return-1');
  const sent = await sending;
  t.is(sent.status, 200);
  t.is((await second.event('kept')).message_id, sent.body.message_id);
});

test.serial('a message does not wait longer than its time for an orchestrator that is away', async (t) => {
  const first = await connect('toolate-1');
  await queue.pause();
  const sending = api.post(pathOf('toolate-1'), { type: 'kept', timeout_ms: 1_500 });
  await until('the message to be queued', async () => (await queue.getWaitingCount()) > 0);
  first.close();
  await until('its presence to end', async () => {
    return (await api.get('/api/v1/controller/orchestrators/live/toolate-1')).status === 404;
  });
  await queue.resume();
  t.is((await sending).status, 504);
  const second = await connect('toolate-1');
  await api.post(pathOf('toolate-1'), { type: 'marker' });
  await second.event('marker');
  t.false(second.received.some((each) => each.event === 'kept'));
});

test.serial(
  'a message of a type alone is waited for, ten seconds long, without an acknowledgement or data',
  async (t) => {
    const { nodeId } = controller;
    const orchestrator = await connect('bare-1');
    await queue.pause();

    const sending = api.post(pathOf('bare-1'), { type: 'bare' });
    const [job] = await until('the message to be queued', async () => {
      const jobs = await queue.getJobs(['wait']);
      return jobs.length > 0 && jobs;
    });
    const { message_id, timestamp, deadline, epoch, ...frame } = job?.data[0] ?? {};
    t.deepEqual(frame, {
      orchestrator_id: 'bare-1',
      type: 'bare',
      data: null,
      ack: false,
      sender: nodeId,
      after: null,
    });
    t.is(deadline - Date.parse(timestamp), 10_000);
    t.is(epoch, (await orchestrator.event('handshake_ack')).epoch);

    await queue.resume();
    t.deepEqual(fieldsOf(t, await sending), {
      message_id,
      orchestrator_id: 'bare-1',
      type: 'bare',
      node_id: nodeId,
    });
    t.deepEqual(await orchestrator.event('bare'), { type: 'bare', data: null, message_id, timestamp });
  },
);

test('the defaults are in the description of the API', async (t) => {
  const { body } = await api.get('/openapi.json');
  const { schema } =
    body.paths['/api/v1/internal/orchestrators/{id}/send'].post.requestBody.content['application/json'];
  t.deepEqual(schema.required, ['type']);
  t.like(schema.properties, {
    wait: { type: 'boolean', default: true },
    ack: { type: 'boolean', default: false },
    timeout_ms: { type: 'integer', minimum: 100, maximum: 30_000, default: 10_000 },
  });
});
