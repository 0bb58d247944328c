// Owns what a container's environment is, as the controller reads it: every variable known, every needed one given.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { load } from 'js-yaml';
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap';
import type { IContainer } from 'kubernetes-models/v1/Container';
import { z } from 'zod';
import { loadSettings, type Settings, SettingsError } from '../../src/settings.ts';
import { controllerOf, type Installation, one, podsOf } from './objects.ts';

/** Of Node, of node-config, and of the official SDK for traces. */
const foreign = /^(NODE_ENV|NODE_OPTIONS|NODE_EXTRA_CA_CERTS|NODE_CONFIG|OTEL_[A-Z_]+)$/;
/** What a Secret holds, in place of what is in none of these files. */
const secrets: Readonly<Record<string, string>> = {
  DATABASE_URL: 'postgres://user:password@postgres.example.com:5432/moolai',
  REDIS_URL: 'rediss://:password@redis.example.com:6379',
  AUTH_JWKS_URL: 'https://login.example.com/.well-known/jwks.json',
};

const nested: z.ZodType<string[]> = z.lazy(() =>
  z.union([
    z.string().transform((name) => [name]),
    z.record(z.string(), nested).transform((tree) => Object.values(tree).flat()),
  ]),
);

/** The variables that settings can be given by. */
export function knownVariables(): string[] {
  const file = new URL('../../config/custom-environment-variables.yaml', import.meta.url);
  return nested.parse(load(readFileSync(fileURLToPath(file), 'utf8')));
}

/** Where each variable comes from: its text, or undefined for what a Secret holds. */
export function variablesOf(
  installation: Installation,
  container: IContainer,
): Map<string, string | undefined> {
  const variables = new Map<string, string | undefined>();
  for (const { configMapRef } of container.envFrom ?? []) {
    if (configMapRef?.name === undefined) continue;
    const { data = {} } = one(installation, ConfigMap.is, configMapRef.name);
    for (const [name, value] of Object.entries(data)) variables.set(name, value);
  }
  for (const { name, value } of container.env ?? []) variables.set(name, value);
  return variables;
}

/** The settings that a replica of this installation has. @throws SettingsError */
export function settingsOf(installation: Installation): Settings {
  return loadSettings({ env: environmentOf(installation) });
}

/** The environment that a replica of this installation has, with what stands for the Secret's. */
export function environmentOf(installation: Installation): Record<string, string> {
  const variables = variablesOf(installation, controllerOf(installation).container);
  const isOpen = variables.get('AUTH') === 'off';
  const env: Record<string, string> = { NODE_ENV: 'production' };
  for (const [name, value] of variables) {
    const text = value ?? (isOpen && name.startsWith('AUTH_') ? undefined : secrets[name]);
    if (text !== undefined) env[name] = text;
  }
  return env;
}

/** Every variable is one that the controller reads, and with them it starts. */
export function environmentFaults(installation: Installation): string[] {
  const known = new Set(knownVariables());
  const faults: string[] = [];
  for (const { of, containers } of podsOf(installation))
    for (const container of containers) {
      // The stores of a trial have their own.
      if (!container.image?.includes('moolai')) continue;
      for (const name of variablesOf(installation, container).keys())
        if (!known.has(name) && !foreign.test(name))
          faults.push(`${of}, ${container.name}: nothing reads ${name}`);
    }
  try {
    settingsOf(installation);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    faults.push(...error.message.split('\n'));
  }
  return faults;
}
