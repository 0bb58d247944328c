// Owns the statements that register an orchestrator and remove it, all tables at once.
import { covers, type Scope } from '../../scope.ts';
import { LostRace } from '../failures.ts';
import { type Activity, activities } from '../organizations.ts';
import type { Query, Statements } from '../pool.ts';
import { settleOrganizations } from './disconnects.ts';

export interface Registration {
  orchestratorId: string;
  organizationId: string;
  /** Absent, here and below: the row keeps what it has. */
  name: string | undefined;
  location: string | undefined;
  features: unknown;
  monitoring: boolean | undefined;
  internalUrl: string | undefined;
  databaseUrl: string | undefined;
  redisUrl: string | undefined;
  containerId: string | undefined;
  imageName: string | undefined;
  environmentVariables: Record<string, unknown> | undefined;
  /** An orchestrator that belongs to an organization outside of it stays as it is. */
  scope: Scope;
}

export interface Registered {
  organizationName: string;
  status: Activity;
  isIndependent: boolean;
  /** Whether the instance is new. */
  created: boolean;
}

/**
 * Inserts or updates both rows; an update leaves status, health and independence alone.
 * @returns undefined, and changes nothing, if the orchestrator is there outside of the scope, or an organization is that
 * is called so
 */
export async function writeRegistration(
  database: Statements,
  registration: Registration,
): Promise<Registered | undefined> {
  const { orchestratorId, organizationId, name, location } = registration;
  const features = registration.features === undefined ? null : JSON.stringify(registration.features);
  const environment =
    registration.environmentVariables === undefined
      ? null
      : JSON.stringify(registration.environmentVariables);
  const taken = new Error(`orchestrator ${orchestratorId} belongs to another organization`);
  const work = async (query: Query): Promise<Registered> => {
    await query(
      `INSERT INTO organizations (organization_id, name, location, features)
       VALUES ($1::text, COALESCE($2, 'Organization ' || $1::text), COALESCE($3, 'unknown'), COALESCE($4::jsonb, '{}'))
       ON CONFLICT DO NOTHING`,
      [organizationId, name, location, features],
    );
    // Its own, and the one it may leave for it, in the order in which all lock them.
    const locked = await query(
      `SELECT organization_id FROM organizations WHERE organization_id = $1 OR organization_id =
         (SELECT organization_id FROM orchestrator_instances WHERE orchestrator_id = $2)
       ORDER BY organization_id FOR NO KEY UPDATE`,
      [organizationId, orchestratorId],
    );
    // One that is there again by now would be waited for by the update: out of turn.
    if (!locked.some((row) => row.organization_id === organizationId))
      throw new LostRace(`organization ${organizationId} was removed between two statements`);
    const [before] = await query(
      'SELECT organization_id FROM orchestrator_instances WHERE orchestrator_id = $1 FOR UPDATE',
      [orchestratorId],
    );
    if (before !== undefined && !locked.some((row) => row.organization_id === before.organization_id))
      throw new LostRace(`${orchestratorId} moved between two statements`);
    // Thrown, so that no organization is left of it.
    if (before === undefined && (await isNamesakeOfForeign(query, registration))) throw taken;
    if (before !== undefined && !covers(registration.scope, String(before.organization_id))) throw taken;
    const [organization] = await query(
      `UPDATE organizations SET updated_at = now(),
         name = CASE WHEN $5 THEN COALESCE($2, name) ELSE name END,
         location = CASE WHEN $5 THEN COALESCE($3, location) ELSE location END,
         features = CASE WHEN $5 THEN COALESCE($4::jsonb, features) ELSE features END
       WHERE organization_id = $1 RETURNING name`,
      [organizationId, name, location, features, organizationId === orchestratorId],
    );
    const inserted = await query(
      `INSERT INTO orchestrator_instances (orchestrator_id, organization_id, name)
       VALUES ($1::text, $2, COALESCE($3, 'Organization ' || $1::text)) ON CONFLICT DO NOTHING RETURNING orchestrator_id`,
      [orchestratorId, organizationId, name],
    );
    const [instance] = await query(
      `UPDATE orchestrator_instances SET updated_at = now(), organization_id = $2,
         name = COALESCE($3, name), location = COALESCE($4, location), features = COALESCE($5::jsonb, features),
         monitoring_enabled = COALESCE($6, monitoring_enabled), internal_url = COALESCE($7, internal_url),
         database_url = COALESCE($8, database_url), redis_url = COALESCE($9, redis_url),
         container_id = COALESCE($10, container_id), image_name = COALESCE($11, image_name),
         environment_variables = COALESCE($12::jsonb, environment_variables)
       WHERE orchestrator_id = $1 RETURNING status, is_independent`,
      [
        orchestratorId,
        organizationId,
        name,
        location,
        features,
        registration.monitoring,
        registration.internalUrl,
        registration.databaseUrl,
        registration.redisUrl,
        registration.containerId,
        registration.imageName,
        environment,
      ],
    );
    if (locked.length > 1)
      await settleOrganizations(
        query,
        locked.map((row) => row.organization_id),
      );
    return {
      organizationName: String(organization?.name),
      status: activities.find((each) => each === instance?.status) ?? 'inactive',
      isIndependent: instance?.is_independent === true,
      created: inserted.length > 0,
    };
  };
  try {
    return await database.transaction(work);
  } catch (error) {
    if (error === taken) return undefined;
    throw error;
  }
}

