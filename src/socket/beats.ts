// Owns the heartbeats of one connection: so many may wait for their commit, and what each is answered.
import type { Clock } from '../clock.ts';
import type { BeatOutcome } from '../database/statements/heartbeats.ts';
import type { Heartbeats } from '../fleet/heartbeats.ts';
import type { Owner } from '../redis/presence.ts';
import type { Notices } from './notices.ts';
import { deregistered, type Heartbeat, type HeartbeatAck } from './protocol.ts';
import type { Session } from './sessions.ts';

/** How a heartbeat is answered: once, unless nobody waits for it. */
export type AnswerBeat = (status: HeartbeatAck['status'], atMs: number) => void;

export interface Beats {
  /** Writes a heartbeat and answers it once it is committed. */
  take(session: Session, beat: Heartbeat, answer: AnswerBeat | undefined): void;
  /** Resolves when those taken so far are written or refused. */
  settled(): Promise<void>;
}

/**
 * On the way of every heartbeat, so it makes no promise of its own.
 * @param context.superseded told when a heartbeat finds that a newer connection counts
 * @param context.failed told why a heartbeat could not be written
 */
export function createBeats(context: {
  heartbeats: Heartbeats;
  notices: Notices;
  clock: Clock;
  unacknowledgedBeats: number;
  heartbeatIntervalMs: number;
  superseded(owner: Owner): void;
  failed(error: unknown): void;
}): Beats {
  const { heartbeats, notices, clock, unacknowledgedBeats, heartbeatIntervalMs } = context;
  let waiting = 0;
  let whenSettled: PromiseWithResolvers<void> | undefined;

  function tell({ connection }: Session, outcome: BeatOutcome, answer: AnswerBeat | undefined): void {
    switch (outcome.kind) {
      case 'processed':
        connection.lastSeenMs = outcome.lastSeenMs;
        answer?.('processed', outcome.lastSeenMs);
        break;
      case 'ignored':
        answer?.('ignored', clock.now());
        break;
      case 'superseded':
        context.superseded(outcome);
        break;
      case 'unknown':
        notices.end(deregistered(connection.orchestratorId));
        break;
      default:
        outcome satisfies never;
    }
  }

  function leave(): void {
    waiting -= 1;
    if (waiting > 0 || whenSettled === undefined) return;
    whenSettled.resolve();
    whenSettled = undefined;
  }

  return {
    take(session, beat, answer) {
      if (waiting >= unacknowledgedBeats)
        return notices.fail({
          code: 'too_many_heartbeats',
          message: `${waiting} heartbeats wait for their commit already`,
          retryable: true,
          retry_after_ms: heartbeatIntervalMs,
        });
      const { orchestratorId, epoch } = session.connection;
      waiting += 1;
      heartbeats.take(
        { orchestratorId, epoch, healthStatus: beat.health_status },
        {
          resolve(outcome) {
            leave();
            tell(session, outcome, answer);
          },
          reject(error) {
            leave();
            context.failed(error);
          },
        },
      );
    },
    async settled() {
      if (waiting === 0) return;
      whenSettled ??= Promise.withResolvers();
      await whenSettled.promise;
    },
  };
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
