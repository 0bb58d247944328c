// Owns the administration's routes on messages: create, list, decide.
import { z } from 'zod';
import { requireSelf } from '../../access/caller.ts';
import { messageStatuses, messageTypes } from '../../database/orchestrator-messages.ts';
import { identifier } from '../../fleet/identifiers.ts';
import { type JsonSchemas, text } from '../../fleet/json.ts';
import type { Messages } from '../../fleet/messages.ts';
import { count, knownId, messageId as knownMessageId } from '../../fleet/shapes.ts';
import { idParams, limit } from '../parameters.ts';
import { message, presentMessage } from '../presenters.ts';
import { type Route, route, unchanged } from '../route.ts';

const messageId = z.string().regex(/^[A-Za-z0-9._-]{1,400}$/, 'is no message id');
const decisions = ['accepted', 'dismissed'] as const;
const bodies = ({ jsonObject }: JsonSchemas) => ({
  newMessage: z
    .object({
      message_type: z.enum(messageTypes),
      content: text(1, 100_000),
      metadata: jsonObject.nullish(),
    })
    .meta({ examples: [{ message_type: 'recommendation', content: 'Use the small model at night' }] }),
  decision: z.object({ status: z.enum(decisions) }),
});
const filterQuery = z.object({
  message_type: z.enum(messageTypes).optional(),
  status: z.enum(messageStatuses).optional(),
  limit: limit(100),
  before: messageId.optional().describe('Those older than this message'),
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
      operationId: 'createMessage',
      summary: 'Create a recommendation or a monitoring message for an orchestrator',
      answers: {
        201: z.object({
          message_id: knownMessageId,
          orchestrator_id: knownId,
          message_type: z.enum(messageTypes),
          status: z.enum(messageStatuses),
        }),
      },
      params: idParams,
      body: newMessage,
      async answer({ params, body, caller }) {
        const created = await messages.create({
          scope: caller.scope,
          orchestratorId: params.id,
          messageType: body.message_type,
          content: body.content,
          metadata: body.metadata,
        });
        return {
          status: 201,
          about: { message_id: created.id },
          message: `Message ${created.id} created for ${params.id}`,
          body: {
            message_id: created.id,
            orchestrator_id: params.id,
            message_type: created.messageType,
            status: created.status,
          },
        };
      },
    }),
    route({
      method: 'get',
      path: '/orchestrators/:id/messages',
      access: 'own.read',
      operationId: 'listOrchestratorMessages',
      summary: 'List the messages for an orchestrator, newest first',
      answers: {
        200: z.object({ orchestrator_id: knownId, messages: z.array(message), total_count: count }),
        304: unchanged,
      },
      params: idParams,
      query: filterQuery,
      async answer({ params, query, caller }) {
        requireSelf(caller, params.id);
        const { message_type: messageType, ...rest } = query;
        const found = await messages.listFor(params.id, { ...rest, messageType, reach: caller });
        return {
          body: {
            orchestrator_id: params.id,
            messages: found.messages.map(presentMessage),
            total_count: found.totalCount,
          },
        };
      },
    }),
    route({
      method: 'get',
      path: '/messages',
      access: 'administer',
      operationId: 'listMessages',
      summary: 'List the messages for all orchestrators, newest first',
      answers: { 200: z.object({ messages: z.array(message), total_count: count }), 304: unchanged },
      query: filterQuery.extend({ orchestrator_id: identifier.optional() }),
      async answer({ query, caller }) {
        const { message_type: messageType, orchestrator_id: orchestratorId, ...rest } = query;
        const found = await messages.list({ ...rest, messageType, orchestratorId, reach: caller });
        return { body: { messages: found.messages.map(presentMessage), total_count: found.totalCount } };
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
      operationId: 'decideMessage',
      summary: 'Accept or dismiss a message; the same decision again changes nothing',
      answers: {
        200: z.object({ message_id: knownMessageId, status: z.enum(decisions), orchestrator_id: knownId }),
      },
      errors: { 409: 'already_decided' },
      params: z.object({ id: messageId }),
      body: decision,
      async answer({ params, body, caller }) {
        const decided = await messages.decide(params.id, body.status, caller);
        return {
          about: { orchestrator_id: decided.orchestratorId },
          message: `Message ${decided.id} is ${body.status}`,
          body: { message_id: decided.id, status: body.status, orchestrator_id: decided.orchestratorId },
        };
      },
    }),
  ];
}
