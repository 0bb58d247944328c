// Owns the statement that a batch of heartbeats is written with.
import { z } from 'zod';
import { LostRace } from '../failures.ts';
import type { Health } from '../orchestrator-instances.ts';
import type { Query, Row } from '../pool.ts';

export interface Beat {
  orchestratorId: string;
  /** The socket's epoch, or null for a heartbeat over HTTP, which claims no connection. */
  epoch: number | null;
  /** Where the orchestrator is as far as its connection knows; a guess, which costs a second look where it is wrong. */
  organizationId: string;
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

interface BeatStatementParts {
  /** The heartbeats to be written, and where their orchestrators are said to be. */
  readonly source: 'beat' | 'counting';
  /** What makes that of `beat`. */
  readonly look?: string;
  /** Rows about those that were not written. */
  readonly others?: string;
}

/**
 * One statement, one commit. Independence, epoch and organization are asked by the part that writes, behind the lock of
 * the organization: whoever changes an instance holds that first, and takes several by id. So instances need no order
 * of their own, and no lock but that of their update.
 *
 * How it is asked is for speed. Lists that end early are padded: nearly all are `healthy`, with the features that they
 * have, in the organization of their own id. The planner does not see how long the lists are, and takes the index for
 * each row; tables of ten thousand rows it would read whole. `IS TRUE` keeps it from the index of those of an
 * organization, of which there may be thousands. What was written as it was told has no row in the answer.
 */
const createBeatStatement = ({ source, look = '', others = '' }: BeatStatementParts) => `
  WITH beat AS MATERIALIZED (
    SELECT b.n, b.orchestrator_id, b.epoch, to_timestamp($4::float8 + b.after_ms / 1000.0)::timestamptz(3) AS at,
      COALESCE(b.health_status, 'healthy') AS health_status, b.features::jsonb AS features,
      CASE WHEN b.epoch IS NOT NULL THEN $7::text END AS node_id,
      COALESCE(b.organization_id, b.orchestrator_id) AS organization_id
    FROM unnest((SELECT $1::text[]), (SELECT $2::bigint[]), (SELECT $3::integer[]), (SELECT $5::text[]),
      (SELECT $6::text[]), (SELECT $8::text[])) WITH ORDINALITY
      AS b (orchestrator_id, epoch, after_ms, health_status, features, organization_id, n)
  ), ${look}tenant AS MATERIALIZED (
    SELECT organization_id FROM organizations WHERE organization_id IN (SELECT organization_id FROM ${source})
    ORDER BY organization_id FOR NO KEY UPDATE
  ), written AS (
    UPDATE orchestrator_instances i
    SET last_seen = GREATEST(i.last_seen, b.at), status = 'active', health_status = b.health_status,
        node_id = COALESCE(b.node_id, i.node_id), features = COALESCE(b.features, i.features)
    FROM ${source} b
    WHERE (SELECT count(*) FROM tenant) >= 0
      AND i.orchestrator_id = b.orchestrator_id AND (i.organization_id = b.organization_id) IS TRUE
      AND NOT i.is_independent AND (b.epoch IS NULL OR i.connection_epoch = b.epoch)
    RETURNING b.n, i.organization_id, i.last_seen, b.at
  ), tenant_written AS (
    UPDATE organizations o SET last_seen = GREATEST(o.last_seen, w.last_seen), status = 'active'
    FROM (SELECT organization_id, max(last_seen) AS last_seen FROM written GROUP BY organization_id) w
    WHERE o.organization_id = w.organization_id
  )
  SELECT NULL AS n, CASE WHEN count(*) < cardinality($1) THEN COALESCE(array_agg(n::integer), '{}') END AS written,
    NULL::boolean AS is_independent, NULL::bigint AS connection_epoch, NULL AS owner, NULL::float8 AS last_seen_ms
  FROM written
  UNION ALL SELECT n::text, NULL, NULL, NULL, NULL, extract(epoch FROM last_seen)::float8 * 1000
  FROM written WHERE last_seen <> at${others}`;

/** Writes whoever is where they are expected, as nearly all are, and says nothing of the others. */
const beatStatement = createBeatStatement({ source: 'beat' });

/** Of anybody: looks where they are, and tells who is not written why. */
const lookStatement = createBeatStatement({
  look: `known AS MATERIALIZED (
    SELECT b.n, b.orchestrator_id, b.epoch, b.at, b.health_status, b.features, b.node_id,
      i.organization_id, i.is_independent, i.connection_epoch, i.node_id AS owner,
      NOT i.is_independent AND (b.epoch IS NULL OR i.connection_epoch = b.epoch) AS counts
    FROM beat b JOIN orchestrator_instances i USING (orchestrator_id)
  ), counting AS (
    SELECT * FROM known WHERE counts
  ), `,
  source: 'counting',
  others: `
  UNION ALL SELECT n::text, NULL, is_independent, connection_epoch, owner, NULL FROM known WHERE NOT counts`,
});

/** Of those written, where not all are. */
const ordinals = z.array(z.int()).nullable();

const mostAttempts = 4;

const findKnown =
  'SELECT orchestrator_id FROM orchestrator_instances WHERE orchestrator_id = ANY ($1::text[])';

/**
 * Writes a batch that names no orchestrator twice, all of whose connections are of one replica; the outcomes come in
 * its order.
 * @throws when Postgres cannot be asked, or orchestrators moved whenever they were looked at
 */
export async function writeBeats(query: Query, beats: readonly Beat[]): Promise<BeatOutcome[]> {
  const expected = await write(query, beatStatement, beats);
  const others = beats.filter((_, at) => expected[at] === undefined);
  const found = (others.length === 0 ? [] : await writeLooking(query, others, mostAttempts)).values();
  return expected.map((outcome) => outcome ?? found.next().value ?? unknown);
}

async function writeLooking(query: Query, beats: readonly Beat[], attempts: number): Promise<BeatOutcome[]> {
  const outcomes = await write(query, lookStatement, beats);
  const rest = beats.filter((_, at) => outcomes[at] === undefined);
  if (rest.length > 0) {
    const rows = await query(findKnown, [rest.map((beat) => beat.orchestratorId)]);
    const known = new Set(rows.map((row) => row.orchestrator_id));
    // Who changed between the look and the write.
    const moved = rest.filter((beat) => known.has(beat.orchestratorId));
    if (moved.length > 0 && attempts === 1)
      throw new LostRace(`${moved.length} orchestrators moved between two looks`);
    const again = moved.length === 0 ? [] : await writeLooking(query, moved, attempts - 1);
    for (const [at, beat] of moved.entries()) outcomes[beats.indexOf(beat)] = again[at];
  }
  return outcomes.map((outcome) => outcome ?? unknown);
}

/** @returns what became of each, as far as the statement tells */
async function write(
  query: Query,
  statement: string,
  beats: readonly Beat[],
): Promise<(BeatOutcome | undefined)[]> {
  const firstMs = beats.reduce((least, beat) => Math.min(least, beat.atMs), Number.POSITIVE_INFINITY);
  const parameters = [
    beats.map((beat) => beat.orchestratorId),
    `{${beats.map((beat) => beat.epoch ?? 'NULL').join()}}`,
    `{${beats.map((beat) => beat.atMs - firstMs).join()}}`,
    firstMs / 1_000,
    upToLast(beats.map((beat) => (beat.healthStatus === 'healthy' ? null : beat.healthStatus))),
    upToLast(beats.map((beat) => (beat.features === undefined ? null : JSON.stringify(beat.features)))),
    beats.find((beat) => beat.nodeId !== null)?.nodeId ?? null,
    upToLast(beats.map((beat) => (beat.organizationId === beat.orchestratorId ? null : beat.organizationId))),
  ];
  const [summary, ...others] = await query(statement, parameters, { prepared: true });
  const written = ordinals.parse(summary?.written);
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
  return outcomes;
}

/** There is no row. */
const unknown: BeatOutcome = { kind: 'unknown', hasSuccessor: false };

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