/**
 * Whether another organization is called like this new orchestrator: its own first one will be, if it says nothing else.
 * Who sees only its own organizations must not take that id.
 */
async function isNamesakeOfForeign(
  query: Query,
  { orchestratorId, scope }: { orchestratorId: string; scope: Scope },
): Promise<boolean> {
  if (covers(scope, orchestratorId)) return false;
  const [found] = await query('SELECT 1 FROM organizations WHERE organization_id = $1', [orchestratorId]);
  return found !== undefined;
}

/**
 * Locks the instance's organization and then the instance, as all do.
 * @returns the organization's id, or undefined for an orchestrator that is unknown within the scope
 * @throws LostRace when the instance has moved in between
 */
export async function lockInstance(
  query: Query,
  orchestratorId: string,
  scope: Scope,
): Promise<string | undefined> {
  const [organization] = await query(
    `SELECT organization_id FROM organizations
     WHERE organization_id = (SELECT organization_id FROM orchestrator_instances WHERE orchestrator_id = $1)
     FOR UPDATE`,
    [orchestratorId],
  );
  const [instance] = await query(
    'SELECT organization_id FROM orchestrator_instances WHERE orchestrator_id = $1 FOR UPDATE',
    [orchestratorId],
  );
  if (instance === undefined) return undefined;
  if (organization === undefined || organization.organization_id !== instance.organization_id)
    throw new LostRace(`${orchestratorId} moved between two statements`);
  const organizationId = String(instance.organization_id);
  return covers(scope, organizationId) ? organizationId : undefined;
}

export interface Removed {
  /** The one that it was of. */
  organizationId: string;
  /** Rows of each table. */
  deleted: { messages: number; instances: number; organizations: number };
  /** Connections up to this epoch were those of what is removed; a higher one is of its successor. */
  epoch: number;
}

/**
 * Deletes the instance, its messages, and its organization if that has no other instance.
 * @returns undefined for an unknown orchestrator
 */
export function writeRemoval(
  database: Statements,
  orchestratorId: string,
  scope: Scope,
): Promise<Removed | undefined> {
  return database.transaction(async (query) => {
    const organizationId = await lockInstance(query, orchestratorId, scope);
    if (organizationId === undefined) return undefined;
    const messages = await query('DELETE FROM orchestrator_messages WHERE orchestrator_id = $1 RETURNING 1', [
      orchestratorId,
    ]);
    const [instance] = await query(
      'DELETE FROM orchestrator_instances WHERE orchestrator_id = $1 RETURNING connection_epoch',
      [orchestratorId],
    );
    const organizations = await query(
      `DELETE FROM organizations o WHERE organization_id = $1
       AND NOT EXISTS (SELECT FROM orchestrator_instances i WHERE i.organization_id = o.organization_id)
       RETURNING 1`,
      [organizationId],
    );
    if (organizations.length === 0) await settleOrganizations(query, [organizationId]);
    return {
      organizationId,
      deleted: { messages: messages.length, instances: 1, organizations: organizations.length },
      epoch: Number(instance?.connection_epoch),
    };
  });
}

export interface Placeholder {
  orchestratorId: string;
  organizationId: string;
  name: string;
  location: string | undefined;
  features: unknown;
  metadata: unknown;
  at: Date;
  /** It is not called like an organization outside of it. */
  scope: Scope;
}

/**
 * Inserts an inactive instance, and its organization where that is missing.
 * @returns false, and changes nothing, if the instance exists, or its id is another organization's
 */
export async function writeInstance(database: Statements, placeholder: Placeholder): Promise<boolean> {
  const { orchestratorId, organizationId, name, location, features, metadata, at } = placeholder;
  const shared = [location ?? 'unknown', JSON.stringify(features ?? {}), JSON.stringify(metadata ?? {}), at];
  const taken = new Error(`instance ${orchestratorId} exists`);
  const work = async (query: Query) => {
    const [known] = await query('SELECT 1 FROM orchestrator_instances WHERE orchestrator_id = $1', [
      orchestratorId,
    ]);
    if (known !== undefined || (await isNamesakeOfForeign(query, placeholder))) throw taken;
    const tenantName = organizationId === orchestratorId ? name : `Organization ${organizationId}`;
    await query(
      `INSERT INTO organizations (organization_id, name, location, features, metadata, created_at, updated_at)
       VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT DO NOTHING`,
      [organizationId, tenantName, ...shared],
    );
    // The organization first, as everywhere.
    await query('SELECT 1 FROM organizations WHERE organization_id = $1 FOR NO KEY UPDATE', [organizationId]);
    const inserted = await query(
      `INSERT INTO orchestrator_instances
         (orchestrator_id, organization_id, name, location, features, metadata, created_at, updated_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT DO NOTHING RETURNING 1`,
      [orchestratorId, organizationId, name, ...shared],
    );
    // Thrown, so that no organization is left of it.
    if (inserted.length === 0) throw taken;
  };
  try {
    await database.transaction(work);
    return true;
  } catch (error) {
    if (error === taken) return false;
    throw error;
  }
}
