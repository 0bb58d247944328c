// Owns what a replica does with a frame that was routed to it: emit it and say what is heard of it, or leave it.
import { setTimeout as pause } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Frame } from '../queue/frame.ts';
import type { Outcome, Outcomes } from '../queue/outcomes.ts';
import type { Lease } from '../redis/lease.ts';
import type { Step, Tracing } from '../tracing.ts';
import type { Delivery } from './delivery.ts';
import { isDeeperThan } from './json.ts';
import { onQueue } from './trace-attributes.ts';

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
  tracing: Tracing;
  log: Log;
}): Arrivals {
  const { outcomes, delivery, lease, clock, nodeId, metrics, tracing, log } = dependencies;

  /** The ends of emissions of which nothing is heard yet, where they are traced; none outlives its frame's time. */
  const emissions = new Map<string, Step['end']>();

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

  /** Begins the step of an emission, which ends with what is heard of it, or with the frame's time. */
  function beginEmission(frame: Frame, job: Step): Step['end'] {
    const id = frame.message_id;
    const step = tracing.begin('client', 'emit', job.traceparent, {
      'messaging.message.id': id,
      'moolai.message.type': frame.type,
      'moolai.message.ack': frame.ack,
    });
    const end: Step['end'] = (how) => {
      clearTimeout(late);
      emissions.delete(id);
      step.end(how);
    };
    const late = setTimeout(() => end({ error: 'timeout' }), frame.deadline - clock.now()).unref();
    emissions.set(id, end);
    return end;
  }

  function emitTraced(frame: Frame, emit: Emit, job: Step): boolean {
    const heard = heardOf(frame);
    if (job.traceparent === undefined) return emit(frame, heard);
    // One that comes again is emitted again only where it has not been: there is one to hear of.
    const end = emissions.get(frame.message_id) ?? beginEmission(frame, job);
    const emitted = emit(frame, {
      received() {
        end({ attributes: { 'moolai.message.outcome': 'received' } });
        heard.received();
      },
      acknowledged(value) {
        end({ attributes: { 'moolai.message.outcome': 'acknowledged' } });
        heard.acknowledged(value);
      },
    });
    if (!emitted) end({ error: 'out_of_order' });
    return emitted;
  }

  async function arrive(frame: Frame, emit: Emit | undefined): Promise<void> {
    const job = tracing.begin('consumer', 'process outbound', frame.traceparent, {
      ...onQueue,
      'messaging.operation.type': 'process',
      'messaging.operation.name': 'process',
      'messaging.destination.name': `outbound.${nodeId}`,
      'messaging.message.id': frame.message_id,
      'moolai.orchestrator.id': frame.orchestrator_id,
    });
    try {
      job.end({ attributes: { 'moolai.message.outcome': await take(frame, emit, job) } });
    } catch (error) {
      job.end({ error: 'unavailable' });
      throw error;
    }
  }

  async function take(frame: Frame, emit: Emit | undefined, job: Step): Promise<string> {
    if (clock.now() >= frame.deadline) return 'expired';
    // Without the lease others may already own this replica's orchestrators: it must not speak for them.
    if (emit !== undefined && lease.held() && emitTraced(frame, emit, job)) {
      metrics.framesEmitted.inc();
      return 'emitted';
    }
    // It may be this very replica again that it is for, which needs a moment to get its lease back.
    if (emit !== undefined && !lease.held()) await pause(unheldPauseMs);
    await delivery.sendOn(frame, { gone: emit === undefined });
    return 'sent_on';
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
