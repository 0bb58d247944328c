// Owns the answer to whether this replica can do its work, and which of its stores answer.
import type { Database } from '../database/database.ts';
import { within } from '../deadline.ts';
import type { Log } from '../log.ts';
import type { RedisConnections } from '../redis/connection.ts';
import type { Lease } from '../redis/lease.ts';

export type StoreState = 'up' | 'down';

export interface Stores {
  database: StoreState;
  /** Only where there is one for reads; the replica does its work without it. */
  database_reads?: StoreState;
  redis: StoreState;
  queue: StoreState;
}

export interface Readiness {
  /** Asks each store, and takes one that does not answer in time for down. Never throws. */
  stores(): Promise<Stores>;
  /** What keeps this replica from taking calls, in words; none when it is ready. A change is logged. */
  faults(): Promise<string[]>;
  /** Both, for the asking of one. */
  check(): Promise<{ stores: Stores; faults: string[] }>;
  /** From now on this replica is not ready. */
  drain(): void;
  readonly draining: boolean;
}

export function createReadiness(dependencies: {
  database: Database;
  redis: RedisConnections;
  lease: Lease;
  /** Asks the queue of this replica for its depth. */
  queueDepth(): Promise<number>;
  /** How long a store may take to answer. */
  answerWithinMs: number;
  log: Log;
}): Readiness {
  const { database, redis, lease, answerWithinMs, log } = dependencies;
  let draining = false;
  let told: string | undefined;

  function tell(faults: readonly string[]): void {
    const state = faults.join(', ');
    if (state === told) return;
    told = state;
    if (state === '') log.info({ event: 'ready' }, 'This replica is ready');
    else log.warn({ event: 'not_ready' }, `This replica is not ready: ${state}`);
  }

  async function probe(ask: () => Promise<unknown>): Promise<StoreState> {
    try {
      await within(answerWithinMs, ask(), () => new Error(`no answer within ${answerWithinMs} ms`));
      return 'up';
    } catch {
      // Why a store is down is in the log of the call that met it; here only that it is.
      return 'down';
    }
  }

  let asking: Promise<Stores> | undefined;

  /** Anybody may ask as often as they like: the stores are asked once for all who ask meanwhile. */
  function stores(): Promise<Stores> {
    asking ??= ask().finally(() => {
      asking = undefined;
    });
    return asking;
  }

  async function ask(): Promise<Stores> {
    const [postgres, cache, queue] = await Promise.all([
      probe(database.ping),
      probe(redis.ping),
      probe(dependencies.queueDepth),
    ]);
    const reads = database.reads();
    return {
      database: postgres,
      ...(reads === undefined ? {} : { database_reads: reads }),
      redis: cache,
      queue,
    };
  }

  async function check(): Promise<{ stores: Stores; faults: string[] }> {
    const states = await stores();
    const faults: string[] = [];
    if (draining) faults.push('this replica is draining');
    if (states.database === 'down') faults.push(database.schemaFault() ?? 'Postgres does not answer');
    if (states.redis === 'down') faults.push('Redis does not answer');
    if (states.queue === 'down' && states.redis === 'up') faults.push('the queue does not answer');
    if (!lease.held()) faults.push('the lease is not held');
    tell(faults);
    return { stores: states, faults };
  }

  return {
    stores,
    faults: async () => (await check()).faults,
    check,
    drain() {
      draining = true;
    },
    get draining() {
      return draining;
    },
  };
}
