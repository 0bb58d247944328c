// Owns the way back: what became of a frame, told to the replica that took the call, over its own channel.
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Log } from '../log.ts';
import type { Keys } from '../redis/keys.ts';

const outcomeSchema = z.object({
  message_id: z.string(),
  node_id: z.string(),
  /** `received` by the orchestrator's client, or `acknowledged` by the orchestrator, if the frame asks for that. */
  kind: z.enum(['received', 'acknowledged']),
  ack: z.unknown().optional(),
});

export type Outcome = z.infer<typeof outcomeSchema>;

export interface Outcomes {
  /** Tells the sender. A sender that is gone hears nothing. @throws when Redis is away */
  report(sender: string, outcome: Outcome): Promise<void>;
  close(): void;
}

/** @param options.onOutcome told of each frame of this replica */
export function openOutcomes(options: {
  commands: Redis;
  subscriber: Redis;
  /** Whether its channel is a sharded one. */
  sharded: boolean;
  keys: Keys;
  nodeId: string;
  onOutcome(outcome: Outcome): void;
  log: Log;
}): Outcomes {
  const { commands, subscriber, sharded, keys, nodeId } = options;
  const channel = keys.outcomes(nodeId);
  subscriber.on(sharded ? 'smessage' : 'message', (from: string, text: string) => {
    if (from !== channel) return;
    const parsed = outcomeSchema.safeParse(JSON.parse(text));
    if (parsed.success) options.onOutcome(parsed.data);
    else
      options.log.warn(
        { source: 'outcomes' },
        'An outcome was not understood: is every replica of one version?',
      );
  });
  const subscribed = sharded ? subscriber.ssubscribe(channel) : subscriber.subscribe(channel);
  subscribed.catch((error: unknown) => {
    options.log.debug({ source: 'outcomes', error }, 'The outcome channel was closed before it was open');
  });

  return {
    async report(sender, outcome) {
      if (sender === nodeId) return options.onOutcome(outcome);
      const text = JSON.stringify(outcome);
      if (sharded) await commands.spublish(keys.outcomes(sender), text);
      else await commands.publish(keys.outcomes(sender), text);
    },
    close() {
      subscriber.disconnect();
    },
  };
}
