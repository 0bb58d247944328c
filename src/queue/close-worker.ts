// Owns the end of a BullMQ worker. Its own orderly close can wait for ever soon after Redis was away, for a connection
// that it has just ended: here the job in hand is waited for, and then the worker is closed by force.
import { once } from 'node:events';
import type { Worker } from 'bullmq';

export interface ClosableWorker {
  /**
   * Resolves when the job in hand is done and recorded as done, or was given the time for it.
   * @param how.force waits for nothing: Redis is away
   */
  close(how: { force: boolean }): Promise<void>;
}

/** How long a job in hand may take to be recorded as done. */
const recordedWithinMs = 1_000;

/** Call before the worker takes its first job. One job at a time: `concurrency` must be 1. */
export function closable(worker: Worker): ClosableWorker {
  let inHand = false;
  worker.on('active', () => {
    inHand = true;
  });
  for (const end of ['completed', 'failed'] as const)
    worker.on(end, () => {
      inHand = false;
    });

  /** Or given up: one that met an outage may never be recorded. */
  async function recorded(): Promise<void> {
    const signal = AbortSignal.timeout(recordedWithinMs);
    const ends = (['completed', 'failed'] as const).map((end) => once(worker, end, { signal }));
    await Promise.race(ends).catch(() => undefined);
  }

  return {
    async close({ force }) {
      if (!force && inHand) await recorded();
      await worker.close(true);
    },
  };
}
