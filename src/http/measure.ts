// Owns the measuring of requests, by route template: never by path, which has no end.
import type { Middleware } from 'koa';
import type { Metrics } from '../metrics.ts';

/** A client may send any of some forty. */
const knownMethods = new Set(['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT']);

export function measureRequests(metrics: Metrics): Middleware {
  return async (ctx, next) => {
    const stop = metrics.requests.startTimer();
    try {
      await next();
    } finally {
      const route: unknown = ctx._matchedRoute;
      stop({
        method: knownMethods.has(ctx.method) ? ctx.method : 'other',
        route: typeof route === 'string' ? route : 'none',
        status: String(ctx.status),
      });
    }
  };
}
