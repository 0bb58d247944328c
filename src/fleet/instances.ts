// Owns orchestrator instances as rows: listed, created as placeholders, deleted.
import type { Clock } from '../clock.ts';
import type { Database } from '../database/database.ts';
import { OrchestratorInstance } from '../database/orchestrator-instances.ts';
import { type ListedInstance, listInstances } from '../database/statements/instance-lists.ts';
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
  ): Promise<Page<ListedInstance>>;
  /** @throws not_found */
  get(orchestratorId: string, scope: Scope): Promise<OrchestratorInstance>;
  /** That it is there. @throws not_found */
  require(orchestratorId: string, scope: Scope): Promise<void>;
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
      const { items, totalItems } = await database.lagging(({ query }) =>
        listInstances(query, {
          organizationId,
          organizations: scope && [...scope],
          status,
          limit: request.pageSize,
          offset: offsetOf(request),
        }),
      );
      return { ...request, items, totalItems };
    },

    get,

    async require(orchestratorId, scope) {
      const [row] = await database.query(
        'SELECT organization_id FROM orchestrator_instances WHERE orchestrator_id = $1',
        [orchestratorId],
        { prepared: true },
      );
      if (row === undefined || !covers(scope, String(row.organization_id)))
        throw notFound('Orchestrator', orchestratorId);
    },

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
