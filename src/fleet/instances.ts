// Owns orchestrator instances as rows: listed, created as placeholders, deleted.
import type { FilterQuery } from '@mikro-orm/core';
import type { Clock } from '../clock.ts';
import type { Database } from '../database/database.ts';
import { OrchestratorInstance } from '../database/orchestrator-instances.ts';
import { writeInstance } from '../database/statements/registrations.ts';
import type { Log } from '../log.ts';
import { covers, type Scope } from '../scope.ts';
import { alreadyExists, notFound } from './errors.ts';
import { offsetOf, type Page, type PageRequest } from './pages.ts';

/** As shown: an independent instance is neither. */
export const shownStatuses = ['active', 'inactive', 'independent'] as const;
export type ShownStatus = (typeof shownStatuses)[number];

export interface NewInstance {
  organizationId: string;
  orchestratorId: string;
  name: string;
  location: string | undefined;
  features: unknown;
  metadata: unknown;
  /** Whose ids it may not take: those of organizations outside of it. */
  scope: Scope;
}

export interface Instances {
  /** Newest first. */
  list(
    request: PageRequest & { organizationId?: string | undefined; status?: ShownStatus | undefined },
    scope: Scope,
  ): Promise<Page<OrchestratorInstance>>;
  /** @throws not_found */
  get(orchestratorId: string, scope: Scope): Promise<OrchestratorInstance>;
  /** Which of these are there for a caller that is confined, each with the time since when. */
  within(orchestratorIds: readonly string[], scope: Scope): Promise<ReadonlyMap<string, Date>>;
  /** A placeholder, inactive; its organization is created if missing. @throws already_exists */
  create(instance: NewInstance): Promise<OrchestratorInstance>;
}

export function createInstances(dependencies: { database: Database; clock: Clock; log: Log }): Instances {
  const { database, clock, log } = dependencies;

  async function get(orchestratorId: string, scope: Scope): Promise<OrchestratorInstance> {
    const instance = await database
      .fork()
      .findOne(OrchestratorInstance, { orchestratorId }, { populate: ['organization'] });
    if (instance === null || !covers(scope, instance.organization.organizationId))
      throw notFound('Orchestrator', orchestratorId);
    return instance;
  }

  return {
    async list({ organizationId, status, ...request }, scope) {
      const where: FilterQuery<OrchestratorInstance> = {};
      if (organizationId !== undefined) where.organization = organizationId;
      if (scope !== undefined) where.$and = [{ organization: { $in: [...scope] } }];
      if (status === 'independent') where.isIndependent = true;
      else if (status !== undefined) Object.assign(where, { status, isIndependent: false });
      const [items, totalItems] = await database.lagging((source) =>
        source.fork().findAndCount(OrchestratorInstance, where, {
          populate: ['organization'],
          orderBy: { createdAt: 'desc', orchestratorId: 'desc' },
          limit: request.pageSize,
          offset: offsetOf(request),
        }),
      );
      return { ...request, items, totalItems };
    },

    get,

    async within(orchestratorIds, scope) {
      const among = { orchestratorId: { $in: [...orchestratorIds] } };
      const rows = await database
        .fork()
        .find(
          OrchestratorInstance,
          scope === undefined ? among : { ...among, organization: { $in: [...scope] } },
          { fields: ['orchestratorId', 'createdAt'] },
        );
      return new Map(rows.map((row) => [row.orchestratorId, row.createdAt]));
    },

    async create(instance) {
      const { orchestratorId } = instance;
      const created = await writeInstance(database, { ...instance, at: new Date(clock.now()) });
      if (!created) throw alreadyExists('Orchestrator instance', orchestratorId);
      log.info(
        { event: 'instance_created', orchestrator_id: orchestratorId },
        `Orchestrator instance ${orchestratorId} created successfully`,
      );
      return get(orchestratorId, undefined);
    },
  };
}
