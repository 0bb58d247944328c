// Owns how often one address and one caller may call REST: beyond it they are answered 429.
import type { Context, Middleware } from 'koa';
import { rateLimited } from '../fleet/errors.ts';
import type { Log } from '../log.ts';
import { createPacedWarning } from '../paced-warning.ts';
import type { RateLimits } from '../redis/rate-limits.ts';
import type { AddressOf } from './address.ts';

export interface Limits {
  /**
   * By address, before anything that costs; probes and metrics are never refused. Counting goes on while the next of the
   * middleware begins: what has an effect awaits `admission` first.
   */
  readonly limitAddress: Middleware;
  /**
   * One more call of a token's `sub`.
   * @throws rate_limited
   */
  limitCaller(subject: string): Promise<void>;
}

/** The next turn of the event loop: an answer that needed no Redis is there by then. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Resolves once the caller's address may call. @throws rate_limited */
export async function admission(ctx: Context): Promise<void> {
  const admitted: Promise<void> | undefined = ctx.state.admitted;
  await admitted;
}

const never = new Set(['/health', '/health/live', '/health/ready', '/metrics']);

export function createLimits(options: { rates: RateLimits; addressOf: AddressOf; log: Log }): Limits {
  const { rates, addressOf, log } = options;
  const warn = createPacedWarning({ log, event: 'rate_limited' });

  /** @throws rate_limited */
  async function admit(address: string): Promise<void> {
    const seconds = await rates.byAddress.take(address);
    if (seconds === undefined) return;
    warn({ source: 'http', address }, `Too many calls from ${address}: limits.requestsPerAddress`, 'address');
    throw rateLimited('Too many calls from this address', seconds);
  }

  return {
    async limitAddress(ctx, next) {
      if (!never.has(ctx.path)) {
        const address = addressOf(ctx.req);
        const admitted = admit(address);
        // Who is known to have too many is answered at once. For the others Redis counts while it is found out who calls.
        await Promise.race([admitted, turn()]);
        ctx.state.admitted = admitted;
        try {
          await next();
        } finally {
          // It is the answer, whatever else there would be to say.
          await admitted;
        }
      } else await next();
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
