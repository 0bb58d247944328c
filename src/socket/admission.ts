// Owns how many handshakes of one replica may wait for their commit, and when those beyond that should come again.
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';

export type Admitted =
  | { admitted: true /** The handshake is committed, or given up; may be said twice. */; leave(): void }
  | { admitted: false; retryAfterMs: number };

export interface Admission {
  /** A handshake wants in. */
  enter(): Admitted;
  /** Handshakes that wait for their commit. */
  readonly waiting: number;
}

const leastRetryMs = 500;
/** After an outage the measured rate says nothing: a full queue is taken to be served in this time at the most. */
const longestQueueMs = 4_000;
/** Nobody is sent away for longer, give or take half of it. */
const horizonMs = 20_000;

/**
 * Those refused are booked behind the queue and behind each other, each for as long as one handshake takes at the rate
 * of the last ones, so that they come back as fast as they can be served and not all at once. The rate is measured
 * while many wait: handshakes are written together, and a few take no less time than hundreds.
 * @param options.now milliseconds on a clock that nobody sets
 */
export function createAdmission(options: {
  pendingHandshakes: number;
  now(): number;
  random?: () => number;
  metrics: Pick<Metrics, 'handshakes'>;
  log: Log;
}): Admission {
  const { pendingHandshakes: limit, now, random = Math.random, log } = options;
  let waiting = 0;
  let msEach = longestQueueMs / limit / 2;
  let measuredAtMs = 0;
  let bookedUntilMs = 0;

  function leave(): void {
    // The mean time from one to the next over the last two queues: those written together leave at once.
    if (waiting > limit / 10) msEach += (now() - measuredAtMs - msEach) / (2 * limit);
    msEach = Math.min(msEach, longestQueueMs / limit);
    measuredAtMs = now();
    waiting -= 1;
  }

  function refuse(): number {
    // Once for all who are refused before the last of them may come again.
    if (now() >= bookedUntilMs)
      log.warn({ event: 'busy' }, `${waiting} handshakes wait to be written; more are told to come again`);
    options.metrics.handshakes('busy').inc();
    const behindQueueMs = Math.max(bookedUntilMs, now() + waiting * msEach);
    bookedUntilMs = Math.min(behindQueueMs + msEach, now() + horizonMs);
    const jitter = 0.5 + random();
    return Math.round(leastRetryMs + jitter * (bookedUntilMs - now()));
  }

  return {
    enter() {
      if (waiting >= limit) return { admitted: false, retryAfterMs: refuse() };
      waiting += 1;
      if (waiting === 1) measuredAtMs = now();
      let there = true;
      return {
        admitted: true,
        leave() {
          if (there) leave();
          there = false;
        },
      };
    },
    get waiting() {
      return waiting;
    },
  };
}
