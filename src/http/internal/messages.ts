// Owns the administration's routes on messages: create, list, decide.
import { z } from 'zod';
import { requireSelf } from '../../access/caller.ts';
import { messageStatuses, messageTypes } from '../../database/orchestrator-messages.ts';
import { identifier } from '../../fleet/identifiers.ts';
import { type JsonSchemas, text } from '../../fleet/json.ts';
import type { Messages } from '../../fleet/messages.ts';
import { idParams, limit } from '../parameters.ts';
import { presentMessage } from '../presenters.ts';
import { type Route, route } from '../route.ts';

const messageId = z.string().regex(/^[A-Za-z0-9._-]{1,400}$/, 'is no message id');
const bodies = ({ jsonObject }: JsonSchemas) => ({
  newMessage: z.object({
    message_type: z.enum(messageTypes),
    content: text(1, 100_000),
    metadata: jsonObject.nullish(),
  }),
  decision: z.object({ status: z.enum(['accepted', 'dismissed']) }),
});
const filterQuery = z.object({
  message_type: z.enum(messageTypes).optional(),
  status: z.enum(messageStatuses).optional(),
  limit: limit(100),
  before: messageId.optional(),
});

export function messageRoutes(fleet: { messages: Messages; jsonSchemas: JsonSchemas }): Route[] {
  const { messages, jsonSchemas } = fleet;
  const { newMessage, decision } = bodies(jsonSchemas);
  return [
    route({
      method: 'post',
      path: '/orchestrators/:id/messages',
      access: 'administer',
      audit: {
        action: 'message.create',
        on: ({ params, body }) => ({ orchestrator_id: params.id, change: body.message_type }),
      },
      summary: 'Create a recommendation or a monitoring message for an orchestrator',
      responses: { 201: 'Created' },
      params: idParams,
      body: newMessage,
      async answer({ params, body, caller }) {
        const message = await messages.create({
          scope: caller.scope,
          orchestratorId: params.id,
          messageType: body.message_type,
          content: body.content,
          metadata: body.metadata,
        });
        return {
          status: 201,
          about: { message_id: message.id },
          message: `Message ${message.id} created for ${params.id}`,
          body: {
            message_id: message.id,
            orchestrator_id: params.id,
            message_type: message.messageType,
            status: message.status,
          },
        };
      },
    }),
    route({
      method: 'get',
      path: '/orchestrators/:id/messages',
      access: 'own.read',
      summary: 'List the messages for an orchestrator, newest first',
      params: idParams,
      query: filterQuery,
      async answer({ params, query, caller }) {
        requireSelf(caller, params.id);
        const { message_type: messageType, ...rest } = query;
        const list = await messages.listFor(params.id, { ...rest, messageType, reach: caller });
        return {
          body: {
            orchestrator_id: params.id,
            messages: list.messages.map(presentMessage),
            total_count: list.totalCount,
          },
        };
      },
    }),
    route({
      method: 'get',
      path: '/messages',
      access: 'administer',
      summary: 'List the messages for all orchestrators, newest first',
      query: filterQuery.extend({ orchestrator_id: identifier.optional() }),
      async answer({ query, caller }) {
        const { message_type: messageType, orchestrator_id: orchestratorId, ...rest } = query;
        const list = await messages.list({ ...rest, messageType, orchestratorId, reach: caller });
        return { body: { messages: list.messages.map(presentMessage), total_count: list.totalCount } };
      },
    }),
    route({
      method: 'put',
      path: '/messages/:id/status',
      access: 'own.decide',
      audit: {
        action: 'message.decide',
        on: ({ params, body }) => ({ message_id: params.id, change: body.status }),
      },
      summary: 'Accept or dismiss a message; the same decision again changes nothing',
      responses: { 409: 'already_decided' },
      params: z.object({ id: messageId }),
      body: decision,
      async answer({ params, body, caller }) {
        const message = await messages.decide(params.id, body.status, caller);
        return {
          about: { orchestrator_id: message.orchestratorId },
          message: `Message ${message.id} is ${message.status}`,
          body: { message_id: message.id, status: message.status, orchestrator_id: message.orchestratorId },
        };
      },
    }),
  ];
}
