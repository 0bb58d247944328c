// Owns what the description of the REST API says of failures: which call may end in which, and what is said then.
import type { ErrorCode } from '../fleet/errors.ts';
import type { Describer } from '../json-schema.ts';
import type { Envelope } from './answer-body.ts';
import { errorEnvelope } from './errors.ts';
import type { Route } from './route.ts';

type Code = keyof typeof meanings;

/** Those that a call may end in by what it asks for; the others may befall any call. */
const meanings: Readonly<Record<ErrorCode | 'payload_too_large' | 'unsupported_media_type', string>> = {
  invalid_request: 'The call is not valid: `errors` names every fault of it',
  unauthorized: 'No token, or one that does not count',
  forbidden: 'A token that is not for this; without keys for tokens, a call from elsewhere than this machine',
  not_found: 'There is no such thing, or not for this caller',
  already_exists: 'The id is taken',
  already_decided: 'It was decided otherwise',
  not_connected: 'The orchestrator has no connection',
  payload_too_large: 'The body is larger than `http.bodyLimitBytes`',
  unsupported_media_type: 'The body is not JSON in UTF-8',
  rate_limited: 'Too many calls of this address or caller',
  unavailable: 'A store that the call needs is away',
  delivery_timeout: 'Not received, or not acknowledged, within `timeout_ms`',
};

const header = (name: string) => ({ $ref: `#/components/headers/${name}` });
const headersOf: Partial<Record<Code, Record<string, unknown>>> = {
  unauthorized: { 'WWW-Authenticate': header('Challenge') },
  forbidden: { 'WWW-Authenticate': header('Challenge') },
  rate_limited: { 'Retry-After': header('RetryAfter') },
  unavailable: { 'Retry-After': header('RetryAfter') },
};

export interface Failures {
  /** By status code, references to responses; `default` is whatever may befall any call. */
  of(route: Route, group: { envelope: Envelope; prefix: string }): Record<string, unknown>;
  /** Those that were referred to so far, by their codes. */
  readonly responses: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, unknown>>;
}

export function createFailures(describer: Describer): Failures {
  const anyError = describer.describe(errorEnvelope, 'output');
  const requestId = { 'X-Request-Id': header('RequestId') };
  const responses: Record<string, unknown> = {
    failure: {
      description:
        'What may befall any call: 405 `method_not_allowed`, 408 `request_timeout`, 417 `expectation_failed`, ' +
        '431 `headers_too_large`, 500 `internal_error`, which says nothing of its cause; 403 `forbidden` where anyone ' +
        'on this machine may call, and the call is from elsewhere',
      headers: { ...requestId, Allow: header('Allow') },
      content: { 'application/json': { schema: anyError } },
    },
  };

  function referTo(code: Code): unknown {
    responses[code] ??= {
      description: `\`${code}\`: ${meanings[code]}`,
      headers: { ...requestId, ...headersOf[code] },
      content: {
        'application/json': {
          schema: {
            allOf: [anyError],
            properties: { code: { const: code } },
            ...(code === 'invalid_request' ? { required: ['errors'] } : {}),
          },
          example: exampleOf(code),
        },
      },
    };
    return { $ref: `#/components/responses/${code}` };
  }

  return {
    of(route, group) {
      const codes = Object.entries(codesOf(route, group)).flatMap(([status, code]) =>
        code === undefined ? [] : [[status, referTo(code)] as const],
      );
      return { ...Object.fromEntries(codes), default: { $ref: '#/components/responses/failure' } };
    },
    responses,
    headers: {
      RequestId: {
        description: 'The call’s own, or a new one: it is in the log and the audit',
        required: true,
        schema: { type: 'string', pattern: '^[A-Za-z0-9._-]{1,128}$' },
      },
      RetryAfter: {
        description: 'Seconds until another try may succeed',
        required: true,
        schema: { type: 'integer', minimum: 1 },
      },
      Challenge: { description: 'RFC 6750, 3', schema: { type: 'string', pattern: '^Bearer' } },
      Allow: { description: 'Of a 405: the methods that there are', schema: { type: 'string' } },
      ETag: { description: 'For `If-None-Match`', required: true, schema: { type: 'string' } },
    },
  };
}

function exampleOf(code: Code): unknown {
  const fault = { path: 'body.name', message: 'is required' };
  return {
    success: false,
    message:
      code === 'invalid_request'
        ? `The request is not valid: ${fault.path}: ${fault.message}`
        : meanings[code],
    code,
    timestamp: '2026-11-24T08:20:24.678Z',
    ...(code === 'invalid_request' ? { errors: [fault] } : {}),
  };
}

/** What the route says of itself, and what every route of its kind answers. */
function codesOf(
  { access, schemas, errors }: Route,
  group: { envelope: Envelope; prefix: string },
): Record<number, Code | undefined> {
  const { params, query, body } = schemas;
  return {
    ...(access === 'public' ? {} : { 401: 'unauthorized', 403: 'forbidden' }),
    ...((params ?? query ?? body) ? { 400: 'invalid_request' } : {}),
    ...(params === undefined ? {} : { 404: 'not_found' }),
    ...(body === undefined ? {} : { 413: 'payload_too_large', 415: 'unsupported_media_type' }),
    ...(group.envelope === 'plain' ? {} : { 429: 'rate_limited', 503: 'unavailable' }),
    ...errors,
  };
}
