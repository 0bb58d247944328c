// Owns the configuration that an orchestrator is given, without what looks like a credential.
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import { hideCredentials, hideCredentialsInText } from '../credentials.ts';
import type { Database } from '../database/database.ts';
import { OrchestratorInstance } from '../database/orchestrator-instances.ts';
import type { Introduced } from '../database/statements/handshakes.ts';
import { isoTime } from '../iso-time.ts';
import { knownId, storedContainer, storedObject, time } from './shapes.ts';

export const provisionConfig = z
  .object({
    type: z.literal('provision_config'),
    data: z.object({
      orchestrator_id: knownId,
      organization_id: knownId,
      name: z.string(),
      location: z.string(),
      features: storedContainer,
      settings: storedObject.describe('The organization’s'),
      metadata: storedObject,
    }),
    timestamp: time,
  })
  .meta({ id: 'ProvisionConfig' });
export type ProvisionConfig = z.infer<typeof provisionConfig>;

export interface Provisioning {
  /** The configuration as a handshake has just read it. */
  present(orchestratorId: string, introduced: Omit<Introduced, 'epoch' | 'kind'>): ProvisionConfig;
  /** The configuration as it is now; undefined for an unknown orchestrator. */
  read(orchestratorId: string): Promise<ProvisionConfig | undefined>;
}

export function createProvisioning(dependencies: { database: Database; clock: Clock }): Provisioning {
  const { database, clock } = dependencies;

  const present: Provisioning['present'] = (orchestratorId, introduced) => ({
    type: 'provision_config',
    data: {
      orchestrator_id: orchestratorId,
      organization_id: introduced.organizationId,
      name: hideCredentialsInText(introduced.name),
      location: hideCredentialsInText(introduced.location),
      features: hideCredentials(introduced.features),
      settings: hideCredentials(introduced.settings),
      metadata: hideCredentials(introduced.metadata),
    },
    timestamp: isoTime(new Date(clock.now())),
  });

  return {
    present,
    async read(orchestratorId) {
      const em = database.fork();
      const row = await em.findOne(OrchestratorInstance, { orchestratorId }, { populate: ['organization'] });
      if (row === null) return undefined;
      const { name, location, features, metadata, organization } = row;
      return present(orchestratorId, {
        organizationId: organization.organizationId,
        name,
        location,
        features,
        metadata,
        settings: organization.settings,
      });
    },
  };
}
