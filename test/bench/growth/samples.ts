// Owns what is looked at while a fleet comes and goes: everything that would grow if something were left behind.
import { z } from 'zod';
import type { Cluster } from '../../support/cluster.ts';
import { scrape } from '../../support/metrics.ts';
import type { ChurningLoad } from '../load/churning.ts';

/** One moment: the value of each line of each panel, by the panel's name and the line's. */
export interface Sample {
  readonly atSeconds: number;
  readonly values: ReadonlyMap<string, ReadonlyMap<string, number>>;
  readonly connected: number;
  readonly reconnects: number;
  readonly faults: Readonly<Record<string, number>>;
}

export interface Panel {
  readonly title: string;
  readonly unit: 'MB' | 'ms' | '';
  /** By how much of its mean a line may rise over the second half of a run and still be flat. */
  readonly atMost: number;
  /** A rise is compared with this at least: a tenth more of next to nothing is nothing. In the panel's unit. */
  readonly ofAtLeast: number;
  /** It rises until somebody cleans up, a collector or a vacuum: what counts is what is left then. */
  readonly lows?: boolean;
}

/** In the order in which they are shown. */
export const panels = {
  heap: { title: 'Heap of a replica', unit: 'MB', atMost: 0.1, ofAtLeast: 20, lows: true },
  resident: { title: 'Memory of a replica (RSS)', unit: 'MB', atMost: 0.1, ofAtLeast: 50, lows: true },
  lag: { title: 'Event loop lag, 99 of 100 below', unit: 'ms', atMost: 0.2, ofAtLeast: 20 },
  redis: { title: 'Memory of Redis', unit: 'MB', atMost: 0.1, ofAtLeast: 5 },
  keys: { title: 'Keys in Redis', unit: '', atMost: 0.1, ofAtLeast: 100 },
  dead: { title: 'Dead rows', unit: '', atMost: 0.2, ofAtLeast: 1_000, lows: true },
  tables: { title: 'Tables with their indexes', unit: 'MB', atMost: 0.1, ofAtLeast: 1 },
  sends: { title: 'Call of /send to answer', unit: 'ms', atMost: 0.2, ofAtLeast: 10 },
  beats: { title: 'Heartbeat to acknowledgement', unit: 'ms', atMost: 0.2, ofAtLeast: 10 },
} satisfies Record<string, Panel>;
export type PanelName = keyof typeof panels;
export const panelNames = z.array(z.enum(Object.keys(panels) as PanelName[])).parse(Object.keys(panels));

const megabyte = 1_000_000;
const tableSchema = z.array(
  z.object({ name: z.string(), dead: z.coerce.number(), bytes: z.coerce.number() }),
);

/** @throws when somebody does not answer */
export async function takeSample(
  { cluster, load }: { cluster: Cluster; load: ChurningLoad },
  startedAt: number,
): Promise<Sample> {
  const atSeconds = (performance.now() - startedAt) / 1_000;
  const [replicas, memory, keys, tables, report] = await Promise.all([
    Promise.all(cluster.replicas.map(({ api }) => scrape(api))),
    cluster.commands.info('memory'),
    cluster.commands.dbsize(),
    cluster.sql(
      `SELECT relname AS name, n_dead_tup AS dead, pg_total_relation_size(relid) AS bytes
       FROM pg_stat_user_tables WHERE relname <> 'schema_migrations' ORDER BY relname`,
    ),
    load.report(),
  ]);
  const ofReplicas = (metric: string, divisor: number) =>
    new Map(replicas.map(({ value }, at) => [`replica ${at + 1}`, (value(metric) ?? 0) / divisor] as const));
  const rows = tableSchema.parse(tables);
  const latency = ({ p50Ms, p99Ms }: { p50Ms: number; p99Ms: number }) =>
    new Map([
      ['median', p50Ms],
      ['99 of 100', p99Ms],
    ]);
  const values: Record<PanelName, ReadonlyMap<string, number>> = {
    heap: ofReplicas('nodejs_heap_size_used_bytes', megabyte),
    resident: ofReplicas('process_resident_memory_bytes', megabyte),
    lag: ofReplicas('nodejs_eventloop_lag_p99_seconds', 0.001),
    redis: new Map([['used', Number(/^used_memory:(\d+)/m.exec(memory)?.[1]) / megabyte]]),
    keys: new Map([['keys', keys]]),
    dead: new Map(rows.map(({ name, dead }) => [name, dead])),
    tables: new Map(rows.map(({ name, bytes }) => [name, bytes / megabyte])),
    sends: latency(report.sends),
    beats: latency(report.beats),
  };
  const { connected, reconnects, faults } = report;
  return { atSeconds, values: new Map(Object.entries(values)), connected, reconnects, faults };
}
