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
  return new CountedRate(options);
}

class CountedRate implements EventRate {
  readonly #eventsPerSecond: number;
  readonly #now: () => number;
  #beganAtMs = Number.NEGATIVE_INFINITY;
  #counted = 0;

  constructor({ eventsPerSecond, now }: { eventsPerSecond: number; now(): number }) {
    this.#eventsPerSecond = eventsPerSecond;
    this.#now = now;
  }

  count(): Verdict {
    const now = this.#now;
    const atMs = now();
    if (atMs - this.#beganAtMs >= windowMs) {
      this.#beganAtMs = atMs;
      this.#counted = 0;
    }
    this.#counted += 1;
    if (this.#counted <= this.#eventsPerSecond) return 'handle';
    if (this.#counted > this.#eventsPerSecond * patience) return 'end';
    return this.#counted === this.#eventsPerSecond + 1 ? 'tell' : 'drop';
  }

  get retryAfterMs(): number {
    const now = this.#now;
    return Math.max(1, Math.ceil(this.#beganAtMs + windowMs - now()));
  }
}
