// Owns the statements that change an orchestrator's independence, and read everybody's.
import type { Scope } from '../../scope.ts';
import type { Statements } from '../pool.ts';
import { lockInstance } from './registrations.ts';

export interface Independence {
  orchestratorId: string;
  isIndependent: boolean;
  privacyMode: boolean;
}

/**
 * Sets the flag in both tables. What an independent orchestrator's heartbeats did not write counts as seen at the
 * moment it is managed again: its silence is counted from then.
 * @param privacyMode absent: stays as it is
 * @returns what now holds, or undefined for an unknown orchestrator
 */
export function writeIndependence(
  database: Statements,
  change: {
    orchestratorId: string;
    isIndependent: boolean;
    privacyMode: boolean | undefined;
    at: Date;
    scope: Scope;
  },
): Promise<Independence | undefined> {
  return database.transaction(async (query) => {
    const organizationId = await lockInstance(query, change.orchestratorId, change.scope);
    if (organizationId === undefined) return undefined;
    await query(
      'UPDATE organizations SET is_independent = $2, updated_at = now() WHERE organization_id = $1',
      [organizationId, change.isIndependent],
    );
    const [row] = await query(
      `UPDATE orchestrator_instances
       SET is_independent = $2, privacy_mode = COALESCE($3, privacy_mode), updated_at = now(),
         last_seen = CASE WHEN is_independent AND NOT $2 AND status = 'active' THEN GREATEST(last_seen, $4)
                          ELSE last_seen END
       WHERE orchestrator_id = $1 RETURNING orchestrator_id, is_independent, privacy_mode`,
      [change.orchestratorId, change.isIndependent, change.privacyMode, change.at],
    );
    return row && asIndependence(row);
  });
}

/** The flags of every orchestrator, by id. */
export async function readIndependence(database: Statements): Promise<Independence[]> {
  const rows = await database.query(
    'SELECT orchestrator_id, is_independent, privacy_mode FROM orchestrator_instances ORDER BY orchestrator_id',
  );
  return rows.map(asIndependence);
}

function asIndependence(row: Record<string, unknown>): Independence {
  return {
    orchestratorId: String(row.orchestrator_id),
    isIndependent: row.is_independent === true,
    privacyMode: row.privacy_mode === true,
  };
}
