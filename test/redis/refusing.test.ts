// A Redis that takes connections and refuses the work, as one does that became a replica, or has no such database.
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { createLogs } from '../../src/log.ts';
import { openRedis, type RedisConnections } from '../../src/redis/connection.ts';
import { openGuard } from '../support/guarded.ts';
import { infoOf, password, type RedisProcess, startRedisProcess } from '../support/redis-process.ts';
import { until } from '../support/until.ts';

interface Refusing extends AsyncDisposable {
  readonly server: RedisProcess;
  readonly redis: RedisConnections;
  /** The lines of the log with this event. */
  told(event: string): string[];
}

async function openRefusing(database = ''): Promise<Refusing> {
  await using opening = new AsyncDisposableStack();
  const guard = opening.adopt(openGuard(), (it) => it.close());
  const folder = await mkdtemp(join(tmpdir(), 'moolai-refusing-'));
  guard.remove(folder);
  const server = await startRedisProcess({ folder, guard }, { name: 'server', lines: () => [] });
  opening.defer(() => server.client.disconnect());
  const lines: string[] = [];
  const { log } = createLogs({
    level: 'silent',
    ringLevel: 'debug',
    nodeId: 'node-x',
    ring: { write: (line) => void lines.push(line) },
  });
  const url = `redis://:${password}@127.0.0.1:${server.port}${database}`;
  const redis = opening.adopt(openRedis({ url, prefix: 'moolai', commandTimeoutMs: 1_500, log }), (it) =>
    it.close(),
  );
  const open = opening.move();
  return {
    server,
    redis,
    told: (event) => lines.filter((line) => line.includes(`"event":"${event}"`)),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

test('a database that Redis does not have is none: nothing is written to another', async (t) => {
  await using it = await openRefusing('/99');
  const { server, redis, told } = it;
  // Of one that waits out an outage as well.
  const patient = redis.patient('queue');
  patient.set('key', 'in another database').catch(() => undefined);
  await redis.tried();
  await t.throwsAsync(redis.commands.set('key', 'in another database'));
  const dialled = async () => Number(await infoOf(server, 'stats', 'total_connections_received'));
  const before = await dialled();
  await until('both to have tried again', async () => (await dialled()) >= before + 4);
  t.is(await server.client.dbsize(), 0);
  t.is(told('store_away').length, 1);
  t.regex(told('store_away')[0] ?? '', /Redis is away: ERR DB index is out of range/);
  t.is(told('store_back').length, 0);
});

test('it is dialled at a measured pace, told of once with its reason, and used at once when it takes work again', async (t) => {
  await using it = await openRefusing();
  const { server, redis, told } = it;
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
  t.is(told('store_away').length, 1);
  t.regex(told('store_away')[0] ?? '', /Redis is away: READONLY /);
  t.is(told('store_back').length, 0);

  await server.client.replicaof('NO', 'ONE');
  await until('it to take work', () => redis.commands.set('key', 'after'));
  await until('its return to be told', () => told('store_back').length === 1);
  t.is(told('store_away').length, 1);
});
