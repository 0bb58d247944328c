// Owns whether the objects of an installation fit together: who selects whom, and that what is named is there.
import { ScaledObject } from '@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject';
import { ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor';
import { Deployment } from 'kubernetes-models/apps/v1/Deployment';
import { StatefulSet } from 'kubernetes-models/apps/v1/StatefulSet';
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler';
import { Ingress } from 'kubernetes-models/networking.k8s.io/v1/Ingress';
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import { Service } from 'kubernetes-models/v1/Service';
import { all, type Installation, type Pods, podsOf } from './objects.ts';

interface Selector {
  matchLabels?: Record<string, string>;
  matchExpressions?: readonly { key: string; operator: string; values?: readonly string[] }[];
}

/** By the rules of label selectors, as far as they are used here. @throws for an operator that is not */
export function selects(selector: Selector, labels: Readonly<Record<string, string>>): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector;
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values }) => {
      if (operator !== 'In') throw new Error(`the operator ${operator} is not known here`);
      return values?.includes(labels[key] ?? '') === true;
    })
  );
}

/** Selectors select the pods that they mean, and what is said of their ports is true. */
export function selectorFaults(installation: Installation): string[] {
  const pods = podsOf(installation);
  const faults: string[] = [];
  const check = (of: string, selector: Selector | undefined, ports: readonly (string | number)[] = []) => {
    const selected = pods.filter(({ labels }) => selects(selector ?? {}, labels));
    if (selected.length === 0) faults.push(`${of} selects no pods`);
    for (const port of ports)
      if (!selected.some((each) => hasPort(each, port))) faults.push(`${of}: no pod has the port ${port}`);
    return selected;
  };
  for (const { kind, metadata, spec } of [
    ...all(installation, Deployment.is),
    ...all(installation, StatefulSet.is),
  ])
    if (!selects(spec?.selector ?? {}, spec?.template?.metadata?.labels ?? {}))
      faults.push(`${kind} ${metadata?.name} does not select its own pods`);
  for (const { metadata, spec } of all(installation, Service.is)) {
    const of = `Service ${metadata?.name}`;
    const ports = (spec?.ports ?? []).map(({ port, targetPort }) => targetPort ?? port);
    const selected = check(of, { matchLabels: spec?.selector ?? {} }, ports);
    // Or calls would go to a pod that does not listen.
    for (const each of selected)
      for (const port of ports)
        if (!hasPort(each, port)) faults.push(`${of}: ${each.of} is selected and has no port ${port}`);
  }
  for (const { metadata, spec } of all(installation, PodDisruptionBudget.is))
    check(`PodDisruptionBudget ${metadata?.name}`, spec?.selector);
  for (const { metadata, spec } of all(installation, NetworkPolicy.is)) {
    const ports = (spec?.ingress ?? []).flatMap((rule) => rule.ports ?? []).map(({ port }) => port ?? '');
    check(`NetworkPolicy ${metadata?.name}`, spec?.podSelector, ports);
    for (const { to = [] } of spec?.egress ?? [])
      for (const { podSelector, namespaceSelector } of to)
        if (podSelector !== undefined && namespaceSelector === undefined)
          check(`NetworkPolicy ${metadata?.name}, egress`, podSelector);
  }
  for (const each of pods)
    for (const { topologyKey, labelSelector } of each.spec.topologySpreadConstraints ?? [])
      if (!selects(labelSelector ?? {}, each.labels))
        faults.push(`${each.of}: what is spread by ${topologyKey} is not itself`);
  for (const { metadata, spec } of all(installation, ServiceMonitor.is)) {
    const services = all(installation, Service.is).filter(({ metadata: { labels = {} } = {} }) =>
      selects(spec?.selector ?? {}, labels),
    );
    if (services.length !== 1)
      faults.push(`ServiceMonitor ${metadata?.name} selects ${services.length} services`);
    for (const { port } of spec?.endpoints ?? [])
      if (!services.some((service) => service.spec?.ports?.some(({ name }) => name === port)))
        faults.push(`ServiceMonitor ${metadata?.name}: no service has the port ${port}`);
  }
  return faults;
}

