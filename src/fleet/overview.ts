// Owns the figures of the whole fleet at a glance.
import type { Database } from '../database/database.ts';
import { countRows, type RowCounts } from '../database/statements/counts.ts';
import type { Lease } from '../redis/lease.ts';
import type { Presence } from '../redis/presence.ts';
import { covers, type Scope } from '../scope.ts';

export interface FleetOverview extends RowCounts {
  /** Connected now. */
  connected: number;
  /** Live replicas. */
  nodes: number;
  /** Processed by the whole cluster in the last minute; null for a caller that does not see the whole fleet. */
  heartbeats_per_minute: number | null;
}

export interface Overview {
  /** @throws unavailable when either store is away: a figure that is not known is not made up */
  read(scope: Scope): Promise<FleetOverview>;
}

export function createOverview(dependencies: {
  database: Database;
  presence: Presence;
  lease: Lease;
}): Overview {
  const { database, presence, lease } = dependencies;
  async function countConnected(scope: Scope): Promise<number> {
    if (scope === undefined) return presence.count();
    return (await presence.list()).all().filter((each) => covers(scope, each.organization_id)).length;
  }

  return {
    async read(scope) {
      const [rows, connected, roster, beats] = await Promise.all([
        database.lagging(({ query }) => countRows(query, scope)),
        countConnected(scope),
        lease.roster(),
        scope === undefined ? presence.beatsPerMinute() : null,
      ]);
      return { ...rows, connected, nodes: roster.live.length, heartbeats_per_minute: beats };
    },
  };
}
