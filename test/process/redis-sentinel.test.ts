// Two replicas on a Redis under three sentinels, which fails over.
import test from 'ava';
import { tellStory } from '../support/failover-story.ts';
import { openRedisSentinel } from '../support/redis-sentinel.ts';

test('under sentinels two replicas are one controller, through a failover asked for and one forced', async (t) => {
  t.timeout(240_000);
  await using redis = await openRedisSentinel();
  await tellStory(t, redis);
});
