// Each rule by which the manifests are judged finds what is wrong, on an installation that is broken on purpose.
import test from 'ava';
import { environmentFaults } from './environment.ts';
import type { Installation } from './objects.ts';
import { operationFaults } from './operation.ts';
import { referenceFaults, selectorFaults, selects } from './references.ts';
import { findRenderers } from './render.ts';
import { safetyFaults } from './safety.ts';
import { secretsByHand } from './secret-example.ts';

const [renderer] = await findRenderers();
const production = (await renderer?.render('k8s/overlays/production')) ?? [];
const keda = (await renderer?.render('k8s/overlays/production-keda')) ?? [];
const byHand = await secretsByHand('k8s/overlays/production/secret.example.env');

/** A copy in which one value of one object is another; undefined takes it away. */
function broken(installation: Installation, kind: string, path: string, value: unknown): Installation {
  const copy = structuredClone(installation);
  const object = copy.find((each) => each.kind === kind);
  const steps = path.split('/').map((step) => step.replaceAll('~1', '/'));
  const last = steps.pop() ?? '';
  const place = steps.reduce<unknown>((at, step) => Reflect.get(Object(at), step), object);
  if (place === undefined || place === null) throw new Error(`${kind} has no ${path}`);
  if (value === undefined) Reflect.deleteProperty(Object(place), last);
  else Reflect.set(Object(place), last, value);
  return copy;
}

const pod = 'spec/template/spec';
const container = `${pod}/containers/0`;
const references = (installation: Installation) => referenceFaults(installation, byHand);
/** A slash within a step is written `~1`, as in JSON Pointer (RFC 6901). */
const nginx = 'metadata/annotations/nginx.ingress.kubernetes.io~1';

