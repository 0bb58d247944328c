// Owns the step of a trace that a call over HTTP is: its first here, under the caller's own if it names one.
import type { Context, Middleware } from 'koa';
import { noStep, type Step, type Tracing } from '../tracing.ts';

/** Called without end, and about nothing that somebody would follow: probes, metrics, heartbeats. */
const untraced = new Set([
  ...['/health', '/health/live', '/health/ready', '/metrics'],
  '/api/v1/internal/orchestrators/heartbeat',
]);

/** No path of this API is longer. Anybody may send a longer one, and have it kept and sent on with each call. */
const longestPath = 600;

/** By https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server-span */
export function traceRequests(tracing: Tracing): Middleware {
  return async (ctx, next) => {
    if (!tracing.on || untraced.has(ctx.path)) return next();
    const step = tracing.begin('server', ctx.method, ctx.get('traceparent'), {
      'http.request.method': ctx.method,
      'url.path': ctx.path.slice(0, longestPath),
      'url.scheme': ctx.protocol,
    });
    ctx.state.step = step;
    try {
      await next();
    } finally {
      const { status, _matchedRoute: route } = ctx;
      const isRoute = typeof route === 'string';
      step.end({
        name: isRoute ? `${ctx.method} ${route}` : ctx.method,
        attributes: { 'http.response.status_code': status, ...(isRoute ? { 'http.route': route } : {}) },
        error: status >= 500 ? String(status) : undefined,
      });
    }
  };
}

export function stepOf(ctx: Context): Step {
  const step: Step | undefined = ctx.state.step;
  return step ?? noStep;
}
