// Owns heartbeats: what `i_am_alive` does, from a socket or over HTTP.
import { reportRetries } from '../availability.ts';
import { createBatcher } from '../batcher.ts';
import type { Clock } from '../clock.ts';
import type { Database } from '../database/database.ts';
import { verdictOn } from '../database/failures.ts';
import type { Health } from '../database/orchestrator-instances.ts';
import { type Beat, type BeatOutcome, writeBeats } from '../database/statements/heartbeats.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Presence } from '../redis/presence.ts';

export interface Heartbeats {
  /**
   * Writes one heartbeat, with all others that arrive meanwhile.
   * @param beat.epoch the connection's, absent for a heartbeat over HTTP
   * @returns once it is committed; while Postgres is away it waits, and is committed on its return
   */
  beat(beat: {
    orchestratorId: string;
    epoch?: number;
    healthStatus?: Health | undefined;
    features?: unknown;
  }): Promise<BeatOutcome>;
  idle(): Promise<void>;
  abandon(reason: Error): void;
}

export function createHeartbeats(dependencies: {
  database: Database;
  presence: Presence;
  clock: Clock;
  nodeId: string;
  metrics: Metrics;
  log: Log;
}): Heartbeats {
  const { database, presence, clock, nodeId, metrics, log } = dependencies;

  const beats = createBatcher<Beat, BeatOutcome>({
    flush: (batch) => writeBeats(database.batches.query, batch),
    onFailure: verdictOn,
    merge(older, newer) {
      const connected = (newer.epoch ?? 0) >= (older.epoch ?? 0) ? newer : older;
      return {
        ...newer,
        epoch: connected.epoch,
        nodeId: connected.nodeId,
        features: newer.features ?? older.features,
        at: new Date(Math.max(older.at.getTime(), newer.at.getTime())),
      };
    },
    onRetry: reportRetries(log, 'heartbeats', 'heartbeats'),
    watch: metrics.batch('heartbeats'),
  });

  async function write(beat: Beat): Promise<BeatOutcome> {
    try {
      let outcome = await beats.add(beat.orchestratorId, beat);
      // One that claims no connection may have shared its row with one whose connection counts no more.
      while (outcome.kind === 'superseded' && beat.epoch === null)
        outcome = await beats.add(beat.orchestratorId, beat);
      return outcome;
    } catch (error) {
      metrics.heartbeats('failed').inc();
      throw error;
    }
  }

  return {
    async beat({ orchestratorId, epoch, healthStatus = 'healthy', features }) {
      const beat: Beat = {
        orchestratorId,
        epoch: epoch ?? null,
        nodeId: epoch === undefined ? null : nodeId,
        healthStatus,
        features,
        at: new Date(clock.now()),
      };
      const outcome = await write(beat);
      metrics.heartbeats(outcome.kind).inc();
      const about = { event: 'keepalive', orchestrator_id: orchestratorId };
      if (outcome.kind === 'processed') {
        presence.seen(orchestratorId, outcome.lastSeen.getTime());
        log.debug(about, `[C-OCS] Processing heartbeat from orchestrator ${orchestratorId}`);
      } else if (outcome.kind === 'ignored') {
        log.debug(about, `[C-OCS] Ignoring heartbeat from independent orchestrator ${orchestratorId}`);
      }
      return outcome;
    },
    idle: () => beats.idle(),
    abandon: (reason) => beats.abandon(reason),
  };
}
