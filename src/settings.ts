// Owns the settings: config/*.yaml and the environment, checked once, frozen.
import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Load, Util } from 'config/lib/util.js';
import { z } from 'zod';
import { isLoopback } from './access/loopback.ts';
import { hideCredentialsInText } from './credentials.ts';
import {
  integer,
  jwkSet,
  jwksUrl,
  level,
  limit,
  milliseconds,
  origins,
  postgresUrl,
  proxies,
  redisUrl,
  seconds,
} from './setting-kinds.ts';

/** `/send` may wait so long for its orchestrator. */
const longestCallMs = 30_000;

const schema = z
  .strictObject({
    http: z.strictObject({
      host: z.string().min(1),
      port: integer(0, 65_535),
      processPort: z.preprocess((value) => (value === '' ? null : value), integer(0, 65_535).nullable()),
      bodyLimitBytes: integer(1024),
      trustedProxies: proxies,
      corsOrigins: origins,
      requestTimeoutMs: milliseconds,
      headersTimeoutMs: milliseconds,
      keepAliveTimeoutMs: milliseconds,
      idleTimeoutMs: milliseconds,
      maxConnections: integer(1),
    }),
    limits: z.strictObject({
      requestsPerAddress: limit,
      requestsPerCaller: limit,
      windowSeconds: seconds,
      handshakesPerAddress: limit,
      handshakeWindowSeconds: seconds,
      sendWaitsPerCaller: integer(1),
      patienceMs: milliseconds,
      metadataBytes: integer(1024),
      // As deep as the acknowledgement of an orchestrator may be, which is read without exhausting the stack.
      jsonDepth: integer(2, 1_000),
    }),
    auth: z.strictObject({
      mode: z.enum(['auto', 'required', 'off']),
      keys: jwkSet,
      jwksUrl,
      jwksTimeoutMs: milliseconds,
      jwksCacheMs: milliseconds,
      jwksCooldownMs: milliseconds,
      jwksStaleMs: milliseconds,
      issuer: z.string().min(1),
      audience: z.string().min(1),
      clockToleranceMs: integer(0, 300_000),
      expiryNoticeMs: milliseconds,
    }),
    socket: z.strictObject({
      heartbeatIntervalMs: milliseconds,
      handshakeTimeoutMs: milliseconds,
      pingIntervalMs: milliseconds,
      pingTimeoutMs: milliseconds,
      frameLimitBytes: integer(1024),
      unacknowledgedBeats: integer(1),
      connectionsPerSecond: integer(1),
      pendingHandshakes: integer(1),
      sendBufferBytes: integer(2048),
      eventsPerSecond: integer(1),
      connectionsPerReplica: integer(1),
    }),
    database: z.strictObject({
      url: postgresUrl('DATABASE_URL'),
      readUrl: z.preprocess(
        (value) => (value === '' ? null : value),
        postgresUrl('DATABASE_READ_URL').nullable(),
      ),
      pooler: z.enum(['none', 'transaction'], { error: 'must be none or transaction' }),
      poolSize: integer(4, 500),
      connectTimeoutMs: milliseconds,
      readTimeoutMs: milliseconds,
      statementTimeoutMs: milliseconds,
    }),
    redis: z.strictObject({
      url: redisUrl,
      prefix: z.string().regex(/^[\w.-]{1,64}$/, 'must be 1 to 64 characters of A-Z a-z 0-9 _ . -'),
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
    delivery: z.strictObject({
      watchEveryMs: milliseconds,
      resendAfterMs: milliseconds,
      unansweredBytes: integer(1024),
    }),
    logs: z.strictObject({
      level,
      ringLevel: level,
      ringSize: integer(1),
      auditSize: integer(1),
      ringBacklog: integer(1),
    }),
    independence: z.strictObject({ folder: z.string().min(1) }),
    shutdown: z.strictObject({
      deadlineMs: milliseconds,
      reconnectsPerSecond: integer(1),
      reconnectGraceMs: milliseconds,
    }),
  })
  .refine(({ http, socket }) => socket.sendBufferBytes >= 2 * http.bodyLimitBytes, {
    path: ['socket', 'sendBufferBytes'],
    message: 'must be at least twice http.bodyLimitBytes, so that one large message is no reason to hang up',
  })
  .refine(({ http }) => http.processPort !== http.port || http.port === 0, {
    path: ['http', 'processPort'],
    message: 'must be another port than http.port',
  })
  .refine(({ auth }) => auth.mode !== 'required' || hasKeys(auth), {
    path: ['auth', 'keys'],
    message:
      'is not set: give the keys that tokens are signed with (AUTH_KEYS or AUTH_JWKS_URL), or say AUTH=off outright, ' +
      'and anybody who reaches it may do anything',
  })
  .refine(({ auth, http }) => auth.mode !== 'auto' || hasKeys(auth) || isLoopback(http.host), {
    path: ['auth', 'keys'],
    message:
      'is not set, so anybody who reaches http.host could do anything: give the keys that tokens are signed with ' +
      '(AUTH_KEYS or AUTH_JWKS_URL), listen on a loopback address (HOST=127.0.0.1), or say AUTH=off outright',
  })
  .refine(({ auth }) => auth.mode !== 'off' || !hasKeys(auth), {
    path: ['auth', 'mode'],
    message:
      'keys are given (AUTH_KEYS or AUTH_JWKS_URL) that would not count: take away the one or the other',
  })
  .refine(({ http }) => http.headersTimeoutMs <= http.requestTimeoutMs, {
    path: ['http', 'headersTimeoutMs'],
    message: 'must be at most http.requestTimeoutMs, of which it is a part',
  })
  .refine(({ http, socket }) => http.idleTimeoutMs > Math.max(longestCallMs, socket.pingIntervalMs), {
    path: ['http', 'idleTimeoutMs'],
    message: `must be more than ${longestCallMs} and socket.pingIntervalMs: so long a call or a poll may wait`,
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

const configDir = resolve(dirname(dirname(fileURLToPath(import.meta.url))), 'config');
const variablesFile = 'custom-environment-variables.yaml';

/**
 * Reads `config/` and the environment.
 * @param options.env the environment; `NODE_ENV` chooses the file beside default.yaml
 * @returns the frozen settings
 * @throws SettingsError naming every fault
 */
export function loadSettings(options: { env?: NodeJS.ProcessEnv } = {}): Settings {
  const env = options.env ?? process.env;
  const load = new EnvironmentLoad({
    configDir,
    nodeEnv: [env.NODE_ENV || 'development'],
    skipConfigSources: true,
  });
  requireFileFor(env.NODE_ENV);
  let raw: unknown;
  try {
    Util.loadFileConfigs(load);
    load.addConfig('NODE_CONFIG', objectIn(env.NODE_CONFIG));
    load.loadEnvironment(resolve(configDir, variablesFile), env);
    raw = load.config;
  } catch (error) {
    if (error instanceof SettingsError) throw error;
    throw new SettingsError(error instanceof Error ? error.message : String(error));
  }
  const parsed = schema.safeParse(raw);
  if (parsed.success) return freeze(parsed.data);
  const variables = new Load({ configDir, skipConfigSources: true });
  variables.loadFile(resolve(configDir, variablesFile));
  throw new SettingsError(describe(parsed.error, raw, variables.config));
}

/** Settings as one JSON object, by node-config's own convention. Not quoted in a fault: secrets may be in it. */
function objectIn(json: string | undefined): object {
  if (json === undefined || json === '') return {};
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(json));
  } catch {
    throw new SettingsError('NODE_CONFIG must be a JSON object, such as {"presence":{"leaseMs":15000}}');
  }
}

/** A slip in NODE_ENV would start a controller with the settings of a laptop. @throws SettingsError */
function requireFileFor(environment: string | undefined): void {
  if (environment === undefined || environment === '' || environment === 'development') return;
  if (existsSync(resolve(configDir, `${environment}.yaml`))) return;
  throw new SettingsError(
    `NODE_ENV is ${JSON.stringify(environment)}, but config/ has no ${environment}.yaml`,
  );
}

function hasKeys(auth: { keys: unknown; jwksUrl: unknown }): boolean {
  return auth.keys !== null || auth.jwksUrl !== null;
}

function valueAt(tree: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (at !== null && typeof at === 'object' ? Reflect.get(at, key) : undefined),
    tree,
  );
}

/** Each fault with its setting, the variable that sets it, and the value, where that is no secret. */
function describe(error: z.ZodError, raw: unknown, variables: unknown): string {
  return error.issues
    .flatMap((issue) => {
      const path = issue.path.join('.');
      if (issue.code === 'unrecognized_keys')
        return issue.keys.map((key) => `${[...issue.path, key].join('.')}: no such setting`);
      const value = valueAt(raw, issue.path);
      const variable = variableOf(variables, issue.path);
      // Also where no secret belongs there may be one: a URL with its password in the wrong variable.
      const told = hideCredentialsInText(String(JSON.stringify(value)));
      const shown = typeof value === 'object' || isSecret(issue.path) ? '' : ` (is ${told})`;
      return [`${path}${typeof variable === 'string' ? ` (${variable})` : ''}: ${issue.message}${shown}`];
    })
    .join('\n');
}

/** The variable that sets what is at this path, or what it is a part of. */
function variableOf(variables: unknown, path: readonly PropertyKey[]): unknown {
  const found = path.map((_, length) => valueAt(variables, path.slice(0, length + 1)));
  return found.find((variable) => typeof variable === 'string');
}

function isSecret(path: readonly PropertyKey[]): boolean {
  return /url$/i.test(String(path.at(-1))) || path.slice(0, 2).join('.') === 'auth.keys';
}

function freeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) if (inner !== null && typeof inner === 'object') freeze(inner);
  return Object.freeze(value);
}
