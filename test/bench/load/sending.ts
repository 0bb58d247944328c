// Owns a load of sends from a process of its own: it calls one replica, and is the orchestrators that are behind another.
import { z } from 'zod';
import { startForked } from '../forked.ts';

export const optionsSchema = z.object({
  /** Of the replica that is called. */
  callUrl: z.url(),
  /** Of the replica that all orchestrators are connected to. */
  ownerUrl: z.url(),
  orchestrators: z.int().min(1),
  prefix: z.string(),
});

export const requestSchema = z.object({
  warmMs: z.number(),
  ms: z.number(),
  /** Calls under way at once. */
  inFlight: z.int().min(1),
});

const resultSchema = z.object({
  answered: z.int(),
  seconds: z.number(),
  /** Seconds of processor time a second that the load itself took: near 1, it and not the server is the bottleneck. */
  cores: z.number(),
  p50Ms: z.number(),
  p99Ms: z.number(),
});
export type SendingResult = z.infer<typeof resultSchema>;

export interface SendingLoad extends AsyncDisposable {
  /**
   * Sends for so long, and counts what was answered: with 200, and behind the arrival at the orchestrator.
   * @param measuring called when it is warm; what it returns is called when the time is over
   * @throws when a call is answered otherwise, or before its orchestrator has the message
   */
  send(how: z.input<typeof requestSchema>, measuring: () => () => void): Promise<SendingResult>;
}

/** Resolves once all orchestrators are connected and have shaken hands. */
export async function startSendingLoad(options: z.input<typeof optionsSchema>): Promise<SendingLoad> {
  const child = await startForked('load/sending-process.ts', options, z.literal('connected'));
  return {
    async send(how, measuring) {
      await child.ask(how, z.literal('measuring'));
      const over = measuring();
      const result = await child.next(resultSchema);
      over();
      return result;
    },
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}
