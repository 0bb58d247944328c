// Owns `/send`: a message goes to the replica that owns the socket, is followed there, and never arrives late.
import { createBatcher } from '../batcher.ts';
import type { Clock } from '../clock.ts';
import { within } from '../deadline.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Frame } from '../queue/frame.ts';
import type { Outbox } from '../queue/outbox.ts';
import type { Outcome } from '../queue/outcomes.ts';
import type { Owner, Presence } from '../redis/presence.ts';
import { asFleetError, deliveryTimeout, notConnected, unavailable } from './errors.ts';
import { newMessageId } from './identifiers.ts';

export interface SendRequest {
  orchestratorId: string;
  type: string;
  data: unknown;
  /** Whether to return only once the message is emitted. */
  wait: boolean;
  /** Whether to return only once the orchestrator has acknowledged. */
  ack: boolean;
  timeoutMs: number;
}

export type Sent =
  | { kind: 'queued'; messageId: string }
  | { kind: 'emitted'; messageId: string; nodeId: string; ack?: unknown };

export interface Delivery {
  /**
   * Sends one message. Those to one orchestrator go out in the order of the calls.
   * @throws not_connected if nobody is connected under that id, delivery_timeout, unavailable
   */
  send(request: SendRequest): Promise<Sent>;
  /** Sends a frame on whose owner has lost the socket: to the new owner, or parked until there is one. */
  reroute(frame: Frame): Promise<void>;
  /** Told what became of a frame that this replica sent. */
  settle(outcome: Outcome): void;
  /** Follows no frame any more; who waits for one is told `unavailable`. */
  abandon(reason: Error): void;
}

interface InFlight {
  frame: Frame;
  /** When it was last put into a queue, ms by the clock. */
  routedAt: number;
  outcome: PromiseWithResolvers<Outcome> | undefined;
}

type Routed = { kind: 'queued' } | { kind: 'not_connected' } | { kind: 'failed'; error: unknown };

