// Owns what an orchestrator is told over the wire, as far as the reference client reads it.
import { z } from 'zod';

export const handshakeAckSchema = z.looseObject({
  heartbeat_interval_ms: z.number().positive().max(86_400_000),
});
export const frameSchema = z.looseObject({
  type: z.string(),
  data: z.unknown(),
  message_id: z.string().min(1),
});
export const provisionSchema = z.looseObject({ type: z.string(), data: z.record(z.string(), z.unknown()) });
export const beatAckSchema = z.object({
  status: z.enum(['processed', 'ignored']),
  ts: z.string().optional(),
});
export const reconnectSchema = z.object({ after_ms: z.number().min(0).max(3_600_000) });
export const errorSchema = z.object({
  code: z.string(),
  message: z.string(),
  retryable: z.boolean(),
  retry_after_ms: z.number().min(0).max(3_600_000).optional(),
});
/** A connection that was refused: `data` says why, as an `error` would. */
export const refusalSchema = z.object({ data: errorSchema });
/** The websocket transport says only "websocket error"; the cause hides below. */
export const causeSchema = z.object({ description: z.object({ message: z.string() }) });

/** What a `/send` call delivers: `type`, `data`, `message_id` (the same in every repeat) and `timestamp`. */
export type Frame = z.infer<typeof frameSchema>;
/** `status` is `ignored` while the orchestrator is independent; `ts` is the time that was committed. `latencyMs` runs from the first sending. */
export type BeatAnswer = z.infer<typeof beatAckSchema> & { latencyMs: number };
