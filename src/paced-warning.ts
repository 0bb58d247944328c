// Owns telling of what may happen a thousand times a second, but is not to fill the log: at once, then with a count.
import type { Log } from './log.ts';

/** So often at the most. */
const everyMs = 10_000;

/** So many kinds are told apart; beyond them they are one. */
const mostKinds = 100;

/**
 * Warns of what happened, at once if nothing of its kind was said for a while; else it is counted, and told with the
 * next.
 * @param options.now milliseconds on a clock that nobody sets
 * @returns what warns; `kind` says what belongs together, and must not grow with what clients send
 */
export function createPacedWarning(options: { log: Log; event: string; now?: () => number }) {
  const { log, event, now = () => performance.now() } = options;
  const kinds = new Map<string, { toldAtMs: number; untold: number }>();
  return (about: Record<string, unknown>, message: string, kind = ''): void => {
    const known = kinds.size < mostKinds || kinds.has(kind) ? kind : '';
    const last = kinds.get(known) ?? { toldAtMs: Number.NEGATIVE_INFINITY, untold: 0 };
    kinds.set(known, last);
    if (now() - last.toldAtMs < everyMs) {
      last.untold += 1;
      return;
    }
    const more = last.untold === 0 ? '' : ` (and ${last.untold} like it before)`;
    last.toldAtMs = now();
    last.untold = 0;
    log.warn({ event, ...about }, `${message}${more}`);
  };
}
