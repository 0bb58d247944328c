// Owns the edge to people: every middleware and every route of the controller, on one screen.
import Router from '@koa/router';
import Koa from 'koa';
import type { Clock } from '../clock.ts';
import type { Delivery } from '../fleet/delivery.ts';
import type { Heartbeats } from '../fleet/heartbeats.ts';
import type { Independences } from '../fleet/independence.ts';
import type { Instances } from '../fleet/instances.ts';
import type { Messages } from '../fleet/messages.ts';
import type { Organizations } from '../fleet/organizations.ts';
import type { Overview } from '../fleet/overview.ts';
import type { Readiness } from '../fleet/readiness.ts';
import type { Registrations } from '../fleet/registrations.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Lease } from '../redis/lease.ts';
import type { LogRing } from '../redis/log-ring.ts';
import type { Presence } from '../redis/presence.ts';
import { closeWhenDraining, requireHost, requireReadableUrl } from './connections.ts';
import { orchestratorRoutes } from './controller/orchestrators.ts';
import { organizationRoutes } from './controller/organizations.ts';
import { statusRoutes } from './controller/status.ts';
import { renderDocs } from './docs.ts';
import { answerErrors } from './errors.ts';
import { clusterRoutes } from './internal/cluster.ts';
import { messageRoutes } from './internal/messages.ts';
import { internalOrchestratorRoutes } from './internal/orchestrators.ts';
import { measureRequests } from './measure.ts';
import { describeApi, type MountedRoutes } from './openapi.ts';
import { processRoutes } from './process.ts';
import { mount, type Route } from './route.ts';

export interface AppDependencies {
  organizations: Organizations;
  instances: Instances;
  registrations: Registrations;
  independences: Independences;
  messages: Messages;
  heartbeats: Heartbeats;
  delivery: Delivery;
  overview: Overview;
  readiness: Readiness;
  presence: Presence;
  lease: Lease;
  logRing: LogRing;
  metrics: Metrics;
  clock: Clock;
  nodeId: string;
  startedAt: string;
  bodyLimitBytes: number;
  /** How long a caller waits for what a store has to do before it is told 503. */
  answerWithinMs: number;
  log: Log;
}

export function createApp(dependencies: AppDependencies): Koa {
  const controller = [
    ...organizationRoutes(dependencies),
    ...orchestratorRoutes(dependencies),
    ...statusRoutes(dependencies),
  ];
  const internal = [
    ...internalOrchestratorRoutes(dependencies),
    ...messageRoutes(dependencies),
    ...clusterRoutes(dependencies),
  ];
  const api: MountedRoutes[] = [
    { prefix: '/api/v1/controller', tag: 'controller', envelope: 'data', routes: controller },
    { prefix: '/api/v1/internal', tag: 'internal', envelope: 'fields', routes: internal },
  ];
  const process: Route[] = processRoutes({
    ...dependencies,
    describeApi: () => describeApi(all),
    renderDocs: () => renderDocs(all),
  });
  const all: MountedRoutes[] = [...api, { prefix: '', tag: 'process', envelope: 'plain', routes: process }];

  // What is described is what is mounted: a route that answers is in /openapi.json.
  const router = new Router();
  for (const { prefix, envelope, routes } of all) mount(router, prefix, envelope, routes, dependencies);

  const app = new Koa();
  app.on('error', (error: Error) =>
    dependencies.log.warn({ source: 'http', error }, `An answer could not be sent: ${error.message}`),
  );
  app.use(measureRequests(dependencies.metrics));
  app.use(answerErrors(dependencies));
  app.use(requireHost);
  app.use(requireReadableUrl);
  app.use(closeWhenDraining(dependencies.readiness));
  app.use(router.routes());
  app.use(router.allowedMethods());
  return app;
}
