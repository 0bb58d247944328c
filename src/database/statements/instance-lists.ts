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

/** Of a call that names none. Of any other there would be too many statements for each connection to keep. */
const usualLimit = 20;

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
  const count = `SELECT count(*)::int AS total FROM orchestrator_instances i ${whereOf(conditions)}`;
  const asked = [...parameters.values];
  const isUsual = limit === usualLimit && offset === 0;
  const rows = await query(
    `SELECT (${count}) AS total, i.orchestrator_id, i.organization_id, o.name AS organization_name, i.name, i.location,
       i.status, i.health_status, i.is_independent, i.privacy_mode, ${epochOf('i.last_seen')} AS last_seen_ms, i.features,
       i.metadata, i.session_config, i.monitoring_enabled, i.internal_url, i.container_id, i.image_name,
       i.phoenix_endpoint, ${epochOf('i.created_at')} AS created_ms, ${epochOf('i.updated_at')} AS updated_ms
     FROM orchestrator_instances i JOIN organizations o USING (organization_id) ${whereOf(conditions)}
     ORDER BY i.created_at DESC, i.orchestrator_id DESC
     LIMIT ${isUsual ? limit : parameters.add(limit)} ${isUsual ? '' : `OFFSET ${parameters.add(offset)}`}`,
    parameters.values,
    { prepared: isUsual },
  );
  // A page without rows has nowhere to say it.
  const [about] = rows.length > 0 ? rows : await query(count, asked);
  return { items: rows.map(instanceOf), totalItems: Number(about?.total) };
}

function instanceOf(row: Row): ListedInstance {
  return {
    orchestratorId: String(row.orchestrator_id),
    organization: { organizationId: String(row.organization_id), name: String(row.organization_name) },
    name: String(row.name),
    location: String(row.location),
    status: wordOf(activities, row.status),
    healthStatus: wordOf(healths, row.health_status),
    isIndependent: row.is_independent === true,
    privacyMode: row.privacy_mode === true,
    lastSeen: dateOrNull(row.last_seen_ms),
    features: row.features,
    metadata: row.metadata,
    sessionConfig: row.session_config,
    monitoringEnabled: row.monitoring_enabled === true,
    internalUrl: textOrNull(row.internal_url),
    containerId: textOrNull(row.container_id),
    imageName: textOrNull(row.image_name),
    phoenixEndpoint: textOrNull(row.phoenix_endpoint),
    createdAt: dateOf(row.created_ms),
    updatedAt: dateOf(row.updated_ms),
  };
}
