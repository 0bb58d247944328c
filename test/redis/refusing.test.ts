// A Redis that takes connections and refuses the work, as a master does that became a replica of another.
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { createLogs } from '../../src/log.ts';
import { openRedis } from '../../src/redis/connection.ts';
import { openGuard } from '../support/guarded.ts';
import { infoOf, password, startRedisProcess } from '../support/redis-process.ts';
import { until } from '../support/until.ts';

test('it is dialled at a measured pace, told of once with its reason, and used at once when it takes work again', async (t) => {
  await using stack = new AsyncDisposableStack();
  const guard = stack.adopt(openGuard(), (it) => it.close());
  const folder = await mkdtemp(join(tmpdir(), 'moolai-refusing-'));
  guard.remove(folder);
  const server = await startRedisProcess({ folder, guard }, { name: 'server', lines: () => [] });
  stack.defer(() => server.client.disconnect());
  const lines: string[] = [];
  const { log } = createLogs({
    level: 'silent',
    ringLevel: 'debug',
    nodeId: 'node-x',
    ring: { write: (line) => void lines.push(line) },
  });
  const told = (event: string) => lines.filter((line) => line.includes(`"event":"${event}"`));
  const redis = stack.adopt(
    openRedis({
      url: `redis://:${password}@127.0.0.1:${server.port}`,
      prefix: 'moolai',
      commandTimeoutMs: 1_500,
      log,
    }),
    (it) => it.close(),
  );
  await redis.tried();
  t.is(await redis.commands.set('key', 'before'), 'OK');
  const dialled = async () => Number(await infoOf(server, 'stats', 'total_connections_received'));

  await server.client.replicaof('127.0.0.1', 9);
  const before = await dialled();
  const startedAt = performance.now();
  const isDialledOften = async () => {
    await t.throwsAsync(redis.commands.set('key', 'refused'));
    return (await dialled()) >= before + 8;
  };
  await until('it to be dialled eight times', isDialledOften);
  // 50 ms, 100 ms, and so on, to the seventh.
  t.true(performance.now() - startedAt > 1_400, `after ${performance.now() - startedAt} ms`);
  t.is(told('store_away').length, 1, lines.join('\n'));
  t.regex(told('store_away')[0] ?? '', /Redis is away: READONLY /);
  t.is(told('store_back').length, 0, lines.join('\n'));

  await server.client.replicaof('NO', 'ONE');
  await until('it to take work', () => redis.commands.set('key', 'after'));
  await until('its return to be told', () => told('store_back').length === 1);
  t.is(told('store_away').length, 1);
});
