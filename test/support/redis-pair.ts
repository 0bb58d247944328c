// Owns what the tests of a failover ask of Redis, whoever decides on it: who is master, and that another takes its place.
import type { RedisProcess } from './redis-process.ts';

export interface RedisPair extends AsyncDisposable {
  /** What REDIS_URL is to be. */
  readonly url: string;
  /** The one that holds the controller's state now, and the one that follows it. */
  roles(): Promise<{ master: RedisProcess; replica: RedisProcess }>;
  /** Lets the replica take over in good order. Resolves once it has. */
  handOver(): Promise<void>;
  /** Resolves when the other one is known to all to be master, though this one does not answer. */
  takenOver(from: RedisProcess): Promise<void>;
  /** Resolves when one that answers again follows the master, and may take over. */
  isBack(one: RedisProcess): Promise<void>;
  /** Moves the state to another master, as an operator does who adds or removes nodes. Only a cluster can. */
  moveSlot?(): Promise<void>;
}
