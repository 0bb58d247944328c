// Owns how often somebody may do something in the whole cluster: counted in Redis, and not at all while that is away.
import type { Redis } from 'ioredis';
import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { reasonOf } from '../availability.ts';
import type { Log } from '../log.ts';
import type { Keys } from './keys.ts';

export interface RateLimit {
  /**
   * Counts one more for an address or a caller. Never fails: while Redis is away, everybody may pass.
   * @returns whole seconds, at least one, until the next may pass, if this one may not
   */
  take(who: string): Promise<number | undefined>;
}

export interface RateLimits {
  /** Calls of REST. */
  readonly byAddress: RateLimit;
  readonly byCaller: RateLimit;
  /** New connections to `/ws`. */
  readonly handshakes: RateLimit;
}

/** A limit of 0 is none. Windows are in whole seconds; each begins with the first that is counted in it. */
export function createRateLimits(options: {
  redis: Redis;
  keys: Keys;
  requestsPerAddress: number;
  requestsPerCaller: number;
  windowSeconds: number;
  handshakesPerAddress: number;
  handshakeWindowSeconds: number;
  /** Nobody waits for Redis longer than that. */
  patienceMs: number;
  log: Log;
}): RateLimits {
  const { redis, keys, windowSeconds, patienceMs, log } = options;
  let awaySinceMs: number | undefined;
  let isAsking = false;

  function failed(error: unknown): void {
    if (awaySinceMs !== undefined) return;
    awaySinceMs = performance.now();
    log.warn({ event: 'limits_off', source: 'redis' }, `Rate limits are not kept: ${reasonOf(error)}`);
  }

  /** While Redis is away nobody waits for it, but one call at a time is counted to see whether it is back. */
  function look(limiter: RateLimiterRedis, who: string): void {
    if (isAsking) return;
    isAsking = true;
    const askedAtMs = performance.now();
    const answered = () => {
      const nowMs = performance.now();
      if (awaySinceMs === undefined || nowMs - askedAtMs > patienceMs) return;
      const outageSeconds = ((nowMs - awaySinceMs) / 1_000).toFixed(1);
      awaySinceMs = undefined;
      log.warn(
        { event: 'limits_on', source: 'redis' },
        `Rate limits are kept again, after ${outageSeconds} s`,
      );
    };
    limiter
      .consume(who)
      // One that this replica remembers to be over its limit says nothing of Redis; it has counted nothing.
      .then(answered, (why) => why instanceof RateLimiterRes && why.consumedPoints > 0 && answered())
      .finally(() => {
        isAsking = false;
      });
  }

  function limit(of: 'address' | 'caller' | 'handshakes', points: number, duration: number): RateLimit {
    if (points === 0) return { take: async () => undefined };
    const limiter = new RateLimiterRedis({
      storeClient: redis,
      keyPrefix: keys.limit(of),
      points,
      duration,
      // Who is over the limit costs Redis nothing until the window ends.
      inMemoryBlockOnConsumed: points,
    });
    return {
      async take(who) {
        if (awaySinceMs !== undefined) {
          look(limiter, who);
          return undefined;
        }
        try {
          await withPatience(patienceMs, limiter.consume(who));
        } catch (why) {
          if (why instanceof RateLimiterRes) return Math.max(1, Math.ceil(why.msBeforeNext / 1_000));
          failed(why);
        }
        return undefined;
      },
    };
  }

  return {
    byAddress: limit('address', options.requestsPerAddress, windowSeconds),
    byCaller: limit('caller', options.requestsPerCaller, windowSeconds),
    handshakes: limit('handshakes', options.handshakesPerAddress, options.handshakeWindowSeconds),
  };
}

/** @throws when the answer takes too long; one that came while this process was busy is not late */
async function withPatience(patienceMs: number, answer: Promise<unknown>): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const late = () => reject(new Error(`Redis did not answer within ${patienceMs} ms`));
  // What has arrived meanwhile is read before the immediates of the same turn.
  const timer = setTimeout(() => setImmediate(late), patienceMs);
  try {
    await Promise.race([answer, promise]);
  } finally {
    clearTimeout(timer);
  }
}
