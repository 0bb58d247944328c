// Owns how many calls of `/send` one caller may have waiting in this replica, so that nobody holds all there is.
import { rateLimited } from '../fleet/errors.ts';

export interface SendWaits {
  /**
   * What `send` comes to; it counts for the caller until then.
   * @throws rate_limited when too many wait already; what `send` throws
   */
  count<T>(caller: string, send: () => Promise<T>): Promise<T>;
}

export function createSendWaits(perCaller: number): SendWaits {
  const waiting = new Map<string, number>();
  return {
    async count(caller, send) {
      const before = waiting.get(caller) ?? 0;
      if (before >= perCaller) throw rateLimited(`${before} calls of this caller wait already`, 1);
      waiting.set(caller, before + 1);
      try {
        return await send();
      } finally {
        const left = (waiting.get(caller) ?? 1) - 1;
        if (left > 0) waiting.set(caller, left);
        else waiting.delete(caller);
      }
    },
  };
}
