// Owns tokens: whether one counts, and whom it stands for.
import type { IncomingHttpHeaders } from 'node:http';
import { errors, type JWTPayload, type JWTVerifyGetKey, type JWTVerifyResult, jwtVerify } from 'jose';
import { z } from 'zod';
import { FleetError, unauthorized } from '../fleet/errors.ts';
import { identifier } from '../fleet/identifiers.ts';
import type { Log } from '../log.ts';
import type { Settings } from '../settings.ts';
import { anyone, type Caller } from './caller.ts';
import { createKeySetUrl, publishedAlgorithms } from './key-set-url.ts';
import { algorithmsOf, type Jwk, verifyingKey } from './keys.ts';
import { isCalledAsLoopback } from './loopback.ts';
import { roles } from './roles.ts';

/** A longer one is not looked at. */
const mostCharacters = 16_384;

/** Of the year 9999: no date that is told of it is later. */
const lastSecond = 253_402_300_799;

/** What a token says beyond RFC 7519's own claims. */
const claimsSchema = z
  .object({
    /** Who it is; of an orchestrator its id. */
    sub: z.string().regex(/^[\x21-\x7e]{1,255}$/, 'must be 1 to 255 printable ASCII characters'),
    exp: z.number().max(lastSecond, 'must be a time before the year 10000, in seconds'),
    role: z.enum(roles),
    /** Confines the token to these organizations. */
    organizations: z.array(identifier).max(1_000).optional(),
    /** Of a gateway: the orchestrators that it speaks for, instead of `sub`. */
    orchestrators: z.array(identifier).min(1).max(1_000).optional(),
  })
  .refine(({ role, sub, orchestrators }) => {
    return role !== 'orchestrator' || orchestrators !== undefined || identifier.safeParse(sub).success;
  }, 'sub must be the id of the orchestrator, or `orchestrators` list the ids');

const unprotected = 'No keys for tokens are configured: the controller answers';
/** What a proxy adds to a request. */
const proxyHeaders = [
  'forwarded',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
];

export interface Tokens {
  /**
   * Where anyone may call because no keys are given, a call must come from this machine itself: it names a loopback
   * address, or a web page that has its own name lead to one (DNS rebinding) could do anything; and no proxy has passed
   * it on.
   * @returns why not, for the caller
   */
  refuseRemote(headers: IncomingHttpHeaders): string | undefined;
  /**
   * Whom a token stands for. Without one: anyone, where none is needed.
   * @throws unauthorized saying what is wrong with it; unavailable while the keys cannot be fetched
   */
  identify(token: string | undefined): Promise<Caller>;
}

/** @param dependencies.auth the settings; with neither keys nor the URL of some, or switched off, anyone may call */
export function createTokens(dependencies: { auth: Settings['auth']; now(): number; log: Log }): Tokens {
  const { auth, now, log } = dependencies;
  if (!isTokenRequired(auth)) {
    // Nearly all calls name the same.
    let known = { host: '', isLoopback: false };
    const isToOwnMachine = (host = '') => {
      if (host !== known.host) known = { host, isLoopback: isCalledAsLoopback(host) };
      return known.isLoopback;
    };
    return {
      refuseRemote(headers) {
        if (auth.mode === 'off') return undefined;
        if (!isToOwnMachine(headers.host)) return `${unprotected} to loopback names alone, such as localhost`;
        if (proxyHeaders.some((name) => headers[name] !== undefined))
          return `${unprotected} to this machine alone, and to nothing that a proxy passes on`;
        return undefined;
      },
      identify: async () => anyone,
    };
  }

  const common = {
    issuer: auth.issuer,
    audience: auth.audience,
    clockTolerance: auth.clockToleranceMs / 1_000,
    requiredClaims: ['sub', 'exp', 'role'],
  };
  const local = (auth.keys ?? []).map((jwk) => ({ jwk, key: verifyingKey(jwk) }));
  const published =
    auth.jwksUrl === null
      ? undefined
      : createKeySetUrl({
          url: auth.jwksUrl,
          timeoutMs: auth.jwksTimeoutMs,
          cacheMs: auth.jwksCacheMs,
          cooldownMs: auth.jwksCooldownMs,
          staleMs: auth.jwksStaleMs,
          now,
          log,
        });

  async function verify(token: string): Promise<JWTVerifyResult> {
    const currentDate = new Date(now());
    const { alg, kid } = headerOf(token);
    for (const { jwk, key } of local.filter(({ jwk }) => mayHaveSigned(jwk, alg, kid)))
      try {
        return await jwtVerify(token, key, { ...common, currentDate, algorithms: [...algorithmsOf(jwk)] });
      } catch (error) {
        if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
      }
    if (published === undefined) throw new errors.JWKSNoMatchingKey();
    const getKey: JWTVerifyGetKey = (header, input) => published(header, input);
    return jwtVerify(token, getKey, { ...common, currentDate, algorithms: publishedAlgorithms });
  }

  return {
    refuseRemote: () => undefined,
    async identify(token) {
      if (token === undefined || token === '') throw unauthorized('A token is needed');
      if (token.length > mostCharacters) throw unauthorized('The token is too long');
      try {
        const { payload } = await verify(token);
        return callerOf(payload, auth.clockToleranceMs);
      } catch (error) {
        throw error instanceof FleetError ? error : unauthorized(whatIsWrong(error));
      }
    },
  };
}

