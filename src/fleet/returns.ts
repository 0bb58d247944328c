// Owns the return of a replica that was taken for dead: the rows of the sockets that it has kept are active again.
import { reportRetries } from '../availability.ts';
import { createBatcher } from '../batcher.ts';
import type { Clock } from '../clock.ts';
import type { Database } from '../database/database.ts';
import { verdictOn } from '../database/failures.ts';
import type { Connection } from '../database/statements/disconnects.ts';
import { type ReturnOutcome, writeReturns } from '../database/statements/returns.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Found, LiveConnection } from './connections.ts';

export interface Returns {
  /** Writes the rows once Postgres answers, which is not waited for; `found` is told of those that stay inactive. */
  bringBack(connections: readonly LiveConnection[], found: Found): void;
  idle(): Promise<void>;
  abandon(reason: Error): void;
}

/** @param dependencies.disconnected writes the end of a connection */
export function createReturns(dependencies: {
  database: Database;
  clock: Clock;
  nodeId: string;
  inactiveAfterMs: number;
  disconnected(connection: Connection): Promise<unknown>;
  metrics: Metrics;
  log: Log;
}): Returns {
  const { database, clock, nodeId, inactiveAfterMs, disconnected, log } = dependencies;

  const returns = createBatcher<Connection, ReturnOutcome>({
    flush(batch) {
      const silentBefore = new Date(clock.now() - inactiveAfterMs);
      return writeReturns(database.batches, batch, { nodeId, silentBefore });
    },
    merge: (older, newer) => (older.epoch > newer.epoch ? older : newer),
    onFailure: verdictOn,
    onRetry: reportRetries(log, 'connections', 'connections of a replica that was away'),
    watch: dependencies.metrics.batch('returns'),
  });

  async function bringBack(connection: LiveConnection, found: Found): Promise<void> {
    const { orchestratorId, epoch } = connection;
    if (!found.stillThere(connection)) return;
    const outcome = await returns.add(orchestratorId, { orchestratorId, epoch });
    // Its own end may have been written before this.
    if (!found.stillThere(connection)) return void (await disconnected({ orchestratorId, epoch }));
    switch (outcome.kind) {
      case 'active':
        if (outcome.revived)
          log.info(
            { event: 'presence', orchestrator_id: orchestratorId },
            `Orchestrator ${orchestratorId} has been connected all the time; its row is active again`,
          );
        return;
      case 'superseded':
        return found.superseded(connection, outcome);
      case 'silent':
        return found.silent(connection);
      case 'unknown':
        // Its next heartbeat is told so.
        return;
      default:
        return outcome satisfies never;
    }
  }

  return {
    bringBack(connections, found) {
      for (const connection of connections)
        bringBack(connection, found).catch((error: unknown) =>
          log.error(
            { event: 'presence', orchestrator_id: connection.orchestratorId, error },
            `The row of ${connection.orchestratorId} could not be made active again`,
          ),
        );
    },
    idle: () => returns.idle(),
    abandon: (reason) => returns.abandon(reason),
  };
}
