// Owns the heartbeats of one connection: so many may wait for their commit, and what each is answered.
import type { Outcome } from '../batcher.ts';
import type { Clock } from '../clock.ts';
import type { BeatOutcome } from '../database/statements/heartbeats.ts';
import type { Heartbeats } from '../fleet/heartbeats.ts';
import type { Owner } from '../redis/presence.ts';
import type { Notices } from './notices.ts';
import { deregistered, type Heartbeat, type HeartbeatAck } from './protocol.ts';
import type { Session } from './sessions.ts';

/** Whoever waits for the answer to one heartbeat: told once. */
export interface BeatReply {
  /** @param atMs since 1970 */
  tell(status: HeartbeatAck['status'], atMs: number): void;
}

export interface Beats {
  /** Writes a heartbeat and answers it once it is committed. */
  take(session: Session, beat: Heartbeat, reply: BeatReply | undefined): void;
  /** Resolves when those taken so far are written or refused. */
  settled(): Promise<void>;
}

interface BeatsContext {
  readonly heartbeats: Heartbeats;
  readonly clock: Clock;
  readonly unacknowledgedBeats: number;
  readonly heartbeatIntervalMs: number;
}

/** The connection's, as far as heartbeats have to do with it. */
export interface BeatsHost {
  readonly notices: Notices;
  /** A heartbeat found that a newer connection counts. */
  beatSuperseded(owner: Owner): void;
  /** A heartbeat could not be written. */
  beatFailed(error: unknown): void;
}

/** On the way of every heartbeat, so there are no promises and no closures for each. */
export function createBeats(host: BeatsHost, context: BeatsContext): Beats {
  return new ConnectionBeats(host, context);
}

class ConnectionBeats implements Beats {
  readonly host: BeatsHost;
  readonly context: BeatsContext;
  #waiting = 0;
  #whenSettled: PromiseWithResolvers<void> | undefined;

  constructor(host: BeatsHost, context: BeatsContext) {
    this.host = host;
    this.context = context;
  }

  take(session: Session, beat: Heartbeat, reply: BeatReply | undefined): void {
    const { heartbeats, unacknowledgedBeats, heartbeatIntervalMs } = this.context;
    if (this.#waiting >= unacknowledgedBeats)
      this.host.notices.fail({
        code: 'too_many_heartbeats',
        message: `${this.#waiting} heartbeats wait for their commit already`,
        retryable: true,
        retry_after_ms: heartbeatIntervalMs,
      });
    else {
      const { orchestratorId, epoch, entry } = session.connection;
      this.#waiting += 1;
      heartbeats.take(
        { orchestratorId, epoch, organizationId: entry.organization_id, healthStatus: beat.health_status },
        new TakenBeat(this, session, reply),
      );
    }
  }

  leave(): void {
    this.#waiting -= 1;
    if (this.#waiting > 0 || this.#whenSettled === undefined) return;
    this.#whenSettled.resolve();
    this.#whenSettled = undefined;
  }

  async settled(): Promise<void> {
    if (this.#waiting === 0) return;
    this.#whenSettled ??= Promise.withResolvers();
    await this.#whenSettled.promise;
  }
}

/** One that waits for its commit. */
class TakenBeat implements Outcome<BeatOutcome> {
  readonly #of: ConnectionBeats;
  readonly #session: Session;
  readonly #reply: BeatReply | undefined;

  constructor(of: ConnectionBeats, session: Session, reply: BeatReply | undefined) {
    this.#of = of;
    this.#session = session;
    this.#reply = reply;
  }

  resolve(outcome: BeatOutcome): void {
    this.#of.leave();
    const { connection } = this.#session;
    const { host, context } = this.#of;
    switch (outcome.kind) {
      case 'processed':
        connection.lastSeenMs = outcome.lastSeenMs;
        this.#reply?.tell('processed', outcome.lastSeenMs);
        break;
      case 'ignored':
        this.#reply?.tell('ignored', context.clock.now());
        break;
      case 'superseded':
        host.beatSuperseded(outcome);
        break;
      case 'unknown':
        host.notices.end(deregistered(connection.orchestratorId));
        break;
      default:
        outcome satisfies never;
    }
  }

  reject(error: unknown): void {
    this.#of.leave();
    this.#of.host.beatFailed(error);
  }
}

export function createBeatAck(status: HeartbeatAck['status'], atMs: number): HeartbeatAck {
  return { type: 'i_am_alive_ack', status, ts: new Date(atMs).toISOString() };
}

/** The JSON of acknowledgements; those that are committed together often tell the same millisecond. */
export function createBeatAckRenderer(): (status: HeartbeatAck['status'], atMs: number) => string {
  let last = { status: '', atMs: 0, json: '' };
  return (status, atMs) => {
    if (last.atMs !== atMs || last.status !== status)
      last = { status, atMs, json: JSON.stringify(createBeatAck(status, atMs)) };
    return last.json;
  };
}
