// Owns the conversation with one orchestrator, from connecting to disconnecting.
import type { Socket } from 'socket.io';
import type { z } from 'zod';
import type { Tokens } from '../access/tokens.ts';
import { reasonOf } from '../availability.ts';
import type { Emit } from '../fleet/arrivals.ts';
import type { LiveConnection } from '../fleet/connections.ts';
import { asFleetError } from '../fleet/errors.ts';
import type { Heartbeats } from '../fleet/heartbeats.ts';
import type { Provisioning } from '../fleet/provisioning.ts';
import type { Owner } from '../redis/presence.ts';
import { type BeatReply, type Beats, type BeatsHost, createBeatAck, createBeats } from './beats.ts';
import { createEmission } from './emission.ts';
import { createEventRate, type EventRate } from './event-rate.ts';
import { createIdentity, type Identity } from './identity.ts';
import { createNotices, type Notices } from './notices.ts';
import { describeFaults, type EventName, type Events, isEventName, nameOf, tooFast } from './protocol.ts';
import { createProvisions, type Provisions } from './provisions.ts';
import { createReceipts } from './receipts.ts';
import { type Acknowledge, type ReceptionContext, receive, type Visitor } from './reception.ts';
import type { SendBuffers } from './send-buffer.ts';
import type { Session } from './sessions.ts';
import { type BeatTaker, takeBeats } from './shortcut.ts';
import { createTurnstile, type Turnstile } from './turnstile.ts';

export interface ConversationContext extends ReceptionContext {
  readonly heartbeats: Heartbeats;
  readonly provisioning: Provisioning;
  readonly events: Events;
  readonly sendBuffers: SendBuffers;
  readonly tokens: Tokens;
  readonly expiryNoticeMs: number;
  readonly handshakeTimeoutMs: number;
  readonly unacknowledgedBeats: number;
  readonly eventsPerSecond: number;
}

export function startConversation(socket: Socket, context: ConversationContext): void {
  new Conversation(socket, context).start();
}

/** There are thousands, most of them silent: what is not needed until something is said is made then. */
class Conversation implements Visitor, BeatsHost, BeatTaker {
  readonly socket: Socket;
  readonly notices: Notices;
  readonly identity: Identity;
  readonly provisions: Provisions;
  readonly #context: ConversationContext;
  readonly #turnstile: Turnstile = createTurnstile();
  readonly #rate: EventRate;
  readonly #beats: Beats;
  #session: Session | undefined;
  #isSuperseded = false;
  #emission: Emit | undefined;
  #patience: NodeJS.Timeout | undefined;
  #sentAway: NodeJS.Timeout | undefined;

  constructor(socket: Socket, context: ConversationContext) {
    this.socket = socket;
    this.#context = context;
    this.notices = createNotices(socket);
    this.identity = createIdentity(socket, this.notices, context);
    this.provisions = createProvisions(this, context);
    this.#rate = createEventRate({ eventsPerSecond: context.eventsPerSecond, now: nowMs });
    this.#beats = createBeats(this, context);
  }

