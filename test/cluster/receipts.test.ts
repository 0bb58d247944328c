// A message counts as sent when the orchestrator's client has it; until then it is sent again, and keeps its place.
import test from 'ava';
import { Queue } from 'bullmq';
import { createKeys } from '../../src/redis/keys.ts';
import { connectOrchestrator, type TestOrchestrator } from '../support/orchestrator.ts';
import { postAtOnce } from '../support/pipeline.ts';
import { openProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ replicas: 2 });
test.after.always(() => world.close());

const [a, b] = [world.replica(0), world.replica(1)];
const pathOf = (id: string) => `/api/v1/internal/orchestrators/${id}/send`;

/** The data of what was received, without repeats, oldest first. */
function dataOf(orchestrators: readonly TestOrchestrator[]): unknown[] {
  const all = orchestrators.flatMap((each) => each.received).filter((each) => each.event === 'count');
  return [...new Map(all.map((each) => [each.payload.message_id, each.payload.data])).values()];
}

test.serial(
  'a message to a socket whose network is gone is received on the next one, and only then answered 200',
  async (t) => {
    await using stack = new AsyncDisposableStack();
    const network = stack.adopt(await openProxy(), (it) => it.close());
    const first = await connectOrchestrator(network.through(a.controller.url));
    await first.handshake('gone-1');
    network.stall();

    const late = await b.api.post(pathOf('gone-1'), { type: 'count', data: 1, timeout_ms: 500 });
    t.is(late.status, 504);
    const sending = b.api.post(pathOf('gone-1'), { type: 'count', data: 2, timeout_ms: 30_000 });
    const second = await b.connect('gone-1');
    const sent = await sending;

    t.is(sent.status, 200);
    t.is(sent.body.node_id, b.controller.nodeId);
    t.deepEqual(dataOf([first, second]), [2]);
    first.close();
  },
);

test.serial('messages keep their order while their orchestrator leaves and comes back', async (t) => {
  await using stack = new AsyncDisposableStack();
  const queue = stack.adopt(
    new Queue(`outbound.${a.controller.nodeId}`, {
      connection: world.redis,
      prefix: createKeys(world.settings.redis.prefix).queues,
      skipVersionCheck: true,
    }),
    (it) => it.close(),
  );
  const total = 400;
  const first = await a.connect('order-1');
  const bodies = Array.from({ length: total }, (_, data) => ({ type: 'count', data, timeout_ms: 30_000 }));
  const before = postAtOnce(b.controller.url, pathOf('order-1'), bodies.slice(0, total / 2));
  await until('the first half', () => dataOf([first]).length === total / 2);
  await queue.pause();
  const rest = postAtOnce(b.controller.url, pathOf('order-1'), bodies.slice(total / 2));
  await until('more to be queued', async () => (await queue.getWaitingCount()) > 0);
  first.close();
  await queue.resume();
  const second = await a.connect('order-1');
  const codes = [...(await before), ...(await rest)];

  const received = dataOf([first, second]);
  t.deepEqual(
    received,
    received.toSorted((one, other) => Number(one) - Number(other)),
  );
  const lost = codes.flatMap((code, data) => (code === 200 && !received.includes(data) ? [data] : []));
  t.deepEqual(lost, []);
  t.true(codes.every((code) => code === 200 || code === 409));
  t.true(dataOf([second]).length > 0);
});

test.serial('a message that its queue has lost is sent again, and nothing overtakes it', async (t) => {
  await using stack = new AsyncDisposableStack();
  const queue = stack.adopt(
    new Queue(`outbound.${a.controller.nodeId}`, {
      connection: world.redis,
      prefix: createKeys(world.settings.redis.prefix).queues,
      skipVersionCheck: true,
    }),
    (it) => it.close(),
  );
  const orchestrator = await a.connect('lost-1');
  await queue.pause();
  const send = (data: number) =>
    b.api.post(pathOf('lost-1'), { type: 'count', data, wait: data > 1, timeout_ms: 30_000 });
  t.is((await send(1)).status, 202);
  await until('the message to be queued', async () => (await queue.getWaitingCount()) > 0);
  await queue.drain();
  await queue.resume();

  t.is((await send(2)).status, 200);
  t.deepEqual(dataOf([orchestrator]), [1, 2]);
});

test.serial('more messages than anybody counts may wait behind one that is not acknowledged', async (t) => {
  const orchestrator = await a.connect('slow-1');
  const asked = new Promise<(answer: string) => void>((resolve) => {
    orchestrator.socket.on('ask', (_frame, acknowledge) => resolve(acknowledge));
  });
  const ask = b.api.post(pathOf('slow-1'), { type: 'ask', ack: true, timeout_ms: 30_000 });
  const acknowledge = await asked;
  const total = 600;
  const bodies = Array.from({ length: total }, (_, data) => ({ type: 'count', data, timeout_ms: 30_000 }));
  const codes = await postAtOnce(b.controller.url, pathOf('slow-1'), bodies);
  acknowledge('at last');

  t.true(codes.every((code) => code === 200));
  t.is((await ask).body.ack, 'at last');
  t.deepEqual(
    dataOf([orchestrator]),
    bodies.map((body) => body.data),
  );
  t.is(orchestrator.received.filter((each) => each.event === 'ask').length, 1);
});

test.serial(
  'what was acknowledged is told again to a sender that asks again, and asked of nobody twice',
  async (t) => {
    await using stack = new AsyncDisposableStack();
    const keys = createKeys(world.settings.redis.prefix);
    const queue = stack.adopt(
      new Queue(`outbound.${a.controller.nodeId}`, {
        connection: world.redis,
        prefix: keys.queues,
        skipVersionCheck: true,
      }),
      (it) => it.close(),
    );
    const orchestrator = await a.connect('again-1');
    orchestrator.socket.on('ask', (_frame, acknowledge) => acknowledge('here'));
    const listener = stack.adopt(world.redis.duplicate(), (it) => it.disconnect());
    const told: unknown[] = [];
    listener.on('message', (_channel: string, text: string) => told.push(...JSON.parse(text)));
    await listener.subscribe(keys.outcomes(b.controller.nodeId));
    await queue.pause();
    const sending = b.api.post(pathOf('again-1'), { type: 'ask', ack: true, timeout_ms: 30_000 });
    const job = await until('the message to be queued', async () => (await queue.getWaiting())[0]);
    await queue.resume();
    const { body } = await sending;
    // Of another message, sent before and slowly answered, something may still come.
    const toldOfIt = () => told.filter((each) => Reflect.get(Object(each), 'message_id') === body.message_id);
    await until('the first answer', () => toldOfIt().length);
    await queue.add(job.name, job.data);

    await until('a second answer', () => toldOfIt().length >= 2);
    const answer = { message_id: body.message_id, kind: 'acknowledged', ack: 'here' };
    // More than two where the sender itself has asked again meanwhile.
    for (const each of toldOfIt()) t.like(Object(each), answer);
    t.is(orchestrator.received.filter((each) => each.event === 'ask').length, 1);
  },
);
