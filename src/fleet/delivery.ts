// Owns `/send`: a message goes to the replica that owns the socket, is followed until it is received, and is never late.
import type { Clock } from '../clock.ts';
import { within } from '../deadline.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Frame } from '../queue/frame.ts';
import type { Outbox } from '../queue/outbox.ts';
import type { Outcome } from '../queue/outcomes.ts';
import type { Presence } from '../redis/presence.ts';
import type { Tracing } from '../tracing.ts';
import { asFleetError, deliveryTimeout, notConnected, unavailable } from './errors.ts';
import { createFollowed, type Followed } from './followed.ts';
import { newMessageId } from './identifiers.ts';
import { createRoutes } from './routes.ts';
import { onQueue } from './trace-attributes.ts';

export interface SendRequest {
  orchestratorId: string;
  type: string;
  data: unknown;
  /** Whether to return only once the message is received. */
  wait: boolean;
  /** Whether to return only once the orchestrator has acknowledged. */
  ack: boolean;
  timeoutMs: number;
  /** The step of a trace that this is part of. */
  traceparent?: string | undefined;
}

export type Sent =
  | { kind: 'queued'; messageId: string }
  | { kind: 'received'; messageId: string; nodeId: string; ack?: unknown };

export interface Delivery {
  /**
   * Sends one message. Those to one orchestrator arrive in the order of the calls.
   * @throws not_connected if nobody is connected under that id, delivery_timeout, unavailable
   */
  send(request: SendRequest): Promise<Sent>;
  /**
   * Decides on a frame that the replica it was routed to cannot emit. Its sender sends it again; in the place of one that
   * is gone it goes to the owner, or waits for one.
   * @param how.gone that replica had the owner, and has it no more
   * @throws when Redis is away
   */
  sendOn(frame: Frame, how?: { gone: boolean }): Promise<void>;
  /** Told what became of a frame that this replica sent. */
  settle(outcome: Outcome): void;
  /**
   * Follows no frame any more; who waits for one is told `unavailable`.
   * @returns the frames that were promised and are not known to be received, in their order
   */
  abandon(reason: Error): Frame[];
}

/** What a frame takes besides its data, about. */
const frameBytes = 512;

/**
 * The sender alone answers for the order: it sends what is not known to be received again, in order, to whichever replica
 * owns the orchestrator by then. Each frame names the one it comes behind, and a connection on which that was not emitted
 * takes none that comes behind it. So neither a lost queue nor a lost answer can make a gap.
 */
