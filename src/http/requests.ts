// Owns what is known of a request besides its route: its id, and who sent it.
import { randomUUID } from 'node:crypto';
import type { Context, Middleware } from 'koa';
import type { Subject } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import { unauthorized } from '../fleet/errors.ts';

const wellFormedId = /^[A-Za-z0-9._-]{1,128}$/;

/** Takes the caller's `X-Request-Id`, where it is one, or makes one, and answers with it. */
export const nameRequests: Middleware = async (ctx, next) => {
  const given = ctx.get('X-Request-Id');
  const id = wellFormedId.test(given) ? given : randomUUID();
  ctx.state.requestId = id;
  ctx.set('X-Request-Id', id);
  await next();
};

export const requestIdOf = (ctx: Context): string => String(ctx.state.requestId);

/**
 * The token of `Authorization: Bearer <token>` (RFC 6750, 2.1); undefined where the header is not there.
 * @throws unauthorized when the header says something else
 */
export function tokenOf(ctx: Context): string | undefined {
  const header = ctx.get('Authorization');
  if (header === '') return undefined;
  const [, token] = /^Bearer +([A-Za-z0-9._~+/-]+=*) *$/i.exec(header) ?? [];
  if (token === undefined) throw unauthorized('The Authorization header must be: Bearer, a space, the token');
  return token;
}

export function setCaller(ctx: Context, caller: Caller): void {
  ctx.state.caller = caller;
}

/** Who calls; known behind the door alone. */
export function callerOf(ctx: Context): Caller {
  const caller: Caller | undefined = ctx.state.caller;
  if (caller === undefined) throw new Error(`${ctx.method} ${ctx.path} was not let in by the door`);
  return caller;
}

export function subjectOf(ctx: Context): Subject {
  const subject: Subject | undefined = ctx.state.subject;
  return subject ?? {};
}

/** Says on whom a call is, once that is known, for the audit. */
export function noteSubject(ctx: Context, subject: Subject): void {
  ctx.state.subject = { ...subjectOf(ctx), ...subject };
}
