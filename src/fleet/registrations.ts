// Owns how an orchestrator enters and leaves the fleet by somebody else's word: register, delete, deregister.
import { reasonOf } from '../availability.ts';
import type { Database } from '../database/database.ts';
import {
  type Registered,
  type Registration,
  type Removed,
  writeRegistration,
  writeRemoval,
} from '../database/statements/registrations.ts';
import type { Log } from '../log.ts';
import type { Presence } from '../redis/presence.ts';
import type { Scope } from '../scope.ts';
import { alreadyExists, notFound } from './errors.ts';

export interface Registrations {
  /**
   * Inserts or updates both rows; a new instance is inactive until it connects.
   * @throws already_exists in an organization that the caller does not see
   */
  register(registration: Registration): Promise<Registered>;
  /** Deletes the instance with what hangs on it and closes its connection, wherever that is. @throws not_found */
  deleteInstance(orchestratorId: string, scope: Scope): Promise<Removed>;
  /** The same, in the words of an orchestrator that leaves the fleet. @throws not_found */
  deregister(orchestratorId: string, scope: Scope): Promise<Removed>;
}

/** @param dependencies.closeSockets closes the sockets up to an epoch, on whichever replica has them */
export function createRegistrations(dependencies: {
  database: Database;
  presence: Presence;
  closeSockets(orchestratorId: string, epoch: number): void;
  /** Tells every replica that the rows of an orchestrator have changed, or are gone. */
  onRegistered(orchestratorId: string): void;
  onRemoved(): void;
  log: Log;
}): Registrations {
  const { database, presence, log } = dependencies;

  /** A Redis that is away keeps nothing from being deleted: the replica that has the socket, or the sweep, follows. */
  async function clearPresence(orchestratorId: string, epoch: number): Promise<void> {
    try {
      await presence.forget(orchestratorId, epoch);
    } catch (error) {
      log.warn(
        { event: 'deregister', orchestrator_id: orchestratorId, reason: reasonOf(error) },
        `Presence of ${orchestratorId} was not cleared`,
      );
    }
  }

  async function remove(orchestratorId: string, scope: Scope): Promise<Removed> {
    const removed = await writeRemoval(database, orchestratorId, scope);
    if (removed === undefined) throw notFound('Orchestrator', orchestratorId);
    await clearPresence(orchestratorId, removed.epoch);
    dependencies.closeSockets(orchestratorId, removed.epoch);
    dependencies.onRemoved();
    return removed;
  }

  return {
    async register(registration) {
      const registered = await writeRegistration(database, registration);
      const { orchestratorId } = registration;
      if (registered === undefined) throw alreadyExists('Orchestrator', orchestratorId);
      log.info(
        { event: 'register', orchestrator_id: orchestratorId },
        `DB registration successful for ${orchestratorId}`,
      );
      if (!registered.created) dependencies.onRegistered(orchestratorId);
      return registered;
    },
    async deleteInstance(orchestratorId, scope) {
      const removed = await remove(orchestratorId, scope);
      log.info(
        { event: 'instance_deleted', orchestrator_id: orchestratorId },
        `Orchestrator instance ${orchestratorId} deleted`,
      );
      return removed;
    },
    async deregister(orchestratorId, scope) {
      const removed = await remove(orchestratorId, scope);
      const about = { event: 'deregister', orchestrator_id: orchestratorId };
      log.info(about, `Orchestrator ${orchestratorId} disconnected`);
      log.info(about, `Cleaned up connection for ${orchestratorId}`);
      log.info(about, `Orchestrator ${orchestratorId} deregistered from database`);
      return removed;
    },
  };
}
