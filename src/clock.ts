// Owns what time it is: injected wherever time decides something, so that tests can advance it.

export interface Clock {
  /** Milliseconds since the epoch, UTC. */
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };
