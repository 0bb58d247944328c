// A queue holds what nobody has handled: it is taken from in order, whatever happens to Redis or to who takes.
import { randomUUID } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { Redis } from 'ioredis';
import { createLogs } from '../../src/log.ts';
import type { Frame } from '../../src/queue/frame.ts';
import { openOutbox } from '../../src/queue/outbox.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { viewQueue } from '../support/queue.ts';
import { until } from '../support/until.ts';

const redisUrl = process.env.TEST_REDIS_URL ?? '';

/** The queue of one replica that is alive, and owns one orchestrator. */
async function openQueue(t: ExecutionContext) {
  const prefix = `test_${randomUUID()}`;
  const keys = createKeys(prefix);
  const lines: string[] = [];
  const ring = { write: (line: string) => void lines.push(line) };
  const { log } = createLogs({ level: 'silent', ringLevel: 'error', nodeId: 'node-a', ring });
  const commands = new Redis(redisUrl);
  const taking = new Redis(redisUrl, { maxRetriesPerRequest: null });
  const outbox = openOutbox({ commands, patient: () => taking, keys, nodeId: 'node-a', log });
  await commands.zadd(keys.nodes, Date.now() + 60_000, 'node-a');
  await commands.hset(keys.owners, 'one', '7 node-a');
  t.teardown(async () => {
    await outbox.close({ force: false });
    const left = await commands.keys(`{${prefix}}*`);
    if (left.length > 0) await commands.del(left);
    taking.disconnect();
    commands.disconnect();
  });
  const queue = viewQueue(commands, prefix, 'node-a');
  const ids = async () => (await queue.frames()).map(({ message_id }) => message_id);
  return { outbox, commands, keys, lines, taking, queue: { ...queue, ids } };
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
const owner = { epoch: 7, nodeId: 'node-a' };
const bundle = (...ids: string[]) => ({ orchestratorId: 'one', owner, frames: ids.map(frame) });

test('frames are appended only where the owner is who the sender takes for it', async (t) => {
  const { outbox, commands, keys, queue } = await openQueue(t);
  t.deepEqual(await outbox.offer([{ ...bundle('1'), owner: { epoch: 6, nodeId: 'node-z' } }]), [owner]);
  t.deepEqual(await outbox.offer([{ ...bundle('1'), owner: undefined }]), [owner]);
  t.deepEqual(await outbox.offer([{ ...bundle('1'), orchestratorId: 'two' }]), [undefined]);
  t.deepEqual(await queue.frames(), []);
  t.deepEqual(await outbox.offer([{ ...bundle(), orchestratorId: 'two' }, bundle('1', '2')]), [
    undefined,
    owner,
  ]);
  t.deepEqual(await queue.ids(), ['1', '2']);
  await commands.zadd(keys.nodes, Date.now() - 1, 'node-a');
  t.deepEqual(await outbox.offer([bundle('3')]), [undefined], 'its lease is over');
});

test('frames are handled one after the other in their order, and stand in the queue until then', async (t) => {
  const { outbox, queue } = await openQueue(t);
  const handled: string[] = [];
  const first = Promise.withResolvers<void>();
  outbox.consume(async ({ message_id }) => {
    handled.push(message_id);
    if (message_id === '1') await first.promise;
  });
  await outbox.offer([bundle('1', '2', '3')]);
  await until('the first to be in hand', () => handled.length);
  await outbox.offer([bundle('4')]);
  t.deepEqual(handled, ['1']);
  t.is(await outbox.depth('node-a'), 4);
  first.resolve();
  await queue.empty();
  t.deepEqual(handled, ['1', '2', '3', '4']);
});

test('a queue whose ids begin anew, as in a Redis that came back empty, is taken from', async (t) => {
  const { outbox, commands, queue } = await openQueue(t);
  const handled: string[] = [];
  outbox.consume(async ({ message_id }) => void handled.push(message_id));
  await outbox.offer([bundle('1')]);
  await queue.empty();
  await queue.lose();
  // By a clock that stands at the beginning of its time.
  await commands.xadd(queue.key, '5-1', 'frame', JSON.stringify(frame('2')));
  await until('it to be handled', () => handled.length === 2);
  await queue.empty();
  t.deepEqual(handled, ['1', '2']);
});

test('a connection that is lost costs no frame', async (t) => {
  const { outbox, queue, taking } = await openQueue(t);
  const handled: string[] = [];
  outbox.consume(async ({ message_id }) => void handled.push(message_id));
  for (const id of ['1', '2', '3', '4', '5']) {
    taking.disconnect(true);
    await outbox.offer([bundle(id)]);
  }
  await queue.empty();
  // One whose deletion was lost comes again.
  t.deepEqual([...new Set(handled)], ['1', '2', '3', '4', '5']);
});

test('one that is no frame, or cannot be handled, is told in the log and holds up nobody', async (t) => {
  const { outbox, queue, lines } = await openQueue(t);
  const handled: string[] = [];
  outbox.consume(async ({ message_id }) => {
    if (message_id === 'bad') throw new Error('not that one');
    handled.push(message_id);
  });
  await queue.add({ no: 'frame' });
  await outbox.offer([bundle('bad', 'good')]);
  await queue.empty();
  t.deepEqual(handled, ['good']);
  t.is(lines.filter((line) => line.includes('A frame could not be handled')).length, 2);
});

test('what is in hand at a close is handled and out of the queue, and the rest stays', async (t) => {
  const { outbox, queue } = await openQueue(t);
  const handled: string[] = [];
  const first = Promise.withResolvers<void>();
  outbox.consume(async ({ message_id }) => {
    handled.push(message_id);
    await first.promise;
  });
  await outbox.offer([bundle('1', '2')]);
  await until('the first to be in hand', () => handled.length);
  const closed = outbox.close({ force: false });
  first.resolve();
  await closed;
  t.deepEqual(handled, ['1']);
  t.deepEqual(await queue.ids(), ['2']);
  await outbox.offer([bundle('3')]);
  const sentOn: string[] = [];
  t.is(await outbox.empty('node-a', async ({ message_id }) => void sentOn.push(message_id)), 2);
  t.deepEqual(sentOn, ['2', '3']);
});

test('a queue that is emptied is gone, and one that fails on the way keeps the rest', async (t) => {
  const { outbox, commands, queue } = await openQueue(t);
  await outbox.offer([bundle('1', '2')]);
  t.true((await commands.pttl(queue.key)) > 30_000, 'what nobody empties goes by itself');
  const fails = outbox.empty('node-a', async () => {
    throw new Error('Redis is away');
  });
  await t.throwsAsync(fails, { message: 'Redis is away' });
  t.deepEqual(await queue.ids(), ['1', '2']);
  t.is(await outbox.empty('node-a', async () => undefined), 2);
  t.is(await commands.exists(queue.key), 0);
});
