// Owns the translation of every failure into the error envelope, in one place.
import type { Context, Middleware } from 'koa';
import { z } from 'zod';
import { reasonOf } from '../availability.ts';
import type { Clock } from '../clock.ts';
import { asFleetError, type ErrorCode, errorCodes, type FleetError } from '../fleet/errors.ts';
import { time } from '../fleet/shapes.ts';
import type { Log } from '../log.ts';
import { requestIdOf } from './requests.ts';

export const statusOf: Record<ErrorCode, number> = {
  invalid_request: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  already_exists: 409,
  already_decided: 409,
  not_connected: 409,
  rate_limited: 429,
  unavailable: 503,
  delivery_timeout: 504,
};

/** The codes of failures that never reach a route, or that a route did not foresee. */
export const httpErrorCodes = [
  'method_not_allowed',
  'request_timeout',
  'payload_too_large',
  'unsupported_media_type',
  'expectation_failed',
  'headers_too_large',
  'internal_error',
] as const;
type HttpErrorCode = (typeof httpErrorCodes)[number];

/** A failure of HTTP itself: the call never reached the fleet. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;
  readonly code: HttpErrorCode | ErrorCode;

  constructor(status: number, code: HttpErrorCode | ErrorCode, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The body of every failure. */
export const errorEnvelope = z
  .object({
    success: z.literal(false),
    message: z.string().describe('For people'),
    code: z.enum([...errorCodes, ...httpErrorCodes]).describe('For machines'),
    timestamp: time,
    errors: z
      .array(
        z.object({
          path: z.string().describe('Where in the call, as in `body.name`'),
          message: z.string(),
        }),
      )
      .min(1)
      .readonly()
      .optional()
      .describe('Every fault of the call, where it is `invalid_request`'),
  })
  .meta({ id: 'Error' });
type ErrorEnvelope = z.output<typeof errorEnvelope>;

/** Answers whatever goes wrong further in, and what no route answers. */
export function answerErrors(dependencies: { clock: Clock; log: Log }): Middleware {
  const { clock, log } = dependencies;
  return async (ctx, next) => {
    const envelope = (code: ErrorEnvelope['code'], message: string): ErrorEnvelope => ({
      success: false,
      message,
      code,
      timestamp: new Date(clock.now()).toISOString(),
    });
    try {
      await next();
    } catch (error) {
      if (error instanceof HttpError) {
        ctx.status = error.status;
        ctx.body = envelope(error.code, error.message);
        return;
      }
      const known = asFleetError(error);
      if (known === undefined) {
        log.error(
          { source: 'http', error, method: ctx.method, path: ctx.path, request_id: requestIdOf(ctx) },
          `${ctx.method} ${ctx.path} failed`,
        );
        ctx.status = 500;
        ctx.body = envelope('internal_error', 'Something went wrong inside the controller');
        return;
      }
      if (known.code === 'unavailable')
        log.warn(
          { source: 'http', reason: reasonOf(known.cause), request_id: requestIdOf(ctx) },
          `${ctx.method} ${ctx.path}: ${known.message}`,
        );
      if (known.retryAfterSeconds !== undefined) ctx.set('Retry-After', String(known.retryAfterSeconds));
      const challenge = challengeOf(known, ctx);
      if (challenge !== undefined) ctx.set('WWW-Authenticate', challenge);
      ctx.status = statusOf[known.code];
      ctx.body = {
        ...envelope(known.code, known.message),
        ...(known.faults.length > 0 ? { errors: known.faults } : {}),
      };
      return;
    }
    if (ctx.body !== undefined && ctx.body !== null) return;
    const allowed = ctx.response.get('Allow');
    if ((ctx.status === 405 || ctx.status === 501) && allowed !== '') {
      ctx.status = 405;
      ctx.body = envelope('method_not_allowed', `${ctx.method} is not allowed here; allowed: ${allowed}`);
    } else if (ctx.status === 404 || ctx.status === 501) {
      // A method that the router does not know is a 501 to it even where there is nothing at all.
      ctx.remove('Allow');
      ctx.status = 404;
      ctx.body = envelope('not_found', `There is nothing at ${ctx.path}`);
    }
  };
}

/** What a client is asked for (RFC 6750, 3); undefined where it is not a matter of its token. */
function challengeOf({ code, message }: FleetError, ctx: Context): string | undefined {
  const error = { unauthorized: 'invalid_token', forbidden: 'insufficient_scope' }[String(code)];
  if (error === undefined) return undefined;
  // Who gave none is not told that it is wrong.
  if (ctx.get('Authorization') === '') return code === 'unauthorized' ? 'Bearer' : undefined;
  return `Bearer error="${error}", error_description="${message.replaceAll(/[^\x20-\x7e]|["\\]/g, '')}"`;
}
