// Owns the conversation with one orchestrator, from connecting to disconnecting.
import type { Socket } from 'socket.io';
import type { z } from 'zod';
import type { Tokens } from '../access/tokens.ts';
import { reasonOf } from '../availability.ts';
import type { Clock } from '../clock.ts';
import type { Emit } from '../fleet/arrivals.ts';
import type { Connections, Opened } from '../fleet/connections.ts';
import { asFleetError } from '../fleet/errors.ts';
import type { Heartbeats } from '../fleet/heartbeats.ts';
import type { Provisioning } from '../fleet/provisioning.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Frame } from '../queue/frame.ts';
import type { Owner } from '../redis/presence.ts';
import type { Admission } from './admission.ts';
import { type BeatReply, createBeatAck, createBeats } from './beats.ts';
import { createEmission } from './emission.ts';
import { createEventRate } from './event-rate.ts';
import { createIdentity } from './identity.ts';
import { createNotices } from './notices.ts';
import {
  busy,
  describeFaults,
  type EventName,
  type Events,
  type Handshake,
  type HandshakeAck,
  isEventName,
  nameOf,
  type SocketError,
  tooFast,
} from './protocol.ts';
import { createProvisions } from './provisions.ts';
import { createReceipts } from './receipts.ts';
import type { SendBuffers } from './send-buffer.ts';
import type { Session, Sessions } from './sessions.ts';
import { takeBeats } from './shortcut.ts';
import { createTurnstile } from './turnstile.ts';
import { sendTogether } from './write-once.ts';

export interface ConversationContext {
  connections: Connections;
  heartbeats: Heartbeats;
  provisioning: Provisioning;
  admission: Admission;
  events: Events;
  sessions: Sessions;
  sendBuffers: SendBuffers;
  metrics: Metrics;
  tokens: Tokens;
  expiryNoticeMs: number;
  clock: Clock;
  nodeId: string;
  heartbeatIntervalMs: number;
  handshakeTimeoutMs: number;
  unacknowledgedBeats: number;
  eventsPerSecond: number;
  /** Tells the other replicas that the connection of this epoch, which is one of this node, counts now. */
  announce(orchestratorId: string, epoch: number): void;
  /** Handles frames that waited for the orchestrator of this new session, oldest first. */
  forward(frames: readonly Frame[], session: Session): void;
  draining(): boolean;
  /** Keeps the stop of this replica waiting until this is written. */
  departing(written: Promise<void>): void;
  log: Log;
}

type Acknowledge = (answer: unknown) => void;

