// Owns the hand-over: a replica that stops leaves nothing of its own in Redis, and what it promised to the others.
import { reasonOf } from '../availability.ts';
import { within } from '../deadline.ts';
import type { Log } from '../log.ts';
import type { Outbox } from '../queue/outbox.ts';
import type { Sweeper } from '../queue/sweeper.ts';
import type { RedisConnections } from '../redis/connection.ts';
import type { Lease } from '../redis/lease.ts';
import type { LogRing } from '../redis/log-ring.ts';
import type { Presence } from '../redis/presence.ts';
import type { Delivery } from './delivery.ts';

/** What is left to tell Redis at the end is little; a Redis that does not take it by then is away. */
const withinMs = 5_000;

/**
 * @returns hands over, when no connection is left and nothing can be sent any more. Never throws: what Redis does not
 *   take is said in the log, and the lease ends by itself
 */
export function createHandOver(dependencies: {
  redis: RedisConnections;
  outbox: Outbox;
  sweeper: Sweeper;
  delivery: Delivery;
  lease: Lease;
  presence: Presence;
  logRing: LogRing;
  nodeId: string;
  log: Log;
}): () => Promise<void> {
  const { redis, outbox, sweeper, delivery, lease, presence, logRing, nodeId, log } = dependencies;

  async function handOver(promised: ReturnType<Delivery['abandon']>): Promise<void> {
    const reachable = await redis.ping().then(
      () => true,
      () => false,
    );
    await Promise.all([outbox.close({ force: !reachable }), sweeper.close({ force: !reachable })]);
    if (!reachable) throw new Error('Redis is away');
    // First the lease: from then on nobody routes here, and what this replica sent has no living sender.
    await lease.release();
    // What it promised it knows whole and in order; its own copies in its own queue add nothing.
    for (const frame of promised) await delivery.sendOn(frame);
    await outbox.empty(nodeId, async (frame) => {
      if (frame.sender !== nodeId) await delivery.sendOn(frame);
    });
    await presence.bury(nodeId);
    await logRing.settled();
  }

  return async () => {
    const promised = delivery.abandon(new Error('the replica stops'));
    lease.end();
    try {
      await within(
        withinMs,
        handOver(promised),
        () => new Error(`Redis did not take it within ${withinMs} ms`),
      );
    } catch (error) {
      logRing.abandon();
      log.warn(
        { event: 'stop', reason: reasonOf(error) },
        `Replica ${nodeId} could not hand over all of it, ${promised.length} messages among it; its lease ends by itself`,
      );
    }
  };
}
