// Owns telling a person that a store is away and that it is back: once each, whoever meets it how often.
import type { Log } from './log.ts';

export interface Availability {
  /**
   * The store did not answer what was asked at `askedAtMs` (by `performance.now()`; now, if not said), or could not be
   * reached. What was asked before its last answer says nothing: it may have been asked during an outage that is over.
   */
  failed(error: unknown, askedAtMs?: number): void;
  /** The store answered what was asked at `askedAtMs` (by `performance.now()`); an older answer says nothing. */
  answered(askedAtMs: number): void;
}

export function createAvailability(store: string, log: Log): Availability {
  let awaySinceMs: number | undefined;
  let answeredAtMs = Number.NEGATIVE_INFINITY;
  return {
    failed(error, askedAtMs = performance.now()) {
      if (awaySinceMs !== undefined || askedAtMs < answeredAtMs) return;
      awaySinceMs = performance.now();
      log.warn({ event: 'store_away' }, `${store} is away: ${reasonOf(error)}`);
    },
    answered(askedAtMs) {
      if (awaySinceMs !== undefined && askedAtMs < awaySinceMs) return;
      answeredAtMs = performance.now();
      if (awaySinceMs === undefined) return;
      const seconds = ((performance.now() - awaySinceMs) / 1_000).toFixed(1);
      awaySinceMs = undefined;
      log.warn({ event: 'store_back' }, `${store} is back, after ${seconds} s`);
    },
  };
}

/** What waits and is tried again is told at the first failure, and then once in so many: about twice a minute. */
const toldOnceIn = 30;

/** For `onRetry` of a batcher whose entries wait for Postgres. */
export function reportRetries(log: Log, source: string, entriesAre: string) {
  return (retry: { error: unknown; entries: number; retryMs: number; attempt: number }): void => {
    const { error, entries, retryMs, attempt } = retry;
    log[levelOfFailure(attempt)](
      { source, reason: reasonOf(error) },
      `${entries} ${entriesAre} wait for Postgres; next try in ${retryMs} ms`,
    );
  };
}

/** @param nth how many failures in a row this one makes, from 1 */
export function levelOfFailure(nth: number): 'warn' | 'debug' {
  return nth % toldOnceIn === 1 ? 'warn' : 'debug';
}

/** A failure in words. One to connect has its reasons, one for each address, inside. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0)
    return error.errors.map(reasonOf).join('; ');
  return error instanceof Error && error.message !== '' ? error.message : String(error);
}
