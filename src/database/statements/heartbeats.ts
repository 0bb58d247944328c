// Owns the statement that a batch of heartbeats is written with.

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
  at: Date;
}

export type BeatOutcome =
  /** Committed; `lastSeen` is what the row now says. */
  | { kind: 'processed'; lastSeen: Date }
  /** The orchestrator is independent: nothing was written. */
  | { kind: 'ignored' }
  /** A newer connection holds this id: nothing was written. */
  | { kind: 'superseded'; epoch: number; nodeId: string }
  | { kind: 'unknown' };

/**
 * One statement, one commit. The independence flag and the epoch are read by the statement that writes, from rows
 * it has locked. Locks are taken in one order everywhere: organizations by id, then instances by id. The
 * comparison with a count is always true; it makes Postgres lock the organizations first.
 */
const beatStatement = `
  WITH beat AS (
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::text[])
      AS b (orchestrator_id, epoch, node_id, health_status, at, features)
  ), tenant AS MATERIALIZED (
    SELECT o.organization_id FROM organizations o
    WHERE o.organization_id IN (
      SELECT i.organization_id FROM orchestrator_instances i JOIN beat USING (orchestrator_id) WHERE NOT i.is_independent)
    ORDER BY o.organization_id FOR NO KEY UPDATE OF o
  ), known AS MATERIALIZED (
    SELECT i.orchestrator_id, i.is_independent, i.connection_epoch, i.node_id
    FROM orchestrator_instances i JOIN beat USING (orchestrator_id)
    WHERE (SELECT count(*) FROM tenant) >= 0
    ORDER BY i.orchestrator_id FOR NO KEY UPDATE OF i
  ), written AS (
    UPDATE orchestrator_instances i
    SET last_seen = GREATEST(i.last_seen, b.at), status = 'active', health_status = b.health_status,
        node_id = COALESCE(b.node_id, i.node_id), features = COALESCE(b.features::jsonb, i.features)
    FROM beat b JOIN known USING (orchestrator_id)
    WHERE i.orchestrator_id = b.orchestrator_id AND i.organization_id IN (SELECT organization_id FROM tenant)
      AND NOT i.is_independent AND (b.epoch IS NULL OR i.connection_epoch = b.epoch)
    RETURNING i.orchestrator_id, i.organization_id, i.last_seen,
      extract(epoch FROM i.last_seen)::float8 * 1000 AS last_seen_ms
  ), tenant_written AS (
    UPDATE organizations o SET last_seen = GREATEST(o.last_seen, w.last_seen), status = 'active'
    FROM (SELECT organization_id, max(last_seen) AS last_seen FROM written GROUP BY organization_id) w
    WHERE o.organization_id = w.organization_id
  )
  SELECT k.orchestrator_id, k.is_independent, k.connection_epoch, k.node_id, w.last_seen_ms
  FROM known k LEFT JOIN written w USING (orchestrator_id)`;

/**
 * Writes a batch that names no orchestrator twice; the outcomes come in its order.
 * @throws when Postgres cannot be asked, or orchestrators moved whenever they were looked at
 */
export async function writeBeats(query: Query, beats: readonly Beat[], attempts = 4): Promise<BeatOutcome[]> {
  const rows = await query(beatStatement, [
    beats.map((beat) => beat.orchestratorId),
    beats.map((beat) => beat.epoch),
    beats.map((beat) => beat.nodeId),
    beats.map((beat) => beat.healthStatus),
    beats.map((beat) => beat.at),
    beats.map((beat) => (beat.features === undefined ? null : JSON.stringify(beat.features))),
  ]);
  const byId = new Map(rows.map((row) => [row.orchestrator_id, row]));
  const outcomes = new Map<Beat, BeatOutcome>();
  for (const beat of beats) {
    const outcome = outcomeOf(beat, byId.get(beat.orchestratorId));
    if (outcome !== undefined) outcomes.set(beat, outcome);
  }
  const moved = beats.filter((beat) => !outcomes.has(beat));
  if (moved.length > 0) {
    if (attempts === 1) throw new LostRace(`${moved.length} orchestrators moved between two looks`);
    const again = await writeBeats(query, moved, attempts - 1);
    for (const [at, outcome] of again.entries()) {
      const beat = moved[at];
      if (beat !== undefined) outcomes.set(beat, outcome);
    }
  }
  return beats.map((beat) => outcomes.get(beat) ?? { kind: 'unknown' });
}

/** Undefined for one that was in an organization which the statement had not locked. */
function outcomeOf(beat: Beat, row: Row | undefined): BeatOutcome | undefined {
  if (row === undefined) return { kind: 'unknown' };
  if (row.last_seen_ms !== null)
    return { kind: 'processed', lastSeen: new Date(Math.round(Number(row.last_seen_ms))) };
  const epoch = Number(row.connection_epoch);
  // A lower one is that of a successor under the same id, which was never connected.
  if (beat.epoch !== null && beat.epoch > epoch) return { kind: 'unknown' };
  if (beat.epoch !== null && beat.epoch < epoch)
    return { kind: 'superseded', epoch, nodeId: String(row.node_id ?? 'none') };
  return row.is_independent === true ? { kind: 'ignored' } : undefined;
}
