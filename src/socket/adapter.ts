// Owns the choice of Socket.IO's adapter, by which replicas tell each other what concerns them all.
import { createAdapter, createShardedAdapter } from '@socket.io/redis-adapter';
import type { RedisConnections } from '../redis/connection.ts';
import type { Keys } from '../redis/keys.ts';

/** For the `adapter` option of Socket.IO's server. */
export function openAdapter(redis: RedisConnections, keys: Keys) {
  const publisher = redis.unattended('adapter-publish');
  const subscriber = redis.unattended('adapter-subscribe');
  if (!redis.sharded) return createAdapter(publisher, subscriber, { key: keys.adapter });
  // Static: one channel for all replicas, and none for each room, which are as many as there are connections.
  return createShardedAdapter(publisher, subscriber, {
    channelPrefix: keys.adapter,
    subscriptionMode: 'static',
  });
}
