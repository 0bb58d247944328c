// Owns a load of sends from a process of its own: it calls one replica, and is the orchestrators that are behind another.
import { z } from 'zod';
import { type Measure, measuredShape, startMeasured } from './measured.ts';

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
  ...measuredShape,
});
export type SendingResult = z.infer<typeof resultSchema>;

export interface SendingLoad extends AsyncDisposable {
  /**
   * Sends for so long, and counts what was answered: with 200, and behind the arrival at the orchestrator.
   * @throws when a call is answered otherwise, or before its orchestrator has the message
   */
  send: Measure<z.input<typeof requestSchema>, SendingResult>;
}

/** Resolves once all orchestrators are connected and have shaken hands. */
export async function startSendingLoad(options: z.input<typeof optionsSchema>): Promise<SendingLoad> {
  const { measure, child } = await startMeasured<z.input<typeof requestSchema>, SendingResult>(
    'load/sending-process.ts',
    options,
    'connected',
    resultSchema,
  );
  return { send: measure, [Symbol.asyncDispose]: () => child[Symbol.asyncDispose]() };
}
