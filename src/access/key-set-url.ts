// Owns the keys that an identity provider publishes: fetched, kept, and fetched again when they are rotated.
import { createLocalJWKSet, createRemoteJWKSet, customFetch, errors, type JWTVerifyGetKey } from 'jose';
import { z } from 'zod';
import { reasonOf } from '../availability.ts';
import { unavailable } from '../fleet/errors.ts';
import type { Log } from '../log.ts';

/** The signatures that a published key may be of: never HS256, whose key is no public one. */
export const publishedAlgorithms = ['EdDSA', 'Ed25519', 'ES256', 'RS256', 'PS256'];

/** No longer than a caller is told to wait. */
const unknownCooldownMs = 2_000;

const keySetSchema = z.object({ keys: z.array(z.looseObject({})) });

/**
 * The key for a token, as `jose` asks for it.
 * @param options.cacheMs the keys are fetched again once they are so old
 * @param options.cooldownMs a key that is not among them makes them be fetched again, once in so long
 * @param options.staleMs while the provider is away, keys that were fetched no longer ago still count
 * @throws unavailable when the provider is away and no keys are known
 */
export function createKeySetUrl(options: {
  url: string;
  timeoutMs: number;
  cacheMs: number;
  cooldownMs: number;
  staleMs: number;
  now(): number;
  log: Log;
}): JWTVerifyGetKey {
  const { cooldownMs, staleMs, now, log } = options;
  // What is behind a `?`, or before an `@`, may be a secret.
  const { origin, pathname } = new URL(options.url);
  const shown = `${origin}${pathname}`;
  let fetchedAtMs = Number.NEGATIVE_INFINITY;
  let failure: { atMs: number; error: unknown } | undefined;

  /** Without any keys every call is refused: then it is asked more often. */
  const patienceMs = () =>
    remote.jwks() === undefined ? Math.min(unknownCooldownMs, cooldownMs) : cooldownMs;

  async function fetchKeys(url: string, init: RequestInit): Promise<Response> {
    // Tokens that name unknown keys must not make every call wait for a provider that is away.
    if (failure !== undefined && now() - failure.atMs < patienceMs()) throw failure.error;
    try {
      const response = await fetch(url, init);
      if (response.status !== 200) throw new Error(`it answered ${response.status}`);
      const keys = await readKeySet(response);
      if (failure !== undefined) log.info({ event: 'auth' }, 'The keys for tokens can be fetched again');
      failure = undefined;
      fetchedAtMs = now();
      return Response.json(keys);
    } catch (error) {
      if (failure === undefined)
        log.warn(
          { event: 'auth', reason: reasonOf(error) },
          `The keys for tokens cannot be fetched from ${shown}; ${remote.jwks() === undefined ? 'none are known: calls are answered 503' : `those known count for ${staleMs} ms more`}`,
        );
      failure = { atMs: now(), error };
      throw error;
    }
  }

  const remote = createRemoteJWKSet(new URL(options.url), {
    timeoutDuration: options.timeoutMs,
    cooldownDuration: cooldownMs,
    cacheMaxAge: options.cacheMs,
    [customFetch]: fetchKeys,
  });

  // Before the first call: who runs it is to see at the start that there are none.
  void remote.reload().catch(() => undefined);

  return async (header, token) => {
    try {
      return await remote(header, token);
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys)
        throw error;
      const known = remote.jwks();
      if (known === undefined || now() - fetchedAtMs > staleMs)
        throw unavailable('The provider of keys', error);
      return createLocalJWKSet(known)(header, token);
    }
  };
}

/** What is answered instead of keys, as by a page that asks to log in, is no sign of life. @throws when it is none */
async function readKeySet(response: Response): Promise<object> {
  const set = keySetSchema.safeParse(await response.json().catch(() => undefined));
  if (!set.success) throw new Error('it answered something else than a JSON Web Key Set');
  return set.data;
}
