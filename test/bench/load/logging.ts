// Owns a load of log lines from a process of its own, through the code's own ring.
import { z } from 'zod';
import { startForked } from '../forked.ts';

export const optionsSchema = z.object({ redisUrl: z.url(), perSecond: z.int().min(1) });

export const requestSchema = z.object({ ms: z.number() });

const resultSchema = z.object({
  sent: z.int(),
  written: z.int(),
  /** By its own count; what else is missing in the ring was lost elsewhere. */
  dropped: z.int(),
  seconds: z.number(),
  /** From a line to its being in Redis. */
  p50Ms: z.number(),
  p99Ms: z.number(),
});
export type Logged = z.infer<typeof resultSchema>;

export interface LoggingLoad extends AsyncDisposable {
  /** Writes for so long; resolves once every line is written, or was given up. */
  write(how: z.input<typeof requestSchema>): Promise<Logged>;
}

export async function startLoggingLoad(options: z.input<typeof optionsSchema>): Promise<LoggingLoad> {
  const child = await startForked('load/logging-process.ts', options, z.literal('ready'));
  return {
    write: (how) => child.ask(how, resultSchema),
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}
