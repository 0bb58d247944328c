// Owns waiting until a figure has come to rest.
import { until } from '../support/until.ts';

/** So near it must stay. */
const tolerance = 0.01;

/** Resolves to the figure once it has hardly changed for so long. @throws when it does not within a minute and a half */
export async function untilSettled(restMs: number, read: () => number): Promise<number> {
  let since = { atMs: performance.now(), value: read() };
  return until(
    'a figure to come to rest',
    () => {
      const value = read();
      const nowMs = performance.now();
      if (Math.abs(value - since.value) > tolerance * since.value) since = { atMs: nowMs, value };
      return nowMs - since.atMs >= restMs && value;
    },
    90_000,
  );
}
