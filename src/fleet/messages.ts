// Owns messages: recommendations and monitoring notes for an orchestrator, and the decision on each.
import type { FilterQuery } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Clock } from '../clock.ts';
import type { Database } from '../database/database.ts';
import { isMissingReference } from '../database/failures.ts';
import { OrchestratorInstance } from '../database/orchestrator-instances.ts';
import {
  type MessageStatus,
  type MessageType,
  OrchestratorMessage,
} from '../database/orchestrator-messages.ts';
import type { Log } from '../log.ts';
import type { Scope } from '../scope.ts';
import { alreadyDecided, invalidRequest, notFound } from './errors.ts';
import { newMessageId } from './identifiers.ts';
import type { Instances } from './instances.ts';

export interface MessageFilter {
  orchestratorId?: string | undefined;
  messageType?: MessageType | undefined;
  status?: MessageStatus | undefined;
  limit: number;
  /** A message id: only older ones. */
  before?: string | undefined;
  reach: Reach;
}

/** Whose messages there are for a caller. */
export interface Reach {
  readonly scope: Scope;
  /** These orchestrators alone; undefined: all within the scope. */
  readonly orchestrators: ReadonlySet<string> | undefined;
}

export interface MessageList {
  messages: OrchestratorMessage[];
  /** How many match the filter, whatever `limit` and `before` say. */
  totalCount: number;
}

export type Decision = Exclude<MessageStatus, 'pending'>;

export interface Messages {
  /** @throws not_found for an unknown orchestrator */
  create(message: {
    scope: Scope;
    orchestratorId: string;
    messageType: MessageType;
    content: string;
    metadata: unknown;
  }): Promise<OrchestratorMessage>;
  /** Newest first. @throws invalid_request if `before` names no message */
  list(filter: MessageFilter): Promise<MessageList>;
  /** The same for one orchestrator. @throws not_found if it is unknown */
  listFor(orchestratorId: string, filter: MessageFilter): Promise<MessageList>;
  /** Deciding the same again changes nothing. @throws not_found, already_decided */
  decide(messageId: string, status: Decision, reach: Reach): Promise<OrchestratorMessage>;
}

export function createMessages(dependencies: {
  database: Database;
  instances: Instances;
  clock: Clock;
  log: Log;
}): Messages {
  const { database, instances, clock, log } = dependencies;

  async function list(filter: MessageFilter): Promise<MessageList> {
    const visible: FilterQuery<OrchestratorMessage> = {};
    const { scope, orchestrators } = filter.reach;
    if (scope !== undefined)
      visible.$and = [{ orchestratorId: { $in: instancesWithin(database.fork(), scope) } }];
    if (orchestrators !== undefined) visible.orchestratorId = { $in: [...orchestrators] };
    const where = { ...visible };
    if (filter.orchestratorId !== undefined) where.orchestratorId = filter.orchestratorId;
    if (filter.messageType !== undefined) where.messageType = filter.messageType;
    if (filter.status !== undefined) where.status = filter.status;
    let page = where;
    if (filter.before !== undefined) {
      // From the primary: a replica that lags may not have the message yet that the caller has just been told of.
      const before = await database.fork().findOne(OrchestratorMessage, { ...visible, id: filter.before });
      if (before === null)
        throw invalidRequest([{ path: 'query.before', message: 'is no message of the controller' }]);
      const { createdAt, id } = before;
      page = { $and: [where, { $or: [{ createdAt: { $lt: createdAt } }, { createdAt, id: { $lt: id } }] }] };
    }
    return database.lagging(async (source) => {
      const em = source.fork();
      const totalCount = await em.count(OrchestratorMessage, where);
      const messages = await em.find(OrchestratorMessage, page, {
        orderBy: { createdAt: 'desc', id: 'desc' },
        limit: filter.limit,
      });
      return { messages, totalCount };
    });
  }

  /** A message of others does not exist. @throws not_found */
  async function requireWithin({ scope, orchestrators }: Reach, messageId: string): Promise<void> {
    if (scope === undefined && orchestrators === undefined) return;
    const message = await database.fork().findOne(OrchestratorMessage, { id: messageId });
    if (message === null || orchestrators?.has(message.orchestratorId) === false)
      throw notFound('Message', messageId);
    if (!(await instances.within([message.orchestratorId], scope)).has(message.orchestratorId))
      throw notFound('Message', messageId);
  }

  return {
    async create({ orchestratorId, messageType, content, metadata, scope }) {
      if (scope !== undefined) await instances.get(orchestratorId, scope);
      const now = new Date(clock.now());
      const message = {
        id: newMessageId(orchestratorId),
        orchestratorId,
        messageType,
        content,
        status: 'pending',
        messageMetadata: metadata ?? {},
        createdAt: now,
        updatedAt: now,
      } as const;
      try {
        await database.fork().insert(OrchestratorMessage, message);
      } catch (error) {
        if (isMissingReference(error)) throw notFound('Orchestrator', orchestratorId);
        throw error;
      }
      log.info(
        { event: 'message_created', orchestrator_id: orchestratorId, message_id: message.id },
        `Message ${message.id} created for ${orchestratorId} (type: ${messageType})`,
      );
      return message;
    },

    list,

    async listFor(orchestratorId, filter) {
      await instances.get(orchestratorId, filter.reach.scope);
      return list({ ...filter, orchestratorId });
    },

    async decide(messageId, status, reach) {
      const em = database.fork();
      await requireWithin(reach, messageId);
      // The condition is in the statement: of two decisions at once, one wins.
      const changed = await em.nativeUpdate(
        OrchestratorMessage,
        { id: messageId, status: 'pending' },
        { status, updatedAt: new Date(clock.now()) },
      );
      const message = await em.findOne(OrchestratorMessage, { id: messageId });
      if (message === null) throw notFound('Message', messageId);
      if (message.status !== status) throw alreadyDecided(messageId, message.status);
      if (changed > 0)
        log.info(
          { event: 'message_decided', orchestrator_id: message.orchestratorId, message_id: messageId },
          `Message ${messageId} status updated to '${status}'`,
        );
      return message;
    },
  };
}

/** The ids of the instances of these organizations, as a subquery. */
function instancesWithin(em: EntityManager, organizations: ReadonlySet<string>) {
  return em
    .createQueryBuilder(OrchestratorInstance)
    .select('orchestratorId')
    .where({ organization: { $in: [...organizations] } });
}
