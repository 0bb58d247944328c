// Owns the simulated fleet: many orchestrators in one process, connected a few at a time and counted together.
import { createHistogram } from 'node:perf_hooks';
import {
  connectOrchestrator,
  type Orchestrator,
  type OrchestratorEvent,
  type OrchestratorOptions,
} from './orchestrator-client.ts';

/** The client's own options, but for what the fleet decides: ids are `{idPrefix}-0001` and so on. */
export type FleetOptions = Omit<
  OrchestratorOptions,
  'orchestratorId' | 'token' | 'onEvent' | 'random' | 'setTimer'
> & {
  /** A token of one of them. */
  tokenOf?: ((orchestratorId: string) => string | Promise<string>) | undefined;
  count: number;
  idPrefix: string;
  /** How many may be on their way to a first connection at any time; default 50. */
  concurrency?: number | undefined;
};

/** Counts since the start. Latencies are from sending a beat to its acknowledgement, `undefined` before the first. */
export interface FleetSummary {
  count: number;
  elapsedMs: number;
  /** Connected at this moment. */
  connected: number;
  /** Of these orchestrators, those that were connected at least once. */
  everConnected: number;
  beatsAcknowledged: number;
  /** Those among them that the controller ignored, because the orchestrator is independent. */
  beatsIgnored: number;
  p50Ms: number | undefined;
  p99Ms: number | undefined;
  /** Without repeats. */
  framesReceived: number;
  repeatsDropped: number;
  reconnects: number;
  /** The controller's codes and the client's (`unreachable`, `connection_lost`, ...), how often each. */
  errorsByCode: Record<string, number>;
  /** What the newest of them said. */
  lastError: string | undefined;
}

export interface SimulatedFleet {
  summary(): FleetSummary;
  /** Resolves when no orchestrator is left: all stopped, superseded or refused. */
  readonly closed: Promise<void>;
  /** Closes every connection; the summary is of the moment before. */
  stop(): FleetSummary;
}

/** Starts connecting at once. Throws a TypeError if `url` is none. */
export function startFleet(options: FleetOptions): SimulatedFleet {
  const { count, idPrefix, concurrency = 50, tokenOf, ...clientOptions } = options;
  const startedAtMs = performance.now();
  const tally = createTally();
  const orchestrators: Orchestrator[] = [];
  const closed = Promise.withResolvers<void>();
  let connecting = 0;
  let everConnected = 0;
  let reconnects = 0;
  let ended = 0;
  let stopping = false;

  function connectMore() {
    while (!stopping && orchestrators.length < count && connecting < concurrency) connectOne();
  }

  function connectOne() {
    let settled = false;
    const orchestratorId = `${idPrefix}-${String(orchestrators.length + 1).padStart(4, '0')}`;
    connecting += 1;
    const token = tokenOf && (() => tokenOf(orchestratorId));
    orchestrators.push(connectOrchestrator({ ...clientOptions, orchestratorId, token, onEvent }));

    function onEvent(event: OrchestratorEvent) {
      tally.count(event);
      if (event.type === 'stopped') ended += 1;
      if (ended === count) closed.resolve();
      if (event.type !== 'connected' && event.type !== 'stopped') return;
      if (settled && event.type === 'connected') reconnects += 1;
      if (settled) return;
      settled = true;
      if (event.type === 'connected') everConnected += 1;
      connecting -= 1;
      connectMore();
    }
  }

  function summary() {
    const connected = orchestrators.filter(({ state }) => state === 'connected').length;
    const elapsedMs = performance.now() - startedAtMs;
    return { count, elapsedMs, connected, everConnected, reconnects, ...tally.read() };
  }

  connectMore();
  return {
    summary,
    closed: closed.promise,
    stop() {
      const atTheEnd = summary();
      stopping = true;
      for (const orchestrator of orchestrators) orchestrator.stop();
      closed.resolve();
      return atTheEnd;
    },
  };
}

