// Owns how the cost of a fleet is told: what is used with nobody connected, and by each 1,000 orchestrators more.

/** Of all replicas together, and of the stores. Cores are seconds of processor time a second. */
export interface Usage {
  readonly replicaCores: number;
  readonly postgresCores: number;
  readonly redisCores: number;
  readonly commitsPerSecond: number;
  readonly walBytesPerSecond: number;
  readonly redisCommandsPerSecond: number;
  readonly replicaBytes: number;
  readonly redisBytes: number;
  readonly databaseBytes: number;
}

export interface Step {
  readonly orchestrators: number;
  readonly usage: Usage;
}

export interface Measured {
  readonly steps: readonly Step[];
  /** Processor time of the replicas while the fleets connected, in seconds. */
  readonly connectSeconds: number;
  readonly replicas: number;
  readonly heartbeatIntervalMs: number;
  readonly versions: string;
}

const cores = (value: number) => `${value.toFixed(3)} cores`;
const mebibytes = (value: number) => `${(value / 2 ** 20).toFixed(1)} MiB`;
const kibibytesPerSecond = (value: number) => `${(value / 2 ** 10).toFixed(1)} KiB/s`;
const perSecond = (value: number) => `${value.toFixed(1)} /s`;

const rows: readonly [of: keyof Usage, name: string, format: (value: number) => string][] = [
  ['replicaCores', 'replicas, processor', cores],
  ['replicaBytes', 'replicas, resident memory', mebibytes],
  ['postgresCores', 'Postgres, processor', cores],
  ['commitsPerSecond', 'Postgres, commits', perSecond],
  ['walBytesPerSecond', 'Postgres, WAL', kibibytesPerSecond],
  ['databaseBytes', 'Postgres, database', mebibytes],
  ['redisCores', 'Redis, processor', cores],
  ['redisCommandsPerSecond', 'Redis, commands', perSecond],
  ['redisBytes', 'Redis, memory', mebibytes],
];

/** Of each figure the median over all windows. */
export function medianOf(usages: readonly Usage[]): Usage {
  const median = (of: keyof Usage) => {
    const values = usages.map((usage) => usage[of]).toSorted((one, other) => one - other);
    const middle = values.length / 2;
    return ((values[Math.ceil(middle) - 1] ?? 0) + (values[Math.floor(middle)] ?? 0)) / 2;
  };
  return {
    replicaCores: median('replicaCores'),
    postgresCores: median('postgresCores'),
    redisCores: median('redisCores'),
    commitsPerSecond: median('commitsPerSecond'),
    walBytesPerSecond: median('walBytesPerSecond'),
    redisCommandsPerSecond: median('redisCommandsPerSecond'),
    replicaBytes: median('replicaBytes'),
    redisBytes: median('redisBytes'),
    databaseBytes: median('databaseBytes'),
  };
}

/** What 1,000 more cost, by the straight line with the least squares through the steps that have any. */
export function costPerThousand(steps: readonly Step[], of: keyof Usage): number {
  const points = steps.filter(({ orchestrators }) => orchestrators > 0);
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const x = mean(points.map(({ orchestrators }) => orchestrators));
  const y = mean(points.map(({ usage }) => usage[of]));
  const covariance = points.reduce((sum, p) => sum + (p.orchestrators - x) * (p.usage[of] - y), 0);
  const variance = points.reduce((sum, p) => sum + (p.orchestrators - x) ** 2, 0);
  return (covariance / variance) * 1_000;
}

/** A table for people. */
export function describeSizing({ steps, connectSeconds, ...measured }: Measured): string {
  const header = ['', ...steps.map(({ orchestrators }) => `${orchestrators}`), 'each 1,000 more'];
  const table = rows.map(([of, name, format]) => [
    name,
    ...steps.map(({ usage }) => format(usage[of])),
    format(costPerThousand(steps, of)),
  ]);
  const widths = header.map((_, at) => Math.max(...[header, ...table].map((row) => row[at]?.length ?? 0)));
  const lines = [header, ...table].map((row) =>
    row
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join('  '),
  );
  const connected = steps.at(-1)?.orchestrators ?? 0;
  return [
    `${measured.replicas} replicas together, heartbeats every ${measured.heartbeatIntervalMs / 1_000} s, by the number of orchestrators`,
    `${measured.versions}`,
    '',
    ...lines,
    '',
    `1,000 handshakes took ${((connectSeconds / connected) * 1_000).toFixed(2)} s of the replicas' processor time`,
  ].join('\n');
}
