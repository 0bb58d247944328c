// Owns the metrics of one replica that count what happens, in a registry of its own. What is read when Prometheus asks
// is in `gauges.ts`; the README has the table of both.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { BatchWatch } from './batcher.ts';

/** From a millisecond to half a minute: as long as a call may wait. */
const secondsOfWaiting = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const entriesOfBatches = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000];

/** What is written together: the first four to Postgres, the others to Redis. */
export type Batch =
  | 'heartbeats'
  | 'handshakes'
  | 'disconnects'
  | 'returns'
  | 'last_seen'
  | 'routes'
  | 'log_lines';

/** Counts one more, or so many, without looking its labels up. */
export interface Tally {
  inc(count?: number): void;
}

/** A label has none but these values, and each is there from the start: what never happened is 0, not absent. */
export const outcomesOf = {
  heartbeats: ['processed', 'ignored', 'unknown', 'superseded', 'failed'],
  handshakes: [
    ...['opened', 'refreshed', 'superseded', 'abandoned', 'foreign', 'failed'],
    ...['busy', 'invalid', 'forbidden', 'draining'],
  ],
  sends: [
    ...['queued', 'received', 'acknowledged'],
    ...['not_connected', 'delivery_timeout', 'unavailable', 'failed'],
  ],
  leaseRenewals: ['ok', 'failed'],
} as const;

export type Metrics = ReturnType<typeof createMetrics>;

function createTally(): Tally & { take(): number } {
  let counted = 0;
  return {
    inc(count = 1) {
      counted += count;
    },
    /** What was counted since it was last asked. */
    take() {
      const since = counted;
      counted = 0;
      return since;
    },
  };
}

export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });

  const counter = <L extends string = never>(name: string, help: string, ...labelNames: L[]) =>
    new Counter<L>({ name, help, labelNames, registers });
  const histogram = <L extends string = never>(
    name: string,
    help: string,
    buckets: number[],
    ...labelNames: L[]
  ) => new Histogram<L>({ name, help, labelNames, buckets, registers });
  /** One counter, its label values known; what is not among them counts as failed. Told to Prometheus when it asks. */
  const tallies = (name: string, help: string, outcomes: readonly string[]): ((outcome: string) => Tally) => {
    const tallied = new Map(outcomes.map((outcome) => [outcome, createTally()]));
    new Counter({
      name,
      help,
      labelNames: ['outcome'],
      registers,
      collect() {
        for (const [outcome, tally] of tallied) this.inc({ outcome }, tally.take());
      },
    });
    return (outcome) => {
      const tally = tallied.get(outcome) ?? tallied.get('failed');
      if (tally === undefined) throw new RangeError(`${name} has no outcome ${outcome}`);
      return tally;
    };
  };

  const commits = {
    seconds: histogram(
      'moolai_commit_duration_seconds',
      'Time that one batch took until it was written, by what is in it',
      secondsOfWaiting,
      'batch',
    ),
    entries: histogram(
      'moolai_commit_entries',
      'Entries that were written together, by what they are',
      entriesOfBatches,
      'batch',
    ),
    failures: counter(
      'moolai_commit_failures_total',
      'Batches that could not be written; most are tried again',
      'batch',
    ),
  };
  const waiting = new Map<Batch, () => number>();
  new Gauge({
    name: 'moolai_commit_waiting',
    help: 'Entries that are not yet written, by what they are',
    labelNames: ['batch'],
    registers,
    collect() {
      for (const [batch, size] of waiting) this.set({ batch }, size());
    },
  });

  return {
    heartbeats: tallies(
      'moolai_heartbeats_total',
      'Heartbeats, over sockets and HTTP, by what became of them',
      outcomesOf.heartbeats,
    ),
    handshakes: tallies(
      'moolai_handshakes_total',
      'Handshakes by what became of them',
      outcomesOf.handshakes,
    ),
    handshakeSeconds: histogram(
      'moolai_handshake_duration_seconds',
      'Time from a handshake to its commit in Postgres',
      secondsOfWaiting,
    ),
    sends: tallies('moolai_sends_total', 'Calls of /send by outcome', outcomesOf.sends),
    sendSeconds: histogram(
      'moolai_send_duration_seconds',
      'Time that a call of /send waited which came to this outcome',
      secondsOfWaiting,
      'outcome',
    ),
    framesEmitted: counter(
      'moolai_frames_emitted_total',
      'Messages that this replica took to a socket, each time that they came',
    ),
    framesResent: counter(
      'moolai_frames_resent_total',
      'Messages of this replica that nobody answered for in time, and that went out again',
    ),
    framesRerouted: counter(
      'moolai_frames_rerouted_total',
      'Messages that went to another replica than first, because their orchestrator had moved',
    ),
    framesParked: counter(
      'moolai_frames_parked_total',
      'Messages of a sender that is gone, kept in Redis until their orchestrator connects',
    ),
    framesExpired: counter(
      'moolai_frames_expired_total',
      'Messages of this replica whose time ended before anybody answered for them',
    ),
    leaseRenewals: tallies(
      'moolai_lease_renewals_total',
      'Renewals of the lease of this replica by outcome',
      outcomesOf.leaseRenewals,
    ),
    logLinesWritten: counter(
      'moolai_log_lines_written_total',
      'Log lines of this replica that the ring in Redis has',
    ),
    logLinesDropped: counter(
      'moolai_log_lines_dropped_total',
      'Log lines of this replica that the ring lost: Redis was away, or slower than they came',
    ),
    slowReaders: counter(
      'moolai_slow_readers_total',
      'Connections ended because too much waited on them unread',
    ),
    refusedConnections: counter(
      'moolai_connections_refused_total',
      'New connections to /ws refused, by why',
      'reason',
    ),
    refusedEvents: counter(
      'moolai_events_refused_total',
      'Events of orchestrators that came too fast to be handled',
    ),
    requests: histogram(
      'moolai_http_request_duration_seconds',
      'Time to answer an HTTP request, by route template and status',
      secondsOfWaiting,
      'method',
      'route',
      'status',
    ),
    /** What a batcher tells of itself. */
    batch(batch: Batch): BatchWatch {
      const seconds = commits.seconds.labels(batch);
      const entries = commits.entries.labels(batch);
      const failures = commits.failures.labels(batch);
      failures.inc(0);
      return {
        opened: (size) => void waiting.set(batch, size),
        written(count, ms) {
          seconds.observe(ms / 1_000);
          entries.observe(count);
        },
        failed: () => failures.inc(),
      };
    },
    registry,
    contentType: registry.contentType,
    render: () => registry.metrics(),
  };
}
