// Owns the table `organizations`: the tenants.
import { defineEntity, type InferEntity, p } from '@mikro-orm/core';

export const activities = ['active', 'inactive'] as const;
export type Activity = (typeof activities)[number];

export const Organization = defineEntity({
  name: 'Organization',
  tableName: 'organizations',
  properties: {
    organizationId: p.string().primary().length(255),
    name: p.text(),
    location: p.text(),
    /** `active` while at least one of its orchestrators is; the column `is_active` is computed from it. */
    status: p.enum(activities).$type<Activity>(),
    isIndependent: p.boolean(),
    lastSeen: p.datetime().nullable(),
    features: p.json<unknown>(),
    settings: p.json<unknown>(),
    metadata: p.json<unknown>(),
    createdAt: p.datetime(),
    updatedAt: p.datetime(),
  },
});

export type Organization = InferEntity<typeof Organization>;
