// Owns waiting until a figure has come to rest.
import { until } from '../support/until.ts';

/** So long it must stay, as V8 gives memory back bit by bit once nothing happens. */
const restMs = 6_000;
/** And so near. */
const tolerance = 0.01;

/** Resolves to the figure once it has hardly changed for a while. @throws when it does not within a minute and a half */
export async function untilSettled(read: () => number): Promise<number> {
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
