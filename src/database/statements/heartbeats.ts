// Owns the statement that a batch of heartbeats is written with.
import { z } from 'zod';
import { LostRace } from '../failures.ts';
import type { Health } from '../orchestrator-instances.ts';
import type { Query, Row } from '../pool.ts';

export interface Beat {
  orchestratorId: string;
  /** The socket's epoch, or null for a heartbeat over HTTP, which claims no connection. */
  epoch: number | null;
  nodeId: string | null;
  healthStatus: Health;
  /** Absent: stays as it is. */
  features: unknown;
  /** Milliseconds since 1970. */
  atMs: number;
}

export type BeatOutcome =
  /** Committed; `lastSeenMs` is what the row now says, in milliseconds since 1970. */
  | { kind: 'processed'; lastSeenMs: number }
  /** The orchestrator is independent: nothing was written. */
  | { kind: 'ignored' }
  /** A newer connection holds this id: nothing was written. */
  | { kind: 'superseded'; epoch: number; nodeId: string }
  /** There is no row, or it is that of a successor under the same id, which was never connected: nothing was written. */
  | { kind: 'unknown'; hasSuccessor: boolean };

/**
 * One statement, one commit. The independence flag and the epoch are read by the statement that writes, behind the lock
 * of the organization: whoever changes an instance holds that first, and takes several by id. So instances need no
 * order of their own, and no lock but that of their update.
 *
 * How it is asked is for speed. Lists that end early are padded: nearly all are `healthy`, with the features that they
 * have. The planner does not see how long they are, and takes the index for each row; tables of ten thousand rows it
 * would read whole. An instance is looked up once, and updated where it was found; an
 * organization by its id, so that a change of it that was waited for is followed. What was written as it was told has no
 * row in the answer.
 */
const createBeatStatement = (found: string) => `
  WITH beat AS (
    SELECT b.n, b.orchestrator_id, b.epoch, to_timestamp($4::float8 + b.after_ms / 1000.0)::timestamptz(3) AS at,
      COALESCE(b.health_status, 'healthy') AS health_status, b.features::jsonb AS features,
      CASE WHEN b.epoch IS NOT NULL THEN $7::text END AS node_id
    FROM unnest((SELECT $1::text[]), (SELECT $2::bigint[]), (SELECT $3::integer[]), (SELECT $5::text[]),
      (SELECT $6::text[])) WITH ORDINALITY AS b (orchestrator_id, epoch, after_ms, health_status, features, n)
  ), known AS MATERIALIZED (
    SELECT b.*, i.ctid AS place, i.organization_id, i.is_independent, i.connection_epoch, i.node_id AS owner,
      NOT i.is_independent AND (b.epoch IS NULL OR i.connection_epoch = b.epoch) AS counts
    FROM beat b JOIN orchestrator_instances i USING (orchestrator_id)
  ), tenant AS MATERIALIZED (
    SELECT o.organization_id, k.at
    FROM organizations o
    JOIN (SELECT organization_id, max(at) AS at FROM known WHERE counts GROUP BY organization_id) k
      USING (organization_id)
    ORDER BY o.organization_id FOR NO KEY UPDATE OF o
  ), written AS (
    UPDATE orchestrator_instances i
    SET last_seen = GREATEST(i.last_seen, k.at), status = 'active', health_status = k.health_status,
        node_id = COALESCE(k.node_id, i.node_id), features = COALESCE(k.features, i.features)
    FROM known k
    WHERE (SELECT count(*) FROM tenant) >= 0 AND k.counts AND ${found}
      AND i.orchestrator_id = k.orchestrator_id AND i.organization_id = k.organization_id
      AND NOT i.is_independent AND (k.epoch IS NULL OR i.connection_epoch = k.epoch)
    RETURNING k.n, i.organization_id, i.last_seen, k.at
  ), tenant_written AS (
    UPDATE organizations o SET last_seen = GREATEST(o.last_seen, t.at), status = 'active'
    FROM tenant t
    WHERE o.organization_id = t.organization_id
      AND (t.organization_id IN (SELECT organization_id FROM written)) IS TRUE
  )
  SELECT NULL AS n, CASE WHEN count(*) < cardinality($1) THEN COALESCE(array_agg(n::integer), '{}') END AS written,
    NULL::boolean AS is_independent, NULL::bigint AS connection_epoch, NULL AS owner, NULL::float8 AS last_seen_ms
  FROM written
  UNION ALL SELECT n::text, NULL, is_independent, connection_epoch, owner, NULL FROM known WHERE NOT counts
  UNION ALL SELECT n::text, NULL, NULL, NULL, NULL, extract(epoch FROM last_seen)::float8 * 1000
  FROM written WHERE last_seen <> at`;

