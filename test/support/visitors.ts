// Owns whom the tests of authorization call as: every role and relation to a place, and every kind of bad token.
import { createHmac, createPublicKey } from 'node:crypto';
import type { Jwk } from '../../src/access/keys.ts';
import type { Role } from '../../src/access/roles.ts';
import { newPrivateKey, newSecretKey, publicPart, tokenOf } from './tokens.ts';

/** What a call is about. */
export interface Place {
  readonly organization: string;
  readonly orchestrator: string;
  readonly message: string;
  /** An id that nothing has, which a token of the place's organization may be given to make an organization of. */
  readonly newcomer: string;
}

/** The error codes that mean a refusal. */
export type Refusal =
  | 'unauthorized'
  | 'forbidden'
  | 'not_found'
  | 'already_exists'
  | 'not_connected'
  | 'handshake_required';
/** The status of a success, or the code of a refusal. */
export type Outcome = number | Refusal;

/** What each kind of caller gets, in the order of a table's columns. */
export interface Expectations {
  readonly viewer: Outcome;
  readonly operator: Outcome;
  readonly admin: Outcome;
  /** An orchestrator, of what is its own. */
  readonly self: Outcome;
  /** An orchestrator, of what is another's. */
  readonly other: Outcome;
  /** Those of the above who may, but confined to another organization. */
  readonly foreign: Outcome;
}

/** One line of a table. */
export function expectations(
  viewer: Outcome,
  operator: Outcome,
  admin: Outcome,
  self: Outcome,
  other: Outcome,
  foreign: Outcome,
): Expectations {
  return { viewer, operator, admin, self, other, foreign };
}

export interface Visitor {
  readonly name: string;
  /** Whether the organization is one that the token is not of. */
  readonly isForeign: boolean;
  expects(rule: Expectations): Outcome;
  token(place: Place): Promise<string | undefined>;
}

/** Another organization, and its orchestrator. */
export const elsewhere = 'elsewhere';

/** Keys that a controller is given, and what is signed with them. */
export interface TestKeys {
  readonly secret: Jwk & { kty: 'oct' };
  /** With its private part, which the controller is not given. */
  readonly signing: Jwk & { kty: 'OKP' };
}

export function newTestKeys(): TestKeys & { readonly accepted: Jwk[] } {
  const [secret, signing] = [newSecretKey('secret'), newPrivateKey('signing')];
  if (secret.kty !== 'oct' || signing.kty !== 'OKP') throw new TypeError('another kind of key');
  return { secret, signing, accepted: [secret, publicPart(signing)] };
}

/** Everyone whose token counts. */
export function membersOf({ secret, signing }: TestKeys): Visitor[] {
  const own = (place: Place) => [place.organization, place.newcomer];
  const confined = (
    name: string,
    kind: keyof Expectations,
    mint: (place: Place, organizations?: string[]) => Promise<string>,
  ): Visitor[] => [
    { name, isForeign: false, expects: (rule) => rule[kind], token: (place) => mint(place) },
    {
      name: `${name} of its organization`,
      isForeign: false,
      expects: (rule) => rule[kind],
      token: (place) => mint(place, own(place)),
    },
    {
      name: `${name} of another organization`,
      isForeign: true,
      expects: (rule) => (typeof rule[kind] === 'number' ? rule.foreign : rule[kind]),
      token: (place) => mint(place, [elsewhere]),
    },
  ];
  const staff = (['viewer', 'operator', 'admin'] as const).flatMap((role, at) =>
    confined(role, role, (_, organizations) => tokenOf(at === 1 ? signing : secret, role, { organizations })),
  );
  const ofOrchestrators = (about: (place: Place) => { subject: string; orchestrators?: string[] }) => {
    return (place: Place, organizations?: string[]) =>
      tokenOf(signing, 'orchestrator', { ...about(place), organizations });
  };
  return [
    ...staff,
    ...confined(
      'orchestrator itself',
      'self',
      ofOrchestrators((place) => ({ subject: place.orchestrator })),
    ),
    ...confined(
      'another orchestrator',
      'other',
      ofOrchestrators(() => ({ subject: elsewhere })),
    ),
    ...confined(
      'gateway that names it',
      'self',
      ofOrchestrators((place) => ({ subject: 'gateway', orchestrators: [elsewhere, place.orchestrator] })),
    ),
    ...confined(
      'gateway that does not name it, but is called so',
      'other',
      ofOrchestrators((place) => ({ subject: place.orchestrator, orchestrators: [elsewhere, 'a-third'] })),
    ),
  ];
}

/**
 * Everyone whose token does not count, and who has none.
 * @param role what the token says
 */
export function intrudersOf({ secret, signing }: TestKeys, role: Role): Visitor[] {
  const mint = (place: Place, changes: Parameters<typeof tokenOf>[2] = {}, key: Jwk = secret) =>
    tokenOf(key, role, { subject: place.orchestrator, ...changes });
  const forge = async (
    place: Place,
    forgery: (head: string, claims: string, signature: string) => string,
  ) => {
    const [head = '', claims = '', signature = ''] = (await mint(place)).split('.');
    return forgery(head, claims, signature);
  };
  const hmac = (key: string | Uint8Array) => (place: Place) =>
    forge(place, (_, claims) => {
      const input = `${encode({ alg: 'HS256', typ: 'JWT', kid: 'signing' })}.${claims}`;
      return `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`;
    });
  const unsigned = (alg: string) => (place: Place) =>
    forge(place, (_, claims) => `${encode({ alg, typ: 'JWT' })}.${claims}.`);
  const { kty, crv, x } = signing;
  const published = { kty, crv, x };
  const pem = createPublicKey({ key: published, format: 'jwk' }).export({ type: 'spki', format: 'pem' });

  const bad: [string, Visitor['token']][] = [
    ['nobody', async () => undefined],
    [
      'a token that has expired',
      (place) => mint(place, { issuedAtMs: Date.now() - 120_000, expiresAtMs: Date.now() - 60_000 }),
    ],
    ['a token for another audience', (place) => mint(place, { audience: 'another-service' })],
    ['a token of another issuer', (place) => mint(place, { issuer: 'another-issuer' })],
    ['a token signed with an unknown key', (place) => mint(place, {}, newPrivateKey('signing'))],
    ['a token with the algorithm none', unsigned('none')],
    ['a token with the algorithm nOnE', unsigned('nOnE')],
    ['a token with the algorithm HS256 and no signature', unsigned('HS256')],
    ['a token signed by HS256 with the public key, as bytes', hmac(Buffer.from(signing.x, 'base64url'))],
    ['a token signed by HS256 with the public key, as base64url', hmac(signing.x)],
    ['a token signed by HS256 with the public key, as PEM', hmac(String(pem))],
    ['a token signed by HS256 with the public key, as a JWK', hmac(JSON.stringify(published))],
    [
      'a token whose claims were tampered with',
      (place) =>
        forge(place, (head, claims, signature) => {
          const changed = { ...decode(claims), sub: `${place.orchestrator}x`, organizations: undefined };
          return `${head}.${encode(changed)}.${signature}`;
        }),
    ],
    [
      'a token whose signature was tampered with',
      (place) =>
        forge(place, (head, claims, signature) => {
          const first = signature.startsWith('A') ? 'B' : 'A';
          return `${head}.${claims}.${first}${signature.slice(1)}`;
        }),
    ],
  ];
  return bad.map(([name, token]) => ({ name, isForeign: false, expects: () => 'unauthorized', token }));
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const decode = (part: string): object => JSON.parse(Buffer.from(part, 'base64url').toString());
