// Owns how often one address and one caller may call REST: beyond it they are answered 429.
import type { Middleware } from 'koa';
import { rateLimited } from '../fleet/errors.ts';
import type { RateLimits } from '../redis/rate-limits.ts';
import type { AddressOf } from './address.ts';

export interface Limits {
  /** By address, before anything that costs; probes and metrics are never refused. */
  readonly limitAddress: Middleware;
  /**
   * One more call of a token's `sub`.
   * @throws rate_limited
   */
  limitCaller(subject: string): Promise<void>;
}

const never = new Set(['/health', '/health/live', '/health/ready', '/metrics']);

export function createLimits(options: { rates: RateLimits; addressOf: AddressOf }): Limits {
  const { rates, addressOf } = options;
  return {
    async limitAddress(ctx, next) {
      if (!never.has(ctx.path)) {
        const seconds = await rates.byAddress.take(addressOf(ctx.req));
        if (seconds !== undefined) throw rateLimited('Too many calls from this address', seconds);
      }
      await next();
    },
    async limitCaller(subject) {
      const seconds = await rates.byCaller.take(subject);
      if (seconds !== undefined) throw rateLimited('Too many calls of this caller', seconds);
    },
  };
}
