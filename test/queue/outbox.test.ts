// A queue holds what nobody has handled: it is taken from in order, one frame after the other, whatever goes wrong with one.
import { randomUUID } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { createLogs } from '../../src/log.ts';
import type { Frame } from '../../src/queue/frame.ts';
import { openOutbox } from '../../src/queue/outbox.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { until } from '../support/until.ts';

const redisUrl = process.env.TEST_REDIS_URL ?? '';

async function openQueue(t: ExecutionContext) {
  const prefix = `test_${randomUUID()}`;
  const keys = createKeys(prefix);
  const lines: string[] = [];
  const ring = { write: (line: string) => void lines.push(line) };
  const { log } = createLogs({ level: 'silent', ringLevel: 'error', nodeId: 'node-a', ring });
  const commands = new Redis(redisUrl);
  const taking = new Redis(redisUrl, { maxRetriesPerRequest: null });
  const outbox = openOutbox({ commands, patient: () => taking, keys, nodeId: 'node-a', log });
  const queue = new Queue('outbound.node-a', { connection: commands, prefix: keys.queues });
  t.teardown(async () => {
    await outbox.close({ force: false });
    await queue.close();
    const left = await commands.keys(`{${prefix}}*`);
    if (left.length > 0) await commands.del(left);
    taking.disconnect();
    commands.disconnect();
  });
  const empty = () =>
    until(
      'the queue to be empty',
      async () => (await queue.getJobCountByTypes('wait', 'active', 'completed', 'failed')) === 0,
    );
  const enqueue = (...ids: string[]) => outbox.enqueue('node-a', ids.map(frame));
  const left = () => commands.keys(`{${prefix}}*outbound.node-a*`);
  return { outbox, queue, lines, empty, enqueue, left };
}

const frame = (id: string): Frame => ({
  message_id: id,
  orchestrator_id: 'one',
  type: 'note',
  data: null,
  timestamp: new Date().toISOString(),
  deadline: Date.now() + 30_000,
  ack: false,
  sender: 'node-b',
  epoch: 7,
  after: null,
});

test('frames are handled one after the other in their order, and nothing is left of them', async (t) => {
  const { outbox, enqueue, empty } = await openQueue(t);
  const handled: string[] = [];
  const first = Promise.withResolvers<void>();
  outbox.consume(async ({ message_id }) => {
    handled.push(message_id);
    if (message_id === '1') await first.promise;
  });
  await enqueue('1', '2', '3');
  await until('the first to be in hand', () => handled.length);
  await enqueue('4');
  await enqueue('5', '6');
  t.deepEqual(handled, ['1']);
  t.is(await outbox.depth('node-a'), 3, 'frames that wait, not the bundles they stand in');
  first.resolve();
  await empty();
  t.deepEqual(handled, ['1', '2', '3', '4', '5', '6']);
  t.is(await outbox.depth('node-a'), 0);
});

test('more than a job holds go in several, all at once and in their order', async (t) => {
  const { outbox, queue, enqueue, empty } = await openQueue(t);
  const ids = Array.from({ length: 250 }, (_, nth) => String(nth));
  await enqueue(...ids);
  t.is(await queue.getWaitingCount(), 3);
  t.is(await outbox.depth('node-a'), 250);
  const handled: string[] = [];
  outbox.consume(async ({ message_id }) => void handled.push(message_id));
  await empty();
  t.deepEqual(handled, ids);
});

test('one that is no frame, or cannot be handled, is told in the log and holds up nobody', async (t) => {
  const { outbox, queue, lines, enqueue, empty } = await openQueue(t);
  const handled: string[] = [];
  outbox.consume(async ({ message_id }) => {
    if (message_id === 'bad') throw new Error('not that one');
    handled.push(message_id);
  });
  await queue.add('1', { no: 'list' }, { removeOnFail: true });
  await queue.add('2', [{ no: 'frame' }, frame('beside')], { removeOnComplete: true });
  await enqueue('bad', 'good');
  await empty();
  t.deepEqual(handled, ['beside', 'good']);
  await until('each to be told', () => lines.length === 3);
});

test('what is in hand at a close is handled, and the rest stays in the queue', async (t) => {
  const { outbox, enqueue } = await openQueue(t);
  const handled: string[] = [];
  const first = Promise.withResolvers<void>();
  outbox.consume(async ({ message_id }) => {
    handled.push(message_id);
    await first.promise;
  });
  await enqueue('1', '2');
  await enqueue('3');
  await until('the first to be in hand', () => handled.length);
  const closed = outbox.close({ force: false });
  first.resolve();
  await closed;
  const sentOn: string[] = [];
  await outbox.empty('node-a', async ({ message_id }) => void sentOn.push(message_id));
  t.deepEqual(handled.slice(0, 2), ['1', '2']);
  // The next may have been taken before the worker heard of the close: it is both handled and left, and never neither.
  t.deepEqual([...new Set([...handled, ...sentOn])], ['1', '2', '3']);
  t.false(sentOn.includes('1'));
});

test('a queue that is emptied is gone, and one that fails on the way stays', async (t) => {
  const { outbox, enqueue, left } = await openQueue(t);
  await enqueue('1', '2');
  await enqueue('3');
  const fails = outbox.empty('node-a', async () => {
    throw new Error('Redis is away');
  });
  await t.throwsAsync(fails, { message: 'Redis is away' });
  const sentOn: string[] = [];
  t.is(await outbox.empty('node-a', async ({ message_id }) => void sentOn.push(message_id)), 3);
  t.deepEqual(sentOn, ['1', '2', '3']);
  t.deepEqual(await left(), []);
});
