// Owns how often one address and one caller may call REST: beyond it they are answered 429.
import type { Middleware } from 'koa';
import { rateLimited } from '../fleet/errors.ts';
import type { Log } from '../log.ts';
import { createPacedWarning } from '../paced-warning.ts';
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

export function createLimits(options: { rates: RateLimits; addressOf: AddressOf; log: Log }): Limits {
  const { rates, addressOf, log } = options;
  const warn = createPacedWarning({ log, event: 'rate_limited' });
  return {
    async limitAddress(ctx, next) {
      if (!never.has(ctx.path)) {
        const address = addressOf(ctx.req);
        const seconds = await rates.byAddress.take(address);
        if (seconds !== undefined) {
          warn(
            { source: 'http', address },
            `Too many calls from ${address}: limits.requestsPerAddress`,
            'address',
          );
          throw rateLimited('Too many calls from this address', seconds);
        }
      }
      await next();
    },
    async limitCaller(subject) {
      const seconds = await rates.byCaller.take(subject);
      if (seconds !== undefined) {
        warn(
          { source: 'http', sub: subject },
          `Too many calls of ${subject}: limits.requestsPerCaller`,
          'caller',
        );
        throw rateLimited('Too many calls of this caller', seconds);
      }
    },
  };
}
