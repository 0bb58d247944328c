// The cluster that tests of faults run on: its stores and replicas fail and come back when told to.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { isAlive } from '../../src/local/processes.ts';
import { openCluster } from '../support/cluster.ts';
import { until } from '../support/until.ts';

test('replicas and stores are killed, paused, stopped and started again, at the same addresses', async (t) => {
  await using cluster = await openCluster({ replicas: 2, config: { shutdown: { deadlineMs: 5_000 } } });
  const { postgres, redis, replicas, commands } = cluster;
  const [first, second] = replicas;
  if (first === undefined || second === undefined) throw new Error('there are no two replicas');
  t.not(first.nodeId, second.nodeId);

  await commands.set('kept', '1');
  await redis.kill();
  await redis.start();
  t.is(await commands.get('kept'), '1');
  await redis.kill();
  await redis.start({ empty: true });
  t.is(await commands.get('kept'), null);

  await cluster.sql('CREATE TABLE kept AS SELECT $1::int AS value', [7]);
  await postgres.kill();
  await t.throwsAsync(cluster.sql('SELECT'));
  await postgres.start();
  t.deepEqual(await cluster.sql('SELECT value FROM kept'), [{ value: 7 }]);

  postgres.pause();
  const answer = cluster.sql('SELECT 1 AS one');
  await until(
    'readiness without Postgres',
    async () => (await first.api.get('/health/ready')).status === 503,
  );
  postgres.resume();
  t.deepEqual(await answer, [{ one: 1 }]);
  for (const replica of replicas)
    await until('readiness', async () => (await replica.api.get('/health/ready')).status === 200);

  await first.kill();
  t.deepEqual(await first.ended, { code: null, signal: 'SIGKILL' });
  second.pause();
  second.resume();
  const stopped = await second.stop();
  t.is(stopped.code, 0, second.output());
  t.true(stopped.ms < 7_000);
  const again = await cluster.startReplica({ port: first.port });
  t.is(again.port, first.port);
});

test('nothing of a cluster outlives a test process that is killed', async (t) => {
  const child = fork(fileURLToPath(new URL('../support/cluster-alone.ts', import.meta.url)), {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const [{ pids, folder }] = await once(child, 'message');
  t.is(pids.length, 3);
  t.true(pids.every(isAlive));
  child.kill('SIGKILL');
  await until('its processes and its folder to go', () => !pids.some(isAlive) && !existsSync(folder));
  t.pass();
});
