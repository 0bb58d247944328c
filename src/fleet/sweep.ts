// Owns the sweep: what dead replicas and silent orchestrators left is put right, for the whole cluster.
import type { Clock } from '../clock.ts';
import type { Database } from '../database/database.ts';
import { isPassingFailure } from '../database/failures.ts';
import {
  findOrphans,
  findSilent,
  findSpokenFor,
  markUnhealthy,
  type Orphan,
  writeDisconnects,
} from '../database/statements/disconnects.ts';
import type { Log } from '../log.ts';
import type { Outbox } from '../queue/outbox.ts';
import type { Lease } from '../redis/lease.ts';
import type { Presence } from '../redis/presence.ts';
import type { Delivery } from './delivery.ts';

export interface Sweep {
  run(): Promise<void>;
}

/** Rows written at once: few enough that their locks are let go soon, and no statement takes too long. */
const chunkSize = 500;

export function createSweep(dependencies: {
  database: Database;
  presence: Presence;
  lease: Lease;
  outbox: Outbox;
  delivery: Delivery;
  clock: Clock;
  /** The silence after which an orchestrator is unhealthy, and after which its connection is closed. */
  unhealthyAfterMs: number;
  inactiveAfterMs: number;
  graceMs: number;
  closeSilent(orchestratorId: string, epoch: number): void;
  log: Log;
}): Sweep {
  const { database, presence, lease, outbox, delivery, clock, graceMs, log } = dependencies;

  async function buryTheDead(): Promise<void> {
    // Until every living replica has had the time to renew, a lease that ran out says nothing: Redis may have been
    // away, or come back empty. Both show here, as a lease of our own that is young or as a data set that is.
    if (lease.heldForMs() < graceMs) return;
    // Before the roster: a replica that starts in between is in the roster, and speaks for nobody yet.
    const spokenFor = await findSpokenFor(database.query);
    const roster = await lease.roster();
    if (roster.ageMs < graceMs) return;
    for (const dead of roster.dead) {
      const frames = await outbox.empty(dead, delivery.sendOn);
      if (!(await presence.bury(dead))) continue;
      log.warn(
        { event: 'node_dead', dead_node_id: dead },
        `Replica ${dead} is gone; ${frames} frames sent on`,
      );
    }
    const orphans = await findOrphans(
      database.query,
      spokenFor.filter((node) => !roster.live.includes(node)),
    );
    // A replica that was only paused may be back by now, and looks behind the same locks for what was written here.
    const ifStill = async (some: readonly Orphan[]) => {
      const { live } = await lease.roster();
      return some.filter(({ nodeId }) => !live.includes(nodeId));
    };
    for (let from = 0; from < orphans.length; from += chunkSize) {
      const some = orphans.slice(from, from + chunkSize);
      for (const { orchestratorId: id } of await writeDisconnects(database.batches, some, { ifStill })) {
        const about = { event: 'disconnect', orchestrator_id: id };
        log.info(about, `[C-OCS] Orchestrator ${id} disconnected`);
        log.info(about, `[C-OCS] Cleaned up connection for ${id}`);
      }
    }
  }

  async function endSilence(): Promise<void> {
    const now = clock.now();
    for (const id of await markUnhealthy(database, new Date(now - dependencies.unhealthyAfterMs)))
      log.warn({ event: 'unhealthy', orchestrator_id: id }, `Orchestrator ${id} is unhealthy: no heartbeat`);
    const silentBefore = new Date(now - dependencies.inactiveAfterMs);
    const silent = await findSilent(database.query, silentBefore);
    for (let from = 0; from < silent.length; from += chunkSize) {
      const some = silent.slice(from, from + chunkSize);
      for (const { orchestratorId, epoch } of await writeDisconnects(database.batches, some, {
        silentBefore,
      })) {
        log.warn(
          { event: 'silent', orchestrator_id: orchestratorId },
          `Orchestrator ${orchestratorId} fell silent`,
        );
        dependencies.closeSilent(orchestratorId, epoch);
      }
    }
  }

  return {
    async run() {
      try {
        await buryTheDead();
        // Behind an outage of Postgres heartbeats still wait to be written: silence says nothing yet.
        if (!(await presence.silenceExcused())) await endSilence();
      } catch (error) {
        if (isPassingFailure(error)) await presence.excuseSilence(graceMs);
        throw error;
      }
    },
  };
}
