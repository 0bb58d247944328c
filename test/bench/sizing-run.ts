// Owns the measuring of what a fleet costs: replicas and stores of their own, under fleets that grow step by step.
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { startFleet } from '../support/beating-fleet.ts';
import { type Cluster, openCluster } from '../support/cluster.ts';
import { until } from '../support/until.ts';
import { type Measured, medianOf, type Step, type Usage } from './sizing-report.ts';
import { processorSeconds, residentBytes } from './usage.ts';

export interface SizingOptions {
  /** Orchestrators at each step, growing. */
  readonly sizes: readonly number[];
  readonly replicas: number;
  /** How long each step is looked at, in as many windows: a figure is the median of them. */
  readonly stepMs: number;
  readonly windows: number;
  readonly onProgress: (line: string) => void;
}

/** Heartbeats are told by the settings that are shipped. */
const heartbeatIntervalMs = 30_000;
/** Several orchestrators share an organization, as in a fleet of customers. */
const orchestratorsPerOrganization = 4;
const connectedWithinMs = 300_000;

/** @throws where there is no /proc, or when an orchestrator cannot be connected */
export async function measureSizing(options: SizingOptions): Promise<Measured> {
  const { sizes, onProgress } = options;
  await using closing = new AsyncDisposableStack();
  onProgress(`Bringing up Postgres, Redis and ${options.replicas} replicas…`);
  const cluster = closing.use(await openCluster({ replicas: options.replicas }));
  const steps: Step[] = [await look(cluster, 0, options)];
  let connectSeconds = 0;
  let connected = 0;
  for (const [at, size] of sizes.entries()) {
    onProgress(`Connecting ${size - connected} orchestrators…`);
    const before = replicaSeconds(cluster);
    closing.use(
      await startFleet({
        urls: cluster.replicas.map(({ url }) => url),
        count: size - connected,
        prefix: `sizing-${at}-`,
        organizations: Math.max(1, Math.ceil((size - connected) / orchestratorsPerOrganization)),
        everyMs: heartbeatIntervalMs,
      }),
    );
    connected = size;
    await until('everybody to be live', async () => (await liveCount(cluster)) === size, connectedWithinMs);
    connectSeconds += replicaSeconds(cluster) - before;
    steps.push(await look(cluster, size, options));
  }
  const versions = await versionsOf(cluster);
  return { steps, connectSeconds, replicas: options.replicas, heartbeatIntervalMs, versions };
}

async function look(cluster: Cluster, orchestrators: number, options: SizingOptions): Promise<Step> {
  const { stepMs, windows, onProgress } = options;
  const usages: Usage[] = [];
  for (let window = 1; window <= windows; window += 1) {
    onProgress(`${orchestrators} orchestrators: window ${window} of ${windows}`);
    const before = await readTotals(cluster);
    await pause(stepMs / windows);
    const after = await readTotals(cluster);
    const seconds = (after.atMs - before.atMs) / 1_000;
    const rate = (of: keyof typeof before) => (after[of] - before[of]) / seconds;
    usages.push({
      replicaCores: rate('replicaSeconds'),
      postgresCores: rate('postgresSeconds'),
      redisCores: rate('redisSeconds'),
      commitsPerSecond: rate('commits'),
      walBytesPerSecond: rate('walBytes'),
      redisCommandsPerSecond: rate('redisCommands'),
      replicaBytes: after.replicaBytes,
      redisBytes: after.redisBytes,
      databaseBytes: after.databaseBytes,
    });
  }
  return { orchestrators, usage: medianOf(usages) };
}

/** Everything that only grows, and what is held at this moment. */
async function readTotals(cluster: Cluster) {
  const [[row], info] = await Promise.all([
    cluster.sql(
      `SELECT xact_commit::float8 AS commits, pg_database_size(datname)::float8 AS database_bytes,
              pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 AS wal_bytes
         FROM pg_stat_database WHERE datname = current_database()`,
    ),
    cluster.commands.info(),
  ]);
  const { commits, wal_bytes, database_bytes } = rowSchema.parse(row);
  const redis = (field: string) => Number(new RegExp(`^${field}:(\\d+)`, 'm').exec(info)?.[1]);
  return {
    atMs: performance.now(),
    replicaSeconds: replicaSeconds(cluster),
    postgresSeconds: processorSeconds(cluster.postgres.pid),
    redisSeconds: processorSeconds(cluster.redis.pid),
    commits,
    walBytes: wal_bytes,
    databaseBytes: database_bytes,
    redisCommands: redis('total_commands_processed'),
    redisBytes: redis('used_memory'),
    replicaBytes: cluster.replicas.reduce((sum, { pid }) => sum + residentBytes(pid), 0),
  };
}

const rowSchema = z.object({ commits: z.number(), wal_bytes: z.number(), database_bytes: z.number() });

function replicaSeconds(cluster: Cluster): number {
  return cluster.replicas.reduce((sum, { pid }) => sum + processorSeconds(pid), 0);
}

async function liveCount(cluster: Cluster): Promise<number> {
  const [replica] = cluster.replicas;
  const answer = await replica?.api.get('/api/v1/internal/health');
  return z.object({ ws: z.object({ active_connections: z.int() }) }).parse(answer?.body).ws
    .active_connections;
}

async function versionsOf(cluster: Cluster): Promise<string> {
  const [row] = await cluster.sql('SHOW server_version');
  const redis = /^redis_version:(\S+)/m.exec(await cluster.commands.info('server'))?.[1];
  return `Node ${process.version.slice(1)}, Postgres ${String(row?.server_version)}, Redis ${redis}`;
}
