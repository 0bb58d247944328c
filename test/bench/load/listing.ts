// Owns a load of GET calls over HTTP from a process of its own.
import { z } from 'zod';
import { startForked } from '../forked.ts';

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
  seconds: z.number(),
  /** Seconds of processor time a second that the load itself took: near 1, it and not the server is the bottleneck. */
  cores: z.number(),
  p50Ms: z.number(),
  p99Ms: z.number(),
});
export type Listed = z.infer<typeof resultSchema>;

export interface ListingLoad extends AsyncDisposable {
  /**
   * Calls for so long, or until there are as many answers as callers, each caller again as soon as it is answered.
   * @param measuring called when it is warm; what it returns is called when the time is over
   */
  call(how: z.input<typeof requestSchema>, measuring: () => () => void): Promise<Listed>;
}

export async function startListingLoad(options: z.input<typeof optionsSchema>): Promise<ListingLoad> {
  const child = await startForked('load/listing-process.ts', options, z.literal('ready'));
  return {
    async call(how, measuring) {
      await child.ask(how, z.literal('measuring'));
      const over = measuring();
      const result = await child.next(resultSchema);
      over();
      return result;
    },
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}
