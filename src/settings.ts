// Owns the settings: config/*.yaml and the environment, checked once, frozen.
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Load, Util } from 'config/lib/util.js';
import { z } from 'zod';

// The environment has only strings; a whole number in one is a whole number.
const integer = (min: number, max = Number.MAX_SAFE_INTEGER) =>
  z.preprocess(
    (value) => (typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value),
    z.int('must be a whole number').min(min).max(max),
  );
const milliseconds = integer(1, 86_400_000);
const storeUrl = (protocols: RegExp, variable: string) =>
  z.preprocess(
    (value) => value ?? '',
    z
      .string()
      .min(1, `is not set: give it in the environment as ${variable}`)
      .refine((value) => value === '' || (URL.canParse(value) && protocols.test(new URL(value).protocol)), {
        message: 'is not a URL of the right kind',
      }),
  );
const level = z.enum(['debug', 'info', 'warn', 'error', 'fatal', 'silent']);

const schema = z
  .strictObject({
    http: z.strictObject({
      host: z.string().min(1),
      port: integer(0, 65_535),
      bodyLimitBytes: integer(1024),
    }),
    socket: z.strictObject({
      heartbeatIntervalMs: milliseconds,
      handshakeTimeoutMs: milliseconds,
      pingIntervalMs: milliseconds,
      pingTimeoutMs: milliseconds,
      frameLimitBytes: integer(1024),
      unacknowledgedBeats: integer(1),
    }),
    database: z.strictObject({
      url: storeUrl(/^postgres(ql)?:$/, 'DATABASE_URL'),
      poolSize: integer(4, 500),
      connectTimeoutMs: milliseconds,
      readTimeoutMs: milliseconds,
      statementTimeoutMs: milliseconds,
    }),
    redis: z.strictObject({
      url: storeUrl(/^rediss?:$/, 'REDIS_URL'),
      prefix: z.string().regex(/^[\w.-]{1,64}$/),
      commandTimeoutMs: milliseconds,
    }),
    presence: z
      .strictObject({ leaseMs: milliseconds, renewEveryMs: milliseconds })
      .refine((presence) => presence.renewEveryMs * 2 <= presence.leaseMs, {
        message: 'leaseMs must be at least twice renewEveryMs, so that one late renewal loses nothing',
      }),
    sweep: z.strictObject({
      everyMs: milliseconds,
      unhealthyAfterIntervals: integer(1),
      inactiveAfterIntervals: integer(1),
    }),
    delivery: z.strictObject({ watchEveryMs: milliseconds }),
    logs: z.strictObject({
      level,
      ringLevel: level,
      ringSize: integer(1),
      ringBacklog: integer(1),
    }),
    independence: z.strictObject({ folder: z.string().min(1) }),
    shutdown: z.strictObject({ deadlineMs: milliseconds, reconnectsPerSecond: integer(1) }),
  })
  .readonly();

export type Settings = z.infer<typeof schema>;

/** The settings cannot be used; `message` names every fault, one a line. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
}

/** node-config's loader, with the environment given rather than taken from the process. */
class EnvironmentLoad extends Load {
  loadEnvironment(file: string, env: NodeJS.ProcessEnv): void {
    this.loadFile(file, (names) => this.substituteDeep(names, env));
  }
}

const projectFolder = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * Reads `config/` and the environment.
 * @param options.env the environment; `NODE_ENV` chooses the file beside default.yaml
 * @returns the frozen settings
 * @throws SettingsError naming every fault
 */
export function loadSettings(options: { env?: NodeJS.ProcessEnv } = {}): Settings {
  const env = options.env ?? process.env;
  const load = new EnvironmentLoad({
    configDir: resolve(projectFolder, 'config'),
    nodeEnv: [env.NODE_ENV ?? 'development'],
    skipConfigSources: true,
  });
  let raw: unknown;
  try {
    Util.loadFileConfigs(load);
    load.loadEnvironment(resolve(projectFolder, 'config', 'custom-environment-variables.yaml'), env);
    raw = load.config;
  } catch (error) {
    throw new SettingsError(error instanceof Error ? error.message : String(error));
  }
  const parsed = schema.safeParse(raw);
  if (!parsed.success) throw new SettingsError(describe(parsed.error, raw));
  return freeze(parsed.data);
}

function describe(error: z.ZodError, raw: unknown): string {
  return error.issues
    .flatMap((issue) => {
      const path = issue.path.join('.');
      if (issue.code === 'unrecognized_keys')
        return issue.keys.map((key) => `${[...issue.path, key].join('.')}: no such setting`);
      const value = issue.path.reduce<unknown>(
        (at, key) => (at !== null && typeof at === 'object' ? Reflect.get(at, key) : undefined),
        raw,
      );
      const shown = typeof value === 'object' || path.endsWith('url') ? '' : ` (is ${JSON.stringify(value)})`;
      return [`${path}: ${issue.message}${shown}`];
    })
    .join('\n');
}

function freeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) if (inner !== null && typeof inner === 'object') freeze(inner);
  return Object.freeze(value);
}
