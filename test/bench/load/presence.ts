// Owns a fleet that is present and beats, without its sockets: from a process of its own, through the code's own presence.
import { z } from 'zod';
import { startForked } from '../forked.ts';

export const optionsSchema = z.object({
  redisUrl: z.url(),
  /** Whose orchestrators they are: one that holds its lease. */
  nodeId: z.string(),
  count: z.int().min(1),
  /** From one heartbeat of an orchestrator to its next. */
  intervalMs: z.number().min(1).default(30_000),
});

/** Resolves once all are present; they beat until it is disposed. */
export async function startPresence(options: z.input<typeof optionsSchema>): Promise<AsyncDisposable> {
  return startForked('load/presence-process.ts', options, z.literal('present'));
}
