// Owns the statement that makes rows active again whose replica was taken for dead and is not.
import type { Query, Statements } from '../pool.ts';
import { type Connection, lockOrganizations, settleOrganizationsOf } from './disconnects.ts';

export type ReturnOutcome =
  /** The row is active by the word of this replica; `revived` if it was not before. */
  | { kind: 'active'; revived: boolean }
  /** A newer connection is the row's. */
  | { kind: 'superseded'; epoch: number; nodeId: string }
  /** Not heard of for so long that its end is meant, and not undone. */
  | { kind: 'silent' }
  /** There is no row, or it is that of a successor under the same id. */
  | { kind: 'unknown' };

const reviveInstances = `
  WITH back AS (
    SELECT * FROM unnest($1::text[], $2::bigint[]) AS b (orchestrator_id, epoch)
  ), known AS MATERIALIZED (
    SELECT i.orchestrator_id, i.connection_epoch, i.node_id, i.status FROM orchestrator_instances i
    JOIN back USING (orchestrator_id) ORDER BY i.orchestrator_id FOR NO KEY UPDATE OF i
  ), revived AS (
    UPDATE orchestrator_instances i SET status = 'active', node_id = $3
    FROM back b JOIN known k USING (orchestrator_id)
    WHERE i.orchestrator_id = b.orchestrator_id AND i.connection_epoch = b.epoch
      AND (i.status = 'inactive' AND (i.is_independent OR i.last_seen >= $4)
        OR i.status = 'active' AND i.node_id IS DISTINCT FROM $3)
    RETURNING i.orchestrator_id, i.organization_id, k.status = 'inactive' AS revived
  )
  SELECT k.*, r.organization_id, r.revived FROM known k LEFT JOIN revived r USING (orchestrator_id)`;

/**
 * Makes the rows of these connections active again by the word of this replica, and their organizations, where the
 * epoch is still theirs. A batch that names no orchestrator twice; the outcomes come in its order.
 *
 * The rows are locked even where nothing is to be done: a sweep that has this replica on its list of the dead holds
 * the locks while it asks once more who is alive, and whoever waits for them sees what it wrote.
 * @param silentBefore one that is not independent and was last heard of before then stays inactive
 */
export function writeReturns(
  database: Statements,
  connections: readonly Connection[],
  { nodeId, silentBefore }: { nodeId: string; silentBefore: Date },
): Promise<ReturnOutcome[]> {
  const ids = connections.map((connection) => connection.orchestratorId);
  const epochs = connections.map((connection) => connection.epoch);
  const write = async (query: Query) => {
    const locked = await lockOrganizations(query, ids);
    const rows = await query(reviveInstances, [ids, epochs, nodeId, silentBefore]);
    await settleOrganizationsOf(
      query,
      rows.filter((row) => row.revived === true),
      locked,
    );
    const byId = new Map(rows.map((row) => [row.orchestrator_id, row]));
    return connections.map((connection) => outcomeOf(connection, byId.get(connection.orchestratorId)));
  };
  return connections.length === 0 ? Promise.resolve([]) : database.transaction(write);
}

function outcomeOf({ epoch }: Connection, row: Record<string, unknown> | undefined): ReturnOutcome {
  const epochOfRow = Number(row?.connection_epoch ?? 0);
  if (row === undefined || epochOfRow < epoch) return { kind: 'unknown' };
  if (epochOfRow > epoch)
    return { kind: 'superseded', epoch: epochOfRow, nodeId: String(row.node_id ?? 'none') };
  if (row.status === 'inactive' && row.revived !== true) return { kind: 'silent' };
  return { kind: 'active', revived: row.revived === true };
}
