// Owns the statement that lists messages: one page, newest first, and how many there are, in one answer and one snapshot.
import {
  type MessageStatus,
  type MessageType,
  messageStatuses,
  messageTypes,
  type OrchestratorMessage,
} from '../orchestrator-messages.ts';
import type { Query, Row } from '../pool.ts';
import { createParameters, dateOf, epochOf, type Parameters, whereOf, wordOf } from './listing.ts';

export interface MessageCriteria {
  readonly orchestratorId: string | undefined;
  /** Of these orchestrators alone. */
  readonly orchestrators: readonly string[] | undefined;
  /** Of the orchestrators of these organizations alone. */
  readonly organizations: readonly string[] | undefined;
  readonly messageType: MessageType | undefined;
  readonly status: MessageStatus | undefined;
  /** A message id: only older ones. */
  readonly before: string | undefined;
  /** A whole number. */
  readonly limit: number;
}

export interface ListedMessages {
  readonly messages: OrchestratorMessage[];
  /** How many match, whatever `limit` and `before` say. */
  readonly totalCount: number;
}

/** @returns undefined where `before` names none of the messages that there are for the caller */
export async function listMessages(
  query: Query,
  criteria: MessageCriteria,
): Promise<ListedMessages | undefined> {
  const parameters = createParameters();
  const rows = await query(statementOf(criteria, parameters), parameters.values);
  const [first] = rows;
  if (first?.known === false) return undefined;
  return { totalCount: Number(first?.total), messages: rows.flatMap(messageOf) };
}

/** Where the counts of all messages are, in parts: see the migration that makes them. */
const wholeFleet = Array.from({ length: 16 }, (_, part) => `'#${part}'`).join(', ');
const columns =
  'm.id, m.orchestrator_id, m.message_type, m.content, m.status, m.message_metadata, m.created_at, m.updated_at';
const newestFirst = 'ORDER BY m.created_at DESC, m.id DESC';

function statementOf(criteria: MessageCriteria, parameters: Parameters): string {
  const { before } = criteria;
  const counted = [...whoseOf(criteria, 'c.whose', parameters), ...kindOf(criteria, 'c', parameters)];
  if (!isConfined(criteria)) counted.push(`c.whose IN (${wholeFleet})`);
  const mark =
    before === undefined
      ? []
      : [`m.id = ${parameters.add(before)}`, ...reachOf(criteria, 'm.orchestrator_id', parameters)];
  const withMark = `WITH mark AS (SELECT m.created_at, m.id FROM orchestrator_messages m ${whereOf(mark)})`;
  return `
    ${before === undefined ? '' : withMark}
    SELECT (SELECT COALESCE(sum(c.messages), 0)::float8 FROM orchestrator_message_counts c ${whereOf(counted)}) AS total,
      ${before === undefined ? 'true' : 'EXISTS (SELECT FROM mark)'} AS known, m.id, m.orchestrator_id, m.message_type,
      m.content, m.status, m.message_metadata, ${epochOf('m.created_at')} AS created_at,
      ${epochOf('m.updated_at')} AS updated_at
    FROM (VALUES (true)) one LEFT JOIN LATERAL (${pageOf(criteria, parameters)}) m ON true ${newestFirst}`;
}

/** Each way reads no more of an index than a page from where it begins, of each of its parts. */
function pageOf(criteria: MessageCriteria, parameters: Parameters): string {
  const { orchestratorId, messageType, status, limit } = criteria;
  const older =
    criteria.before === undefined
      ? []
      : ['(m.created_at, m.id) < ((SELECT created_at FROM mark), (SELECT id FROM mark))'];
  const select = (conditions: readonly string[]) =>
    `SELECT ${columns} FROM orchestrator_messages m ${whereOf([...conditions, ...older])} ${newestFirst} LIMIT ${limit}`;
  if (orchestratorId !== undefined)
    return select([
      ...whoseOf(criteria, 'm.orchestrator_id', parameters),
      ...kindOf(criteria, 'm', parameters),
    ]);
  if (isConfined(criteria)) {
    // In the order of all messages, those of a few orchestrators may be far apart.
    const each = select(['m.orchestrator_id = i.orchestrator_id', ...kindOf(criteria, 'm', parameters)]);
    const within = whereOf(reachOf(criteria, 'i.orchestrator_id', parameters));
    return `SELECT ${columns} FROM orchestrator_instances i, LATERAL (${each}) m ${within} ${newestFirst} LIMIT ${limit}`;
  }
  if (messageType === undefined && status === undefined) return select([]);
  const kinds = messageTypes
    .filter((each) => messageType === undefined || each === messageType)
    .flatMap((type) =>
      messageStatuses
        .filter((each) => status === undefined || each === status)
        .map((each) => `(${select([`m.message_type = '${type}'`, `m.status = '${each}'`])})`),
    );
  return `SELECT ${columns} FROM (${kinds.join(' UNION ALL ')}) m ${newestFirst} LIMIT ${limit}`;
}

function isConfined({ orchestratorId, orchestrators, organizations }: MessageCriteria): boolean {
  return [orchestratorId, orchestrators, organizations].some((each) => each !== undefined);
}

/** What is asked for, within what there is for the caller. */
function whoseOf(criteria: MessageCriteria, column: string, parameters: Parameters): string[] {
  const { orchestratorId } = criteria;
  const reach = reachOf(criteria, column, parameters);
  return orchestratorId === undefined ? reach : [`${column} = ${parameters.add(orchestratorId)}`, ...reach];
}

/** What there is for the caller. */
function reachOf(criteria: MessageCriteria, column: string, parameters: Parameters): string[] {
  const { orchestrators, organizations } = criteria;
  const conditions: string[] = [];
  if (orchestrators !== undefined)
    conditions.push(`${column} = ANY (${parameters.add(orchestrators)}::text[])`);
  if (organizations !== undefined)
    conditions.push(
      `${column} IN (SELECT orchestrator_id FROM orchestrator_instances
        WHERE organization_id = ANY (${parameters.add(organizations)}::text[]))`,
    );
  return conditions;
}

function kindOf({ messageType, status }: MessageCriteria, of: string, parameters: Parameters): string[] {
  const conditions: string[] = [];
  if (messageType !== undefined) conditions.push(`${of}.message_type = ${parameters.add(messageType)}`);
  if (status !== undefined) conditions.push(`${of}.status = ${parameters.add(status)}`);
  return conditions;
}

function messageOf(row: Row): OrchestratorMessage[] {
  // There is a row for the count where there is no message.
  if (row.id === null) return [];
  return [
    {
      id: String(row.id),
      orchestratorId: String(row.orchestrator_id),
      messageType: wordOf(messageTypes, row.message_type),
      content: String(row.content),
      status: wordOf(messageStatuses, row.status),
      messageMetadata: row.message_metadata,
      createdAt: dateOf(row.created_at),
      updatedAt: dateOf(row.updated_at),
    },
  ];
}