const beatStatement = createBeatStatement('i.ctid = k.place');
/** The same for rows that were changed between the look and the write: wherever they are by then. */
const followStatement = createBeatStatement('true');

const mostAttempts = 4;

const findKnown =
  'SELECT orchestrator_id FROM orchestrator_instances WHERE orchestrator_id = ANY ($1::text[])';

/**
 * Writes a batch that names no orchestrator twice, all of whose connections are of one replica; the outcomes come in
 * its order.
 * @throws when Postgres cannot be asked, or orchestrators moved whenever they were looked at
 */
export const writeBeats = (query: Query, beats: readonly Beat[]): Promise<BeatOutcome[]> =>
  write(query, beats, mostAttempts);

async function write(query: Query, beats: readonly Beat[], attempts: number): Promise<BeatOutcome[]> {
  const firstMs = beats.reduce((least, beat) => Math.min(least, beat.atMs), Number.POSITIVE_INFINITY);
  const parameters = [
    beats.map((beat) => beat.orchestratorId),
    `{${beats.map((beat) => beat.epoch ?? 'NULL').join()}}`,
    `{${beats.map((beat) => beat.atMs - firstMs).join()}}`,
    firstMs / 1_000,
    upToLast(beats.map((beat) => (beat.healthStatus === 'healthy' ? null : beat.healthStatus))),
    upToLast(beats.map((beat) => (beat.features === undefined ? null : JSON.stringify(beat.features)))),
    beats.find((beat) => beat.nodeId !== null)?.nodeId ?? null,
  ];
  const [summary, ...others] = await query(
    attempts === mostAttempts ? beatStatement : followStatement,
    parameters,
    { prepared: true },
  );
  const written = z.array(z.int()).nullable().parse(summary?.written);
  const outcomes: (BeatOutcome | undefined)[] =
    written === null ? beats.map(asWritten) : new Array(beats.length).fill(undefined);
  for (const n of written ?? []) {
    const beat = beats[n - 1];
    if (beat !== undefined) outcomes[n - 1] = asWritten(beat);
  }
  for (const row of others) {
    const beat = beats[Number(row.n) - 1];
    if (beat !== undefined) outcomes[Number(row.n) - 1] = outcomeOf(beat, row);
  }
  await settleRest(query, { beats, outcomes, attempts });
  return outcomes.map((outcome) => outcome ?? { kind: 'unknown', hasSuccessor: false });
}

/** Whom the statement did not find, and who changed between its look and its write. */
async function settleRest(
  query: Query,
  {
    beats,
    outcomes,
    attempts,
  }: { beats: readonly Beat[]; outcomes: (BeatOutcome | undefined)[]; attempts: number },
): Promise<void> {
  const rest = beats.filter((_, at) => outcomes[at] === undefined);
  if (rest.length === 0) return;
  const rows = await query(findKnown, [rest.map((beat) => beat.orchestratorId)]);
  const known = new Set(rows.map((row) => row.orchestrator_id));
  const moved = rest.filter((beat) => known.has(beat.orchestratorId));
  if (moved.length === 0) return;
  if (attempts === 1) throw new LostRace(`${moved.length} orchestrators moved between two looks`);
  const again = await write(query, moved, attempts - 1);
  for (const [at, beat] of moved.entries()) outcomes[beats.indexOf(beat)] = again[at];
}

function asWritten(beat: Beat): BeatOutcome {
  return { kind: 'processed', lastSeenMs: beat.atMs };
}

/** Without the absent ones at its end. */
function upToLast(values: readonly (string | null)[]): (string | null)[] {
  return values.slice(0, values.findLastIndex((value) => value !== null) + 1);
}

/** Of a row that was not written as it was told. */
function outcomeOf(beat: Beat, row: Row): BeatOutcome {
  if (row.last_seen_ms !== null)
    return { kind: 'processed', lastSeenMs: Math.round(Number(row.last_seen_ms)) };
  const epoch = Number(row.connection_epoch);
  if (beat.epoch !== null && beat.epoch > epoch) return { kind: 'unknown', hasSuccessor: true };
  if (beat.epoch !== null && beat.epoch < epoch)
    return { kind: 'superseded', epoch, nodeId: String(row.owner ?? 'none') };
  return { kind: 'ignored' };
}
