// Owns independence: an orchestrator that declares itself independent is no longer managed by its heartbeats.
import type { Clock } from '../clock.ts';
import type { Database } from '../database/database.ts';
import { type Independence, writeIndependence } from '../database/statements/independence.ts';
import type { Log } from '../log.ts';
import type { Scope } from '../scope.ts';
import type { EnvironmentFiles } from './environment-files.ts';
import { notFound } from './errors.ts';

export interface Independences {
  /** Sets the flag in both tables and tells every replica. @throws not_found */
  set(change: {
    orchestratorId: string;
    isIndependent: boolean;
    privacyMode: boolean | undefined;
    scope: Scope;
  }): Promise<Independence>;
  /** Brings this replica's environment files up to date; a failure is a WARNING. */
  refreshFiles(): Promise<boolean>;
}

/** @param dependencies.announce tells the other replicas that a flag has changed */
export function createIndependences(dependencies: {
  database: Database;
  files: EnvironmentFiles;
  announce(): void;
  clock: Clock;
  log: Log;
}): Independences {
  const { database, files, clock, log } = dependencies;

  async function refreshFiles(): Promise<boolean> {
    try {
      await files.write();
      return true;
    } catch (error) {
      log.warn(
        { event: 'independence', error },
        'Independence setting could not be written to environment files',
      );
      return false;
    }
  }

  return {
    async set(change) {
      const independence = await writeIndependence(database, { ...change, at: new Date(clock.now()) });
      if (independence === undefined) throw notFound('Orchestrator', change.orchestratorId);
      const about = { event: 'independence', orchestrator_id: change.orchestratorId };
      const word = independence.isIndependent ? 'enabled' : 'disabled';
      log.info(about, `Independence mode ${word} for ${change.orchestratorId}`);
      dependencies.announce();
      if (await refreshFiles()) log.info(about, 'Independence setting written to environment files');
      return independence;
    },
    refreshFiles,
  };
}