const cases: readonly [
  rule: (installation: Installation) => string[],
  kind: string,
  path: string,
  value: unknown,
  fault: RegExp,
][] = [
  [selectorFaults, 'Deployment', 'spec/selector/matchLabels', { app: 'other' }, /does not select its own/],
  [selectorFaults, 'Service', 'spec/selector', { app: 'other' }, /Service controller selects no pods/],
  [selectorFaults, 'Service', 'spec/ports/0/targetPort', 'web', /no pod has the port web/],
  [
    selectorFaults,
    'Service',
    'spec/selector',
    { 'app.kubernetes.io/name': 'moolai-controller' },
    /Job .* has no port/,
  ],
  [
    selectorFaults,
    'PodDisruptionBudget',
    'spec/selector',
    { matchLabels: { a: 'b' } },
    /Budget controller selects no/,
  ],
  [
    selectorFaults,
    'NetworkPolicy',
    'spec/podSelector',
    { matchLabels: { a: 'b' } },
    /Policy controller selects no/,
  ],
  [selectorFaults, 'NetworkPolicy', 'spec/ingress/0/ports/0/port', 'web', /no pod has the port web/],
  [
    selectorFaults,
    'Deployment',
    `${pod}/topologySpreadConstraints/0/labelSelector`,
    { matchLabels: { a: 'b' } },
    /not itself/,
  ],
  [references, 'Deployment', `${pod}/serviceAccountName`, 'other', /no ServiceAccount other/],
  [references, 'Deployment', `${container}/envFrom/0/configMapRef/name`, 'other', /no ConfigMap other/],
  [
    references,
    'Deployment',
    `${container}/env/0/valueFrom/secretKeyRef/key`,
    'PG',
    /no Secret controller with PG/,
  ],
  [
    references,
    'Job',
    `${container}/env/0/valueFrom/secretKeyRef/name`,
    'db',
    /no Secret db with DATABASE_URL/,
  ],
  [references, 'Deployment', `${container}/volumeMounts/0/name`, 'other', /no volume other/],
  [references, 'Deployment', `${container}/livenessProbe/httpGet/port`, 'web', /no port web to probe/],
  [references, 'HorizontalPodAutoscaler', 'spec/scaleTargetRef/name', 'other', /no Deployment other/],
  [references, 'Ingress', 'spec/rules/0/http/paths/0/backend/service/name', 'other', /no Service other/],
  [references, 'Ingress', 'spec/rules/0/http/paths/0/backend/service/port/name', 'web', /with the port web/],
  [references, 'Ingress', 'spec/tls/0/secretName', 'other', /no Secret other/],
  [safetyFaults, 'Namespace', 'metadata/labels', {}, /does not enforce restricted/],
  [safetyFaults, 'Service', 'metadata/namespace', 'other', /Service controller is not in the namespace/],
  [safetyFaults, 'Deployment', `${pod}/securityContext/runAsNonRoot`, false, /may run as root/],
  [safetyFaults, 'Deployment', `${pod}/securityContext/runAsUser`, undefined, /as which user/],
  [safetyFaults, 'Job', `${pod}/securityContext/seccompProfile`, undefined, /Job .*no seccomp/],
  [safetyFaults, 'Deployment', `${pod}/automountServiceAccountToken`, true, /has a token/],
  [safetyFaults, 'Deployment', `${pod}/enableServiceLinks`, undefined, /every service/],
  [safetyFaults, 'Deployment', `${pod}/hostNetwork`, true, /sees the host/],
  [
    safetyFaults,
    'Deployment',
    `${pod}/volumes/0`,
    { name: 'independence', hostPath: { path: '/' } },
    /volume of the host/,
  ],
  [
    safetyFaults,
    'Deployment',
    `${container}/securityContext/allowPrivilegeEscalation`,
    true,
    /may gain privileges/,
  ],
  [safetyFaults, 'Deployment', `${container}/securityContext/privileged`, true, /is privileged/],
  [
    safetyFaults,
    'Deployment',
    `${pod}/initContainers/0/securityContext/readOnlyRootFilesystem`,
    false,
    /wait-for-schema may write/,
  ],
  [
    safetyFaults,
    'Deployment',
    `${container}/securityContext/capabilities`,
    { drop: ['ALL'], add: ['X'] },
    /keeps cap/,
  ],
  [safetyFaults, 'Deployment', `${container}/securityContext/runAsUser`, 0, /controller may run as root/],
  [safetyFaults, 'Deployment', `${container}/resources/limits`, {}, /no limit of memory/],
  [safetyFaults, 'Job', `${container}/resources/requests`, {}, /what it needs/],
  [safetyFaults, 'Deployment', `${container}/image`, 'moolai/controller:latest', /of no version/],
  [safetyFaults, 'Deployment', `${container}/image`, 'registry:5000/moolai/controller', /of no version/],
  [safetyFaults, 'Deployment', `${container}/ports/0/hostPort`, 80, /a port of the host/],
  [environmentFaults, 'ConfigMap', 'data/RECONNECT_PER_SECOND', '5', /nothing reads RECONNECT_PER_SECOND/],
  [environmentFaults, 'ConfigMap', 'data/PORT', 'x', /http\.port \(PORT\)/],
  [
    environmentFaults,
    'Deployment',
    `${container}/env/1`,
    { name: 'OTEL_X', value: 'y' },
    /redis\.url \(REDIS_URL\): is not set/,
  ],
  [operationFaults, 'ConfigMap', 'data/PORT', '8000', /the port http is not 8000/],
  [operationFaults, 'ConfigMap', 'data/PROCESS_PORT', '9000', /the port process is not 9000/],
  [
    operationFaults,
    'Deployment',
    `${container}/livenessProbe/httpGet/path`,
    '/health/ready',
    /liveness probe asks a store/,
  ],
  [
    operationFaults,
    'Deployment',
    `${container}/startupProbe/httpGet/path`,
    '/health/ready',
    /startup probe asks a store/,
  ],
  [
    operationFaults,
    'Deployment',
    `${container}/readinessProbe/httpGet/path`,
    '/',
    /does not ask \/health\/ready/,
  ],
  [
    operationFaults,
    'Deployment',
    `${container}/readinessProbe/httpGet/port`,
    'http',
    /another port than process/,
  ],
  [operationFaults, 'Deployment', `${container}/readinessProbe/timeoutSeconds`, 1, /gives up before a store/],
  [operationFaults, 'Deployment', `${container}/lifecycle`, {}, /before the proxies know/],
  [
    operationFaults,
    'Deployment',
    `${pod}/terminationGracePeriodSeconds`,
    30,
    /may take 87 s, and is given 30 s/,
  ],
  [operationFaults, 'ConfigMap', 'data/SHUTDOWN_DEADLINE_MS', '20000', /a drain may take 32000 ms/],
  [operationFaults, 'ConfigMap', 'data/CONNECTIONS_PER_REPLICA', '20000', /a drain may take 88000 ms/],
  [operationFaults, 'Deployment', 'spec/strategy/rollingUpdate/maxUnavailable', 1, /before there are others/],
  [operationFaults, 'Deployment', 'spec/strategy/rollingUpdate/maxSurge', 0, /cannot begin/],
  [operationFaults, 'HorizontalPodAutoscaler', 'spec/minReplicas', 1, /may be a single replica/],
  [
    operationFaults,
    'ConfigMap',
    'data/RECONNECTS_PER_SECOND',
    '501',
    /sends 501 a second, and the others take 500/,
  ],
  [operationFaults, 'Deployment', `${container}/env/4/value`, '', /the heap has no bound/],
  [operationFaults, 'Deployment', `${container}/resources/limits/memory`, '768Mi', /leaves no room/],
  [operationFaults, 'Job', `${container}/image`, 'moolai/controller:0.0.9', /has several images/],
  [operationFaults, 'Deployment', 'spec/replicas', 3, /undo the autoscaler/],
  [
    operationFaults,
    'HorizontalPodAutoscaler',
    'spec/metrics/0/pods/target/averageValue',
    '4000',
    /scaled too late/,
  ],
  [
    operationFaults,
    'HorizontalPodAutoscaler',
    'spec/metrics/1',
    { type: 'Resource' },
    /nothing looks at the event loop/,
  ],
  [
    operationFaults,
    'HorizontalPodAutoscaler',
    'spec/behavior/scaleDown/stabilizationWindowSeconds',
    60,
    /in haste/,
  ],
  [
    operationFaults,
    'HorizontalPodAutoscaler',
    'spec/behavior/scaleDown/policies/0/value',
    2,
    /faster than one/,
  ],
  [
    operationFaults,
    'HorizontalPodAutoscaler',
    'spec/behavior/scaleDown/policies/0/periodSeconds',
    60,
    /faster than one/,
  ],
  [operationFaults, 'Ingress', `${nginx}affinity`, 'none', /sent to any replica/],
  [operationFaults, 'Ingress', `${nginx}session-cookie-change-on-failure`, 'false', /a replica that is gone/],
  [operationFaults, 'Ingress', `${nginx}proxy-read-timeout`, '30', /an idle connection is cut/],
  [operationFaults, 'Ingress', `${nginx}proxy-send-timeout`, '30', /an idle connection is cut/],
  [operationFaults, 'Ingress', `${nginx}proxy-body-size`, '1m', /a body is refused/],
  [operationFaults, 'ConfigMap', 'data/TRUSTED_PROXIES', '', /are one address/],
];

