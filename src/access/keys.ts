// Owns the keys that tokens are signed with: which are accepted, and which of them a token may be signed with.
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';

/** The least that HS256 may be keyed with (RFC 7518, 3.2). */
const leastSecretBytes = 32;
const base64url = z.string().regex(/^[A-Za-z0-9_-]+$/, 'must be base64url');
const common = { kid: z.string().min(1).max(255).optional(), use: z.literal('sig').optional() };
const bytesIn = (text: string) => Buffer.from(text, 'base64url').length;

const secretKey = z.object({
  ...common,
  kty: z.literal('oct'),
  alg: z.literal('HS256').optional(),
  k: base64url.refine((k) => bytesIn(k) >= leastSecretBytes, {
    error: `must be at least ${leastSecretBytes} bytes, in base64url`,
  }),
});
const ed25519Key = z
  .object({
    ...common,
    kty: z.literal('OKP'),
    crv: z.literal('Ed25519'),
    alg: z.enum(['EdDSA', 'Ed25519']).optional(),
    x: base64url,
    /** The private part: only who mints tokens needs it. */
    d: base64url.optional(),
  })
  .refine((jwk) => isEd25519(jwk), { error: 'is no Ed25519 key' });

/** A JSON Web Key (RFC 7517; RFC 8037 for Ed25519). */
export const jwkSchema = z.discriminatedUnion('kty', [secretKey, ed25519Key], {
  error: 'must be an HS256 key ("kty": "oct") or an Ed25519 key ("kty": "OKP", "crv": "Ed25519")',
});
export type Jwk = z.output<typeof jwkSchema>;

const notASet = 'must be a JSON Web Key Set such as {"keys":[{"kty":"oct","kid":"one","k":"…"}]}';

/** A JSON Web Key Set (RFC 7517, 5), at least one key. */
export const jwkSetSchema = z.object(
  { keys: z.array(jwkSchema, { error: notASet }).min(1, { error: 'must be one key at least' }) },
  { error: notASet },
);

function isEd25519(jwk: { x: string; d?: string | undefined }): boolean {
  try {
    const known = { kty: 'OKP', crv: 'Ed25519', x: jwk.x };
    createPublicKey({ key: known, format: 'jwk' });
    if (jwk.d !== undefined) createPrivateKey({ key: { ...known, d: jwk.d }, format: 'jwk' });
    return true;
  } catch {
    return false;
  }
}

/** The algorithms that a key may have been used with: a public key is never a secret of HS256. */
export const algorithmsOf = (jwk: Jwk): readonly string[] =>
  jwk.kty === 'oct' ? ['HS256'] : ['EdDSA', 'Ed25519'];

/** The key to verify with. */
export function verifyingKey(jwk: Jwk): KeyObject | Uint8Array {
  if (jwk.kty === 'oct') return Buffer.from(jwk.k, 'base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: jwk.x }, format: 'jwk' });
}

/** The key to sign with, and its algorithm; undefined where the private part is not there. */
export function signingKey(jwk: Jwk): { key: KeyObject | Uint8Array; algorithm: string } | undefined {
  if (jwk.kty === 'oct') return { key: Buffer.from(jwk.k, 'base64url'), algorithm: 'HS256' };
  if (jwk.d === undefined) return undefined;
  const key = createPrivateKey({ key: { kty: 'OKP', crv: 'Ed25519', x: jwk.x, d: jwk.d }, format: 'jwk' });
  return { key, algorithm: 'EdDSA' };
}
