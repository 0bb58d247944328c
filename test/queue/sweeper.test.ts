// The sweep's schedule goes on, whichever replica dies and at which moment.
import { randomUUID } from 'node:crypto';
import test from 'ava';
import { Redis } from 'ioredis';
import { createLogs } from '../../src/log.ts';
import { openSweeper } from '../../src/queue/sweeper.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { until } from '../support/until.ts';

const redisUrl = process.env.TEST_REDIS_URL ?? '';

test('a replica that dies between taking the job of a sweep and entering the next holds up the sweeps for seconds', async (t) => {
  const prefix = `test_${randomUUID()}`;
  const keys = createKeys(prefix);
  const { log } = createLogs({
    level: 'silent',
    ringLevel: 'silent',
    nodeId: 'node-a',
    ring: { write() {} },
  });
  const commands = new Redis(redisUrl);
  const taking = new Redis(redisUrl, { maxRetriesPerRequest: null });
  let sweeps = 0;
  const sweep = async () => {
    sweeps += 1;
  };
  const sweeper = openSweeper({ commands, patient: () => taking, keys, everyMs: 200, sweep, log });
  t.teardown(async () => {
    await sweeper.close({ force: false });
    const left = await commands.keys(`{${prefix}}*`);
    if (left.length > 0) await commands.del(left);
    taking.disconnect();
    commands.disconnect();
  });
  await sweeper.schedule();
  await until('sweeps', () => sweeps > 1);

  // As that replica would leave it: the job is in hand, and none is behind it.
  const [waiting, inHand] = [`${keys.queues}:sweep:delayed`, `${keys.queues}:sweep:active`];
  await until('the next job to be taken', async () => {
    const [id = ''] = await commands.zrange(waiting, 0, '0');
    return (await commands.zrem(waiting, id)) === 1 && commands.lpush(inHand, id);
  });
  await until('the one before to be over', async () => (await commands.llen(inHand)) === 1);
  const before = sweeps;
  await until('another sweep', () => sweeps > before, 20_000);
  await until('the sweeps to go on', () => sweeps > before + 2);
  t.pass();
});
