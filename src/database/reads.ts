// Owns reads from another Postgres than the primary, a replica of it that may lag behind and may be away.
import { DriverException } from '@mikro-orm/core';
import { createAvailability } from '../availability.ts';
import type { Log } from '../log.ts';
import { isPostgresAway, isUnsuitable } from './failures.ts';
import { openPool, type PoolOptions, type Source } from './pool.ts';
import { describeMissing, missingMigrations } from './schema.ts';

/** How often one that is away is asked whether it is back. */
const askEveryMs = 1_000;

export interface Reads {
  /** Runs the read there, or from the primary while the replica is away; what it throws of its own is passed on. */
  lagging<T>(read: (source: Source) => Promise<T>, primary: Source): Promise<T>;
  /** As far as is known; it is asked anew, for whoever wants to know later. */
  state(): 'up' | 'down';
  close(): Promise<void>;
}

/**
 * The call that finds out that it is away waits as long as for any statement, and is served by the primary; from then
 * on all are, at once, until it answers again and has the schema.
 */
export async function openReads(
  options: Omit<PoolOptions, 'variable' | 'availability'> & { log: Log },
): Promise<Reads> {
  const availability = createAvailability('Postgres for reads (DATABASE_READ_URL)', options.log);
  const replica = await openPool({
    ...options,
    variable: 'DATABASE_READ_URL',
    // Told below, where the schema and MikroORM's statements count as well.
    availability: { failed: () => undefined, answered: () => undefined },
  });
  let isAway = false;
  let isClosed = false;
  let again: NodeJS.Timeout | undefined;
  let asking: Promise<void> | undefined;

  /** Never rejects; once for all who ask meanwhile. */
  function ask(): Promise<void> {
    asking ??= askNow().finally(() => {
      asking = undefined;
    });
    return asking;
  }

  async function askNow(): Promise<void> {
    const askedAtMs = performance.now();
    try {
      const missing = await missingMigrations(replica.query);
      if (missing.length > 0) throw new Error(`it ${describeMissing(missing)}`);
      isAway = false;
      availability.answered(askedAtMs);
    } catch (error) {
      turnAway(error);
    }
  }

  function turnAway(error: unknown): void {
    if (isClosed) return;
    isAway = true;
    availability.failed(error);
    clearTimeout(again);
    again = setTimeout(ask, askEveryMs).unref();
  }

  // What is wrong with the URL is told at the start, not at the first call.
  void ask();
  return {
    async lagging(read, primary) {
      if (isAway) return read(primary);
      try {
        return await read(replica);
      } catch (error) {
        if (!(error instanceof DriverException)) throw error;
        // What is wrong with one statement, or gave way to what the replica had to replay, says nothing of the next.
        if (isPostgresAway(error) || isUnsuitable(error)) turnAway(error);
        return read(primary);
      }
    },
    state() {
      void ask();
      return isAway ? 'down' : 'up';
    },
    async close() {
      isClosed = true;
      clearTimeout(again);
      await replica.close();
    },
  };
}
