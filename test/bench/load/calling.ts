// Owns a load of HTTP calls from a process of its own: so many callers, each with one call under way.
import { z } from 'zod';
import { type Measure, measuredShape, startMeasured } from './measured.ts';

export const optionsSchema = z.object({
  url: z.url(),
  callers: z.int().min(1),
  /** From one call of a caller to its next, at the least. */
  everyMs: z.number().min(0).default(0),
  /**
   * How a caller asks, call by call in turns. `gzip`: it takes the answer compressed. `conditional`: the same, and it
   * names what it was given last.
   */
  manners: z.array(z.enum(['plain', 'gzip', 'conditional'])).min(1),
});

export const requestSchema = z.object({ warmMs: z.number(), ms: z.number() });

const mannerSchema = z.object({ calls: z.int(), p99Ms: z.number(), meanBytes: z.number() });
const resultSchema = z.object({
  calls: z.int(),
  /** Of these, answered with 304. */
  unchanged: z.int(),
  ...measuredShape,
  byManner: z.partialRecord(z.enum(['plain', 'gzip', 'conditional']), mannerSchema),
});
export type Called = z.infer<typeof resultSchema>;

export interface CallingLoad extends AsyncDisposable {
  /**
   * Calls for so long, each caller as soon as it is answered to the end.
   * @throws when an answer is neither a 304 nor a 200 with a Content-Length, or a connection is closed
   */
  call: Measure<z.input<typeof requestSchema>, Called>;
}

export async function startCallingLoad(options: z.input<typeof optionsSchema>): Promise<CallingLoad> {
  const { measure, child } = await startMeasured<z.input<typeof requestSchema>, Called>(
    'load/calling-process.ts',
    options,
    'ready',
    resultSchema,
  );
  return { call: measure, [Symbol.asyncDispose]: () => child[Symbol.asyncDispose]() };
}
