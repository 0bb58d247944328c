// Owns whether pods are confined as they should be, and know their bounds.
import { CronJob } from 'kubernetes-models/batch/v1/CronJob';
import { all, type Installation, namespaceOf, podsOf } from './objects.ts';

/**
 * The namespace enforces Pod Security's `restricted`, and every pod keeps to it, and to more: a root file system that is
 * read-only, no token, no environment of services, bounds of memory and an image of one version.
 * Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
 */
export function safetyFaults(installation: Installation): string[] {
  const faults: string[] = [];
  const namespace = namespaceOf(installation);
  if (namespace?.metadata?.labels?.['pod-security.kubernetes.io/enforce'] !== 'restricted')
    faults.push('the namespace does not enforce restricted');
  for (const { kind, metadata } of installation)
    if (kind !== 'Namespace' && metadata.namespace !== namespace?.metadata?.name)
      faults.push(`${kind} ${metadata.name} is not in the namespace`);
  if (all(installation, CronJob.is).length > 0) faults.push('the pods of a CronJob are not looked at here');
  for (const { of, spec, containers } of podsOf(installation)) {
    const need = (holds: boolean, what: string) => {
      if (!holds) faults.push(`${of}: ${what}`);
    };
    const { securityContext } = spec;
    need(securityContext?.runAsNonRoot === true, 'may run as root');
    need((securityContext?.runAsUser ?? 0) > 0, 'does not say as which user it runs');
    need(securityContext?.seccompProfile?.type === 'RuntimeDefault', 'has no seccomp profile');
    need(spec.automountServiceAccountToken === false, 'has a token of the cluster');
    need(spec.enableServiceLinks === false, 'has every service in its environment');
    need(spec.hostNetwork !== true && spec.hostPID !== true && spec.hostIPC !== true, "sees the host's");
    for (const { persistentVolumeClaim, configMap, secret, emptyDir } of spec.volumes ?? [])
      need(
        (persistentVolumeClaim ?? configMap ?? secret ?? emptyDir) !== undefined,
        'has a volume of the host',
      );
    for (const { name, image = '', securityContext: own, resources, ports = [] } of containers) {
      const needs = (holds: boolean, what: string) => need(holds, `${name} ${what}`);
      needs(own?.allowPrivilegeEscalation === false, 'may gain privileges');
      needs(own?.privileged !== true, 'is privileged');
      needs(own?.readOnlyRootFilesystem === true, 'may write its root file system');
      needs(own?.capabilities?.drop?.includes('ALL') === true && !own.capabilities.add, 'keeps capabilities');
      needs(own?.runAsNonRoot !== false && own?.runAsUser !== 0, 'may run as root');
      needs(resources?.limits?.memory !== undefined, 'has no limit of memory');
      needs(
        resources?.requests?.memory !== undefined && resources.requests.cpu !== undefined,
        'does not say what it needs',
      );
      needs(
        /:[\w][\w.-]*$/.test(image) && !image.endsWith(':latest'),
        `has the image ${image}, of no version`,
      );
      needs(
        ports.every(({ hostPort }) => hostPort === undefined),
        'has a port of the host',
      );
    }
  }
  return faults;
}
