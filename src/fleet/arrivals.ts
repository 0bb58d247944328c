// Owns what a replica does with a frame that was routed to it: emit it and say what is heard of it, or leave it.
import { setTimeout as pause } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Frame } from '../queue/frame.ts';
import type { Outcome, Outcomes } from '../queue/outcomes.ts';
import type { Lease } from '../redis/lease.ts';
import type { Delivery } from './delivery.ts';
import { isDeeperThan } from './json.ts';

/** What is heard of an emitted frame. */
export interface Heard {
  /** The orchestrator's client has received it. Not told of a frame that asks for an acknowledgement. */
  received(): void;
  /** What the orchestrator's acknowledgement returned. */
  acknowledged(value: unknown): void;
}

/**
 * Emits a frame on one socket, once.
 * @returns false, and emits nothing, if the frame that it must come behind was not emitted there
 */
export type Emit = (frame: Frame, heard: Heard) => boolean;

export interface Arrivals {
  /**
   * Emits a frame, unless it is past its deadline or not for this replica.
   * @throws when the frame must be sent on and Redis is away
   */
  handle(frame: Frame): Promise<void>;
  /**
   * The same for frames that waited for an orchestrator whose session is at hand, one after the other and earlier than
   * everybody else's. Never throws: what goes wrong is logged.
   */
  receive(frames: readonly Frame[], emit: Emit | undefined): Promise<void>;
}

/** JSON that is nested much deeper cannot be written by everyone who has to tell it. */
const deepestAck = 1_000;
const unheldPauseMs = 100;

export function createArrivals(dependencies: {
  /** The socket of a frame's orchestrator, if it is connected here under the frame's epoch or a newer one. */
  socketOf(frame: Frame): Emit | undefined;
  /** Resolves when no committed handshake of this id is on its way to becoming a session. */
  settled(orchestratorId: string): Promise<void>;
  outcomes: Outcomes;
  delivery: Delivery;
  lease: Lease;
  clock: Clock;
  nodeId: string;
  metrics: Pick<Metrics, 'framesEmitted'>;
  log: Log;
}): Arrivals {
  const { outcomes, delivery, lease, clock, nodeId, metrics, log } = dependencies;

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

  function heardOf(frame: Frame): Heard {
    return {
      received: () => report(frame, { kind: 'received' }),
      acknowledged(ack) {
        if (!isDeeperThan(deepestAck, ack)) report(frame, { kind: 'acknowledged', ack });
        else
          log.warn(
            { event: 'message_sent', orchestrator_id: frame.orchestrator_id },
            `What ${frame.orchestrator_id} acknowledged ${frame.message_id} with is nested too deep to be told`,
          );
      },
    };
  }

  async function arrive(frame: Frame, emit: Emit | undefined): Promise<void> {
    if (clock.now() >= frame.deadline) return;
    // Without the lease others may already own this replica's orchestrators: it must not speak for them.
    if (emit !== undefined && lease.held() && emit(frame, heardOf(frame))) return metrics.framesEmitted.inc();
    // It may be this very replica again that it is for, which needs a moment to get its lease back.
    if (emit !== undefined && !lease.held()) await pause(unheldPauseMs);
    await delivery.sendOn(frame, { gone: emit === undefined });
  }

  return {
    async handle(frame) {
      await dependencies.settled(frame.orchestrator_id);
      await arrive(frame, dependencies.socketOf(frame));
    },
    async receive(frames, emit) {
      for (const frame of frames)
        try {
          await arrive(frame, emit ?? dependencies.socketOf(frame));
        } catch (error) {
          log.warn({ source: 'delivery', error }, `Frame ${frame.message_id} could not be sent on`);
        }
    },
  };
}
