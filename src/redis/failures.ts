// Owns the reading of Redis's failures: whether Redis could not be asked.

const away =
  /connection is closed|stream isn't writeable|command timed out|max retries|ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|^(LOADING|BUSY|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|READONLY|OOM|MISCONF|UNBLOCKED) /i;

/** Whether Redis is away or unable to serve: the same call may succeed later. */
export function isRedisAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof AggregateError) return error.errors.some(isRedisAway);
  return away.test(error.message) || away.test(String(Reflect.get(error, 'code') ?? ''));
}
