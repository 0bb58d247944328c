// Owns waiting until processes have done what they were at.
import { until } from '../support/until.ts';
import { processorSeconds } from './usage.ts';

const windowMs = 300;
/** What a server does that has nothing to do. */
const idleCores = 0.05;

/** Resolves once these processes together have been idle for a moment. @throws when they are not within a minute */
export async function untilQuiet(pids: readonly number[]): Promise<void> {
  const used = () => pids.reduce((sum, pid) => sum + processorSeconds(pid), 0);
  let since = { atMs: performance.now(), seconds: used() };
  await until(
    'what was asked for to be done',
    async () => {
      const now = { atMs: performance.now(), seconds: used() };
      const passedMs = now.atMs - since.atMs;
      if (passedMs < windowMs) return false;
      const cores = (now.seconds - since.seconds) / (passedMs / 1_000);
      since = now;
      return cores <= idleCores;
    },
    60_000,
  );
}
