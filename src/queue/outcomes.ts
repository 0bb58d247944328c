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
const outcomesSchema = z.array(outcomeSchema);

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
    const parsed = outcomesSchema.safeParse(JSON.parse(text));
    if (parsed.success) for (const outcome of parsed.data) options.onOutcome(outcome);
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

  /** What this turn of the event loop has heard for a sender is told to it at once. */
  const waiting = new Map<string, { outcomes: Outcome[]; told: Promise<void> }>();

  async function tell(sender: string, outcomes: readonly Outcome[]): Promise<void> {
    await new Promise(setImmediate);
    waiting.delete(sender);
    const text = JSON.stringify(outcomes);
    if (sharded) await commands.spublish(keys.outcomes(sender), text);
    else await commands.publish(keys.outcomes(sender), text);
  }

  return {
    async report(sender, outcome) {
      if (sender === nodeId) return options.onOutcome(outcome);
      const known = waiting.get(sender);
      known?.outcomes.push(outcome);
      if (known !== undefined) return known.told;
      const outcomes = [outcome];
      const told = tell(sender, outcomes);
      waiting.set(sender, { outcomes, told });
      await told;
    },
    close() {
      subscriber.disconnect();
    },
  };
}