function createTally() {
  // A histogram and not a list: hours of beats take no more room than the first.
  const latencyMicros = createHistogram();
  const errorsByCode: Record<string, number> = {};
  let beatsAcknowledged = 0;
  let beatsIgnored = 0;
  let framesReceived = 0;
  let repeatsDropped = 0;
  let lastError: string | undefined;

  function countError(code: string, message?: string) {
    errorsByCode[code] = (errorsByCode[code] ?? 0) + 1;
    lastError = message ?? lastError;
  }

  function count(event: OrchestratorEvent) {
    switch (event.type) {
      case 'beat':
        latencyMicros.record(Math.max(1, Math.round(event.latencyMs * 1_000)));
        beatsAcknowledged += 1;
        if (event.status === 'ignored') beatsIgnored += 1;
        return;
      case 'frame':
        if (event.repeat) repeatsDropped += 1;
        else framesReceived += 1;
        return;
      case 'complaint':
        return countError(event.code, event.message);
      case 'waiting':
        return event.code === 'draining' ? undefined : countError(event.code, event.message);
      case 'stopped':
        if (event.outcome.why === 'refused') countError(event.outcome.code, event.outcome.message);
        if (event.outcome.why === 'superseded') countError('superseded');
        return;
      case 'malformed':
      case 'frame_failed':
        return countError(event.type);
      case 'connecting':
      case 'connected':
      case 'provisioned':
        return;
    }
  }

  function percentileMs(percentile: number) {
    return latencyMicros.count === 0 ? undefined : latencyMicros.percentile(percentile) / 1_000;
  }

  function read() {
    const latency = { p50Ms: percentileMs(50), p99Ms: percentileMs(99) };
    const frames = { framesReceived, repeatsDropped };
    const errors = { errorsByCode: { ...errorsByCode }, lastError };
    return { beatsAcknowledged, beatsIgnored, ...latency, ...frames, ...errors };
  }

  return { count, read };
}

/** One line, for a display that is drawn again and again. */
export function describeProgress(summary: FleetSummary): string {
  const { connected, count, beatsAcknowledged, framesReceived, reconnects } = summary;
  const width = 20;
  const filled = Math.floor((connected / count) * width);
  const bar = '#'.repeat(filled) + '.'.repeat(width - filled);
  return [
    `[${bar}] ${connected}/${count} connected`,
    `${beatsAcknowledged} beats (p50 ${milliseconds(summary.p50Ms)}, p99 ${milliseconds(summary.p99Ms)})`,
    `${framesReceived} frames`,
    `${reconnects} reconnects`,
    `errors: ${describeErrors(summary)}`,
  ].join('  ');
}

/** Several lines, for people, at the end. */
export function describeSummary(summary: FleetSummary): string {
  return [
    `Fleet of ${summary.count}, ${(summary.elapsedMs / 1_000).toFixed(1)} s`,
    `  connected           ${summary.connected} of ${summary.count}`,
    `  beats acknowledged  ${summary.beatsAcknowledged}, of which ignored ${summary.beatsIgnored}`,
    `  acknowledged in     p50 ${milliseconds(summary.p50Ms)}, p99 ${milliseconds(summary.p99Ms)}`,
    `  frames received     ${summary.framesReceived}, repeats dropped ${summary.repeatsDropped}`,
    `  reconnects          ${summary.reconnects}`,
    `  errors              ${describeErrors(summary)}`,
    ...(summary.lastError === undefined ? [] : [`  last error          ${summary.lastError}`]),
  ].join('\n');
}

function describeErrors({ errorsByCode }: FleetSummary) {
  const errors = Object.entries(errorsByCode).map(([code, times]) => `${code} ${times}`);
  return errors.join(', ') || 'none';
}

function milliseconds(ms: number | undefined) {
  return ms === undefined ? '-' : `${ms.toFixed(1)} ms`;
}
