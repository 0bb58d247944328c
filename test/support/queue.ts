// Owns looking into the queue of a replica, as it stands in Redis, and putting something there.
import type { Redis } from 'ioredis';
import type { Frame } from '../../src/queue/frame.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { until } from './until.ts';

export interface QueueView {
  readonly key: string;
  frames(): Promise<Frame[]>;
  add(frame: object): Promise<void>;
  /** Loses what stands in it. */
  lose(): Promise<void>;
  /** Resolves to what stands in it, once something does. */
  filled(): Promise<Frame[]>;
  /** Resolves when nothing stands in it, nor is in hand. */
  empty(): Promise<unknown>;
}

export function viewQueue(redis: Redis, prefix: string, nodeId: string): QueueView {
  const key = createKeys(prefix).outbound(nodeId);
  const frames = async () =>
    (await redis.xrange(key, '-', '+')).map(([, fields]): Frame => JSON.parse(fields[1] ?? ''));
  return {
    key,
    frames,
    async add(frame) {
      await redis.xadd(key, '*', 'frame', JSON.stringify(frame));
    },
    async lose() {
      await redis.del(key);
    },
    filled: () =>
      until('the message to be queued', async () => {
        const found = await frames();
        return found.length > 0 && found;
      }),
    empty: () => until('the queue to be empty', async () => (await redis.xlen(key)) === 0),
  };
}
