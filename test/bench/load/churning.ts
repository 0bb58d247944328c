// Owns a fleet from a process of its own that beats, comes and goes, and is sent messages, all at a steady pace.
import { z } from 'zod';
import { startForked } from '../forked.ts';

export const optionsSchema = z.object({
  /** Of HTTP: orchestrators connect to each in turns, and each takes calls. */
  urls: z.array(z.url()).min(1),
  count: z.int().min(1),
  prefix: z.string(),
  /** How many organizations they share. */
  organizations: z.int().min(1),
  everyMs: z.int().min(1),
  reconnectsPerSecond: z.number().min(0),
  sendsPerSecond: z.number().min(0),
});

const latencySchema = z.object({ count: z.int(), p50Ms: z.number(), p99Ms: z.number() });
const reportSchema = z.object({
  connected: z.int(),
  /** Since the last report. */
  beats: latencySchema,
  sends: latencySchema,
  reconnects: z.int(),
  /** What was not as it should be, so far: connections that were lost, calls by the code they were refused with. */
  faults: z.record(z.string(), z.int()),
});
export type ChurnReport = z.infer<typeof reportSchema>;

export interface ChurningLoad extends AsyncDisposable {
  readonly pid: number;
  report(): Promise<ChurnReport>;
}

/** Resolves once all are connected and have shaken hands. */
export async function startChurningLoad(options: z.input<typeof optionsSchema>): Promise<ChurningLoad> {
  const child = await startForked('load/churning-process.ts', options, z.literal('connected'));
  return {
    pid: child.pid,
    report: () => child.ask('report', reportSchema),
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}
