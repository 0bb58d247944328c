// Owns the administration's routes on orchestrators: register, heartbeat, independence, deregister.
import { z } from 'zod';
import { requireOrganization, requireSelf } from '../../access/caller.ts';
import { hideCredentialsInText } from '../../credentials.ts';
import { healths } from '../../database/orchestrator-instances.ts';
import { within } from '../../deadline.ts';
import { notFound, unavailable } from '../../fleet/errors.ts';
import type { Heartbeats } from '../../fleet/heartbeats.ts';
import { identifier } from '../../fleet/identifiers.ts';
import type { Independences } from '../../fleet/independence.ts';
import { type Instances, shownStatuses } from '../../fleet/instances.ts';
import { type JsonSchemas, text } from '../../fleet/json.ts';
import type { Registrations } from '../../fleet/registrations.ts';
import { deletedRows, knownId, time } from '../../fleet/shapes.ts';
import { idParams } from '../parameters.ts';
import { shownStatus } from '../presenters.ts';
import { type Route, route } from '../route.ts';

const bodies = ({ jsonContainer, jsonObject }: JsonSchemas) => ({
  registration: z
    .object({
      organization_id: identifier,
      orchestrator_id: identifier.nullish(),
      name: text(1, 255).nullish(),
      location: text(1, 255).nullish(),
      internal_url: text(1, 2_048).nullish(),
      database_url: text(1, 2_048).nullish(),
      redis_url: text(1, 2_048).nullish(),
      container_id: text(1, 255).nullish(),
      image_name: text(1, 512).nullish(),
      environment_variables: jsonObject.nullish(),
      features: jsonContainer.nullish(),
      monitoring: z.boolean().nullish(),
    })
    .meta({ examples: [{ organization_id: 'org-002', name: 'Harbour', monitoring: true }] }),
  heartbeat: z
    .object({
      orchestrator_id: identifier,
      health_status: z.enum(healths).nullish(),
      features: jsonContainer.nullish(),
    })
    .meta({ examples: [{ orchestrator_id: 'org-002', health_status: 'healthy' }] }),
  independence: z
    .object({ is_independent: z.boolean(), privacy_mode: z.boolean().nullish() })
    .meta({ examples: [{ is_independent: true }] }),
});

const independenceShape = z.object({
  orchestrator_id: knownId,
  is_independent: z.boolean(),
  privacy_mode: z.boolean(),
});

