// The connections to Redis end with whoever opened them.
import test from 'ava';
import { createLogs } from '../../src/log.ts';
import { openRedis } from '../../src/redis/connection.ts';
import { until } from '../support/until.ts';

const url = process.env.TEST_REDIS_URL ?? '';
const { log } = createLogs({ level: 'silent', ringLevel: 'silent', nodeId: 'none', ring: { write() {} } });

test('copies that a library made end with the others, and none can be opened again', async (t) => {
  const redis = openRedis({ url, prefix: 'closing', commandTimeoutMs: 5_000, log });
  const kinds = [redis.commands, redis.patient('a queue'), redis.unattended('a subscription')];
  const all = kinds.flatMap((client) => [client, client.duplicate({ connectionName: 'a copy' })]);
  const areAll = (status: string) => () => all.every((client) => client.status === status);
  await until('all to be connected', areAll('ready'));

  await redis.close();

  await until('all to have ended', areAll('end'));
  for (const client of all) {
    await t.throwsAsync(client.connect(), { message: 'Connection is closed.' });
    t.is(client.status, 'end');
    const late = client.duplicate();
    await t.throwsAsync(late.connect(), { message: 'Connection is closed.' });
  }
});
