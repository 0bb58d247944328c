// Owns heartbeats: what `i_am_alive` does, from a socket or over HTTP.
import { reportRetries } from '../availability.ts';
import { createBatcher, type Outcome } from '../batcher.ts';
import type { Clock } from '../clock.ts';
import type { Database } from '../database/database.ts';
import { verdictOn } from '../database/failures.ts';
import type { Health } from '../database/orchestrator-instances.ts';
import { type Beat, type BeatOutcome, writeBeats } from '../database/statements/heartbeats.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Presence, Seen } from '../redis/presence.ts';

export interface HeartbeatOf {
  orchestratorId: string;
  /** The connection's, absent for a heartbeat over HTTP. */
  epoch?: number;
  /** Where the connection has it; if not said, in the organization of its own id. */
  organizationId?: string;
  healthStatus?: Health | undefined;
  features?: unknown;
}

export interface Heartbeats {
  /**
   * Writes one heartbeat, with all others that arrive meanwhile. Its outcome is told once it is committed; while
   * Postgres is away it waits, and is committed on its return.
   */
  take(beat: HeartbeatOf, outcome: Outcome<BeatOutcome>): void;
  /** The same as a promise. */
  beat(beat: HeartbeatOf): Promise<BeatOutcome>;
  idle(): Promise<void>;
  abandon(reason: Error): void;
}

/** One row's: of that many heartbeats. */
interface Written extends Beat {
  readonly count: number;
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

  const beats = createBatcher<Written, BeatOutcome>({
    async flush(batch) {
      const outcomes = await writeBeats(database.batches.query, batch);
      notePresence(batch, outcomes);
      return outcomes;
    },
    onFailure: verdictOn,
    linger: { ms: 10, upTo: 200 },
    merge(older, newer) {
      const connected = (newer.epoch ?? 0) >= (older.epoch ?? 0) ? newer : older;
      return {
        ...newer,
        epoch: connected.epoch,
        organizationId: connected.organizationId,
        nodeId: connected.nodeId,
        features: newer.features ?? older.features,
        atMs: Math.max(older.atMs, newer.atMs),
        count: older.count + newer.count,
      };
    },
    onRetry: reportRetries(log, 'heartbeats', 'heartbeats'),
    watch: metrics.batch('heartbeats'),
  });

  function notePresence(batch: readonly Written[], outcomes: readonly BeatOutcome[]): void {
    const seen: Seen = { ids: [], atMs: [], beats: 0 };
    for (const [at, { orchestratorId, count }] of batch.entries()) {
      const outcome = outcomes[at];
      if (outcome?.kind !== 'processed') continue;
      seen.ids.push(orchestratorId);
      seen.atMs.push(outcome.lastSeenMs);
      seen.beats += count;
    }
    if (seen.beats > 0) presence.seen(seen);
  }

  function tell(orchestratorId: string, { kind }: BeatOutcome): void {
    metrics.heartbeats(kind).inc();
    if (kind === 'processed')
      log.debug(
        { event: 'keepalive', orchestrator_id: orchestratorId },
        `[C-OCS] Processing heartbeat from orchestrator ${orchestratorId}`,
      );
    else if (kind === 'ignored')
      log.debug(
        { event: 'keepalive', orchestrator_id: orchestratorId },
        `[C-OCS] Ignoring heartbeat from independent orchestrator ${orchestratorId}`,
      );
  }

  /** What becomes of one heartbeat: no closures, for they come by the ten thousand a second. */
  class Entered implements Outcome<BeatOutcome> {
    readonly #beat: Written;
    readonly #outcome: Outcome<BeatOutcome>;

    constructor(beat: Written, outcome: Outcome<BeatOutcome>) {
      this.#beat = beat;
      this.#outcome = outcome;
    }

    resolve(result: BeatOutcome): void {
      // One that claims no connection may have shared its row with one whose connection counts no more.
      const isOfConnection =
        result.kind === 'superseded' || (result.kind === 'unknown' && result.hasSuccessor);
      if (isOfConnection && this.#beat.epoch === null) enter(this.#beat, this.#outcome);
      else {
        tell(this.#beat.orchestratorId, result);
        this.#outcome.resolve(result);
      }
    }

    reject(error: unknown): void {
      metrics.heartbeats('failed').inc();
      this.#outcome.reject(error);
    }
  }

  function enter(beat: Written, outcome: Outcome<BeatOutcome>): void {
    beats.enter(beat.orchestratorId, beat, new Entered(beat, outcome));
  }

  const take: Heartbeats['take'] = (
    { orchestratorId, epoch, organizationId = orchestratorId, healthStatus = 'healthy', features },
    outcome,
  ) =>
    enter(
      {
        orchestratorId,
        epoch: epoch ?? null,
        organizationId,
        nodeId: epoch === undefined ? null : nodeId,
        healthStatus,
        features,
        atMs: clock.now(),
        count: 1,
      },
      outcome,
    );

  return {
    take,
    beat: (beat) => new Promise((resolve, reject) => take(beat, { resolve, reject })),
    idle: () => beats.idle(),
    abandon: (reason) => beats.abandon(reason),
  };
}
