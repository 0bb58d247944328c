// Owns whether the figures of an installation add up: ports and probes, a stop, a rolling restart, memory, scaling.
import { ScaledObject } from '@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject';
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler';
import { Ingress } from 'kubernetes-models/networking.k8s.io/v1/Ingress';
import type { Settings } from '../../src/settings.ts';
import { settingsOf, variablesOf } from './environment.ts';
import { all, controllerOf, type Installation, podsOf } from './objects.ts';

/** src/main.ts ends the process so long after the deadline, whatever happens. */
const lastResortMs = 2_000;
/** Until an orchestrator or a node that is slow has ended what it does. */
const marginSeconds = 5;
/** The longest that a call of /send may wait (`timeout_ms`). */
const longestCallSeconds = 30;

type Rule = (installation: Installation, settings: Settings) => (string | false)[];

/** @throws SettingsError when the installation has no settings that could be used */
export function operationFaults(installation: Installation): string[] {
  const settings = settingsOf(installation);
  return rules.flatMap((rule) => rule(installation, settings)).filter((fault) => fault !== false);
}

const ports: Rule = (installation, { http }) => {
  const { container } = controllerOf(installation);
  const portOf = (name: string) => container.ports?.find((port) => port.name === name)?.containerPort;
  const { startupProbe, livenessProbe, readinessProbe } = container;
  return [
    portOf('http') !== http.port && `the port http is not ${http.port}`,
    portOf('process') !== http.processPort && `the port process is not ${http.processPort}`,
    ...[startupProbe, livenessProbe, readinessProbe].map(
      (probe) => probe?.httpGet?.port !== 'process' && 'a probe asks another port than process',
    ),
    startupProbe?.httpGet?.path !== '/health/live' && 'the startup probe asks a store',
    livenessProbe?.httpGet?.path !== '/health/live' && 'the liveness probe asks a store',
    readinessProbe?.httpGet?.path !== '/health/ready' && 'the readiness probe does not ask /health/ready',
  ];
};

const readiness: Rule = (installation, { database, redis }) => {
  const { timeoutSeconds = 1 } = controllerOf(installation).container.readinessProbe ?? {};
  const storesMs = Math.max(database.readTimeoutMs, redis.commandTimeoutMs);
  return [timeoutSeconds * 1_000 <= storesMs && 'the readiness probe gives up before a store does'];
};

const stop: Rule = (installation, { shutdown, socket }) => {
  const { pods, container } = controllerOf(installation);
  const preStopSeconds = container.lifecycle?.preStop?.sleep?.seconds ?? 0;
  const graceSeconds = pods.spec.terminationGracePeriodSeconds ?? 30;
  const needsSeconds = preStopSeconds + (shutdown.deadlineMs + lastResortMs) / 1_000 + marginSeconds;
  const drainMs =
    (socket.connectionsPerReplica / shutdown.reconnectsPerSecond) * 1_000 + shutdown.reconnectGraceMs;
  return [
    preStopSeconds < 5 && 'a stop begins before the proxies know of it',
    graceSeconds < needsSeconds && `a stop may take ${needsSeconds} s, and is given ${graceSeconds} s`,
    shutdown.deadlineMs / 2 < drainMs &&
      `a drain may take ${drainMs} ms, and has half of ${shutdown.deadlineMs}`,
  ];
};

const rollingRestart: Rule = (installation, { shutdown, socket }) => {
  const { deployment } = controllerOf(installation);
  const { maxUnavailable, maxSurge } = deployment.spec?.strategy?.rollingUpdate ?? {};
  // Of the others one may have ended by itself.
  const others = Math.max(1, leastReplicas(installation) - 1);
  return [
    maxUnavailable !== 0 && 'a restart takes replicas away before there are others',
    (maxSurge === undefined || maxSurge === 0) && 'a restart cannot begin',
    leastReplicas(installation) < 2 && 'there may be a single replica',
    shutdown.reconnectsPerSecond > others * socket.connectionsPerSecond &&
      `a stop sends ${shutdown.reconnectsPerSecond} a second, and the others take ${others * socket.connectionsPerSecond}`,
  ];
};

const memory: Rule = (installation, { delivery }) => {
  const { container } = controllerOf(installation);
  const options = variablesOf(installation, container).get('NODE_OPTIONS') ?? '';
  const heapMebibytes = Number(/--max-old-space-size=(\d+)/.exec(options)?.[1]);
  const limit = bytesOf(container.resources?.limits?.memory);
  const besides = delivery.unansweredBytes + 128 * 2 ** 20;
  return [
    !(heapMebibytes > 0) && 'the heap has no bound of its own',
    heapMebibytes * 2 ** 20 + besides > limit && 'the heap leaves no room for what is beside it',
  ];
};