export function createDelivery(dependencies: {
  presence: Presence;
  outbox: Outbox;
  clock: Clock;
  nodeId: string;
  watchEveryMs: number;
  /** How long a frame may go unanswered before it is sent again; from then on twice as long each time. */
  resendAfterMs: number;
  /** What unanswered messages may take of this replica's memory; more are refused. */
  unansweredBytes: number;
  /** How long a call waits until its message is in a queue. */
  routeWithinMs: number;
  metrics: Metrics;
  tracing: Tracing;
  log: Log;
}): Delivery {
  const { presence, outbox, clock, nodeId, watchEveryMs, resendAfterMs, routeWithinMs, metrics, log } =
    dependencies;
  const { unansweredBytes, tracing } = dependencies;
  const followed = createFollowed();
  /** Replicas whose queue may hold a frame that nobody took. */
  const suspects = new Set<string>();
  let watching: NodeJS.Timeout | undefined;
  let looking = false;
  let abandoned = false;

  const { routes, isDue } = createRoutes({ ...dependencies, followed });

  function follow(send: Followed): void {
    followed.add(send);
    keepWatch();
  }

  function keepWatch(): void {
    if (!abandoned) watching ??= setInterval(() => void watch(), watchEveryMs);
  }

  /** The queue of a replica that died may have been cleared before what was meant for it came to stand in it. */
  function suspect(target: string): void {
    suspects.add(target);
    keepWatch();
  }

  /**
   * These are followed no longer, for want of time where they are `late`: a timer may be ahead of the clock, which does not
   * say so. What came later must not wait for them any longer.
   */
  function giveUp(sends: ReadonlySet<Followed>, { late }: { late: boolean }): void {
    for (const id of new Set([...sends].map((send) => send.frame.orchestrator_id))) {
      let freed = false;
      for (const each of followed.to(id)) {
        if (sends.has(each)) freed ||= each.routedAt > 0;
        else if (freed && each.routedAt > 0) each.resendAt = 0;
      }
    }
    for (const send of sends) {
      if (late && followed.has(send)) metrics.framesExpired.inc();
      followed.delete(send);
      if (send.target !== undefined) suspect(send.target);
    }
  }

  /** Looks after frames that nobody has answered for: their owner may be dead, and the orchestrator elsewhere. */
  async function watch(): Promise<void> {
    const now = clock.now();
    const late = new Set<Followed>();
    const waiting: Followed[] = [];
    for (const send of followed.all()) {
      if (now >= send.frame.deadline) late.add(send);
      else if (send.routedAt > 0 && now - send.routedAt >= watchEveryMs) waiting.push(send);
    }
    giveUp(late, { late: true });
    // While Redis is slow one look is enough.
    if (looking) return;
    looking = true;
    try {
      await Promise.all([lookAgain(waiting), clearDead()]);
    } catch (error) {
      log.debug({ source: 'delivery', error }, 'Owners could not be looked up; the next look comes soon');
    } finally {
      looking = false;
    }
    if (followed.size > 0 || suspects.size > 0) return;
    clearInterval(watching);
    watching = undefined;
  }

  async function lookAgain(waiting: readonly Followed[]): Promise<void> {
    const ids = [...new Set(waiting.map((send) => send.frame.orchestrator_id))];
    const found = await presence.owners(ids);
    const owners = new Map(ids.map((id, at) => [id, found[at]]));
    for (const send of waiting) {
      const owner = owners.get(send.frame.orchestrator_id);
      if (owner !== undefined && isDue(send, owner) && followed.has(send))
        routes.put(send.frame.message_id, send);
    }
  }

  async function clearDead(): Promise<void> {
    for (const target of [...suspects]) {
      suspects.delete(target);
      try {
        const live = await presence.liveNodes();
        if (!live.includes(target)) await outbox.empty(target, sendOn);
      } catch (error) {
        suspects.add(target);
        throw error;
      }
    }
  }

  const sendOn: Delivery['sendOn'] = async (frame, { gone } = { gone: false }) => {
    const ttlMs = frame.deadline - clock.now();
    if (ttlMs <= 0) return;
    const { orchestrator_id: id, sender } = frame;
    const alone = { ...frame, after: null };
    const goneEpoch = gone ? frame.epoch : 0;
    const owner = await presence.park(id, { json: JSON.stringify(alone), ttlMs, sender, goneEpoch });
    if (owner === undefined) metrics.framesParked.inc();
    if (owner === undefined || owner === 'sender') return;
    await outbox.enqueue(owner.nodeId, [{ ...alone, epoch: owner.epoch }]);
    metrics.framesRerouted.inc();
    suspect(owner.nodeId);
  };

  async function dispatch(send: Followed): Promise<Sent> {
    const { message_id: messageId, orchestrator_id: orchestratorId, ack } = send.frame;
    const routed = await within(routeWithinMs, routes.add(messageId, send), () =>
      unavailable('Redis', new Error(`no answer within ${routeWithinMs} ms`)),
    );
    if (routed.kind === 'queued')
      send.step.end({ attributes: { 'messaging.destination.name': `outbound.${send.target}` } });
    if (routed.kind === 'not_connected') throw notConnected(orchestratorId);
    if (routed.kind === 'failed') throw routed.error;
    if (send.outcome === undefined) {
      return { kind: 'queued', messageId };
    }
    const outcome = await send.outcome.promise;
    const sent = { kind: 'received', messageId, nodeId: outcome.node_id } as const;
    return ack ? { ...sent, ack: outcome.ack ?? null } : sent;
  }

  async function send(request: SendRequest): Promise<Sent> {
    const { orchestratorId, timeoutMs } = request;
    const now = clock.now();
    const bytes = frameBytes + JSON.stringify(request.data).length;
    if (followed.size > 0 && followed.bytes + bytes > unansweredBytes)
      throw unavailable('The replica', new Error(`${followed.bytes} bytes of messages are unanswered`));
    const messageId = newMessageId(orchestratorId);
    const step = tracing.begin('producer', 'send outbound', request.traceparent, {
      ...onQueue,
      'messaging.operation.type': 'send',
      'messaging.operation.name': 'send',
      'messaging.message.id': messageId,
      'moolai.orchestrator.id': orchestratorId,
    });
    const send: Followed = {
      bytes,
      frame: {
        message_id: messageId,
        orchestrator_id: orchestratorId,
        type: request.type,
        data: request.data,
        timestamp: new Date(now).toISOString(),
        deadline: now + timeoutMs,
        ack: request.ack,
        sender: nodeId,
        epoch: 0,
        after: null,
        ...(step.traceparent === undefined ? {} : { traceparent: step.traceparent }),
      },
      step,
      routedAt: 0,
      resendAt: 0,
      pauseMs: resendAfterMs,
      target: undefined,
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
      const code = asFleetError(error)?.code ?? 'failed';
      giveUp(new Set([send]), { late: code === 'delivery_timeout' });
      step.end({ error: code });
      throw error;
    }
  }

  return {
    async send(request) {
      const startedAt = performance.now();
      const count = (outcome: string) => {
        metrics.sends(outcome).inc();
        metrics.sendSeconds.observe({ outcome }, (performance.now() - startedAt) / 1_000);
      };
      try {
        const sent = await send(request);
        count(sent.kind === 'received' && request.ack ? 'acknowledged' : sent.kind);
        return sent;
      } catch (error) {
        count(asFleetError(error)?.code ?? 'failed');
        throw error;
      }
    },

    sendOn,

    settle(outcome) {
      const send = followed.get(outcome.message_id);
      if (send === undefined) return;
      followed.delete(send);
      const { message_id, orchestrator_id, type } = send.frame;
      log.info(
        { event: 'message_sent', orchestrator_id, message_id, trace_id: send.step.traceId },
        `Sent message to orchestrator ${orchestrator_id} (type: ${type})`,
      );
      send.outcome?.resolve(outcome);
    },

    abandon(reason) {
      abandoned = true;
      clearInterval(watching);
      const left = followed.all();
      for (const send of left) send.outcome?.reject(unavailable('The replica', reason));
      return left.filter((send) => send.outcome === undefined && send.routedAt > 0).map((send) => send.frame);
    },
  };
}
