// Owns the table `orchestrator_messages`: recommendations and monitoring messages, and what was decided on them.
import { defineEntity, type InferEntity, p } from '@mikro-orm/core';

export const messageTypes = ['recommendation', 'monitoring'] as const;
export type MessageType = (typeof messageTypes)[number];
export const messageStatuses = ['pending', 'accepted', 'dismissed'] as const;
export type MessageStatus = (typeof messageStatuses)[number];

export const OrchestratorMessage = defineEntity({
  name: 'OrchestratorMessage',
  tableName: 'orchestrator_messages',
  properties: {
    id: p.string().primary().length(400),
    orchestratorId: p.string().length(255),
    messageType: p.enum(messageTypes).$type<MessageType>(),
    content: p.text(),
    status: p.enum(messageStatuses).$type<MessageStatus>(),
    messageMetadata: p.json<unknown>(),
    createdAt: p.datetime(),
    updatedAt: p.datetime(),
  },
});

export type OrchestratorMessage = InferEntity<typeof OrchestratorMessage>;
