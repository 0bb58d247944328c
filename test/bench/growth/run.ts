// Owns a run of growth: replicas and stores of their own, under a fleet that comes and goes, looked at every few seconds.
import { setTimeout as pause } from 'node:timers/promises';
import { openArena } from '../arena.ts';
import { shorten } from '../contest.ts';
import { startChurningLoad } from '../load/churning.ts';
import { panelNames, panels, type Sample, takeSample } from './samples.ts';

export interface GrowthOptions {
  readonly seconds: number;
  readonly orchestrators: number;
  readonly replicas: number;
  /** Each second. */
  readonly churn: number;
  readonly sends: number;
  readonly everySeconds: number;
  readonly onProgress: (line: string) => void;
  readonly onSample?: (sample: Sample) => void;
  /** Ends the run before its time: what was seen until then is told all the same. */
  readonly signal: AbortSignal;
}

/** As orchestrators are told by the settings that are shipped. */
const heartbeatMs = 30_000;
const orchestratorsPerOrganization = 4;
const progressEveryMs = 30_000;

export async function runGrowth(options: GrowthOptions): Promise<readonly Sample[]> {
  const { seconds, orchestrators, everySeconds, onProgress, signal } = options;
  const samples: Sample[] = [];
  await using closing = new AsyncDisposableStack();
  try {
    onProgress(`Bringing up Postgres, Redis and ${options.replicas} replicas…`);
    const stage = { closing, connections: undefined, seconds: undefined, onProgress, note: onProgress };
    const cluster = await openArena(stage, { replicas: options.replicas, env: { LOG_LEVEL: 'warn' } });
    signal.throwIfAborted();
    onProgress(`Connecting ${orchestrators} orchestrators…`);
    const load = closing.use(
      await startChurningLoad({
        urls: cluster.replicas.map(({ url }) => url),
        count: orchestrators,
        prefix: 'growth-',
        organizations: Math.ceil(orchestrators / orchestratorsPerOrganization),
        everyMs: heartbeatMs,
        reconnectsPerSecond: options.churn,
        sendsPerSecond: options.sends,
      }),
    );
    // What was counted while they connected is no part of the run.
    await load.report();
    const startedAt = performance.now();
    let toldAt = startedAt;
    for (let nth = 1; nth * everySeconds <= seconds; nth += 1) {
      await pause(Math.max(0, startedAt + nth * everySeconds * 1_000 - performance.now()), undefined, {
        signal,
      });
      const sample = await takeSample({ cluster, load }, startedAt);
      samples.push(sample);
      options.onSample?.(sample);
      if (performance.now() - toldAt < progressEveryMs) continue;
      toldAt = performance.now();
      onProgress(tell(sample));
    }
  } catch (error) {
    // A terminal's Ctrl-C ends replicas and stores as well, so that one of them may not have answered any more.
    if (!signal.aborted) throw error;
  }
  return samples;
}

function tell({ atSeconds, values, connected, faults }: Sample): string {
  const minutes = `${Math.floor(atSeconds / 60)}:${String(Math.floor(atSeconds % 60)).padStart(2, '0')}`;
  const lines = panelNames.map((panel) => {
    const told = [...(values.get(panel)?.values() ?? [])].map(shorten).join(' ');
    const { unit } = panels[panel];
    return `${panel} ${told}${unit === '' ? '' : ` ${unit}`}`;
  });
  const wrong = Object.entries(faults).map(([what, times]) => `${times} × ${what}`);
  return `${minutes}  ${connected} connected, ${[...lines, ...wrong].join(', ')}`;
}
