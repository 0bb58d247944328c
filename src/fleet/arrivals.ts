// Owns what a replica does with a frame that was routed to it: emit it and say so, or send it on.
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Frame } from '../queue/frame.ts';
import type { Outcome, Outcomes } from '../queue/outcomes.ts';
import type { Lease } from '../redis/lease.ts';
import type { Delivery } from './delivery.ts';
import { isDeeperThan } from './json.ts';

/**
 * Emits a frame on the local socket of its orchestrator.
 * @returns false if there is none of the frame's epoch or a newer one
 */
export type Emit = (frame: Frame, onAck: (value: unknown) => void) => boolean;

export interface Arrivals {
  /**
   * Drops a frame past its deadline.
   * @param emit where the session is at hand already, and earlier than everybody else's frames
   * @throws when the frame must be sent on and Redis is away
   */
  handle(frame: Frame, emit?: Emit): Promise<void>;
  /** The same for a frame that came by another way than the queue. Never throws: what goes wrong is logged. */
  receive(frame: Frame, emit?: Emit): Promise<void>;
}

/** JSON that is nested much deeper cannot be written by everyone who has to tell it. */
const deepestAck = 1_000;

export function createArrivals(dependencies: {
  emit: Emit;
  /** Resolves when no committed handshake of this id is on its way to becoming a session. */
  settled(orchestratorId: string): Promise<void>;
  outcomes: Outcomes;
  delivery: Delivery;
  lease: Lease;
  clock: Clock;
  nodeId: string;
  log: Log;
}): Arrivals {
  const { outcomes, delivery, lease, clock, nodeId, log } = dependencies;

  function report(frame: Frame, outcome: Pick<Outcome, 'kind' | 'ack'>): void {
    outcomes
      .report(frame.sender, { ...outcome, message_id: frame.message_id, node_id: nodeId })
      .catch((error: unknown) =>
        log.warn(
          { event: 'message_sent', orchestrator_id: frame.orchestrator_id, error },
          `The sender of ${frame.message_id} could not be told that it was ${outcome.kind}`,
        ),
      );
  }

  const handle: Arrivals['handle'] = async (frame, emit) => {
    if (emit === undefined) await dependencies.settled(frame.orchestrator_id);
    if (clock.now() >= frame.deadline) return;
    const onAck = (ack: unknown) => {
      if (!isDeeperThan(deepestAck, ack)) report(frame, { kind: 'acknowledged', ack });
      else
        log.warn(
          { event: 'message_sent', orchestrator_id: frame.orchestrator_id },
          `What ${frame.orchestrator_id} acknowledged ${frame.message_id} with is nested too deep to be told`,
        );
    };
    // Without the lease others may already own this replica's orchestrators: it must not speak for them.
    const emitted = lease.held() && (emit ?? dependencies.emit)(frame, onAck);
    if (emitted) report(frame, { kind: 'emitted' });
    else await delivery.reroute(frame);
  };

  return {
    handle,
    async receive(frame, emit) {
      try {
        await handle(frame, emit);
      } catch (error) {
        log.warn({ source: 'delivery', error }, `Frame ${frame.message_id} could not be sent on`);
      }
    },
  };
}