  start(): void {
    const { socket } = this;
    const { handshakeTimeoutMs, sendBuffers, log } = this.#context;
    log.info({ event: 'connection' }, '[C-OCS] WebSocket connection accepted');
    this.#patience = setTimeout(() => {
      this.notices.end({
        code: 'handshake_timeout',
        message: `no valid handshake within ${handshakeTimeoutMs} ms`,
        retryable: true,
      });
    }, handshakeTimeoutMs);
    // Socket.IO takes a number for the name of an event as well.
    socket.onAny((event: string | number, ...args: unknown[]) => this.#hear(event, args));
    takeBeats(socket, this);
    sendBuffers.watch(socket.conn, () => this.#tellOfSlowness());
    socket.on('disconnect', (reason) => this.#gone(reason));
  }

  get session(): Session | undefined {
    return this.#session;
  }

  get isSuperseded(): boolean {
    return this.#isSuperseded;
  }

  introduced(): void {
    clearTimeout(this.#patience);
    this.#patience = undefined;
  }

  begin(connection: LiveConnection): Session {
    this.#session = new ConversationSession(this, connection);
    return this.#session;
  }

  leaveTo(owner: Owner): void {
    this.#isSuperseded = true;
    // One that was asked to has only done so; told that it was thrown out, it might not come back at all.
    if (this.#sentAway === undefined) this.notices.superseded(owner);
    else this.notices.hangUp();
  }

  sendAway(afterMs: number, graceMs: number): void {
    if (this.#sentAway !== undefined) return;
    this.notices.reconnect(afterMs);
    this.#sentAway = setTimeout(() => this.notices.hangUp(), afterMs + graceMs);
  }

  /** Most are never sent anything, or not for long. */
  get emission(): Emit {
    this.#emission ??= createEmission(this.socket, createReceipts(this.socket), this.#context.clock);
    return this.#emission;
  }

  /** Nobody waits for it but the stop of the replica: it may take as long as Postgres is away. */
  depart(): void {
    const { log, departing } = this.#context;
    const written = this.#leave().catch((error: unknown) => {
      const id = this.#session?.connection.orchestratorId;
      log.error(
        { event: 'disconnect', orchestrator_id: id, error },
        `The disconnect of ${id} could not be written`,
      );
    });
    departing(written);
  }

  takeBeat(payload: unknown, reply: BeatReply): boolean {
    const session = this.#session;
    if (session === undefined || !this.#turnstile.open || !this.socket.connected) return false;
    const verdict = this.#rate.count();
    if (verdict === 'handle') this.#beat(session, payload, reply);
    else this.#refuse(verdict);
    return true;
  }

  beatSuperseded(owner: Owner): void {
    // The same socket may have been given a newer epoch meanwhile; then the beat after this one counts.
    if (this.#session?.connection.epoch !== owner.epoch) this.leaveTo(owner);
  }

  beatFailed(error: unknown): void {
    this.#report('i_am_alive', error);
  }

  #hear(event: string | number, args: unknown[]): void {
    const verdict = this.#rate.count();
    if (verdict !== 'handle') {
      this.#refuse(verdict);
      return;
    }
    const last = args.at(-1);
    const acknowledge = isFunction(last) ? last : undefined;
    const payload = args[0] === acknowledge ? undefined : args[0];
    this.#answer(event, payload, acknowledge).catch((error: unknown) => this.#report(event, error));
  }

  async #answer(
    event: string | number,
    payload: unknown,
    acknowledge: Acknowledge | undefined,
  ): Promise<void> {
    const { notices } = this;
    const { events, unacknowledgedBeats, heartbeatIntervalMs } = this.#context;
    // An event right behind its handshake waits for it, and so does a handshake behind another.
    if (this.#turnstile.waiting >= unacknowledgedBeats)
      return notices.fail({
        code: 'too_many_events',
        message: `${this.#turnstile.waiting} events wait for the handshake already`,
        retryable: true,
        retry_after_ms: heartbeatIntervalMs,
      });
    const known = isEventName(events, event) ? event : undefined;
    if (known === 'handshake')
      return this.#turnstile.hold(() => receive(this, payload, acknowledge, this.#context));
    await this.#turnstile.pass();
    // Behind its end nothing may be written for it.
    if (this.socket.disconnected) return;
    const session = this.#session;
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
        return this.#beat(
          session,
          payload,
          acknowledge && { tell: (status, atMs) => acknowledge(createBeatAck(status, atMs)) },
        );
      case 'provisioning_request':
        return (
          this.#parse(events.provisioning_request, 'provisioning_request', payload) &&
          this.provisions.again(session)
        );
      case 'refresh_token':
        return this.#renewToken(session, payload, acknowledge);
      default:
        return known satisfies never;
    }
  }

  #beat(session: Session, payload: unknown, reply: BeatReply | undefined): void {
    const parsed = this.#parse(this.#context.events.i_am_alive, 'i_am_alive', payload);
    if (parsed !== undefined) this.#beats.take(session, parsed, reply);
  }

  async #renewToken(session: Session, payload: unknown, acknowledge?: Acknowledge): Promise<void> {
    const parsed = this.#parse(this.#context.events.refresh_token, 'refresh_token', payload);
    const ack = parsed && (await this.identity.renew(parsed.token, session));
    if (ack !== undefined) acknowledge?.(ack);
  }

  #parse<T>(schema: z.ZodType<T>, event: EventName, payload: unknown): T | undefined {
    const parsed = schema.safeParse(payload ?? undefined);
    if (parsed.success) return parsed.data;
    this.notices.fail({
      code: 'invalid_payload',
      message: `${event}: ${describeFaults(parsed.error)}`,
      retryable: false,
    });
    return undefined;
  }

  #report(event: string | number, error: unknown): void {
    const { log } = this.#context;
    const about = { source: 'socket', orchestrator_id: this.#session?.connection.orchestratorId };
    if (asFleetError(error)?.code === 'unavailable')
      log.warn({ ...about, reason: reasonOf(error) }, `Event ${nameOf(event)} failed`);
    else log.error({ ...about, error }, `Event ${nameOf(event)} failed`);
    this.notices.fail({
      code: 'unavailable',
      message: `${nameOf(event)} could not be handled`,
      retryable: true,
      retry_after_ms: 1_000,
    });
  }

  #refuse(verdict: 'tell' | 'drop' | 'end'): void {
    const { metrics, log } = this.#context;
    metrics.refusedEvents.inc();
    if (verdict === 'tell') this.notices.fail(tooFast(this.#rate.retryAfterMs));
    if (verdict !== 'end' || this.socket.disconnected) return;
    const id = this.#session?.connection.orchestratorId;
    log.warn(
      { event: 'flood', orchestrator_id: id },
      `Orchestrator ${id ?? '(no handshake yet)'} sent events without end; disconnected`,
    );
    this.notices.hangUp();
  }

  #tellOfSlowness(): void {
    const { metrics, log } = this.#context;
    const id = this.#session?.connection.orchestratorId;
    metrics.slowReaders.inc();
    log.warn(
      { event: 'slow_reader', orchestrator_id: id },
      `Orchestrator ${id ?? '(no handshake yet)'} stopped reading; disconnected`,
    );
  }

  #gone(reason: string): void {
    // Who leaves the namespace leaves all: an open connection without a conversation would be watched by nobody.
    if (reason === 'client namespace disconnect') this.socket.conn.close();
    clearTimeout(this.#patience);
    clearTimeout(this.#sentAway);
    this.identity.forget();
    this.depart();
  }

  async #leave(): Promise<void> {
    const session = this.#session;
    if (session === undefined) return;
    const { sessions, connections, log } = this.#context;
    const { orchestratorId, epoch } = session.connection;
    sessions.leave(session);
    const ended = { orchestratorId, epoch };
    if (this.#isSuperseded) {
      log.debug(
        { event: 'superseded', orchestrator_id: orchestratorId },
        `An older connection of ${orchestratorId} ended`,
      );
      return connections.yieldPlace(ended);
    }
    if (!(await connections.close(ended, this.#beats.settled()))) return;
    const about = { event: 'disconnect', orchestrator_id: orchestratorId };
    log.info(about, `[C-OCS] Orchestrator ${orchestratorId} disconnected`);
    log.info(about, `[C-OCS] Cleaned up connection for ${orchestratorId}`);
  }
}

class ConversationSession implements Session {
  readonly connection: LiveConnection;
  readonly #conversation: Conversation;

  constructor(conversation: Conversation, connection: LiveConnection) {
    this.#conversation = conversation;
    this.connection = connection;
  }

  get emit(): Emit {
    return this.#conversation.emission;
  }

  supersede(owner: Owner): void {
    this.#conversation.leaveTo(owner);
  }

  end(error: Parameters<Session['end']>[0]): void {
    this.#conversation.notices.end(error);
  }

  mayStay(): boolean {
    const { orchestratorId, entry } = this.connection;
    return this.#conversation.identity.stays(orchestratorId, entry.organization_id);
  }

  sendAway(afterMs: number, graceMs: number): void {
    this.#conversation.sendAway(afterMs, graceMs);
  }
}

const nowMs = () => performance.now();

function isFunction(value: unknown): value is Acknowledge {
  return typeof value === 'function';
}
