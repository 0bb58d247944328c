// Owns the asking of a load that is measured: it says when it is warm, and then what its time came to.
import { z } from 'zod';
import { type Forked, startForked } from '../forked.ts';

/** What each of them tells, beside what it counts. */
export const measuredShape = {
  seconds: z.number(),
  /** Seconds of processor time a second that the load itself took: near 1, it and not the server is the bottleneck. */
  cores: z.number(),
  p50Ms: z.number(),
  p99Ms: z.number(),
};

/**
 * Loads for so long.
 * @param measuring called when it is warm; what it returns is called when the time is over
 */
export type Measure<How, Result> = (how: How, measuring: () => () => void) => Promise<Result>;

/** @param ready what the process says once it can begin */
export async function startMeasured<How, Result>(
  file: string,
  options: object,
  ready: 'connected' | 'ready',
  resultSchema: z.ZodType<Result>,
): Promise<{ measure: Measure<How, Result>; child: Forked<unknown> }> {
  const child = await startForked(file, options, z.literal(ready));
  return {
    child,
    async measure(how, measuring) {
      await child.ask(how, z.literal('measuring'));
      const over = measuring();
      const result = await child.next(resultSchema);
      over();
      return result;
    },
  };
}
