// Two replicas on a Redis Cluster of three masters, of which the one with the controller's slot fails over.
import test from 'ava';
import { tellStory } from '../support/failover-story.ts';
import { openRedisCluster } from '../support/redis-cluster.ts';

test('on a Redis Cluster two replicas are one controller, through a failover asked for and one forced', async (t) => {
  t.timeout(120_000);
  await using redis = await openRedisCluster();
  await tellStory(t, redis);
});
