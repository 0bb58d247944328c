// Owns how rows look to a client: their shapes, and what is shown of each. What is not named here is never shown, nor is
// what looks like a credential.
import { z } from 'zod';
import { hideCredentials, hideCredentialsInText } from '../credentials.ts';
import { healths } from '../database/orchestrator-instances.ts';
import {
  messageStatuses,
  messageTypes,
  type OrchestratorMessage,
} from '../database/orchestrator-messages.ts';
import { type Activity, activities, type Organization } from '../database/organizations.ts';
import type { ListedInstance } from '../database/statements/instance-lists.ts';
import { type ShownStatus, shownStatuses } from '../fleet/instances.ts';
import type { Page } from '../fleet/pages.ts';
import { count, knownId, messageId, storedContainer, storedObject, time } from '../fleet/shapes.ts';
import { isoTime } from '../iso-time.ts';

export const organization = z
  .object({
    organization_id: knownId,
    name: z.string(),
    location: z.string(),
    status: z.enum(activities).describe('`active` while one of its orchestrators is'),
    is_active: z.boolean(),
    is_independent: z.boolean(),
    last_seen: time.nullable(),
    features: storedContainer,
    settings: storedObject,
    metadata: storedObject,
    created_at: time,
    updated_at: time,
  })
  .meta({ id: 'Organization' });

export const instance = z
  .object({
    orchestrator_id: knownId,
    organization_id: knownId,
    name: z.string(),
    organization_name: z.string(),
    location: z.string(),
    status: z.enum(shownStatuses).describe('An independent one is neither active nor inactive'),
    health_status: z.enum(healths).describe('The last one told, or `unhealthy` after silence'),
    is_independent: z.boolean(),
    privacy_mode: z.boolean(),
    last_seen: time.nullable(),
    features: storedContainer,
    metadata: storedObject,
    session_config: storedObject,
    monitoring_enabled: z.boolean(),
    internal_url: z.string().nullable(),
    container_id: z.string().nullable(),
    image_name: z.string().nullable(),
    phoenix_endpoint: z.string().nullable(),
    created_at: time,
    updated_at: time,
  })
  .meta({ id: 'Instance' });

export const message = z
  .object({
    id: messageId,
    orchestrator_id: knownId,
    message_type: z.enum(messageTypes),
    content: z.string(),
    metadata: storedObject,
    status: z.enum(messageStatuses),
    created_at: time,
    updated_at: time,
  })
  .meta({ id: 'Message' });

/** A page of these; `name` is what it is called. */
export const pageOf = <T extends z.ZodType>(name: string, item: T) =>
  z
    .object({
      items: z.array(item),
      page: z.int().min(1),
      page_size: z.int().min(1).max(100),
      total_items: count,
      total_pages: count,
      has_next: z.boolean(),
      has_prev: z.boolean(),
    })
    .meta({ id: name });

const timeOrNull = (date: Date | null | undefined) => (date ? isoTime(date) : null);

export function presentOrganization(row: Organization): z.output<typeof organization> {
  return {
    organization_id: row.organizationId,
    name: hideCredentialsInText(row.name),
    location: hideCredentialsInText(row.location),
    status: row.status,
    is_active: row.status === 'active',
    is_independent: row.isIndependent,
    last_seen: timeOrNull(row.lastSeen),
    features: hideCredentials(row.features),
    settings: hideCredentials(row.settings),
    metadata: hideCredentials(row.metadata),
    created_at: isoTime(row.createdAt),
    updated_at: isoTime(row.updatedAt),
  };
}

export function presentInstance(row: ListedInstance): z.output<typeof instance> {
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
    last_seen: timeOrNull(row.lastSeen),
    features: hideCredentials(row.features),
    metadata: hideCredentials(row.metadata),
    session_config: hideCredentials(row.sessionConfig),
    monitoring_enabled: row.monitoringEnabled,
    internal_url: hideIn(row.internalUrl),
    container_id: row.containerId ?? null,
    image_name: hideIn(row.imageName),
    phoenix_endpoint: hideIn(row.phoenixEndpoint),
    created_at: isoTime(row.createdAt),
    updated_at: isoTime(row.updatedAt),
  };
}

function hideIn(text: string | null | undefined): string | null {
  return text === null || text === undefined ? null : hideCredentialsInText(text);
}

export function shownStatus(row: { status: Activity; isIndependent: boolean }): ShownStatus {
  return row.isIndependent ? 'independent' : row.status;
}

export function presentMessage(row: OrchestratorMessage): z.output<typeof message> {
  return {
    id: row.id,
    orchestrator_id: row.orchestratorId,
    message_type: row.messageType,
    // What people write to people stays as they wrote it.
    content: row.content,
    metadata: hideCredentials(row.messageMetadata),
    status: row.status,
    created_at: isoTime(row.createdAt),
    updated_at: isoTime(row.updatedAt),
  };
}

export function presentPage<T, Shown>(page: Page<T>, present: (item: T) => Shown) {
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
