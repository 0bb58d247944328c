// Owns the errors that a caller may meet: each has a stable code and says whether trying again can help.
import { isMissingReference, isPassingFailure } from '../database/failures.ts';
import { isRedisAway } from '../redis/failures.ts';

export const errorCodes = [
  'invalid_request',
  'unauthorized',
  'forbidden',
  'not_found',
  'already_exists',
  'already_decided',
  'not_connected',
  'delivery_timeout',
  'rate_limited',
  'unavailable',
] as const;
export type ErrorCode = (typeof errorCodes)[number];

export interface Fault {
  /** Where in the call, as in `body.name`. */
  path: string;
  message: string;
}

export class FleetError extends Error {
  override readonly name = 'FleetError';
  readonly code: ErrorCode;
  readonly faults: readonly Fault[];
  /** Whole seconds after which the same call may succeed; undefined where repeating it cannot help. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    more: { faults?: readonly Fault[]; retryAfterSeconds?: number; cause?: unknown } = {},
  ) {
    super(message, { cause: more.cause });
    this.code = code;
    this.faults = more.faults ?? [];
    this.retryAfterSeconds = more.retryAfterSeconds;
  }
}

export const invalidRequest = (faults: readonly Fault[]) =>
  new FleetError(
    'invalid_request',
    `The request is not valid: ${faults.map((f) => `${f.path}: ${f.message}`).join('; ')}`,
    {
      faults,
    },
  );
/** No token, or one that does not count. */
export const unauthorized = (message: string) => new FleetError('unauthorized', message);
/** A token that counts, but not for this. */
export const forbidden = (message: string) => new FleetError('forbidden', message);
export const rateLimited = (message: string, retryAfterSeconds: number) =>
  new FleetError('rate_limited', message, { retryAfterSeconds });
export const notFound = (what: string, id: string) =>
  new FleetError('not_found', `${what} ${id} does not exist`);
export const alreadyExists = (what: string, id: string) =>
  new FleetError('already_exists', `${what} ${id} already exists`);
export const alreadyDecided = (id: string, status: string) =>
  new FleetError('already_decided', `Message ${id} is already ${status}`);
export const notConnected = (id: string) =>
  new FleetError('not_connected', `Orchestrator ${id} is not connected`);
export const deliveryTimeout = (id: string, timeoutMs: number, what: 'delivered' | 'acknowledged') =>
  new FleetError(
    'delivery_timeout',
    `The message to orchestrator ${id} was not ${what} within ${timeoutMs} ms`,
  );
export const unavailable = (
  what: 'Postgres' | 'Redis' | 'The replica' | 'The provider of keys',
  cause: unknown,
) =>
  new FleetError('unavailable', `${what} is not available at the moment`, {
    retryAfterSeconds: 2,
    cause,
  });

/** The error a caller may be told of: a store that is away becomes `unavailable`; undefined is unforeseen. */
export function asFleetError(error: unknown): FleetError | undefined {
  if (error instanceof FleetError) return error;
  if (isPassingFailure(error) || isMissingReference(error)) return unavailable('Postgres', error);
  if (isRedisAway(error)) return unavailable('Redis', error);
  return undefined;
}
