// Owns the dashboard's routes on the controller itself: its figures and its health.
import type { Clock } from '../../clock.ts';
import type { Overview } from '../../fleet/overview.ts';
import type { Readiness } from '../../fleet/readiness.ts';
import { type Route, route } from '../route.ts';

export const serviceName = 'moolai-controller';

export function statusRoutes(fleet: { overview: Overview; readiness: Readiness; clock: Clock }): Route[] {
  const { overview, readiness, clock } = fleet;
  return [
    route({
      method: 'get',
      path: '/overview',
      access: 'fleet.read',
      summary: 'True counts of the whole fleet',
      async answer({ caller }) {
        return { body: { ...(await overview.read(caller.scope)) } };
      },
    }),
    route({
      method: 'get',
      path: '/health',
      access: 'fleet.read',
      summary: 'Health of the controller and of the stores it needs',
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
