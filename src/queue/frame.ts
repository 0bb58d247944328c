// Owns the frame: one message on its way to an orchestrator, as it stands in a queue.
import { z } from 'zod';

const frameSchema = z.object({
  message_id: z.string(),
  orchestrator_id: z.string(),
  type: z.string(),
  data: z.unknown(),
  timestamp: z.string(),
  /** Never delivered after this, ms since the epoch. */
  deadline: z.number(),
  /** Whether the sender wants what the orchestrator's acknowledgement returns. */
  ack: z.boolean(),
  /** The replica that took the call and hears of the outcome. */
  sender: z.string(),
  /** The connection it was routed to. */
  epoch: z.int(),
  /** The message of the same sender that must have been emitted on a connection before this one is; null: none. */
  after: z.string().nullable().default(null),
  /** The step of its trace that it was sent in, where its call is traced (W3C Trace Context). */
  traceparent: z.string().optional(),
});

export type Frame = z.infer<typeof frameSchema>;

/** @throws when it is no frame */
export function asFrame(value: unknown): Frame {
  return frameSchema.parse(value);
}

/** @throws when the text is no frame */
export function readFrame(json: string): Frame {
  return asFrame(JSON.parse(json));
}
