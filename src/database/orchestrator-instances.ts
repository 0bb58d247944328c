// Owns the table `orchestrator_instances`: every orchestrator the fleet knows, connected or not. Its columns
// connection_epoch and node_id, which say which connection counts, are the statements' business alone.
import { defineEntity, type InferEntity, p } from '@mikro-orm/core';
import { type Activity, activities, Organization } from './organizations.ts';

export const healths = ['healthy', 'degraded', 'unhealthy', 'unknown'] as const;
export type Health = (typeof healths)[number];

export const OrchestratorInstance = defineEntity({
  name: 'OrchestratorInstance',
  tableName: 'orchestrator_instances',
  properties: {
    orchestratorId: p.string().primary().length(255),
    organization: () => p.manyToOne(Organization).fieldName('organization_id'),
    name: p.text(),
    location: p.text(),
    status: p.enum(activities).$type<Activity>(),
    healthStatus: p.enum(healths).$type<Health>(),
    isIndependent: p.boolean(),
    privacyMode: p.boolean(),
    lastSeen: p.datetime().nullable(),
    features: p.json<unknown>(),
    metadata: p.json<unknown>(),
    sessionConfig: p.json<unknown>(),
    monitoringEnabled: p.boolean(),
    internalUrl: p.text().nullable(),
    /** Holds a credential: written at registration, never shown. So are the next two. */
    databaseUrl: p.text().nullable().lazy(),
    redisUrl: p.text().nullable().lazy(),
    environmentVariables: p.json<unknown>().lazy(),
    containerId: p.text().nullable(),
    imageName: p.text().nullable(),
    phoenixEndpoint: p.text().nullable(),
    createdAt: p.datetime(),
    updatedAt: p.datetime(),
  },
});

export type OrchestratorInstance = InferEntity<typeof OrchestratorInstance>;
