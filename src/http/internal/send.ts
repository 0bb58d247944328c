// Owns the administration's route that sends a message to an orchestrator over its socket.
import { z } from 'zod';
import { limitKeyOf } from '../../access/caller.ts';
import type { Delivery } from '../../fleet/delivery.ts';
import { notConnected } from '../../fleet/errors.ts';
import type { JsonSchemas } from '../../fleet/json.ts';
import { sendType } from '../../fleet/send-type.ts';
import { knownId, messageId, nodeId } from '../../fleet/shapes.ts';
import type { Presence } from '../../redis/presence.ts';
import { covers, type Scope } from '../../scope.ts';
import { idParams } from '../parameters.ts';
import { type Route, route } from '../route.ts';
import { createSendWaits } from '../send-waits.ts';

const createBody = ({ json }: JsonSchemas) =>
  z
    .object({
      type: sendType.describe('The name of the Socket.IO event that the orchestrator gets'),
      data: json.optional(),
      wait: z.boolean().default(true).describe('Answer once it is received; else as soon as it is queued'),
      ack: z.boolean().default(false).describe('Answer once the orchestrator has acknowledged'),
      timeout_ms: z.int().min(100).max(30_000).default(10_000),
    })
    .meta({ examples: [{ type: 'reload_models', data: { models: ['small'] }, ack: true }] });

const received = z
  .object({
    message_id: messageId,
    orchestrator_id: knownId,
    type: z.string(),
    node_id: nodeId.describe('The replica that has its socket'),
    ack: z.unknown().optional().describe('What its acknowledgement returned, if `ack` asks for it'),
  })
  .describe('Received, or acknowledged if `ack` asks for it');
const queued = z.object({ message_id: messageId }).describe('Queued: `wait` is false');

export function sendRoutes(fleet: {
  delivery: Delivery;
  presence: Presence;
  jsonSchemas: JsonSchemas;
  sendWaitsPerCaller: number;
}): Route[] {
  const { delivery, presence } = fleet;
  const waits = createSendWaits(fleet.sendWaitsPerCaller);

  /** What another organization has connected is not connected for this caller. @throws not_connected */
  async function requireConnectedWithin(scope: Scope, orchestratorId: string): Promise<void> {
    if (scope === undefined) return;
    const present = await presence.get(orchestratorId);
    if (present === undefined || !covers(scope, present.organization_id)) throw notConnected(orchestratorId);
  }

  return [
    route({
      method: 'post',
      path: '/orchestrators/:id/send',
      access: 'administer',
      audit: {
        action: 'message.send',
        on: ({ params, body }) => ({ orchestrator_id: params.id, change: body.type }),
      },
      operationId: 'sendMessage',
      summary: 'Send a message over the orchestrator’s socket, wherever that is',
      description:
        'Messages to one orchestrator through one replica arrive in the order in which they were accepted, each at least ' +
        'once: a repeat has the same `message_id`. One that is not received within `timeout_ms` is dropped.',
      answers: { 200: received, 202: queued },
      errors: { 404: undefined, 409: 'not_connected', 504: 'delivery_timeout' },
      params: idParams,
      body: createBody(fleet.jsonSchemas),
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
