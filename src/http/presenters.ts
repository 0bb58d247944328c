// Owns how rows look to a client. What is not named here is never shown, nor is what looks like a credential.
import { hideCredentials, hideCredentialsInText } from '../credentials.ts';
import type { OrchestratorInstance } from '../database/orchestrator-instances.ts';
import type { OrchestratorMessage } from '../database/orchestrator-messages.ts';
import type { Organization } from '../database/organizations.ts';
import type { Page } from '../fleet/pages.ts';

const time = (date: Date | null | undefined) => date?.toISOString() ?? null;

export function presentOrganization(row: Organization) {
  return {
    organization_id: row.organizationId,
    name: hideCredentialsInText(row.name),
    location: hideCredentialsInText(row.location),
    status: row.status,
    is_active: row.status === 'active',
    is_independent: row.isIndependent,
    last_seen: time(row.lastSeen),
    features: hideCredentials(row.features),
    settings: hideCredentials(row.settings),
    metadata: hideCredentials(row.metadata),
    created_at: time(row.createdAt),
    updated_at: time(row.updatedAt),
  };
}

export function presentInstance(row: OrchestratorInstance) {
  return {
    orchestrator_id: row.orchestratorId,
    organization_id: row.organization.organizationId,
    name: hideCredentialsInText(row.name),
    organization_name: hideCredentialsInText(row.organization.name),
    location: hideCredentialsInText(row.location),
    status: shownStatus(row),
    health_status: row.healthStatus,
    is_independent: row.isIndependent,
    privacy_mode: row.privacyMode,
    last_seen: time(row.lastSeen),
    features: hideCredentials(row.features),
    metadata: hideCredentials(row.metadata),
    session_config: hideCredentials(row.sessionConfig),
    monitoring_enabled: row.monitoringEnabled,
    internal_url: hideCredentials(row.internalUrl ?? null),
    container_id: row.containerId ?? null,
    image_name: hideCredentials(row.imageName ?? null),
    phoenix_endpoint: hideCredentials(row.phoenixEndpoint ?? null),
    created_at: time(row.createdAt),
    updated_at: time(row.updatedAt),
  };
}

export function shownStatus(row: { status: string; isIndependent: boolean }): string {
  return row.isIndependent ? 'independent' : row.status;
}

export function presentMessage(row: OrchestratorMessage) {
  return {
    id: row.id,
    orchestrator_id: row.orchestratorId,
    message_type: row.messageType,
    // What people write to people stays as they wrote it.
    content: row.content,
    metadata: hideCredentials(row.messageMetadata),
    status: row.status,
    created_at: time(row.createdAt),
    updated_at: time(row.updatedAt),
  };
}

export function presentPage<T>(page: Page<T>, present: (item: T) => unknown) {
  const totalPages = Math.ceil(page.totalItems / page.pageSize);
  return {
    items: page.items.map(present),
    page: page.page,
    page_size: page.pageSize,
    total_items: page.totalItems,
    total_pages: totalPages,
    has_next: page.page < totalPages,
    has_prev: page.page > 1,
  };
}
