// Owns a load of GET calls over HTTP from a process of its own.
import { z } from 'zod';
import { type Measure, measuredShape, startMeasured } from './measured.ts';

export const optionsSchema = z.object({
  /** Callers, each with a connection of its own and one call under way on it. */
  callers: z.int().min(1),
});

export const requestSchema = z.object({
  url: z.url(),
  /** Listed in turns; each is answered 200. */
  paths: z.array(z.string()).min(1),
  token: z.string().optional(),
  warmMs: z.number(),
  ms: z.number(),
});

const resultSchema = z.object({
  calls: z.int(),
  ...measuredShape,
});
export type Listed = z.infer<typeof resultSchema>;

export interface ListingLoad extends AsyncDisposable {
  /**
   * Calls for so long, or until there are as many answers as callers, each caller again as soon as it is answered.
   */
  call: Measure<z.input<typeof requestSchema>, Listed>;
}

export async function startListingLoad(options: z.input<typeof optionsSchema>): Promise<ListingLoad> {
  const { measure, child } = await startMeasured<z.input<typeof requestSchema>, Listed>(
    'load/listing-process.ts',
    options,
    'ready',
    resultSchema,
  );
  return { call: measure, [Symbol.asyncDispose]: () => child[Symbol.asyncDispose]() };
}
