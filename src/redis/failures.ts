// Owns the reading of Redis's failures: whether Redis could not be asked, or does not know yet.

const away =
  /connection is closed|stream isn't writeable|command timed out|max retries|ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|^(LOADING|BUSY|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|READONLY|OOM|MISCONF|UNBLOCKED|NOREPLICAS|MOVED|ASK|EXECABORT) /i;

// EXECABORT says that nothing of a transaction was done, for one of the other reasons.

/**
 * Redis came back empty, or another server goes on with what it had, and not every replica has told yet who is connected
 * to it: no answer would be true.
 */
export class PresenceIncomplete extends Error {
  override readonly name = 'PresenceIncomplete';
  constructor() {
    super('Redis came back, and not every replica has registered its connections with it yet');
  }
}

/** Whether Redis is away or unable to serve: the same call may succeed later. */
export function isRedisAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof PresenceIncomplete) return true;
  if (error instanceof AggregateError) return error.errors.some(isRedisAway);
  return away.test(error.message) || away.test(String(Reflect.get(error, 'code') ?? ''));
}
