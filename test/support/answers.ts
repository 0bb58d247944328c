// Owns what tests expect of every answer: its envelope, whole, before they look at what it carries.
import type { ExecutionContext } from 'ava';
import type { Answer, Api } from './api.ts';
import { until } from './until.ts';

export const isoTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** A success under `/api/v1/controller`: returns its `data`. */
export function dataOf(t: ExecutionContext, answer: Answer, status = 200): Answer['body'] {
  const { data, ...head } = succeeded(t, answer, status);
  t.deepEqual(Object.keys(head), ['success', 'message', 'timestamp']);
  return data;
}

/** A success under `/api/v1/internal`: returns the fields beside the envelope's. */
export function fieldsOf(t: ExecutionContext, answer: Answer, status = 200): Answer['body'] {
  const {
    success: _success,
    message: _message,
    timestamp: _timestamp,
    ...fields
  } = succeeded(t, answer, status);
  return fields;
}

function succeeded(t: ExecutionContext, answer: Answer, status: number): Answer['body'] {
  t.is(answer.status, status, JSON.stringify(answer.body));
  t.is(answer.headers.get('content-type'), 'application/json; charset=utf-8');
  t.is(answer.body.success, true);
  t.is(typeof answer.body.message, 'string');
  t.regex(answer.body.timestamp, isoTime);
  return answer.body;
}

/**
 * An error, with its code and, where a payload failed its schema, the paths of all its faults in any order.
 * Returns the body.
 */
export function errorOf(
  t: ExecutionContext,
  answer: Answer,
  status: number,
  code: string,
  paths?: readonly string[],
): Answer['body'] {
  t.is(answer.status, status, JSON.stringify(answer.body));
  t.is(answer.headers.get('content-type'), 'application/json; charset=utf-8');
  const { success, message, code: given, timestamp, errors, ...rest } = answer.body;
  t.is(success, false);
  t.is(given, code);
  t.true(typeof message === 'string' && message !== '');
  t.regex(timestamp, isoTime);
  t.deepEqual(rest, {});
  if (code !== 'invalid_request') {
    t.is(errors, undefined);
    return answer.body;
  }
  t.true(Array.isArray(errors) && errors.length > 0, 'an invalid request names its faults');
  for (const fault of errors) {
    t.deepEqual(Object.keys(fault), ['path', 'message']);
    t.true(typeof fault.message === 'string' && fault.message !== '');
  }
  // One path may have several faults: what is asked for is that none of the paths is left out.
  const found = new Set<string>(errors.map((fault: { path: string }) => fault.path));
  if (paths !== undefined) t.deepEqual([...found].sort(), [...paths].sort());
  return answer.body;
}

/** What a replica tells of itself, whenever it comes to it, and not because of a call; and the audit of all calls. */
const ofItself = new Set([
  'audit',
  'database',
  'lease',
  'log-ring',
  'outbox',
  'outcomes',
  'redis',
  'sweeper',
]);

/** How many lines the ring has that some call or orchestrator was the reason for. */
export async function countLines(api: Api): Promise<number> {
  const { body } = await api.get('/api/v1/internal/logs?limit=1000');
  return body.data.items.filter((line: { source: string }) => !ofItself.has(line.source)).length;
}

/**
 * The log lines that match, oldest first, each as `LEVEL event message`. A line follows its call by one write to Redis,
 * in the order in which the replica wrote them: waits for as many as must be there. The audit's lines are left out
 * unless they are asked for, with `event`.
 */
export function linesOf(api: Api, filter: Record<string, string>, atLeast = 1): Promise<string[]> {
  const query = new URLSearchParams({ limit: '1000', ...filter });
  return until(`${atLeast} log lines`, async () => {
    const answer = await api.get(`/api/v1/internal/logs?${query}`);
    const items: { level: string; event?: string; message: string }[] = answer.body.data.items;
    const told = items.filter((line) => line.event === filter.event || line.event !== 'audit');
    const lines = told.map(({ level, event, message }) => `${level} ${event ?? '-'} ${message}`).reverse();
    return lines.length >= atLeast && lines;
  });
}