export function createDelivery(dependencies: {
  presence: Presence;
  outbox: Outbox;
  clock: Clock;
  nodeId: string;
  watchEveryMs: number;
  metrics: Metrics;
  log: Log;
}): Delivery {
  const { presence, outbox, clock, nodeId, watchEveryMs, metrics, log } = dependencies;
  const inFlight = new Map<string, InFlight>();
  const byOrchestrator = new Map<string, Set<InFlight>>();
  let watching: NodeJS.Timeout | undefined;

  // One look-up of owners and one write a queue for all that is sent at once. One flush at a time, in the order of
  // the calls: that is what keeps the order of messages.
  const routes = createBatcher<InFlight, Routed>({ flush: route, onFailure: () => 'refuse' });

  async function route(sends: readonly InFlight[]): Promise<Routed[]> {
    const ids = [...new Set(sends.map((send) => send.frame.orchestrator_id))];
    const owners = new Map<string, Owner | undefined>();
    for (const [at, owner] of (await presence.owners(ids)).entries()) owners.set(ids[at] ?? '', owner);
    const queues = new Map<string, InFlight[]>();
    const placed = new Set<InFlight>();
    for (const send of sends) {
      const owner = owners.get(send.frame.orchestrator_id);
      if (owner === undefined) continue;
      // What went to an older connection and is not settled goes again, and first.
      for (const each of [...unsettledBefore(send, owner.epoch), send]) {
        if (placed.has(each)) continue;
        placed.add(each);
        each.frame.epoch = owner.epoch;
        each.routedAt = clock.now();
        const queue = queues.get(owner.nodeId) ?? [];
        queues.set(owner.nodeId, queue);
        queue.push(each);
      }
    }
    const failures = new Map<InFlight, unknown>();
    const writes = [...queues].map(async ([target, queue]) => {
      try {
        await outbox.enqueue(
          target,
          queue.map((each) => each.frame),
        );
      } catch (error) {
        for (const each of queue) failures.set(each, error);
      }
    });
    await Promise.all(writes);
    return sends.map((send) => {
      if (!placed.has(send)) return { kind: 'not_connected' };
      return failures.has(send) ? { kind: 'failed', error: failures.get(send) } : { kind: 'queued' };
    });
  }

  function unsettledBefore(send: InFlight, epoch: number): InFlight[] {
    const all = byOrchestrator.get(send.frame.orchestrator_id) ?? new Set();
    const older: InFlight[] = [];
    for (const each of all) {
      if (each === send) break;
      if (each.routedAt > 0 && each.frame.epoch < epoch) older.push(each);
    }
    return older;
  }

  function follow(send: InFlight): void {
    const { orchestrator_id: id, message_id } = send.frame;
    inFlight.set(message_id, send);
    const siblings = byOrchestrator.get(id) ?? new Set();
    byOrchestrator.set(id, siblings.add(send));
    watching ??= setInterval(watch, watchEveryMs);
  }

  function forget(send: InFlight): void {
    inFlight.delete(send.frame.message_id);
    const siblings = byOrchestrator.get(send.frame.orchestrator_id);
    siblings?.delete(send);
    if (siblings?.size === 0) byOrchestrator.delete(send.frame.orchestrator_id);
    if (inFlight.size === 0) {
      clearInterval(watching);
      watching = undefined;
    }
  }

  /** Looks after frames that nobody has answered for: their owner may be dead, and the orchestrator elsewhere. */
  function watch(): void {
    const now = clock.now();
    const waiting: InFlight[] = [];
    for (const send of inFlight.values()) {
      if (now >= send.frame.deadline) forget(send);
      else if (send.routedAt > 0 && now - send.routedAt >= watchEveryMs) waiting.push(send);
    }
    if (waiting.length > 0) void lookAgain(waiting);
  }

  async function lookAgain(waiting: readonly InFlight[]): Promise<void> {
    try {
      const owners = await presence.owners(waiting.map((send) => send.frame.orchestrator_id));
      for (const [at, send] of waiting.entries()) {
        const owner = owners[at];
        if (owner !== undefined && owner.epoch > send.frame.epoch && inFlight.has(send.frame.message_id))
          routes.put(send.frame.message_id, send);
      }
    } catch (error) {
      log.debug({ source: 'delivery', error }, 'Owners could not be looked up; the next look comes soon');
    }
  }

  async function dispatch(send: InFlight): Promise<Sent> {
    const { message_id: messageId, orchestrator_id: orchestratorId, ack } = send.frame;
    const routed = await routes.add(messageId, send);
    if (routed.kind === 'not_connected') throw notConnected(orchestratorId);
    if (routed.kind === 'failed') throw routed.error;
    if (send.outcome === undefined) {
      metrics.sends.inc({ outcome: 'queued' });
      return { kind: 'queued', messageId };
    }
    const outcome = await send.outcome.promise;
    metrics.sends.inc({ outcome: outcome.kind });
    const sent = { kind: 'emitted', messageId, nodeId: outcome.node_id } as const;
    return ack ? { ...sent, ack: outcome.ack ?? null } : sent;
  }

  return {
    async send(request) {
      const { orchestratorId, timeoutMs } = request;
      const now = clock.now();
      const send: InFlight = {
        frame: {
          message_id: newMessageId(orchestratorId),
          orchestrator_id: orchestratorId,
          type: request.type,
          data: request.data,
          timestamp: new Date(now).toISOString(),
          deadline: now + timeoutMs,
          ack: request.ack,
          sender: nodeId,
          epoch: 0,
        },
        routedAt: 0,
        outcome: request.wait ? Promise.withResolvers<Outcome>() : undefined,
      };
      // It may be refused before anybody waits for it: while the frame is still being routed.
      send.outcome?.promise.catch(() => undefined);
      follow(send);
      try {
        return await within(timeoutMs, dispatch(send), () =>
          deliveryTimeout(orchestratorId, timeoutMs, request.ack ? 'acknowledged' : 'delivered'),
        );
      } catch (error) {
        forget(send);
        metrics.sends.inc({ outcome: asFleetError(error)?.code ?? 'failed' });
        throw error;
      }
    },

    async reroute(frame) {
      const leftMs = frame.deadline - clock.now();
      if (leftMs <= 0) return;
      const owner = await presence.park(frame.orchestrator_id, JSON.stringify(frame), leftMs);
      if (owner === undefined) return;
      // An owner here that has just lost its socket has yet to say so in Redis: look again a little later.
      const delayMs = owner.nodeId === nodeId ? watchEveryMs : 0;
      await outbox.enqueue(owner.nodeId, [{ ...frame, epoch: owner.epoch }], delayMs);
    },

    settle(outcome) {
      const send = inFlight.get(outcome.message_id);
      if (send === undefined) return;
      const { ack, message_id, orchestrator_id, type } = send.frame;
      if (ack && outcome.kind !== 'acknowledged') return;
      forget(send);
      log.info(
        { event: 'message_sent', orchestrator_id, message_id },
        `Sent message to orchestrator ${orchestrator_id} (type: ${type})`,
      );
      send.outcome?.resolve(outcome);
    },

    abandon(reason) {
      clearInterval(watching);
      for (const send of inFlight.values()) send.outcome?.reject(unavailable('The replica', reason));
    },
  };
}
