// Owns the statement that lists orchestrator instances: one page, newest first, and how many there are, in one answer.
import { type Health, healths } from '../orchestrator-instances.ts';
import { type Activity, activities } from '../organizations.ts';
import type { Query, Row } from '../pool.ts';
import { createParameters, dateOf, dateOrNull, epochOf, textOrNull, whereOf, wordOf } from './listing.ts';

export interface InstanceCriteria {
  readonly organizationId: string | undefined;
  /** Of these organizations alone. */
  readonly organizations: readonly string[] | undefined;
  /** What is independent is neither active nor inactive. */
  readonly status: Activity | 'independent' | undefined;
  readonly limit: number;
  readonly offset: number;
}

/** What is shown of an instance: nothing that holds credentials is read. */
export interface ListedInstance {
  readonly orchestratorId: string;
  readonly organization: { readonly organizationId: string; readonly name: string };
  readonly name: string;
  readonly location: string;
  readonly status: Activity;
  readonly healthStatus: Health;
  readonly isIndependent: boolean;
  readonly privacyMode: boolean;
  readonly lastSeen?: Date | null | undefined;
  readonly features: unknown;
  readonly metadata: unknown;
  readonly sessionConfig: unknown;
  readonly monitoringEnabled: boolean;
  readonly internalUrl?: string | null | undefined;
  readonly containerId?: string | null | undefined;
  readonly imageName?: string | null | undefined;
  readonly phoenixEndpoint?: string | null | undefined;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export async function listInstances(
  query: Query,
  criteria: InstanceCriteria,
): Promise<{ items: ListedInstance[]; totalItems: number }> {
  const { organizationId, organizations, status, limit, offset } = criteria;
  const parameters = createParameters();
  const conditions: string[] = [];
  if (organizationId !== undefined) conditions.push(`i.organization_id = ${parameters.add(organizationId)}`);
  if (organizations !== undefined)
    conditions.push(`i.organization_id = ANY (${parameters.add(organizations)}::text[])`);
  if (status === 'independent') conditions.push('i.is_independent');
  else if (status !== undefined)
    conditions.push(`i.status = ${parameters.add(status)}`, 'NOT i.is_independent');
  const where = whereOf(conditions);
  const rows = await query(
    `SELECT (SELECT count(*) FROM orchestrator_instances i ${where})::int AS total, i.orchestrator_id, i.organization_id,
       o.name AS organization_name, i.name, i.location, i.status, i.health_status, i.is_independent, i.privacy_mode,
       ${epochOf('i.last_seen')} AS last_seen, i.features, i.metadata, i.session_config, i.monitoring_enabled,
       i.internal_url, i.container_id, i.image_name, i.phoenix_endpoint, ${epochOf('i.created_at')} AS created_at,
       ${epochOf('i.updated_at')} AS updated_at
     FROM (VALUES (true)) one LEFT JOIN LATERAL (
       SELECT * FROM orchestrator_instances i ${where}
       ORDER BY i.created_at DESC, i.orchestrator_id DESC
       LIMIT ${parameters.add(limit)} OFFSET ${parameters.add(offset)}
     ) i ON true LEFT JOIN organizations o USING (organization_id)
     ORDER BY i.created_at DESC, i.orchestrator_id DESC`,
    parameters.values,
  );
  return { items: rows.flatMap(instanceOf), totalItems: Number(rows[0]?.total) };
}

function instanceOf(row: Row): ListedInstance[] {
  // There is a row for the count where there is no instance.
  if (row.orchestrator_id === null) return [];
  return [
    {
      orchestratorId: String(row.orchestrator_id),
      organization: { organizationId: String(row.organization_id), name: String(row.organization_name) },
      name: String(row.name),
      location: String(row.location),
      status: wordOf(activities, row.status),
      healthStatus: wordOf(healths, row.health_status),
      isIndependent: row.is_independent === true,
      privacyMode: row.privacy_mode === true,
      lastSeen: dateOrNull(row.last_seen),
      features: row.features,
      metadata: row.metadata,
      sessionConfig: row.session_config,
      monitoringEnabled: row.monitoring_enabled === true,
      internalUrl: textOrNull(row.internal_url),
      containerId: textOrNull(row.container_id),
      imageName: textOrNull(row.image_name),
      phoenixEndpoint: textOrNull(row.phoenix_endpoint),
      createdAt: dateOf(row.created_at),
      updatedAt: dateOf(row.updated_at),
    },
  ];
}
