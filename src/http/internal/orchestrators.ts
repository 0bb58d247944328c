// Owns the administration's routes on orchestrators: register, heartbeat, independence, deregister, send.
import { z } from 'zod';
import { healths } from '../../database/orchestrator-instances.ts';
import { within } from '../../deadline.ts';
import type { Delivery } from '../../fleet/delivery.ts';
import { notFound, unavailable } from '../../fleet/errors.ts';
import type { Heartbeats } from '../../fleet/heartbeats.ts';
import { identifier } from '../../fleet/identifiers.ts';
import type { Independences } from '../../fleet/independence.ts';
import { json, jsonContainer, jsonObject, text } from '../../fleet/json.ts';
import type { Registrations } from '../../fleet/registrations.ts';
import { sendType } from '../../fleet/send-type.ts';
import { idParams } from '../parameters.ts';
import { shownStatus } from '../presenters.ts';
import { type Route, route } from '../route.ts';
import { createSendWaits } from '../send-waits.ts';

const registration = z.object({
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
});

const heartbeat = z.object({
  orchestrator_id: identifier,
  health_status: z.enum(healths).nullish(),
  features: jsonContainer.nullish(),
});

const independence = z.object({ is_independent: z.boolean(), privacy_mode: z.boolean().nullish() });

const send = z.object({
  type: sendType,
  data: json.optional(),
  wait: z.boolean().default(true),
  ack: z.boolean().default(false),
  timeout_ms: z.int().min(100).max(30_000).default(10_000),
});

export function internalOrchestratorRoutes(fleet: {
  registrations: Registrations;
  heartbeats: Heartbeats;
  independences: Independences;
  delivery: Delivery;
  answerWithinMs: number;
  sendWaitsPerCaller: number;
}): Route[] {
  const { registrations, heartbeats, independences, delivery, answerWithinMs } = fleet;
  const waits = createSendWaits(fleet.sendWaitsPerCaller);
  return [
    route({
      method: 'post',
      path: '/orchestrators/register',
      summary: 'Register an orchestrator and its organization, or update both',
      body: registration,
      async answer({ body }) {
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
        });
        return {
          message: `Orchestrator ${orchestratorId} registered`,
          body: {
            orchestrator_id: orchestratorId,
            organization_id: body.organization_id,
            organization_name: registered.organizationName,
            status: shownStatus(registered),
            created: registered.created,
          },
        };
      },
    }),
    route({
      method: 'post',
      path: '/orchestrators/heartbeat',
      summary: 'A heartbeat of an orchestrator that has no socket',
      responses: { 404: 'not_found' },
      body: heartbeat,
      async answer({ body }) {
        const orchestratorId = body.orchestrator_id;
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
      summary: 'Declare an orchestrator independent, or managed again',
      params: idParams,
      body: independence,
      async answer({ params, body }) {
        const now = await independences.set({
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
      summary: 'Whether an orchestrator is independent',
      params: idParams,
      async answer({ params }) {
        const row = await independences.get(params.id);
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
      summary: 'Remove an orchestrator and its messages, and its organization if that has no other',
      params: idParams,
      async answer({ params }) {
        const deleted = await registrations.deregister(params.id);
        return {
          message: `Orchestrator ${params.id} deregistered`,
          body: { orchestrator_id: params.id, deleted },
        };
      },
    }),
    route({
      method: 'post',
      path: '/orchestrators/:id/send',
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
      async answer({ params, body, address }) {
        const send = () =>
          delivery.send({
            orchestratorId: params.id,
            type: body.type,
            data: body.data ?? null,
            wait: body.wait,
            // Nobody waits for the acknowledgement of a call that is answered at once.
            ack: body.wait && body.ack,
            timeoutMs: body.timeout_ms,
          });
        const sent = await (body.wait ? waits.count(address, send) : send());
        if (sent.kind === 'queued')
          return { status: 202, message: 'The message is queued', body: { message_id: sent.messageId } };
        return {
          message: `Sent message to orchestrator ${params.id}`,
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
