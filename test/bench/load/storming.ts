// Owns a load of connections that all come at once from a process of its own, stay as long as they are let, and leave.
import { z } from 'zod';
import { startForked } from '../forked.ts';

export const optionsSchema = z.object({
  /** Of HTTP. */
  url: z.url(),
  /** Connections under way at once: fewer than a server's backlog holds, or the kernel would make some wait a second. */
  atOnce: z.int().min(1).default(400),
});

export const requestSchema = z.discriminatedUnion('do', [
  z.object({ do: z.literal('come'), count: z.int().min(1), prefix: z.string() }),
  z.object({ do: z.literal('leave') }),
]);

const comeSchema = z.object({
  seconds: z.number(),
  /** Seconds of processor time a second that the load itself took: near 1, it and not the server is the bottleneck. */
  cores: z.number(),
  /** From the first byte that asks for a connection to the acknowledgement of its handshake. */
  p50Ms: z.number(),
  p99Ms: z.number(),
});
export type Come = z.infer<typeof comeSchema>;

export interface StormingLoad extends AsyncDisposable {
  /** Connects as `{prefix}0` and so on; resolves once every handshake is acknowledged. @throws if one is refused */
  come(count: number, prefix: string): Promise<Come>;
  /** Ends all connections. @throws if one had ended before */
  leave(): Promise<void>;
}

export async function startStormingLoad(options: z.input<typeof optionsSchema>): Promise<StormingLoad> {
  const child = await startForked('load/storming-process.ts', options, z.literal('ready'));
  const ask = <Answer>(request: z.input<typeof requestSchema>, schema: z.ZodType<Answer>) =>
    child.ask(request, schema);
  return {
    come: (count, prefix) => ask({ do: 'come', count, prefix }, comeSchema),
    async leave() {
      await ask({ do: 'leave' }, z.literal('left'));
    },
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}
