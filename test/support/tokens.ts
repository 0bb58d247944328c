// Owns keys and tokens in tests.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { type Jwk, jwkSchema } from '../../src/access/keys.ts';
import { type Minted, mintToken } from '../../src/access/mint.ts';
import type { Role } from '../../src/access/roles.ts';
import type { SettingsChanges } from './world.ts';

export const issuer = 'moolai';
export const audience = 'moolai-controller';

/** A new HS256 key. */
export const newSecretKey = (kid?: string): Jwk => ({
  kty: 'oct',
  k: randomBytes(32).toString('base64url'),
  ...(kid === undefined ? {} : { kid }),
});

/** A new Ed25519 key, with its private part. */
export function newPrivateKey(kid?: string): Jwk {
  const jwk = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  return jwkSchema.parse({ ...jwk, ...(kid === undefined ? {} : { kid }) });
}

/** What the controller is given of a key: not the private part. */
export function publicPart(jwk: Jwk): Jwk {
  if (jwk.kty === 'oct') throw new TypeError('a secret has no public part');
  const { d: _private, ...rest } = jwk;
  return rest;
}

/** The settings of a world that asks for tokens signed with one of these. */
export const asksForTokens = (...keys: Jwk[]): SettingsChanges => ({ auth: { keys } });

/** A token that is valid for an hour from now, but for what `changes` says. */
export function tokenOf(jwk: Jwk, role: Role, changes: Partial<Minted> = {}): Promise<string> {
  const now = Date.now();
  return mintToken(jwk, {
    subject: `some-${role}`,
    role,
    issuer,
    audience,
    issuedAtMs: now,
    expiresAtMs: now + 3_600_000,
    ...changes,
  });
}
