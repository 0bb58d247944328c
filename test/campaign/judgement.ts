// Owns what may be said to a client that is refused: the documented error, and nothing of the inside.
import { readFileSync } from 'node:fs';
import { errorCodes } from '../../src/fleet/errors.ts';
import { httpErrorCodes } from '../../src/http/errors.ts';
import { type SocketError, socketErrorCodes } from '../../src/socket/protocol.ts';
import { isoTime } from '../support/answers.ts';
import type { Response } from './wire.ts';

const codes: ReadonlySet<unknown> = new Set([...errorCodes, ...httpErrorCodes]);
const socketCodes: ReadonlySet<unknown> = new Set(socketErrorCodes);

const packages: { dependencies: Record<string, string> } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
);
const escaped = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\/]/g, '\\$&');
const names = Object.keys(packages.dependencies).map(escaped).join('|');
const versions = [...new Set([process.version, ...Object.values(packages.dependencies)])]
  .map(escaped)
  .join('|');

/** What a person would find helpful, and an attacker too. */
const insides: readonly [what: string, pattern: RegExp][] = [
  ['a stack', /\n\s+at |\bat (async )?[\w$.<>]+ \(|node:internal/],
  ['a file path', /node_modules|\.[cm]?[jt]s:\d|file:\/\/|\/src\/[a-z]|\/(root|home|usr|dev\/shm)\//],
  [
    'SQL',
    /\b(SELECT|INSERT INTO|UPDATE|DELETE FROM) |violates|at or near|relation "|column "|jsonb|pg_|SQLSTATE/,
  ],
  ['a store', /postgres(ql)?:\/\/|rediss?:\/\/|ECONN|\bWRONGTYPE\b|\bERR [a-z]/],
  ['a version', new RegExp(`\\b(${names})[@/ ]v?\\d|(?<![\\d.])(${versions})(?![\\d.])`)],
];

/** @throws naming what of the inside the text tells */
export function requireDiscreet(text: string): void {
  for (const [what, pattern] of insides) {
    const found = pattern.exec(text);
    if (found !== null)
      throw new Error(`the answer tells ${what}: ${JSON.stringify(found[0])} in ${text.slice(0, 500)}`);
  }
}

function requireThat(holds: boolean, what: string, told: unknown): void {
  if (!holds) throw new Error(`${what}: ${JSON.stringify(told)?.slice(0, 500)}`);
}

/**
 * @returns the code of a refusal; undefined for a success
 * @throws when the answer is not one that the controller may give
 */
export function judgeResponse({ status, headers, body }: Response, withoutBody: boolean): string | undefined {
  requireThat(status < 500, `answered ${status}`, body);
  for (const name of ['server', 'x-powered-by'])
    requireThat(!headers.has(name), `the header ${name}`, headers.get(name));
  if (status < 400) return undefined;
  if (withoutBody) return String(status);
  requireDiscreet(body);
  requireThat(headers.get('content-type') === 'application/json; charset=utf-8', 'no JSON', [...headers]);
  const { success, message, code, timestamp, errors, ...rest } = JSON.parse(body);
  requireThat(success === false, 'no error envelope', body);
  requireThat(typeof message === 'string' && message !== '', 'no message', body);
  requireThat(codes.has(code), 'no documented code', body);
  requireThat(isoTime.test(timestamp), 'no timestamp', body);
  requireThat(Object.keys(rest).length === 0, 'more than an error envelope', body);
  requireThat((code === 'invalid_request') === (errors !== undefined) || status === 400, 'errors', body);
  for (const fault of errors ?? []) {
    requireThat(Object.keys(fault).join() === 'path,message', 'no fault', fault);
    requireThat(typeof fault.path === 'string' && typeof fault.message === 'string', 'no fault', fault);
  }
  return code;
}

/** @throws when an orchestrator is told an `error` that is none of the protocol's */
export function judgeSocketError(told: unknown): SocketError['code'] {
  const text = JSON.stringify(told) ?? '';
  requireDiscreet(text);
  const { code, message, retryable, retry_after_ms: retryAfterMs, ...rest } = JSON.parse(text);
  requireThat(socketCodes.has(code), 'no documented code', told);
  requireThat(typeof message === 'string' && message !== '', 'no message', told);
  requireThat(typeof retryable === 'boolean', 'retryable', told);
  requireThat(retryAfterMs === undefined || Number.isInteger(retryAfterMs), 'retry_after_ms', told);
  requireThat(Object.keys(rest).length === 0, 'more than an error', told);
  requireThat(code !== 'unavailable', 'a failure inside the controller', told);
  return code;
}
