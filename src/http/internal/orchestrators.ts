// Owns the administration's routes on orchestrators: register, heartbeat, independence, deregister, send.
import { z } from 'zod';
import { limitKeyOf, requireOrganization, requireSelf } from '../../access/caller.ts';
import { hideCredentialsInText } from '../../credentials.ts';
import { healths } from '../../database/orchestrator-instances.ts';
import { within } from '../../deadline.ts';
import type { Delivery } from '../../fleet/delivery.ts';
import { notConnected, notFound, unavailable } from '../../fleet/errors.ts';
import type { Heartbeats } from '../../fleet/heartbeats.ts';
import { identifier } from '../../fleet/identifiers.ts';
import type { Independences } from '../../fleet/independence.ts';
import type { Instances } from '../../fleet/instances.ts';
import { type JsonSchemas, text } from '../../fleet/json.ts';
import type { Registrations } from '../../fleet/registrations.ts';
import { sendType } from '../../fleet/send-type.ts';
import type { Presence } from '../../redis/presence.ts';
import { covers, type Scope } from '../../scope.ts';
import { idParams } from '../parameters.ts';
import { shownStatus } from '../presenters.ts';
import { type Route, route } from '../route.ts';
import { createSendWaits } from '../send-waits.ts';

const bodies = ({ json, jsonContainer, jsonObject }: JsonSchemas) => ({
  registration: z.object({
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
  }),
  heartbeat: z.object({
    orchestrator_id: identifier,
    health_status: z.enum(healths).nullish(),
    features: jsonContainer.nullish(),
  }),
  independence: z.object({ is_independent: z.boolean(), privacy_mode: z.boolean().nullish() }),
  send: z.object({
    type: sendType,
    data: json.optional(),
    wait: z.boolean().default(true),
    ack: z.boolean().default(false),
    timeout_ms: z.int().min(100).max(30_000).default(10_000),
  }),
});

export function internalOrchestratorRoutes(fleet: {
  instances: Instances;
  registrations: Registrations;
  heartbeats: Heartbeats;
  independences: Independences;
  delivery: Delivery;
  presence: Presence;
  jsonSchemas: JsonSchemas;
  answerWithinMs: number;
  sendWaitsPerCaller: number;
}): Route[] {
  const {
    instances,
    registrations,
    heartbeats,
    independences,
    delivery,
    presence,
    jsonSchemas,
    answerWithinMs,
  } = fleet;
  const waits = createSendWaits(fleet.sendWaitsPerCaller);
  const { registration, heartbeat, independence, send } = bodies(jsonSchemas);

  /** What another organization has connected is not connected for this caller. @throws not_connected */
  async function requireConnectedWithin(scope: Scope, orchestratorId: string): Promise<void> {
    if (scope === undefined) return;
    const present = await presence.get(orchestratorId);
    if (present === undefined || !covers(scope, present.organization_id)) throw notConnected(orchestratorId);
  }

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
      summary: 'Register an orchestrator and its organization, or update both',
      responses: { 409: 'already_exists, in an organization that the token does not name' },
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
      summary: 'A heartbeat of an orchestrator that has no socket',
      responses: { 404: 'not_found' },
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
      summary: 'Declare an orchestrator independent, or managed again',
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
      summary: 'Whether an orchestrator is independent',
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
      summary: 'Remove an orchestrator and its messages, and its organization if that has no other',
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
    route({
      method: 'post',
      path: '/orchestrators/:id/send',
      access: 'administer',
      audit: {
        action: 'message.send',
        on: ({ params, body }) => ({ orchestrator_id: params.id, change: body.type }),
      },
      summary: 'Send a message over the orchestrator’s socket, wherever that is',
      responses: {
        200: 'Received, or acknowledged if `ack` asks for it',
        202: 'Queued: `wait` is false',
        404: undefined,
        409: 'not_connected',
        504: 'delivery_timeout',
      },
      params: idParams,
      body: send,
      async answer({ params, body, caller, traceparent }) {
        await requireConnectedWithin(caller.scope, params.id);
        const send = () =>
          delivery.send({
            orchestratorId: params.id,
            type: body.type,
            data: body.data ?? null,
            wait: body.wait,
            // Nobody waits for the acknowledgement of a call that is answered at once.
            ack: body.wait && body.ack,
            timeoutMs: body.timeout_ms,
            traceparent,
          });
        const sent = await (body.wait ? waits.count(limitKeyOf(caller), send) : send());
        if (sent.kind === 'queued')
          return {
            status: 202,
            message: 'The message is queued',
            about: { message_id: sent.messageId },
            body: { message_id: sent.messageId },
          };
        return {
          message: `Sent message to orchestrator ${params.id}`,
          about: { message_id: sent.messageId },
          body: {
            message_id: sent.messageId,
            orchestrator_id: params.id,
            type: body.type,
            node_id: sent.nodeId,
            ...(body.ack ? { ack: sent.ack } : {}),
          },
        };
      },
    }),
  ];
}