export function startConversation(socket: Socket, context: ConversationContext): void {
  const { connections, events, sessions, clock, nodeId, log } = context;
  let session: Session | undefined;
  let superseded = false;
  let sentAway: NodeJS.Timeout | undefined;
  let emission: Emit | undefined;
  // Most are never sent anything, or not for long.
  const emit: Emit = (...frame) => {
    emission ??= createEmission(socket, createReceipts(socket), clock);
    return emission(...frame);
  };
  const notices = createNotices(socket);
  const { tokens, provisioning, expiryNoticeMs, eventsPerSecond } = context;
  const identity = createIdentity(socket, { tokens, notices, clock, expiryNoticeMs, log });
  const provisions = createProvisions({ socket, provisioning, notices, identity, log });
  const turnstile = createTurnstile();
  const rate = createEventRate({ eventsPerSecond, now: nowMs });
  const { heartbeats, unacknowledgedBeats, heartbeatIntervalMs } = context;
  // Named one by one: a copy of the whole context would stay with each connection.
  const beats = createBeats({
    heartbeats,
    notices,
    clock,
    unacknowledgedBeats,
    heartbeatIntervalMs,
    superseded(owner) {
      // The same socket may have been given a newer epoch meanwhile; then the beat after this one counts.
      if (session?.connection.epoch !== owner.epoch) leaveTo(owner);
    },
    failed: (error) => report('i_am_alive', error),
  });

  log.info({ event: 'connection' }, '[C-OCS] WebSocket connection accepted');
  let patience: NodeJS.Timeout | undefined = setTimeout(() => {
    notices.end({
      code: 'handshake_timeout',
      message: `no valid handshake within ${context.handshakeTimeoutMs} ms`,
      retryable: true,
    });
  }, context.handshakeTimeoutMs);

  // Socket.IO takes a number for the name of an event as well.
  socket.onAny((event: string | number, ...args: unknown[]) => {
    const verdict = rate.count();
    if (verdict !== 'handle') return refuse(verdict);
    const last = args.at(-1);
    const acknowledge = isFunction(last) ? last : undefined;
    const payload = args[0] === acknowledge ? undefined : args[0];
    answer(event, payload, acknowledge).catch((error: unknown) => report(event, error));
  });
  takeBeats(socket, (payload, reply) => {
    if (session === undefined || !turnstile.open || !socket.connected) return false;
    const verdict = rate.count();
    if (verdict !== 'handle') refuse(verdict);
    else beat(session, payload, reply);
    return true;
  });
  context.sendBuffers.watch(socket.conn, () => {
    const id = session?.connection.orchestratorId;
    context.metrics.slowReaders.inc();
    log.warn(
      { event: 'slow_reader', orchestrator_id: id },
      `Orchestrator ${id ?? '(no handshake yet)'} stopped reading; disconnected`,
    );
  });
  socket.on('disconnect', (reason) => {
    // Who leaves the namespace leaves all: an open connection without a conversation would be watched by nobody.
    if (reason === 'client namespace disconnect') socket.conn.close();
    clearTimeout(patience);
    clearTimeout(sentAway);
    identity.forget();
    depart();
  });

  function report(event: string | number, error: unknown): void {
    const about = { source: 'socket', orchestrator_id: session?.connection.orchestratorId };
    if (asFleetError(error)?.code === 'unavailable')
      log.warn({ ...about, reason: reasonOf(error) }, `Event ${nameOf(event)} failed`);
    else log.error({ ...about, error }, `Event ${nameOf(event)} failed`);
    notices.fail({
      code: 'unavailable',
      message: `${nameOf(event)} could not be handled`,
      retryable: true,
      retry_after_ms: 1_000,
    });
  }

  function refuse(verdict: 'tell' | 'drop' | 'end'): void {
    context.metrics.refusedEvents.inc();
    if (verdict === 'tell') notices.fail(tooFast(rate.retryAfterMs));
    if (verdict !== 'end' || socket.disconnected) return;
    const id = session?.connection.orchestratorId;
    log.warn(
      { event: 'flood', orchestrator_id: id },
      `Orchestrator ${id ?? '(no handshake yet)'} sent events without end; disconnected`,
    );
    notices.hangUp();
  }

  async function answer(
    event: string | number,
    payload: unknown,
    acknowledge: Acknowledge | undefined,
  ): Promise<void> {
    // An event right behind its handshake waits for it, and so does a handshake behind another.
    if (turnstile.waiting >= context.unacknowledgedBeats)
      return notices.fail({
        code: 'too_many_events',
        message: `${turnstile.waiting} events wait for the handshake already`,
        retryable: true,
        retry_after_ms: context.heartbeatIntervalMs,
      });
    const known = isEventName(events, event) ? event : undefined;
    if (known === 'handshake') return turnstile.hold(() => shakeHands(payload, acknowledge));
    await turnstile.pass();
    // Behind its end nothing may be written for it.
    if (socket.disconnected) return;
    if (session === undefined)
      return notices.fail({
        code: 'handshake_required',
        message: `${nameOf(event)} came before a handshake`,
        retryable: true,
      });
    if (known === undefined)
      return notices.fail({
        code: 'unknown_event',
        message: `there is no event ${nameOf(event)}`,
        retryable: false,
      });
    switch (known) {
      case 'i_am_alive':
        return beat(
          session,
          payload,
          acknowledge && { tell: (status, atMs) => acknowledge(createBeatAck(status, atMs)) },
        );
      case 'provisioning_request':
        return (
          parse(events.provisioning_request, 'provisioning_request', payload) && provisions.again(session)
        );
      case 'refresh_token':
        return renewToken(session, payload, acknowledge);
      default:
        return known satisfies never;
    }
  }

  async function shakeHands(payload: unknown, acknowledge: Acknowledge | undefined): Promise<void> {
    if (superseded || socket.disconnected) return;
    const hello = events.handshake.safeParse(payload);
    if (!hello.success) {
      context.metrics.handshakes('invalid').inc();
      return notices.end({
        code: 'invalid_handshake',
        message: describeFaults(hello.error),
        retryable: false,
      });
    }
    const { orchestrator_id: id } = hello.data.data;
    if (session !== undefined && session.connection.orchestratorId !== id) {
      context.metrics.handshakes('invalid').inc();
      return notices.fail({
        code: 'identity_mismatch',
        message: `this connection is ${session.connection.orchestratorId}; ${id} needs one of its own`,
        retryable: false,
      });
    }
    const refusal = identity.refusal(id, organizationOf(hello.data));
    if (refusal !== undefined) {
      context.metrics.handshakes('forbidden').inc();
      return refuseHandshake(id, refusal);
    }
    if (context.draining()) {
      context.metrics.handshakes('draining').inc();
      notices.reconnect(spread());
      // One that has a connection keeps it until it has another.
      return session === undefined ? notices.hangUp() : undefined;
    }
    clearTimeout(patience);
    patience = undefined;
    // A refresh waits on behalf of a connection that counts already.
    const place = session === undefined ? context.admission.enter() : undefined;
    if (place?.admitted === false) return notices.end(busy(place.retryAfterMs));
    const opened: Promise<void> = open(hello.data, acknowledge, () => {
      place?.leave();
      sessions.expect(id, opened);
    }).finally(() => place?.leave());
    // A stop waits for it: what it commits must be undone or told.
    context.departing(opened.catch(() => undefined));
    await opened;
  }

  function refuseHandshake(id: string, refusal: SocketError): void {
    log.warn(
      { event: 'forbidden', orchestrator_id: id, sub: identity.subject },
      `[C-OCS] Handshake refused: ${refusal.message}`,
    );
    if (session === undefined) notices.end(refusal);
    else notices.fail(refusal);
  }

  /** A refresh that does not name one is no move. */
  function organizationOf({ data }: Handshake): string {
    return data.organization_id ?? session?.connection.entry.organization_id ?? data.orchestrator_id;
  }

  async function open(
    { data }: Handshake,
    acknowledge: Acknowledge | undefined,
    committed: () => void,
  ): Promise<void> {
    const { name, location, features } = data.metadata ?? {};
    const id = data.orchestrator_id;
    const organizationId = organizationOf({ data });
    const hello = {
      orchestratorId: id,
      organizationId,
      name: name ?? undefined,
      location: location ?? undefined,
      features: features ?? undefined,
      metadata: data.metadata ?? undefined,
      current: session?.connection,
      mayJoin: (from: string | undefined) => identity.mayJoin(id, organizationId, from),
      wanted: () => socket.connected,
    };
    const opened = await connections.open(hello, committed);
    if (opened.kind === 'abandoned') return;
    if (opened.kind === 'foreign') return refuseHandshake(id, identity.refusalOfForeign(id));
    if (opened.kind === 'superseded') return leaveTo(opened.owner);
    const { connection, previous } = opened;
    const repeated = session !== undefined;
    session = createSession(opened);
    const entered = sessions.enter(session);
    if (!entered.accepted) return leaveTo({ epoch: entered.newer.connection.epoch, nodeId });
    const owner = { epoch: connection.epoch, nodeId };
    if (!repeated) entered.older?.supersede(owner);
    // Without a previous owner there may still be one: Redis was away, or has lost it.
    if (previous === undefined || previous.nodeId !== nodeId)
      context.announce(connection.orchestratorId, connection.epoch);
    // Gone before it was welcomed: it has taken the place of an older connection all the same.
    if (socket.disconnected) return depart();
    welcome(opened, acknowledge);
    context.forward(opened.parked, session);
  }

  function welcome({ connection, introduced }: Opened & { kind: 'opened' }, acknowledge?: Acknowledge): void {
    const id = connection.orchestratorId;
    const ack: HandshakeAck = {
      type: 'handshake_ack',
      orch_id: id,
      orchestrator_id: id,
      epoch: connection.epoch,
      node_id: nodeId,
      heartbeat_interval_ms: context.heartbeatIntervalMs,
      ts: new Date(clock.now()).toISOString(),
    };
    log.info({ event: 'handshake', orchestrator_id: id }, `[C-OCS] Orchestrator ${id} connected`);
    sendTogether(socket, () => {
      acknowledge?.(ack);
      socket.emit('handshake_ack', ack);
      log.info({ event: 'handshake', orchestrator_id: id }, `[C-OCS] handshake_ack sent to ${id}`);
      provisions.first(id, introduced);
    });
  }

  function beat(at: Session, payload: unknown, reply: BeatReply | undefined): void {
    const parsed = parse(events.i_am_alive, 'i_am_alive', payload);
    if (parsed !== undefined) beats.take(at, parsed, reply);
  }

  async function renewToken(at: Session, payload: unknown, acknowledge?: Acknowledge): Promise<void> {
    const parsed = parse(events.refresh_token, 'refresh_token', payload);
    const ack = parsed && (await identity.renew(parsed.token, at));
    if (ack !== undefined) acknowledge?.(ack);
  }

  function createSession({ connection }: Opened & { kind: 'opened' }): Session {
    const mayStay = () => identity.stays(connection.orchestratorId, connection.entry.organization_id);
    return { connection, emit, supersede: leaveTo, end: (error) => notices.end(error), mayStay, sendAway };
  }

  function sendAway(afterMs: number, graceMs: number): void {
    if (sentAway !== undefined) return;
    notices.reconnect(afterMs);
    sentAway = setTimeout(() => notices.hangUp(), afterMs + graceMs);
  }

  function leaveTo(owner: Owner): void {
    superseded = true;
    // One that was asked to has only done so; told that it was thrown out, it might not come back at all.
    if (sentAway === undefined) notices.superseded(owner);
    else notices.hangUp();
  }

  /** Nobody waits for it but the stop of the replica: it may take as long as Postgres is away. */
  function depart(): void {
    const written = leave().catch((error: unknown) => {
      const id = session?.connection.orchestratorId;
      log.error(
        { event: 'disconnect', orchestrator_id: id, error },
        `The disconnect of ${id} could not be written`,
      );
    });
    context.departing(written);
  }

  async function leave(): Promise<void> {
    if (session === undefined) return;
    const { connection } = session;
    const id = connection.orchestratorId;
    sessions.leave(session);
    const ended = { orchestratorId: id, epoch: connection.epoch };
    if (superseded) {
      log.debug({ event: 'superseded', orchestrator_id: id }, `An older connection of ${id} ended`);
      return connections.yieldPlace(ended);
    }
    if (!(await connections.close(ended, beats.settled()))) return;
    const about = { event: 'disconnect', orchestrator_id: id };
    log.info(about, `[C-OCS] Orchestrator ${id} disconnected`);
    log.info(about, `[C-OCS] Cleaned up connection for ${id}`);
  }

  function parse<T>(schema: z.ZodType<T>, event: EventName, payload: unknown): T | undefined {
    const parsed = schema.safeParse(payload ?? undefined);
    if (parsed.success) return parsed.data;
    notices.fail({
      code: 'invalid_payload',
      message: `${event}: ${describeFaults(parsed.error)}`,
      retryable: false,
    });
    return undefined;
  }
}

/** When an orchestrator is to come back, ms: so that those who are asked at once do not come at once. */
export function spread(): number {
  return Math.round(Math.random() * 1_000);
}

const nowMs = () => performance.now();

function isFunction(value: unknown): value is Acknowledge {
  return typeof value === 'function';
}
