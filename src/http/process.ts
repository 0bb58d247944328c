// Owns the routes that ask the process, not the fleet: probes for a load balancer, health for a person, metrics, and
// what describes the API.
import type { Clock } from '../clock.ts';
import type { Readiness } from '../fleet/readiness.ts';
import type { Metrics } from '../metrics.ts';
import { serviceName } from './controller/status.ts';
import { type Route, route } from './route.ts';

/** Unlike the probes. */
const limited = { 429: 'rate_limited: too many calls of this address' };

export function processRoutes(controller: {
  readiness: Readiness;
  metrics: Metrics;
  nodeId: string;
  startedAt: string;
  clock: Clock;
}): Route[] {
  const { readiness, metrics, nodeId, startedAt, clock } = controller;
  return [
    route({
      method: 'get',
      path: '/health/live',
      access: 'public',
      summary: 'The process runs; asks no store',
      async answer() {
        return { body: { status: 'alive', node_id: nodeId } };
      },
    }),
    route({
      method: 'get',
      path: '/health/ready',
      access: 'public',
      summary: 'This replica can take calls; 503 saying what keeps it from that',
      responses: { 200: 'Ready', 503: 'Not ready: `faults` says why' },
      async answer() {
        const faults = await readiness.faults();
        const ready = faults.length === 0;
        return {
          status: ready ? 200 : 503,
          body: { status: ready ? 'ready' : 'not ready', node_id: nodeId, faults },
        };
      },
    }),
    route({
      method: 'get',
      path: '/health',
      access: 'public',
      summary: 'Health for people',
      async answer() {
        const { stores: dependencies, faults } = await readiness.check();
        return {
          body: {
            service: serviceName,
            status: faults.length === 0 ? 'healthy' : 'degraded',
            node_id: nodeId,
            started_at: startedAt,
            dependencies,
            faults,
            timestamp: new Date(clock.now()).toISOString(),
          },
        };
      },
    }),
    route({
      method: 'get',
      path: '/metrics',
      access: 'public',
      summary: 'Metrics of this replica, as Prometheus reads them',
      async answer() {
        return { body: await metrics.render(), type: metrics.contentType };
      },
    }),
  ];
}

/** What they answer never changes: it is made for the first who asks. */
export function describingRoutes(api: { describe(): Record<string, unknown>; render(): string }): Route[] {
  let description: string | undefined;
  let page: string | undefined;
  return [
    route({
      method: 'get',
      path: '/openapi.json',
      access: 'public',
      summary: 'This API as OpenAPI 3.1',
      responses: limited,
      async answer() {
        description ??= JSON.stringify(api.describe());
        return { body: description, type: 'json' };
      },
    }),
    route({
      method: 'get',
      path: '/docs',
      access: 'public',
      summary: 'This API as a page',
      responses: limited,
      async answer() {
        page ??= api.render();
        return { body: page, type: 'html' };
      },
    }),
  ];
}
