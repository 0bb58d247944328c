// Owns a load of heartbeats from a process of its own.
import { z } from 'zod';
import { type Measure, measuredShape, startMeasured } from './measured.ts';

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
  ...measuredShape,
});
export type Beaten = z.infer<typeof resultSchema>;

export interface BeatingLoad extends AsyncDisposable {
  /**
   * Beats for so long on so many of its connections, one heartbeat under way on each.
   */
  beat: Measure<z.input<typeof requestSchema>, Beaten>;
}

/** Resolves once all are connected and have shaken hands. */
export async function startBeatingLoad(options: z.input<typeof optionsSchema>): Promise<BeatingLoad> {
  const { measure, child } = await startMeasured<z.input<typeof requestSchema>, Beaten>(
    'load/beating-process.ts',
    options,
    'connected',
    resultSchema,
  );
  return { beat: measure, [Symbol.asyncDispose]: () => child[Symbol.asyncDispose]() };
}
