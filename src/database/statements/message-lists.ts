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

/** Of a call that names none. Of any other there would be too many statements for each connection to keep. */
const usualLimit = 100;

/** @returns undefined where `before` names none of the messages that there are for the caller */
export async function listMessages(
  query: Query,
  criteria: MessageCriteria,
): Promise<ListedMessages | undefined> {
  const page = createParameters();
  const statement = pageStatement(criteria, page);
  const rows = await query(statement, page.values, { prepared: criteria.limit === usualLimit });
  if (rows[0] !== undefined) return { messages: rows.map(messageOf), totalCount: Number(rows[0].total) };
  // A page without rows has nowhere to say how many there are: asked again, as messages may have come meanwhile.
  const again = createParameters();
  const found = await query(pageOrNothingStatement(criteria, again), again.values);
  if (found[0]?.known === false) return undefined;
  const messages = found.filter((row) => row.id !== null).map(messageOf);
  return { messages, totalCount: Number(found[0]?.total) };
}

/** In `whose`, where the counts of all messages are, in parts: see the migration that makes them. */
export const wholeFleet = Array.from({ length: 16 }, (_, part) => `'#${part}'`).join(', ');
const columns =
  'm.id, m.orchestrator_id, m.message_type, m.content, m.status, m.message_metadata, m.created_at, m.updated_at';
const newestFirst = 'ORDER BY m.created_at DESC, m.id DESC';

/** What is shown of a message. */
const shown = `m.id, m.orchestrator_id, m.message_type, m.content, m.status, m.message_metadata,
  ${epochOf('m.created_at')} AS created_ms, ${epochOf('m.updated_at')} AS updated_ms`;

const withMark = (criteria: MessageCriteria, parameters: Parameters): string =>
  criteria.before === undefined ? '' : `WITH mark AS (${markOf(criteria, criteria.before, parameters)})`;

/** The count is read once, and stands in every row. */
function pageStatement(criteria: MessageCriteria, parameters: Parameters): string {
  return `
    ${withMark(criteria, parameters)}
    SELECT (${countOf(criteria, parameters)}) AS total, ${shown}
    FROM (${pageOf(criteria, parameters)}) m ${newestFirst}`;
}

/** The same with one row, of no message, where there is none; and whether `before` names one. Dearer: it joins. */
function pageOrNothingStatement(criteria: MessageCriteria, parameters: Parameters): string {
  const known = criteria.before === undefined ? 'true' : 'EXISTS (SELECT FROM mark)';
  return `
    ${withMark(criteria, parameters)}
    SELECT (${countOf(criteria, parameters)}) AS total, ${known} AS known, ${shown}
    FROM (VALUES (1)) always LEFT JOIN (${pageOf(criteria, parameters)}) m ON true ${newestFirst}`;
}

function markOf(criteria: MessageCriteria, before: string, parameters: Parameters): string {
  const reach = reachOf(criteria, 'm.orchestrator_id', parameters);
  return `SELECT m.created_at, m.id FROM orchestrator_messages m ${whereOf([`m.id = ${parameters.add(before)}`, ...reach])}`;
}

function countOf(criteria: MessageCriteria, parameters: Parameters): string {
  const { orchestratorId } = criteria;
  const sum = (whose: readonly string[]) =>
    `SELECT sum(c.messages) AS messages FROM orchestrator_message_counts c ${whereOf([...whose, ...kindOf(criteria, 'c', parameters)])}`;
  const total = 'SELECT COALESCE(sum(part.messages), 0)::float8 FROM';
  if (orchestratorId !== undefined)
    return `${total} (${sum([`c.whose = ${parameters.add(orchestratorId)}`, ...reachOf(criteria, 'c.whose', parameters)])}) part`;
  if (!isConfined(criteria)) return `${total} (${sum([`c.whose IN (${wholeFleet})`])}) part`;
  const each = sum(['c.whose = i.orchestrator_id']);
  return `${total} orchestrator_instances i, LATERAL (${each}) part ${whereOf(instancesOf(criteria, parameters))}`;
}