/** What is named is there, or is in `madeByHand` as `Kind/name` or, of a Secret's key, `Secret/name/key`. */
export function referenceFaults(installation: Installation, madeByHand: ReadonlySet<string>): string[] {
  const faults: string[] = [];
  const has = (kind: string, name: string | undefined) =>
    madeByHand.has(`${kind}/${name}`) ||
    installation.some((object) => object.kind === kind && object.metadata.name === name);
  const need = (by: string, kind: string, name: string | undefined) => {
    if (!has(kind, name)) faults.push(`${by}: there is no ${kind} ${name}`);
  };
  for (const each of podsOf(installation)) {
    const { serviceAccountName, volumes = [] } = each.spec;
    if (serviceAccountName !== undefined) need(each.of, 'ServiceAccount', serviceAccountName);
    for (const { configMap, secret } of volumes) {
      if (configMap !== undefined) need(each.of, 'ConfigMap', configMap.name);
      if (secret !== undefined) need(each.of, 'Secret', secret.secretName);
    }
    for (const container of each.containers) {
      const by = `${each.of}, ${container.name}`;
      for (const { configMapRef, secretRef } of container.envFrom ?? []) {
        if (configMapRef !== undefined) need(by, 'ConfigMap', configMapRef.name);
        if (secretRef !== undefined) need(by, 'Secret', secretRef.name);
      }
      for (const { valueFrom } of container.env ?? []) {
        const { name = '', key = '', optional = false } = valueFrom?.secretKeyRef ?? {};
        if (key === '' || optional) continue;
        if (!keysOf(installation, name, madeByHand).includes(key))
          faults.push(`${by}: there is no Secret ${name} with ${key}`);
      }
      for (const { name } of container.volumeMounts ?? [])
        if (!volumeNames(installation, each).includes(name)) faults.push(`${by}: there is no volume ${name}`);
      for (const probe of [container.startupProbe, container.livenessProbe, container.readinessProbe]) {
        const port = probe?.httpGet?.port ?? probe?.tcpSocket?.port;
        if (port !== undefined && !hasPort(each, port))
          faults.push(`${by}: there is no port ${port} to probe`);
      }
    }
  }
  for (const { metadata, spec } of all(installation, StatefulSet.is))
    need(`StatefulSet ${metadata?.name}`, 'Service', spec?.serviceName);
  for (const { kind, metadata, spec } of [
    ...all(installation, HorizontalPodAutoscaler.is),
    ...all(installation, ScaledObject.is),
  ])
    need(`${kind} ${metadata?.name}`, spec?.scaleTargetRef?.kind ?? 'Deployment', spec?.scaleTargetRef?.name);
  for (const { metadata, spec } of all(installation, Ingress.is)) {
    const by = `Ingress ${metadata?.name}`;
    for (const { secretName } of spec?.tls ?? []) need(by, 'Secret', secretName);
    const backends = (spec?.rules ?? []).flatMap(
      ({ http }) => http?.paths.map(({ backend }) => backend) ?? [],
    );
    for (const { service } of backends) {
      const found = all(installation, Service.is).find((each) => each.metadata?.name === service?.name);
      if (!found?.spec?.ports?.some(({ name }) => name === service?.port?.name))
        faults.push(`${by}: there is no Service ${service?.name} with the port ${service?.port?.name}`);
    }
  }
  return faults;
}

function keysOf(installation: Installation, secret: string, madeByHand: ReadonlySet<string>): string[] {
  const found = installation.find(({ kind, metadata }) => kind === 'Secret' && metadata.name === secret);
  const prefix = `Secret/${secret}/`;
  const byHand = [...madeByHand].filter((each) => each.startsWith(prefix));
  return [...Object.keys(Object(found?.data)), ...byHand.map((each) => each.slice(prefix.length))];
}

function volumeNames(installation: Installation, pods: Pods): string[] {
  const claims = all(installation, StatefulSet.is)
    .filter(({ metadata }) => `StatefulSet ${metadata?.name}` === pods.of)
    .flatMap(({ spec }) => spec?.volumeClaimTemplates ?? [])
    .map(({ metadata }) => metadata?.name ?? '');
  return [...(pods.spec.volumes ?? []).map(({ name }) => name), ...claims];
}

function hasPort({ containers }: Pods, port: string | number): boolean {
  return containers.some(({ ports = [] }) =>
    ports.some(({ name, containerPort }) => name === port || containerPort === port),
  );
}
