// Owns what the edge to people asks of a connection, and when it ends one.
import type { Middleware } from 'koa';
import { invalidRequest } from '../fleet/errors.ts';
import type { Readiness } from '../fleet/readiness.ts';

/** HTTP/1.1 asks for it (RFC 9112, 3.2). @throws invalid_request */
export const requireHost: Middleware = async (ctx, next) => {
  if (ctx.req.httpVersion === '1.1' && ctx.req.headers.host === undefined)
    throw invalidRequest([{ path: 'headers.host', message: 'is required' }]);
  await next();
};

/** In absolute form (RFC 9112, 3.2.2) a target may name a host that is none: Koa throws wherever it is looked at. */
export const requireReadableUrl: Middleware = async (ctx, next) => {
  try {
    void ctx.path;
  } catch {
    throw invalidRequest([{ path: 'url', message: 'cannot be read' }]);
  }
  await next();
};

/** The next call of this client is for another replica. */
export function closeWhenDraining(readiness: Readiness): Middleware {
  return async (ctx, next) => {
    try {
      await next();
    } finally {
      if (readiness.draining) ctx.set('Connection', 'close');
    }
  };
}