/** Each way reads no more of an index than a page from where it begins, of each of its parts. */
function pageOf(criteria: MessageCriteria, parameters: Parameters): string {
  const { orchestratorId, messageType, status, limit } = criteria;
  const older =
    criteria.before === undefined
      ? []
      : ['(m.created_at, m.id) < ((SELECT created_at FROM mark), (SELECT id FROM mark))'];
  const select = (what: string, conditions: readonly string[]) =>
    `SELECT ${what} FROM orchestrator_messages m ${whereOf([...conditions, ...older])} ${newestFirst} LIMIT ${limit}`;
  if (orchestratorId !== undefined)
    return select(columns, [
      `m.orchestrator_id = ${parameters.add(orchestratorId)}`,
      ...reachOf(criteria, 'm.orchestrator_id', parameters),
      ...kindOf(criteria, 'm', parameters),
    ]);
  if (isConfined(criteria)) {
    // In the order of all messages those of a few orchestrators may be far apart. What the index says is enough to sort.
    const each = select('m.created_at, m.id', [
      'm.orchestrator_id = i.orchestrator_id',
      ...kindOf(criteria, 'm', parameters),
    ]);
    const within = whereOf(instancesOf(criteria, parameters));
    return `
      SELECT ${columns} FROM orchestrator_messages m JOIN (
        SELECT m.id FROM orchestrator_instances i, LATERAL (${each}) m ${within} ${newestFirst} LIMIT ${limit}
      ) newest USING (id)`;
  }
  if (messageType === undefined && status === undefined) return select(columns, []);
  const kinds = messageTypes
    .filter((each) => messageType === undefined || each === messageType)
    .flatMap((type) =>
      messageStatuses
        .filter((each) => status === undefined || each === status)
        .map((each) => `(${select(columns, [`m.message_type = '${type}'`, `m.status = '${each}'`])})`),
    );
  return `SELECT ${columns} FROM (${kinds.join(' UNION ALL ')}) m ${newestFirst} LIMIT ${limit}`;
}

function isConfined({ orchestratorId, orchestrators, organizations }: MessageCriteria): boolean {
  return [orchestratorId, orchestrators, organizations].some((each) => each !== undefined);
}

/** What there is for the caller. */
function reachOf(criteria: MessageCriteria, column: string, parameters: Parameters): string[] {
  const { orchestrators, organizations } = criteria;
  if (organizations !== undefined) {
    const within = whereOf(instancesOf(criteria, parameters));
    return [`${column} IN (SELECT i.orchestrator_id FROM orchestrator_instances i ${within})`];
  }
  return orchestrators === undefined ? [] : [`${column} = ANY (${parameters.add(orchestrators)}::text[])`];
}

/** The instances whose messages there are for the caller. */
function instancesOf({ orchestrators, organizations }: MessageCriteria, parameters: Parameters): string[] {
  const conditions: string[] = [];
  if (orchestrators !== undefined)
    conditions.push(`i.orchestrator_id = ANY (${parameters.add(orchestrators)}::text[])`);
  if (organizations !== undefined)
    conditions.push(`i.organization_id = ANY (${parameters.add(organizations)}::text[])`);
  return conditions;
}

function kindOf({ messageType, status }: MessageCriteria, of: string, parameters: Parameters): string[] {
  const conditions: string[] = [];
  if (messageType !== undefined) conditions.push(`${of}.message_type = ${parameters.add(messageType)}`);
  if (status !== undefined) conditions.push(`${of}.status = ${parameters.add(status)}`);
  return conditions;
}

function messageOf(row: Row): OrchestratorMessage {
  return {
    id: String(row.id),
    orchestratorId: String(row.orchestrator_id),
    messageType: wordOf(messageTypes, row.message_type),
    content: String(row.content),
    status: wordOf(messageStatuses, row.status),
    messageMetadata: row.message_metadata,
    createdAt: dateOf(row.created_ms),
    updatedAt: dateOf(row.updated_ms),
  };
}
