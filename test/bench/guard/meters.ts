// Owns the counts: what a piece of work had the stores do, and how many bytes it moved, as they themselves tell.
import { z } from 'zod';
import type { StoreProxy } from '../../support/proxy.ts';
import { until } from '../../support/until.ts';
import type { Scene } from './scene.ts';
import type { Work } from './works.ts';

export const figureNames = [
  'statements',
  'walBytes',
  'toPostgresBytes',
  'fromPostgresBytes',
  'redisCommands',
  'toRedisBytes',
  'fromRedisBytes',
  'toOrchestratorsBytes',
  'toCallersBytes',
] as const;
export type Figure = (typeof figureNames)[number];
export type Counts = Readonly<Record<Figure, number>>;

export interface Counted {
  readonly counts: Counts;
  /** Which statements and which commands, with how often: for whoever looks for the one too many. */
  readonly parts: ReadonlyMap<string, number>;
}

type Reading = Counted;

/** Does the work, and counts until nothing moves any more: log lines and notes in Redis come behind its end. */
export async function count(scene: Scene, { prepare, run }: Work): Promise<Counted> {
  await prepare?.();
  const before = await readStill(scene);
  await run();
  const after = await readStill(scene);
  const parts = [...after.parts].map(
    ([name, calls]) => [name, calls - (before.parts.get(name) ?? 0)] as const,
  );
  return {
    counts: countsOf((figure) => after.counts[figure] - before.counts[figure]),
    parts: new Map(parts.filter(([, calls]) => calls > 0)),
  };
}

export function countsOf(of: (figure: Figure) => number): Counts {
  return {
    statements: of('statements'),
    walBytes: of('walBytes'),
    toPostgresBytes: of('toPostgresBytes'),
    fromPostgresBytes: of('fromPostgresBytes'),
    redisCommands: of('redisCommands'),
    toRedisBytes: of('toRedisBytes'),
    fromRedisBytes: of('fromRedisBytes'),
    toOrchestratorsBytes: of('toOrchestratorsBytes'),
    toCallersBytes: of('toCallersBytes'),
  };
}

/**
 * What three readings in a row agree on. Between them each replica answers a call that asks no store: so it has turned
 * to everything that it was about to do.
 */
async function readStill(scene: Scene): Promise<Reading> {
  let last = await read(scene);
  let agreed = 0;
  return until('the stores to have nothing more to do', async () => {
    await Promise.all(scene.doors.map(({ replica }) => replica.api.get('/health/live')));
    const now = await read(scene);
    const still = figureNames.every((figure) => now.counts[figure] === last.counts[figure]);
    agreed = still ? agreed + 1 : 0;
    last = now;
    return agreed === 2 ? now : undefined;
  });
}

const statementsSchema = z.array(z.object({ query: z.string(), calls: z.coerce.number() }));
const walSchema = z.object({ bytes: z.coerce.number() });
/** What the reading itself asks. */
const ours = new Set(['info']);

async function read({ cluster, doors, postgres, redis }: Scene): Promise<Reading> {
  const [statements, [wal], info] = await Promise.all([
    cluster.sql(
      `SELECT query, sum(calls) AS calls FROM pg_stat_statements
       WHERE query NOT LIKE '%pg_stat_statements%' AND query NOT LIKE '%pg_current_wal%' GROUP BY query`,
    ),
    cluster.sql("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS bytes"),
    cluster.commands.info('commandstats'),
  ]);
  const queries = statementsSchema
    .parse(statements)
    .map(({ query, calls }) => [oneLine(query), calls] as const);
  const commands = [...info.matchAll(/^cmdstat_(\S+?):calls=(\d+)/gm)]
    .map(([, name = '', calls]) => [name, Number(calls)] as const)
    .filter(([name]) => !ours.has(name));
  return {
    counts: {
      statements: sumOf(queries.map(([, calls]) => calls)),
      walBytes: walSchema.parse(wal).bytes,
      toPostgresBytes: postgres.sentBytes,
      fromPostgresBytes: postgres.receivedBytes,
      redisCommands: sumOf(commands.map(([, calls]) => calls)),
      toRedisBytes: redis.sentBytes,
      fromRedisBytes: redis.receivedBytes,
      toOrchestratorsBytes: received(doors.map(({ orchestrators }) => orchestrators)),
      toCallersBytes: received(doors.map(({ callers }) => callers)),
    },
    parts: new Map([...queries, ...commands]),
  };
}

function received(proxies: readonly StoreProxy[]): number {
  return sumOf(proxies.map(({ receivedBytes }) => receivedBytes));
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

function oneLine(query: string): string {
  return query.replace(/\s+/g, ' ').trim().slice(0, 100);
}
