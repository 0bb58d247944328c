// Owns a load of heartbeats from a process of its own.
import { z } from 'zod';
import { startForked } from '../forked.ts';

export const optionsSchema = z.object({
  /** Of HTTP; connections go to each in turns. */
  urls: z.array(z.url()).min(1),
  count: z.int().min(1),
  prefix: z.string(),
  /** Handshakes under way at once. */
  atOnce: z.int().min(1).default(100),
});

export const requestSchema = z.object({
  warmMs: z.number(),
  ms: z.number(),
  /** How many of the connections beat. */
  connections: z.int().min(1),
});

const resultSchema = z.object({
  acknowledged: z.int(),
  seconds: z.number(),
  /** Seconds of processor time a second that the load itself took: near 1, it and not the server is the bottleneck. */
  cores: z.number(),
  p50Ms: z.number(),
  p99Ms: z.number(),
});
export type Beaten = z.infer<typeof resultSchema>;

export interface BeatingLoad extends AsyncDisposable {
  /**
   * Beats for so long on so many of its connections, one heartbeat under way on each.
   * @param measuring called when it is warm; what it returns is called when the time is over
   */
  beat(how: z.input<typeof requestSchema>, measuring: () => () => void): Promise<Beaten>;
}

/** Resolves once all are connected and have shaken hands. */
export async function startBeatingLoad(options: z.input<typeof optionsSchema>): Promise<BeatingLoad> {
  const child = await startForked('load/beating-process.ts', options, z.literal('connected'));
  return {
    async beat(how, measuring) {
      await child.ask(how, z.literal('measuring'));
      const over = measuring();
      const result = await child.next(resultSchema);
      over();
      return result;
    },
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}
