// Owns chance: a seed gives the same draws again.

export interface Random {
  /** From 0 up to 1. */
  next(): number;
  /** A whole number from `min` to `max`. */
  between(min: number, max: number): number;
  chance(probability: number): boolean;
  /** @throws when there is nothing to choose from */
  pick<T>(from: readonly T[]): T;
  shuffled<T>(all: readonly T[]): T[];
  /** A generator of its own: what one part draws changes nothing for another. */
  fork(): Random;
}

/** Source: mulberry32, Tommy Ettinger, public domain. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
  const between = (min: number, max: number) => min + Math.floor(next() * (max - min + 1));
  return {
    next,
    between,
    chance: (probability) => next() < probability,
    pick(from) {
      const found = from[between(0, from.length - 1)];
      if (found === undefined) throw new RangeError('there is nothing to pick from');
      return found;
    },
    shuffled<T>(all: readonly T[]): T[] {
      return all
        .map((each) => ({ each, at: next() }))
        .toSorted((one, other) => one.at - other.at)
        .map(({ each }) => each);
    },
    fork: () => createRandom(Math.floor(next() * 2 ** 32)),
  };
}
