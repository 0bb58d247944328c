// Owns the figures of the whole fleet at a glance.
import type { Database } from '../database/database.ts';
import { countRows, type RowCounts } from '../database/statements/counts.ts';
import type { Lease } from '../redis/lease.ts';
import type { Presence } from '../redis/presence.ts';

export interface FleetOverview extends RowCounts {
  /** Connected now. */
  connected: number;
  /** Live replicas. */
  nodes: number;
  /** Processed by the whole cluster in the last minute. */
  heartbeats_per_minute: number;
}

export interface Overview {
  /** @throws unavailable when either store is away: a figure that is not known is not made up */
  read(): Promise<FleetOverview>;
}

export function createOverview(dependencies: {
  database: Database;
  presence: Presence;
  lease: Lease;
}): Overview {
  const { database, presence, lease } = dependencies;
  return {
    async read() {
      const [rows, connected, roster, beats] = await Promise.all([
        countRows(database.query),
        presence.count(),
        lease.roster(),
        presence.beatsPerMinute(),
      ]);
      return { ...rows, connected, nodes: roster.live.length, heartbeats_per_minute: beats };
    },
  };
}