const images: Rule = (installation) => {
  const used = podsOf(installation)
    .flatMap(({ containers }) => containers)
    .flatMap(({ image = '' }) => (image.includes('moolai') ? [image] : []));
  return [new Set(used).size !== 1 && `the controller has several images: ${used.join(', ')}`];
};

const scaling: Rule = (installation, { socket }) => {
  const autoscalers = all(installation, HorizontalPodAutoscaler.is);
  const scaled = all(installation, ScaledObject.is);
  const { deployment, pods } = controllerOf(installation);
  const graceSeconds = pods.spec.terminationGracePeriodSeconds ?? 30;
  const behaviors = [
    ...autoscalers.map(({ spec }) => spec?.behavior),
    ...scaled.map(({ spec }) => spec?.advanced?.horizontalPodAutoscalerConfig?.behavior),
  ];
  const asked = autoscalers.flatMap(({ spec }) =>
    (spec?.metrics ?? []).map(({ pods: of }) => [of?.metric.name ?? '', String(of?.target.averageValue)]),
  );
  const queried = scaled.flatMap(({ spec }) =>
    spec.triggers.map(({ metadata }) => [metadata.query ?? '', metadata.threshold ?? '']),
  );
  const measures = [...asked, ...queried];
  const targetOf = (metric: string) => Number(measures.find(([of]) => of?.includes(metric))?.[1]);
  if (behaviors.length === 0)
    return [deployment.spec?.replicas === undefined && 'nothing says how many replicas'];
  return [
    behaviors.length > 1 && 'two autoscalers pull at the same replicas',
    deployment.spec?.replicas !== undefined && 'each apply would undo the autoscaler',
    !(targetOf('moolai_connections') * 2 <= socket.connectionsPerReplica) &&
      'a replica is scaled too late to have room for those of another',
    !measures.some(([of]) => of?.includes('nodejs_eventloop_lag')) && 'nothing looks at the event loop',
    ...behaviors.flatMap((behavior) => {
      const { stabilizationWindowSeconds = 0, policies = [] } = behavior?.scaleDown ?? {};
      return [
        stabilizationWindowSeconds < 600 && 'replicas are taken away in haste',
        !policies.every(({ value, periodSeconds }) => value === 1 && periodSeconds > graceSeconds) &&
          'replicas are taken away faster than one has moved its connections',
      ];
    }),
  ];
};

const ingress: Rule = (installation, { socket, http }) =>
  all(installation, Ingress.is).flatMap(({ metadata }) => {
    const told = (name: string) => metadata?.annotations?.[`nginx.ingress.kubernetes.io/${name}`];
    const longest = Math.max(longestCallSeconds, (socket.pingIntervalMs + socket.pingTimeoutMs) / 1_000);
    return [
      told('affinity') !== 'cookie' && 'a client that polls is sent to any replica',
      told('session-cookie-change-on-failure') !== 'true' &&
        'a cookie binds a client to a replica that is gone',
      !(Number(told('proxy-read-timeout')) > longest) && 'an idle connection is cut',
      !(Number(told('proxy-send-timeout')) > longest) && 'an idle connection is cut',
      !(Number.parseFloat(told('proxy-body-size') ?? '') * 2 ** 20 > http.bodyLimitBytes) &&
        'a body is refused that the controller takes',
      http.trustedProxies.length === 0 && 'all clients behind the Ingress are one address',
    ];
  });

const rules: readonly Rule[] = [ports, readiness, stop, rollingRestart, memory, images, scaling, ingress];

/** How many replicas there are at the least. */
export function leastReplicas(installation: Installation): number {
  const counts = [
    ...all(installation, HorizontalPodAutoscaler.is).map(({ spec }) => spec?.minReplicas ?? 1),
    ...all(installation, ScaledObject.is).map(({ spec }) => spec.minReplicaCount ?? 0),
  ];
  return counts.length > 0
    ? Math.min(...counts)
    : (controllerOf(installation).deployment.spec?.replicas ?? 1);
}

/** Of a quantity of memory in Mi or Gi, which is all that is used here. NaN for another. */
function bytesOf(quantity: string | number | undefined): number {
  const [, amount, unit] = /^(\d+)(Mi|Gi)$/.exec(String(quantity)) ?? [];
  return Number(amount) * 2 ** (unit === 'Gi' ? 30 : 20);
}
