// Two replicas on a Redis Cluster of three masters, of which the one with the controller's slot fails over.
import test from 'ava';
import { createLogs } from '../../src/log.ts';
import { openRedis } from '../../src/redis/connection.ts';
import { tellStory } from '../support/failover-story.ts';
import { openRedisCluster } from '../support/redis-cluster.ts';
import { infoOf } from '../support/redis-process.ts';
import { until } from '../support/until.ts';

test('on a Redis Cluster two replicas are one controller, through a failover asked for and one forced', async (t) => {
  t.timeout(120_000);
  await using redis = await openRedisCluster();
  await tellStory(t, redis);

  // Who is master is asked twice a second, and not over a connection of its own each time.
  const { master } = await redis.roles();
  const { log } = createLogs({ level: 'silent', ringLevel: 'silent', nodeId: 'test', ring: { write() {} } });
  const client = openRedis({ url: redis.url, prefix: 'moolai', commandTimeoutMs: 1_500, log });
  t.teardown(() => client.close());
  await client.tried();
  const looks = async () => {
    const told = await master.client.info('commandstats');
    return Number(/^cmdstat_cluster\|slots:calls=(\d+)/m.exec(told)?.[1]);
  };
  const connections = async () => Number(await infoOf(master, 'stats', 'total_connections_received'));
  const since = await looks();
  await until('it to have looked', async () => (await looks()) > since);
  const before = { looks: await looks(), connections: await connections() };
  await until('it to have looked often', async () => (await looks()) >= before.looks + 6);
  t.is(await connections(), before.connections);
});
