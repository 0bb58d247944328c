// Owns the edge to people: every middleware and every route of the controller, on one screen.
import Router from '@koa/router';
import Koa from 'koa';
import type { Audit } from '../access/audit.ts';
import type { Tokens } from '../access/tokens.ts';
import type { Clock } from '../clock.ts';
import type { Delivery } from '../fleet/delivery.ts';
import type { Heartbeats } from '../fleet/heartbeats.ts';
import type { Independences } from '../fleet/independence.ts';
import type { Instances } from '../fleet/instances.ts';
import type { JsonSchemas } from '../fleet/json.ts';
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
import type { RateLimits } from '../redis/rate-limits.ts';
import type { Tracing } from '../tracing.ts';
import type { AddressOf } from './address.ts';
import { closeWhenDraining, requireHost, requireOwnMachine, requireReadableUrl } from './connections.ts';
import { orchestratorRoutes } from './controller/orchestrators.ts';
import { organizationRoutes } from './controller/organizations.ts';
import { statusRoutes } from './controller/status.ts';
import { createCors } from './cors.ts';
import { describingRoutes } from './description.ts';
import { renderDocs } from './docs.ts';
import { createDocsFiles } from './docs-files.ts';
import { createDoor } from './door.ts';
import { answerErrors } from './errors.ts';
import { renderEventDocs } from './event-docs.ts';
import { clusterRoutes } from './internal/cluster.ts';
import { messageRoutes } from './internal/messages.ts';
import { internalOrchestratorRoutes } from './internal/orchestrators.ts';
import { sendRoutes } from './internal/send.ts';
import { createLimits, type Limits } from './limits.ts';
import { measureRequests } from './measure.ts';
import { describeApi, type MountedRoutes } from './openapi.ts';
import { processRoutes } from './process.ts';
import { nameRequests } from './requests.ts';
import { type Door, mount } from './route.ts';
import { secureHeaders } from './security-headers.ts';
import { traceRequests } from './trace.ts';

export interface AppDependencies {
  tokens: Tokens;
  audit: Audit;
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
  tracing: Tracing;
  jsonSchemas: JsonSchemas;
  clock: Clock;
  nodeId: string;
  startedAt: string;
  rates: RateLimits;
  addressOf: AddressOf;
  /** Null: health and metrics are served with the rest. */
  processPort: number | null;
  /** AsyncAPI of the other edge. */
  describeEvents(): object;
  corsOrigins: readonly string[];
  sendWaitsPerCaller: number;
  bodyLimitBytes: number;
  /** How long a caller waits for what a store has to do before it is told 503. */
  answerWithinMs: number;
  log: Log;
}

/** What becomes of an answer whose client goes away before its end. */
const hungUp = new Set(['ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET', 'EPIPE']);

export interface Apps {
  /** Everything, but for what has a port of its own. */
  readonly main: Koa;
  /** Health and metrics, where they have one. */
  readonly process: Koa | undefined;
}

export function createApps(dependencies: AppDependencies): Apps {
  const controller = [
    ...organizationRoutes(dependencies),
    ...orchestratorRoutes(dependencies),
    ...statusRoutes(dependencies),
  ];
  const internal = [
    ...internalOrchestratorRoutes(dependencies),
    ...sendRoutes(dependencies),
    ...messageRoutes(dependencies),
    ...clusterRoutes(dependencies),
  ];
  const api: MountedRoutes[] = [
    {
      prefix: '/api/v1/controller',
      tag: 'controller',
      about: 'For dashboards. What is answered is in `data`.',
      envelope: 'data',
      routes: controller,
    },
    {
      prefix: '/api/v1/internal',
      tag: 'internal',
      about: 'For the administration of the fleet. What is answered stands beside `success`.',
      envelope: 'fields',
      routes: internal,
    },
  ];
  const aboutProcess = 'Of this replica, not of the fleet; health and metrics may have a port of their own.';
  const process: MountedRoutes = {
    prefix: '',
    tag: 'process',
    about: aboutProcess,
    envelope: 'plain',
    routes: processRoutes(dependencies),
  };
  const description: MountedRoutes = {
    prefix: '',
    tag: 'process',
    about: aboutProcess,
    envelope: 'plain',
    // What is described is what is mounted: a route that answers is in /openapi.json.
    routes: describingRoutes({
      openApi: () => describeApi(all),
      asyncApi: dependencies.describeEvents,
      docs: () => renderDocs(all),
      eventDocs: () => renderEventDocs(dependencies.describeEvents()),
      files: createDocsFiles(),
    }),
  };
  const all = [...api, process, description];

  const limits = createLimits(dependencies);
  const door = createDoor({ ...dependencies, limitCaller: limits.limitCaller });
  const compose = (mounted: readonly MountedRoutes[]) =>
    composeApp(mounted, { ...dependencies, limits, door });
  if (dependencies.processPort === null) return { main: compose(all), process: undefined };
  return { main: compose([...api, description]), process: compose([process]) };
}

function composeApp(
  mounted: readonly MountedRoutes[],
  dependencies: AppDependencies & { limits: Limits; door: Door },
): Koa {
  const router = new Router();
  for (const { prefix, envelope, routes } of mounted) mount(router, prefix, envelope, routes, dependencies);
  const cors = createCors({
    origins: dependencies.corsOrigins,
    isRoute: (path) => router.match(path, 'OPTIONS').path.length > 0,
  });
  const app = new Koa();
  app.on('error', (error: NodeJS.ErrnoException) => {
    // Whoever hangs up does not want the rest.
    if (hungUp.has(error.code ?? '')) return;
    dependencies.log.warn({ source: 'http', error }, `An answer could not be sent: ${error.message}`);
  });
  app.use(nameRequests);
  app.use(measureRequests(dependencies.metrics));
  app.use(traceRequests(dependencies.tracing));
  app.use(secureHeaders());
  app.use(answerErrors(dependencies));
  app.use(requireReadableUrl);
  app.use(cors);
  app.use(requireHost);
  app.use(requireOwnMachine(dependencies.tokens));
  app.use(closeWhenDraining(dependencies.readiness));
  app.use(dependencies.limits.limitAddress);
  app.use(router.routes());
  app.use(router.allowedMethods());
  return app;
}
