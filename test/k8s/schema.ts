// Owns whether objects are what Kubernetes and its operators understand: by validators that are compiled from their
// published schemas, and, since the API drops fields that it does not know, by the types made from the same.
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { Installation, KubernetesObject } from './objects.ts';

/** Where the class of a kind is. */
const modules: Readonly<Record<string, string>> = {
  'v1/Namespace': 'kubernetes-models/v1/Namespace',
  'v1/ServiceAccount': 'kubernetes-models/v1/ServiceAccount',
  'v1/ConfigMap': 'kubernetes-models/v1/ConfigMap',
  'v1/Secret': 'kubernetes-models/v1/Secret',
  'v1/Service': 'kubernetes-models/v1/Service',
  'apps/v1/Deployment': 'kubernetes-models/apps/v1/Deployment',
  'apps/v1/StatefulSet': 'kubernetes-models/apps/v1/StatefulSet',
  'batch/v1/Job': 'kubernetes-models/batch/v1/Job',
  'policy/v1/PodDisruptionBudget': 'kubernetes-models/policy/v1/PodDisruptionBudget',
  'autoscaling/v2/HorizontalPodAutoscaler': 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler',
  'networking.k8s.io/v1/NetworkPolicy': 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy',
  'networking.k8s.io/v1/Ingress': 'kubernetes-models/networking.k8s.io/v1/Ingress',
  'keda.sh/v1alpha1/ScaledObject': '@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject',
  'monitoring.coreos.com/v1/ServiceMonitor':
    '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor',
  'monitoring.coreos.com/v1/PrometheusRule':
    '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule',
};

const root = fileURLToPath(new URL('../../', import.meta.url));
const modelSchema = z.custom<new (data: object) => { validate(): void }>(
  (value) => typeof value === 'function',
);

/** Every fault of every object, in words; none is an empty list. */
export async function schemaFaults(installation: Installation): Promise<string[]> {
  const values = await Promise.all(installation.map(valueFaults));
  const known = installation.filter((object) => moduleOf(object) !== undefined);
  return [...values.flat(), ...(await fieldFaults(known))];
}

/** What is missing, or is not of its type or form. */
async function valueFaults(object: KubernetesObject): Promise<string[]> {
  const from = moduleOf(object);
  if (from === undefined) return [`${nameOf(object)}: nothing is known of its kind`];
  const loaded: Record<string, unknown> = await import(from);
  const Model = modelSchema.parse(loaded[object.kind]);
  try {
    new Model(object).validate();
    return [];
  } catch (error) {
    return [`${nameOf(object)}: ${error instanceof Error ? error.message : String(error)}`];
  }
}

/** Fields that there are not. */
async function fieldFaults(installation: Installation): Promise<string[]> {
  if (installation.length === 0) return [];
  const cache = join(root, 'node_modules/.cache/moolai-controller');
  await mkdir(cache, { recursive: true });
  // There, so that the types are found from it.
  const folder = await mkdtemp(join(cache, 'manifests-'));
  try {
    const files = installation.map((_, at) => `object-${at}.ts`);
    await Promise.all(
      installation.map((object, at) => writeFile(join(folder, files[at] ?? ''), typed(object))),
    );
    const compilerOptions = { strict: true, noEmit: true, module: 'nodenext', skipLibCheck: true, types: [] };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
    const { stdout } = await compile(folder);
    return stdout
      .split('\n')
      .filter((line) => line.includes('error TS'))
      .map((line) => {
        const at = Number(/object-(\d+)\.ts/.exec(line)?.[1]);
        const object = installation[at];
        return `${object === undefined ? '' : nameOf(object)}: ${line.replace(/^.*error TS\d+: /, '')}`;
      });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function compile(folder: string): Promise<{ stdout: string }> {
  const tsc = join(root, 'node_modules/.bin/tsc');
  return promisify(execFile)(tsc, ['-p', folder, '--pretty', 'false']).catch((failure: unknown) => {
    // Faults are on its standard output.
    const { stdout } = z.object({ stdout: z.string() }).parse(failure);
    if (!stdout.includes('error TS')) throw failure;
    return { stdout };
  });
}

/** An object as a literal of its type: of a literal TypeScript takes no field that is not there. */
function typed(object: KubernetesObject): string {
  return `import type { I${object.kind} } from '${moduleOf(object)}';
export const object: I${object.kind} = ${JSON.stringify(object, null, 2)};
`;
}

function moduleOf({ apiVersion, kind }: KubernetesObject): string | undefined {
  return modules[`${apiVersion}/${kind}`];
}

function nameOf({ kind, metadata }: KubernetesObject): string {
  return `${kind} ${metadata.name}`;
}
