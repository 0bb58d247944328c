// Owns how many events one connection may send in a second. On the way of every heartbeat: it only counts.

/** What becomes of an event: handled; refused, and told so; refused without a word; or the end of its connection. */
export type Verdict = 'handle' | 'tell' | 'drop' | 'end';

export interface EventRate {
  /** One more event. */
  count(): Verdict;
  /** Until events are handled again, ms. */
  readonly retryAfterMs: number;
}

const windowMs = 1_000;
/** So many times as many as it may send, and it is not busy but out of hand. */
const patience = 10;

/** @param options.now milliseconds on a clock that nobody sets */
export function createEventRate(options: { eventsPerSecond: number; now(): number }): EventRate {
  const { eventsPerSecond, now } = options;
  let beganAtMs = Number.NEGATIVE_INFINITY;
  let counted = 0;
  return {
    count() {
      const atMs = now();
      if (atMs - beganAtMs >= windowMs) {
        beganAtMs = atMs;
        counted = 0;
      }
      counted += 1;
      if (counted <= eventsPerSecond) return 'handle';
      if (counted > eventsPerSecond * patience) return 'end';
      return counted === eventsPerSecond + 1 ? 'tell' : 'drop';
    },
    get retryAfterMs() {
      return Math.max(1, Math.ceil(beganAtMs + windowMs - now()));
    },
  };
}