for (const [rule, kind, path, value, fault] of cases)
  test(`${kind}, ${path} = ${JSON.stringify(value)}`, (t) => {
    t.notRegex(rule(production).join('\n'), fault);
    t.regex(rule(broken(production, kind, path, value)).join('\n'), fault);
  });

test('two autoscalers, or none that says how many, are faults', (t) => {
  const scaled = keda.filter(({ kind }) => kind === 'ScaledObject');
  t.regex(operationFaults([...production, ...scaled]).join('\n'), /two autoscalers/);
  const none = production.filter(({ kind }) => kind !== 'HorizontalPodAutoscaler');
  t.regex(operationFaults(none).join('\n'), /nothing says how many/);
  t.regex(
    operationFaults(broken(keda, 'ScaledObject', 'spec/triggers/0/metadata/threshold', '6000')).join(),
    /too late/,
  );
});

test('a selector asks for all that it names', (t) => {
  t.true(selects({ matchLabels: { a: '1' } }, { a: '1', b: '2' }));
  t.false(selects({ matchLabels: { a: '1', b: '1' } }, { a: '1', b: '2' }));
  t.true(selects({ matchExpressions: [{ key: 'a', operator: 'In', values: ['0', '1'] }] }, { a: '1' }));
  t.false(selects({ matchExpressions: [{ key: 'a', operator: 'In', values: ['0'] }] }, { a: '1' }));
  t.throws(() => selects({ matchExpressions: [{ key: 'a', operator: 'Exists' }] }, { a: '1' }));
});
