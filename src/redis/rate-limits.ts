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

/** Those who are counted together, in the order in which they came. */
interface Group {
  several: number;
  readonly counted: PromiseWithResolvers<RateLimiterRes | undefined>;
}

/** There while somebody of that name is being counted. */
interface Lane {
  waiting: Group | undefined;
}

/**
 * New connections come one at each turn of the event loop: while several come within a count, the next count waits so long
 * for more of them. One that comes alone waits for nobody.
 */
const crowdMs = 5;

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

  function limit(
    of: 'address' | 'caller' | 'handshakes',
    points: number,
    duration: number,
    gatherMs = 0,
  ): RateLimit {
    if (points === 0) return { take: async () => undefined };
    const limiter = new RateLimiterRedis({
      storeClient: redis,
      keyPrefix: keys.limit(of),
      points,
      duration,
      // Who is over the limit costs Redis nothing until the window ends.
      inMemoryBlockOnConsumed: points,
    });
    /** @returns what Redis has counted by now, with these; undefined where that is not known */
    async function count(who: string, several: number): Promise<RateLimiterRes | undefined> {
      if (awaySinceMs !== undefined) {
        look(limiter, who);
        return undefined;
      }
      try {
        return await withPatience(patienceMs, limiter.consume(who, several));
      } catch (why) {
        if (why instanceof RateLimiterRes) return why;
        failed(why);
        return undefined;
      }
    }

    const lanes = new Map<string, Lane>();

    function nextOf(who: string, lane: Lane): void {
      const { waiting } = lane;
      lane.waiting = undefined;
      if (waiting === undefined) lanes.delete(who);
      else
        void count(who, waiting.several).then((counted) => {
          waiting.counted.resolve(counted);
          if (lane.waiting === undefined || gatherMs === 0) nextOf(who, lane);
          else setTimeout(() => nextOf(who, lane), gatherMs);
        });
    }

    /** Whoever comes while others of the same name are being counted is counted with all who do. */
    function join(who: string): Group {
      const lane = lanes.get(who);
      const group = lane?.waiting ?? { several: 0, counted: Promise.withResolvers() };
      group.several += 1;
      if (lane !== undefined) lane.waiting = group;
      else {
        const begun: Lane = { waiting: group };
        lanes.set(who, begun);
        nextOf(who, begun);
      }
      return group;
    }

    return {
      async take(who) {
        const group = join(who);
        const place = group.several;
        const counted = await group.counted.promise;
        if (counted === undefined) return undefined;
        // They are over the limit in the order in which they came. Of who is known to be, nothing is counted.
        const { consumedPoints } = counted;
        if (consumedPoints > 0 && consumedPoints - group.several + place <= points) return undefined;
        return Math.max(1, Math.ceil(counted.msBeforeNext / 1_000));
      },
    };
  }

  return {
    byAddress: limit('address', options.requestsPerAddress, windowSeconds),
    byCaller: limit('caller', options.requestsPerCaller, windowSeconds),
    handshakes: limit('handshakes', options.handshakesPerAddress, options.handshakeWindowSeconds, crowdMs),
  };
}

/** @throws when the answer takes too long; one that came while this process was busy is not late */
async function withPatience<T>(patienceMs: number, answer: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const late = () => reject(new Error(`Redis did not answer within ${patienceMs} ms`));
  // What has arrived meanwhile is read before the immediates of the same turn.
  const timer = setTimeout(() => setImmediate(late), patienceMs);
  try {
    return await Promise.race([answer, promise]);
  } finally {
    clearTimeout(timer);
  }
}
