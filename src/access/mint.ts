// Owns the minting of tokens: for the local mode, for tests, and for who has no identity provider.
import { SignJWT } from 'jose';
import { type Jwk, signingKey } from './keys.ts';
import type { Role } from './roles.ts';

export interface Minted {
  subject: string;
  role: Role;
  /** Confines it to these organizations. */
  organizations?: readonly string[] | undefined;
  /** Of a gateway: the orchestrators that it speaks for. */
  orchestrators?: readonly string[] | undefined;
  issuer: string;
  audience: string;
  /** Milliseconds since the epoch. */
  issuedAtMs: number;
  expiresAtMs: number;
}

/** @throws RangeError when the key has no private part to sign with */
export async function mintToken(jwk: Jwk, token: Minted): Promise<string> {
  const signing = signingKey(jwk);
  if (signing === undefined) throw new RangeError('the key is a public one: it verifies, and signs nothing');
  const { role, organizations, orchestrators } = token;
  return new SignJWT({
    role,
    ...(organizations && { organizations: [...organizations] }),
    ...(orchestrators && { orchestrators: [...orchestrators] }),
  })
    .setProtectedHeader({ alg: signing.algorithm, typ: 'JWT', ...(jwk.kid && { kid: jwk.kid }) })
    .setSubject(token.subject)
    .setIssuer(token.issuer)
    .setAudience(token.audience)
    .setIssuedAt(Math.floor(token.issuedAtMs / 1_000))
    .setExpirationTime(Math.floor(token.expiresAtMs / 1_000))
    .sign(signing.key);
}