export function internalOrchestratorRoutes(fleet: {
  instances: Instances;
  registrations: Registrations;
  heartbeats: Heartbeats;
  independences: Independences;
  jsonSchemas: JsonSchemas;
  answerWithinMs: number;
}): Route[] {
  const { instances, registrations, heartbeats, independences, jsonSchemas, answerWithinMs } = fleet;
  const { registration, heartbeat, independence } = bodies(jsonSchemas);

  return [
    route({
      method: 'post',
      path: '/orchestrators/register',
      access: 'administer',
      audit: {
        action: 'orchestrator.register',
        on: ({ body }) => ({
          organization_id: body.organization_id,
          orchestrator_id: body.orchestrator_id ?? body.organization_id,
        }),
      },
      operationId: 'registerOrchestrator',
      summary: 'Register an orchestrator and its organization, or update both',
      description:
        '`orchestrator_id` defaults to `organization_id`. A new instance is `inactive` until it connects; an update leaves ' +
        'status, health and independence alone. What is already there in an organization that the token does not name is ' +
        '`already_exists`. `database_url`, `redis_url` and `environment_variables` are stored and never shown.',
      answers: {
        200: z.object({
          orchestrator_id: knownId,
          organization_id: knownId,
          organization_name: z.string(),
          status: z.enum(shownStatuses),
          created: z.boolean(),
        }),
      },
      errors: { 409: 'already_exists' },
      body: registration,
      async answer({ body, caller }) {
        requireOrganization(caller, body.organization_id);
        const orchestratorId = body.orchestrator_id ?? body.organization_id;
        const registered = await registrations.register({
          orchestratorId,
          organizationId: body.organization_id,
          name: body.name ?? undefined,
          location: body.location ?? undefined,
          features: body.features ?? undefined,
          monitoring: body.monitoring ?? undefined,
          internalUrl: body.internal_url ?? undefined,
          databaseUrl: body.database_url ?? undefined,
          redisUrl: body.redis_url ?? undefined,
          containerId: body.container_id ?? undefined,
          imageName: body.image_name ?? undefined,
          environmentVariables: body.environment_variables ?? undefined,
          scope: caller.scope,
        });
        return {
          message: `Orchestrator ${orchestratorId} registered`,
          body: {
            orchestrator_id: orchestratorId,
            organization_id: body.organization_id,
            organization_name: hideCredentialsInText(registered.organizationName),
            status: shownStatus(registered),
            created: registered.created,
          },
        };
      },
    }),
    route({
      method: 'post',
      path: '/orchestrators/heartbeat',
      access: 'own.beat',
      audit: 'none',
      operationId: 'recordHeartbeat',
      summary: 'A heartbeat of an orchestrator that has no socket',
      answers: { 200: z.object({ orchestrator_id: knownId, status: z.enum(['active', 'independent']) }) },
      errors: { 404: 'not_found' },
      body: heartbeat,
      async answer({ body, caller }) {
        const orchestratorId = body.orchestrator_id;
        requireSelf(caller, orchestratorId);
        if (caller.scope !== undefined) await instances.get(orchestratorId, caller.scope);
        const beat = heartbeats.beat({
          orchestratorId,
          healthStatus: body.health_status ?? undefined,
          features: body.features ?? undefined,
        });
        // On a socket a heartbeat waits for Postgres; a caller over HTTP is told, and the beat is written later.
        const outcome = await within(answerWithinMs, beat, () =>
          unavailable('Postgres', new Error(`no commit within ${answerWithinMs} ms`)),
        );
        if (outcome.kind === 'unknown') throw notFound('Orchestrator', orchestratorId);
        const status = outcome.kind === 'ignored' ? 'independent' : 'active';
        return {
          message: `Heartbeat of ${orchestratorId} ${outcome.kind}`,
          body: { orchestrator_id: orchestratorId, status },
        };
      },
    }),
    route({
      method: 'put',
      path: '/orchestrators/:id/independence',
      access: 'administer',
      audit: {
        action: 'independence.set',
        on: ({ params, body }) => ({
          orchestrator_id: params.id,
          change: body.is_independent ? 'independent' : 'managed',
        }),
      },
      operationId: 'setIndependence',
      summary: 'Declare an orchestrator independent, or managed again',
      answers: { 200: independenceShape },
      params: idParams,
      body: independence,
      async answer({ params, body, caller }) {
        const now = await independences.set({
          scope: caller.scope,
          orchestratorId: params.id,
          isIndependent: body.is_independent,
          privacyMode: body.privacy_mode ?? undefined,
        });
        return {
          message: `Independence mode ${now.isIndependent ? 'enabled' : 'disabled'} for ${params.id}`,
          body: {
            orchestrator_id: params.id,
            is_independent: now.isIndependent,
            privacy_mode: now.privacyMode,
          },
        };
      },
    }),
    route({
      method: 'get',
      path: '/orchestrators/:id/independence',
      access: 'own.read',
      operationId: 'getIndependence',
      summary: 'Whether an orchestrator is independent',
      answers: {
        200: independenceShape.extend({ status: z.enum(shownStatuses), last_seen: time.nullable() }),
      },
      params: idParams,
      async answer({ params, caller }) {
        requireSelf(caller, params.id);
        const row = await instances.get(params.id, caller.scope);
        return {
          body: {
            orchestrator_id: row.orchestratorId,
            is_independent: row.isIndependent,
            privacy_mode: row.privacyMode,
            status: shownStatus(row),
            last_seen: row.lastSeen?.toISOString() ?? null,
          },
        };
      },
    }),
    route({
      method: 'delete',
      path: '/orchestrators/:id/deregister',
      access: 'administer',
      audit: { action: 'orchestrator.deregister', on: ({ params }) => ({ orchestrator_id: params.id }) },
      operationId: 'deregisterOrchestrator',
      summary: 'Remove an orchestrator and its messages, and its organization if that has no other',
      description: 'A connection that it has is closed.',
      answers: { 200: z.object({ orchestrator_id: knownId, deleted: deletedRows }) },
      params: idParams,
      async answer({ params, caller }) {
        const { deleted, organizationId } = await registrations.deregister(params.id, caller.scope);
        return {
          about: { organization_id: organizationId },
          message: `Orchestrator ${params.id} deregistered`,
          body: { orchestrator_id: params.id, deleted },
        };
      },
    }),
  ];
}
