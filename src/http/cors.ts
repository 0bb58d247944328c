// Owns which pages may call REST from a browser: those of the configured origins, and no others.
import cors from '@koa/cors';
import type { Middleware } from 'koa';

const preflightSeconds = 600;

/**
 * Answers the question that a browser asks before a call, which carries no token. Only where there is something to
 * call: elsewhere it is a 404 like any other.
 * @param options.isRoute whether there is a route at a path, by whatever method
 */
export function createCors(options: {
  origins: readonly string[];
  isRoute(path: string): boolean;
}): Middleware {
  const { origins, isRoute } = options;
  if (origins.length === 0) return (_ctx, next) => next();
  return cors({
    origin(ctx) {
      const origin = ctx.get('Origin');
      return origins.includes(origin) && (ctx.method !== 'OPTIONS' || isRoute(ctx.path)) ? origin : '';
    },
    allowMethods: ['GET', 'HEAD', 'POST', 'PUT', 'DELETE'],
    allowHeaders: ['Authorization', 'Content-Type', 'If-None-Match', 'X-Request-Id'],
    exposeHeaders: ['ETag', 'Retry-After', 'X-Request-Id'],
    maxAge: preflightSeconds,
    keepHeadersOnError: false,
  });
}
