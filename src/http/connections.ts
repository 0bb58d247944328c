// Owns what the edge to people asks of a connection, and when it ends one.
import type { Server, ServerOptions } from 'node:http';
import type { Middleware } from 'koa';
import type { Tokens } from '../access/tokens.ts';
import { forbidden, invalidRequest } from '../fleet/errors.ts';
import type { Readiness } from '../fleet/readiness.ts';
import type { Log } from '../log.ts';
import { createPacedWarning } from '../paced-warning.ts';

/** How often slow requests are looked for. */
const longestCheckMs = 1_000;

/** When a connection that says too little is ended, ms, in the words of Node's server. */
export function timeoutsOf(http: {
  requestTimeoutMs: number;
  headersTimeoutMs: number;
  keepAliveTimeoutMs: number;
}): ServerOptions {
  return {
    requestTimeout: http.requestTimeoutMs,
    headersTimeout: http.headersTimeoutMs,
    keepAliveTimeout: http.keepAliveTimeoutMs,
    connectionsCheckingInterval: Math.min(longestCheckMs, http.headersTimeoutMs),
  };
}

/** Connections beyond the bound are closed before anything is read of them. */
export function limitConnections(server: Server, options: { maxConnections: number }, log: Log): void {
  const { maxConnections } = options;
  const warn = createPacedWarning({ log, event: 'full' });
  server.maxConnections = maxConnections;
  server.on('drop', () =>
    warn({ source: 'http' }, `More than ${maxConnections} connections: new ones are closed`),
  );
}

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

/** @throws forbidden where anyone on this machine may call, and the call is from elsewhere */
export function requireOwnMachine(tokens: Tokens): Middleware {
  return async (ctx, next) => {
    const refusal = tokens.refuseRemote(ctx.req.headers);
    if (refusal !== undefined) throw forbidden(refusal);
    await next();
  };
}

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
