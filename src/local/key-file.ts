// Owns the key that the local mode signs its tokens with: a file, made when the first token is.
import { randomBytes, randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Jwk, jwkSetSchema } from '../access/keys.ts';
import { type Minted, mintToken } from '../access/mint.ts';

/** Where the local mode keeps what is its own. */
export const localFolder = (): string =>
  process.env.LOCAL_FOLDER || join(fileURLToPath(new URL('../..', import.meta.url)), '.local');

export const keyFileIn = (localFolder: string): string => join(localFolder, 'auth-keys.json');

/** The set in the file as JSON text, for AUTH_KEYS; undefined where there is no file. */
export async function readKeyFile(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The keys of a JSON Web Key Set. @throws with a message for a person when it is none */
export function parseKeys(json: string, where: string): Jwk[] {
  try {
    return jwkSetSchema.parse(JSON.parse(json)).keys;
  } catch {
    throw new Error(`${where} is no JSON Web Key Set of HS256 or Ed25519 keys`);
  }
}

/**
 * The set in the file as JSON text; the file is made with one new HS256 key, for its owner alone, if there is none.
 * @returns `made` if this call did
 */
export async function openKeyFile(file: string): Promise<{ json: string; made: boolean }> {
  const known = await readKeyFile(file);
  if (known !== undefined) return { json: known, made: false };
  const key: Jwk = {
    kty: 'oct',
    alg: 'HS256',
    kid: `local-${randomUUID().slice(0, 8)}`,
    k: randomBytes(32).toString('base64url'),
  };
  const json = `${JSON.stringify({ keys: [key] }, undefined, 2)}\n`;
  const mine = `${file}.${process.pid}`;
  await mkdir(dirname(file), { recursive: true });
  await writeFile(mine, json, { mode: 0o600, flag: 'wx' });
  try {
    // A link appears with its content or not at all: of two that make one, both sign with the first.
    await link(mine, file);
    return { json, made: true };
  } catch (error) {
    const first = await readKeyFile(file);
    if (first === undefined) throw error;
    return { json: first, made: false };
  } finally {
    await rm(mine, { force: true });
  }
}

/** A token from now on, of the issuer and for the audience that the environment says. */
export function mintLocally(
  jwk: Jwk,
  {
    validMs,
    ...token
  }: Omit<Minted, 'issuer' | 'audience' | 'issuedAtMs' | 'expiresAtMs'> & { validMs: number },
): Promise<string> {
  const issuedAtMs = Date.now();
  return mintToken(jwk, {
    ...token,
    issuer: process.env.AUTH_ISSUER || 'moolai',
    audience: process.env.AUTH_AUDIENCE || 'moolai-controller',
    issuedAtMs,
    expiresAtMs: issuedAtMs + validMs,
  });
}
