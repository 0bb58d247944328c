// Owns what a rendered overlay is, for those who check it: its objects, and the pods that they make.
import { Deployment } from 'kubernetes-models/apps/v1/Deployment';
import { StatefulSet } from 'kubernetes-models/apps/v1/StatefulSet';
import { Job } from 'kubernetes-models/batch/v1/Job';
import type { IContainer } from 'kubernetes-models/v1/Container';
import { Namespace } from 'kubernetes-models/v1/Namespace';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import { z } from 'zod';

const labels = z.record(z.string(), z.string()).optional();
export const objectSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional(), labels }),
});

export type KubernetesObject = z.infer<typeof objectSchema>;

/** What an overlay installs. */
export type Installation = readonly KubernetesObject[];

/** Those of one kind, by the guard that its class has. */
export function all<T>(installation: Installation, is: (value: unknown) => value is T): T[] {
  const found: T[] = [];
  for (const each of installation) if (is(each)) found.push(each);
  return found;
}

/** The only one of its kind and name. @throws when there is none */
export function one<T extends { metadata?: { name?: string } }>(
  installation: Installation,
  is: (value: unknown) => value is T,
  name: string,
): T {
  const found = all(installation, is).find(({ metadata }) => metadata?.name === name);
  if (found === undefined) throw new Error(`there is nothing of that kind called ${name}`);
  return found;
}

export interface Pods {
  /** Whose pods they are, for people. */
  readonly of: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: IPodSpec;
  /** Init containers among them. */
  readonly containers: readonly IContainer[];
}

/** The kinds of pods that an installation makes. */
export function podsOf(installation: Installation): Pods[] {
  const makers = [
    ...all(installation, Deployment.is),
    ...all(installation, StatefulSet.is),
    ...all(installation, Job.is),
  ];
  return makers.map(({ kind, metadata, spec }) => {
    const template = spec?.template;
    if (template?.spec === undefined) throw new Error(`${kind} ${metadata?.name} has no pods`);
    return {
      of: `${kind} ${metadata?.name}`,
      labels: template.metadata?.labels ?? {},
      spec: template.spec,
      containers: [...(template.spec.initContainers ?? []), ...template.spec.containers],
    };
  });
}

/** The replicas' own. */
export function controllerOf(installation: Installation) {
  const deployment = one(installation, Deployment.is, 'controller');
  const pods = podsOf(installation).find(({ of }) => of === 'Deployment controller');
  const container = pods?.containers.find(({ name }) => name === 'controller');
  if (pods === undefined || container === undefined) throw new Error('there is no controller');
  return { deployment, pods, container };
}

export function namespaceOf(installation: Installation) {
  return all(installation, Namespace.is)[0];
}
