// Owns the dashboard's routes on the controller itself: its figures and its health.
import { z } from 'zod';
import type { Clock } from '../../clock.ts';
import type { Overview } from '../../fleet/overview.ts';
import type { Readiness } from '../../fleet/readiness.ts';
import { count, time } from '../../fleet/shapes.ts';
import { type Route, route } from '../route.ts';

export const serviceName = 'moolai-controller';

const storeState = z.enum(['up', 'down']);
export const stores = z.object({
  database: storeState,
  database_reads: storeState.optional().describe('Where lists are read elsewhere than they are written'),
  redis: storeState,
  queue: storeState,
});

const overviewShape = z.object({
  organizations: count,
  instances: z.object({
    total: count,
    by_status: z.object({ active: count, inactive: count, independent: count }),
    by_health: z
      .object({ healthy: count, degraded: count, unhealthy: count, unknown: count })
      .describe('The last one told: those that are offline count as well'),
  }),
  pending_messages: count,
  connected: count.describe('Orchestrators connected right now'),
  nodes: count.describe('Live replicas'),
  heartbeats_per_minute: count.nullable().describe('Null for a caller that does not see the whole fleet'),
});

export function statusRoutes(fleet: { overview: Overview; readiness: Readiness; clock: Clock }): Route[] {
  const { overview, readiness, clock } = fleet;
  return [
    route({
      method: 'get',
      path: '/overview',
      access: 'fleet.read',
      operationId: 'getOverview',
      summary: 'True counts of the whole fleet',
      answers: { 200: overviewShape },
      async answer({ caller }) {
        return { body: { ...(await overview.read(caller.scope)) } };
      },
    }),
    route({
      method: 'get',
      path: '/health',
      access: 'fleet.read',
      operationId: 'getControllerHealth',
      summary: 'Health of the controller and of the stores it needs',
      answers: {
        200: z.object({
          status: z.enum(['healthy', 'degraded']),
          service: z.literal(serviceName),
          dependencies: stores,
          timestamp: time,
        }),
      },
      // A store that is away is what it tells of.
      errors: { 503: undefined },
      async answer() {
        const dependencies = await readiness.stores();
        const healthy = Object.values(dependencies).every((state) => state === 'up');
        const timestamp = new Date(clock.now()).toISOString();
        const status = healthy ? 'healthy' : 'degraded';
        return {
          message: `The controller is ${status}`,
          body: { status, service: serviceName, dependencies, timestamp },
        };
      },
    }),
  ];
}
