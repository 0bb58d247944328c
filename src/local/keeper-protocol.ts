// What a keeper and the process that opened it say to each other.
import { z } from 'zod';

export const keeperOptionsSchema = z.strictObject({
  folder: z.string().min(1),
  durable: z.boolean(),
  postgres: z.boolean(),
  redis: z.boolean(),
});
export type KeeperOptions = z.infer<typeof keeperOptionsSchema>;

/** From the keeper. The way back has one message, `stopRequest`; the channel's end means the same. */
export const keeperMessageSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('progress'), line: z.string() }),
  z.strictObject({ type: z.literal('started'), title: z.string(), elapsedMs: z.number() }),
  z.strictObject({
    type: z.literal('ready'),
    databaseUrl: z.string().optional(),
    redisUrl: z.string().optional(),
  }),
  /** Nothing runs: why the start failed, or which server ended on its own. */
  z.strictObject({ type: z.literal('failed'), message: z.string() }),
]);
export type KeeperMessage = z.infer<typeof keeperMessageSchema>;

export const stopRequest = 'stop';
