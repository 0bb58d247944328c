// Owns messages: recommendations and monitoring notes for an orchestrator, and the decision on each.
import type { Clock } from '../clock.ts';
import type { Database } from '../database/database.ts';
import { isMissingReference } from '../database/failures.ts';
import {
  type MessageStatus,
  type MessageType,
  OrchestratorMessage,
} from '../database/orchestrator-messages.ts';
import type { Source } from '../database/pool.ts';
import { type ListedMessages, listMessages } from '../database/statements/message-lists.ts';
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
  list(filter: MessageFilter): Promise<ListedMessages>;
  /** The same for one orchestrator. @throws not_found if it is unknown */
  listFor(orchestratorId: string, filter: MessageFilter): Promise<ListedMessages>;
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

  async function list(filter: MessageFilter): Promise<ListedMessages> {
    const { reach, ...criteria } = filter;
    const read = ({ query }: Pick<Source, 'query'>) =>
      listMessages(query, {
        ...{ orchestratorId: undefined, messageType: undefined, status: undefined, before: undefined },
        ...criteria,
        orchestrators: reach.orchestrators && [...reach.orchestrators],
        organizations: reach.scope && [...reach.scope],
      });
    // One that lags may not have the message yet that the caller has just been told of.
    const found = (await database.lagging(read)) ?? (await read(database));
    if (found === undefined)
      throw invalidRequest([{ path: 'query.before', message: 'is no message of the controller' }]);
    return found;
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
      const found = list({ ...filter, orchestratorId });
      // Of two faults that of the orchestrator is told, always.
      found.catch(() => undefined);
      await instances.require(orchestratorId, filter.reach.scope);
      return found;
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