/** Says who may call: with a token that which keys have signed, or anyone. */
export function tellOfDoor({ auth, http }: Settings, log: Log): void {
  if (isTokenRequired(auth)) {
    const keys = (auth.keys ?? []).map((jwk) => [algorithmsOf(jwk)[0], jwk.kid].filter(Boolean).join(' '));
    const published = auth.jwksUrl === null ? [] : [`those that ${new URL(auth.jwksUrl).host} publishes`];
    log.info(
      { event: 'auth' },
      `Tokens are asked for, issued by ${auth.issuer} for ${auth.audience}; keys: ${[...keys, ...published].join(', ')}`,
    );
    return;
  }
  const why =
    auth.mode === 'off'
      ? 'AUTH is off'
      : 'no keys for tokens are configured (AUTH_KEYS, AUTH_JWKS_URL), so only this machine is served';
  log.warn({ event: 'auth' }, `Anyone who reaches ${http.host} may do anything, without a token: ${why}`);
}

/** Whether calls need a token. */
export const isTokenRequired = (auth: Settings['auth']): boolean =>
  auth.mode !== 'off' && (auth.keys !== null || auth.jwksUrl !== null);

function callerOf(payload: JWTPayload, toleranceMs: number): Caller {
  const claims = claimsSchema.safeParse(payload);
  if (!claims.success)
    throw unauthorized(
      `The claims of the token are not valid: ${claims.error.issues
        .map((issue) => [...issue.path, issue.message].join(' '))
        .join('; ')}`,
    );
  const { sub, role, exp, organizations, orchestrators } = claims.data;
  return {
    subject: sub,
    role,
    scope: organizations && new Set(organizations),
    orchestrators: role === 'orchestrator' ? new Set(orchestrators ?? [sub]) : undefined,
    expiresAtMs: exp * 1_000 + toleranceMs,
  };
}

const headerSchema = z.object({ alg: z.string(), kid: z.string().optional() });

function headerOf(token: string): z.output<typeof headerSchema> {
  try {
    const [header = ''] = token.split('.', 1);
    return headerSchema.parse(JSON.parse(Buffer.from(header, 'base64url').toString()));
  } catch {
    throw unauthorized('The token is no signed JWT');
  }
}

/** A key without a `kid`, like a token without one, may be any. */
function mayHaveSigned(jwk: Jwk, alg: string, kid: string | undefined): boolean {
  return algorithmsOf(jwk).includes(alg) && (kid === undefined || jwk.kid === undefined || jwk.kid === kid);
}

/** For the caller; nothing of the token is quoted. */
function whatIsWrong(error: unknown): string {
  if (error instanceof errors.JWTExpired) return 'The token has expired';
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === 'nbf') return 'The token is not valid yet';
    return error.reason === 'missing'
      ? `The token has no ${error.claim}`
      : `The token has another ${error.claim} than is asked for here`;
  }
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys)
    return 'The token is signed with no key that counts here';
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'The signature of the token is wrong';
  if (error instanceof errors.JOSEAlgNotAllowed)
    return 'The token is signed with an algorithm that is not allowed';
  return 'The token is no signed JWT';
}
