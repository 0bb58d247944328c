// Owns telling of what may happen a thousand times a second, but is not to fill the log: at once, then with a count.
import type { Log } from './log.ts';

/** So often at the most. */
const everyMs = 10_000;

/**
 * Warns of what happened, at once if nothing was said for a while; else it is counted, and told with the next.
 * @param options.now milliseconds on a clock that nobody sets
 */
export function createPacedWarning(options: { log: Log; event: string; now?: () => number }) {
  const { log, event, now = () => performance.now() } = options;
  let toldAtMs = Number.NEGATIVE_INFINITY;
  let untold = 0;
  return (about: Record<string, unknown>, message: string): void => {
    if (now() - toldAtMs < everyMs) {
      untold += 1;
      return;
    }
    const more = untold === 0 ? '' : ` (and ${untold} like it before)`;
    toldAtMs = now();
    untold = 0;
    log.warn({ event, ...about }, `${message}${more}`);
  };
}
