// Owns the heartbeats of one connection: so many may wait for their commit, and what each is answered.
import type { Clock } from '../clock.ts';
import type { Heartbeats } from '../fleet/heartbeats.ts';
import type { Owner } from '../redis/presence.ts';
import type { Notices } from './notices.ts';
import { deregistered, type Heartbeat, type HeartbeatAck } from './protocol.ts';
import type { Session } from './sessions.ts';

export interface Beats {
  /** Writes a heartbeat and acknowledges it once it is committed. */
  take(
    session: Session,
    beat: Heartbeat,
    acknowledge: ((ack: HeartbeatAck) => void) | undefined,
  ): Promise<void>;
  /** Resolves when those taken so far are written or refused. */
  settled(): Promise<unknown>;
}

/** @param context.superseded told when a heartbeat finds that a newer connection counts */
export function createBeats(context: {
  heartbeats: Heartbeats;
  notices: Notices;
  clock: Clock;
  unacknowledgedBeats: number;
  heartbeatIntervalMs: number;
  superseded(owner: Owner): void;
}): Beats {
  const { heartbeats, notices, clock, unacknowledgedBeats, heartbeatIntervalMs, superseded } = context;
  const waiting = new Set<Promise<unknown>>();
  const ack = (status: HeartbeatAck['status'], at: Date): HeartbeatAck => ({
    type: 'i_am_alive_ack',
    status,
    ts: at.toISOString(),
  });

  return {
    async take({ connection }, beat, acknowledge) {
      if (waiting.size >= unacknowledgedBeats)
        return notices.fail({
          code: 'too_many_heartbeats',
          message: `${waiting.size} heartbeats wait for their commit already`,
          retryable: true,
          retry_after_ms: heartbeatIntervalMs,
        });
      const { orchestratorId, epoch } = connection;
      const written = heartbeats.beat({ orchestratorId, epoch, healthStatus: beat.health_status });
      waiting.add(written);
      const outcome = await written.finally(() => waiting.delete(written));
      switch (outcome.kind) {
        case 'processed':
          connection.lastSeenMs = outcome.lastSeen.getTime();
          return acknowledge?.(ack('processed', outcome.lastSeen));
        case 'ignored':
          return acknowledge?.(ack('ignored', new Date(clock.now())));
        case 'superseded':
          return superseded(outcome);
        case 'unknown':
          return notices.end(deregistered(orchestratorId));
        default:
          return outcome satisfies never;
      }
    },
    settled: () => Promise.allSettled(waiting),
  };
}
