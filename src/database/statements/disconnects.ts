// Owns the statements that turn orchestrators inactive: disconnects, dead replicas, silence.
import { LostRace } from '../failures.ts';
import type { Query, Row, Statements } from '../pool.ts';

export interface Connection {
  orchestratorId: string;
  epoch: number;
}

const lockStatement = `
  SELECT organization_id FROM organizations
  WHERE organization_id IN (SELECT organization_id FROM orchestrator_instances WHERE orchestrator_id = ANY ($1::text[]))
  ORDER BY organization_id FOR NO KEY UPDATE`;

/**
 * Locks the organizations of these instances, by id. Whoever changes an instance does this first; several are then changed
 * in whichever order, as nobody else gets that far.
 * @returns the ids of the organizations; those of an instance that moved meanwhile are others
 */
export async function lockOrganizations(
  query: Query,
  orchestratorIds: readonly string[],
): Promise<Set<unknown>> {
  const rows = await query(lockStatement, [orchestratorIds]);
  return new Set(rows.map((row) => row.organization_id));
}

/** Behind the lock of their organizations, so in no order of its own. */
const inactivateInstances = `
  UPDATE orchestrator_instances i SET status = 'inactive', node_id = NULL
  FROM unnest($1::text[], $2::bigint[]) AS gone (orchestrator_id, epoch)
  WHERE i.orchestrator_id = gone.orchestrator_id AND i.connection_epoch = gone.epoch AND i.status = 'active'
    AND ($3::timestamptz IS NULL OR (i.last_seen < $3 AND NOT i.is_independent))
  RETURNING i.orchestrator_id, i.connection_epoch, i.organization_id`;

const settleStatement = `
  UPDATE organizations o SET status = now.status
  FROM (
    SELECT organization_id, CASE WHEN EXISTS (
      SELECT FROM orchestrator_instances i WHERE i.organization_id = each.organization_id AND i.status = 'active')
      THEN 'active' ELSE 'inactive' END AS status
    FROM unnest($1::text[]) AS each (organization_id)
  ) now
  WHERE o.organization_id = now.organization_id AND o.status <> now.status`;

/**
 * Makes each organization active if one of its instances is, else inactive. A statement of its own, which sees what
 * those before it changed; the caller has locked the organizations, so that nobody changes an instance meanwhile.
 */
export async function settleOrganizations(query: Query, organizationIds: readonly unknown[]): Promise<void> {
  if (organizationIds.length > 0) await query(settleStatement, [organizationIds]);
}

/**
 * The same for the organizations of instances that were just changed.
 * @throws LostRace when one of them moved before the lock: where it is now others change instances meanwhile
 */
export async function settleOrganizationsOf(
  query: Query,
  instances: readonly Row[],
  locked: ReadonlySet<unknown>,
): Promise<void> {
  const organizationIds = new Set(instances.map((row) => row.organization_id));
  if (!organizationIds.isSubsetOf(locked)) throw new LostRace('an instance moved between two statements');
  await settleOrganizations(query, [...organizationIds]);
}

/**
 * Turns the instances inactive whose epoch is still the one given, and each organization that has no active
 * instance left. An older epoch changes nothing.
 * @param only.silentBefore if given, only those not heard of since then, and no independent one
 * @param only.ifStill if given, asked behind the locks which of them it still concerns
 * @returns the connections that were turned inactive
 */
export async function writeDisconnects<C extends Connection>(
  database: Statements,
  connections: readonly C[],
  only: { silentBefore?: Date; ifStill?(connections: readonly C[]): Promise<C[]> } = {},
): Promise<Connection[]> {
  if (connections.length === 0) return [];
  return database.transaction(async (query) => {
    const locked = await lockOrganizations(
      query,
      connections.map((connection) => connection.orchestratorId),
    );
    const concerned = (await only.ifStill?.(connections)) ?? connections;
    const ids = concerned.map((connection) => connection.orchestratorId);
    const epochs = concerned.map((connection) => connection.epoch);
    const gone = await query(inactivateInstances, [ids, epochs, only.silentBefore ?? null]);
    await settleOrganizationsOf(query, gone, locked);
    return gone.map(asConnection);
  });
}

/** The replicas by whose word instances are active. */
export async function findSpokenFor(query: Query): Promise<string[]> {
  const rows = await query(
    "SELECT DISTINCT node_id FROM orchestrator_instances WHERE status = 'active' AND node_id IS NOT NULL",
  );
  return rows.map((row) => String(row.node_id));
}

export interface Orphan extends Connection {
  nodeId: string;
}

/** Instances that are active by the word of one of these replicas, by id. */
export async function findOrphans(query: Query, deadNodeIds: readonly string[]): Promise<Orphan[]> {
  const rows = await query(
    `SELECT orchestrator_id, connection_epoch, node_id FROM orchestrator_instances
     WHERE status = 'active' AND node_id = ANY ($1::text[]) ORDER BY orchestrator_id`,
    [deadNodeIds],
  );
  return rows.map((row) => ({ ...asConnection(row), nodeId: String(row.node_id) }));
}

/** Active instances, not independent, that were last heard of before `silentBefore`. */
export async function findSilent(query: Query, silentBefore: Date): Promise<Connection[]> {
  const rows = await query(
    `SELECT orchestrator_id, connection_epoch FROM orchestrator_instances
     WHERE status = 'active' AND NOT is_independent AND last_seen < $1`,
    [silentBefore],
  );
  return rows.map(asConnection);
}

const isSilent =
  "status = 'active' AND NOT is_independent AND last_seen < $1 AND health_status <> 'unhealthy'";

/** Marks active instances, not independent, that were last heard of before `silentBefore`; returns their ids. */
export async function markUnhealthy(database: Statements, silentBefore: Date): Promise<string[]> {
  const asIds = (rows: readonly Row[]) => rows.map((row) => String(row.orchestrator_id));
  const find = `SELECT orchestrator_id FROM orchestrator_instances WHERE ${isSilent}`;
  const silent = asIds(await database.query(find, [silentBefore]));
  if (silent.length === 0) return [];
  return database.transaction(async (query) => {
    await lockOrganizations(query, silent);
    const mark = `UPDATE orchestrator_instances SET health_status = 'unhealthy'
      WHERE ${isSilent} AND orchestrator_id = ANY ($2::text[]) RETURNING orchestrator_id`;
    return asIds(await query(mark, [silentBefore, silent]));
  });
}

function asConnection(row: Record<string, unknown>): Connection {
  return { orchestratorId: String(row.orchestrator_id), epoch: Number(row.connection_epoch) };
}
