// Owns organizations: the tenants of the fleet.
import type { Clock } from '../clock.ts';
import type { Database } from '../database/database.ts';
import { isDuplicate } from '../database/failures.ts';
import { Organization } from '../database/organizations.ts';
import type { Log } from '../log.ts';
import { covers, type Scope } from '../scope.ts';
import { alreadyExists, notFound } from './errors.ts';
import { offsetOf, type Page, type PageRequest } from './pages.ts';

export interface NewOrganization {
  organizationId: string;
  name: string;
  location: string | undefined;
  features: unknown;
  settings: unknown;
  metadata: unknown;
}

export interface Organizations {
  /** Newest first. */
  list(request: PageRequest, scope: Scope): Promise<Page<Organization>>;
  /** @throws not_found */
  get(organizationId: string, scope: Scope): Promise<Organization>;
  /** It is inactive until one of its orchestrators connects. @throws already_exists */
  create(organization: NewOrganization): Promise<Organization>;
}

export function createOrganizations(dependencies: {
  database: Database;
  clock: Clock;
  log: Log;
}): Organizations {
  const { database, clock, log } = dependencies;

  async function get(organizationId: string, scope: Scope): Promise<Organization> {
    if (!covers(scope, organizationId)) throw notFound('Organization', organizationId);
    const organization = await database.fork().findOne(Organization, { organizationId });
    if (organization === null) throw notFound('Organization', organizationId);
    return organization;
  }

  return {
    async list(request, scope) {
      const [items, totalItems] = await database.lagging((source) =>
        source
          .fork()
          .findAndCount(Organization, scope === undefined ? {} : { organizationId: { $in: [...scope] } }, {
            orderBy: { createdAt: 'desc', organizationId: 'desc' },
            limit: request.pageSize,
            offset: offsetOf(request),
          }),
      );
      return { ...request, items, totalItems };
    },

    get,

    async create(organization) {
      const now = new Date(clock.now());
      try {
        await database.fork().insert(Organization, {
          organizationId: organization.organizationId,
          name: organization.name,
          location: organization.location ?? 'unknown',
          status: 'inactive',
          isIndependent: false,
          features: organization.features ?? {},
          settings: organization.settings ?? {},
          metadata: organization.metadata ?? {},
          createdAt: now,
          updatedAt: now,
        });
      } catch (error) {
        if (isDuplicate(error)) throw alreadyExists('Organization', organization.organizationId);
        throw error;
      }
      const created = await get(organization.organizationId, undefined);
      log.info(
        { event: 'organization_created', organization_id: created.organizationId },
        `Organization ${created.organizationId} created successfully`,
      );
      return created;
    },
  };
}
