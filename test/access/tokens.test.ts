import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import test from 'ava';
import { publishedAlgorithms } from '../../src/access/key-set-url.ts';
import type { Jwk } from '../../src/access/keys.ts';
import { dataOf, errorOf, linesOf } from '../support/answers.ts';
import { asksForTokens, newPrivateKey, newSecretKey, publicPart, tokenOf } from '../support/tokens.ts';
import { openWorld, type SettingsChanges } from '../support/world.ts';

const path = '/api/v1/controller/organizations';
const secret = newSecretKey('secret');
const signing = newPrivateKey('signing');
const bare = newSecretKey();
const { auth } = asksForTokens(secret, publicPart(signing), bare);
const world = await openWorld({ settings: { auth: { ...auth, clockToleranceMs: 120_000 } } });
test.after.always(() => world.close());
const { api } = world;
const replica = world.replica(0);

const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());

for (const [name, key] of [
  ['an HS256 key', secret],
  ['an Ed25519 key', signing],
  ['a key without an id', bare],
] as const)
  test(`a token signed with ${name} counts: several are valid at once`, async (t) => {
    dataOf(t, await replica.as(await tokenOf(key, 'viewer')).get(path));
  });

test('without a token: 401, and what is asked for', async (t) => {
  const answer = await api.get(path);
  errorOf(t, answer, 401, 'unauthorized');
  t.is(answer.headers.get('www-authenticate'), 'Bearer');
});

test('a token in the query is none', async (t) => {
  const token = await tokenOf(secret, 'admin');
  errorOf(t, await api.get(`${path}?access_token=${token}&token=${token}`), 401, 'unauthorized');
});

test('an Authorization header of another kind, or none that can be read, is a 401', async (t) => {
  const token = await tokenOf(secret, 'admin');
  for (const authorization of [
    'Basic YTpi',
    'Bearer',
    'Bearer ',
    token,
    `Bearer ${token} ${token}`,
    `Bearer ${'x'.repeat(9_000)}`,
    'Bearer a.b.c',
    'Bearer ....',
    'Bearer e30.e30.e30',
  ])
    errorOf(t, await api.request(path, { headers: { authorization } }), 401, 'unauthorized');
  dataOf(t, await api.request(path, { headers: { authorization: `bearer ${token}` } }));
});

const hour = 3_600_000;
const refused: [string, () => Promise<string>, RegExp][] = [
  ['expired', () => tokenOf(secret, 'admin', { expiresAtMs: Date.now() - 130_000 }), /has expired/],
  ['for another audience', () => tokenOf(secret, 'admin', { audience: 'elsewhere' }), /another aud /],
  ['of another issuer', () => tokenOf(secret, 'admin', { issuer: 'somebody' }), /another iss /],
  ['signed with a key that is unknown', () => tokenOf(newSecretKey(), 'admin'), /no key that counts/],
  [
    'signed with another key of the same id',
    () => tokenOf(newSecretKey('secret'), 'admin'),
    /no key that counts/,
  ],
  ['not valid yet', () => withClaims({ nbf: Math.floor(Date.now() / 1_000) + 600 }), /not valid yet/],
  ['without an end', () => withClaims({ exp: undefined }), /has no exp/],
  ['whose end is no number', () => withClaims({ exp: 'later' }), /another exp|claims/],
  ['whose end is in nanoseconds', () => withClaims({ exp: Date.now() * 1e6 }), /claims .* exp/],
  ['without a role', () => withClaims({ role: undefined }), /has no role/],
  ['whose end is no date', () => withClaims({ exp: 1e300 }), /claims .* exp/],
  ['of a role that there is not', () => withClaims({ role: 'root' }), /claims .* role/],
  ['of everybody', () => withClaims({ sub: undefined }), /has no sub/],
  ['whose subject is no name', () => withClaims({ sub: 'a\nb' }), /claims .* sub/],
  [
    'of an organization that is none',
    () => withClaims({ organizations: ['../x'] }),
    /claims .* organizations/,
  ],
  [
    'of organizations that are no list',
    () => withClaims({ organizations: 'acme' }),
    /claims .* organizations/,
  ],
  [
    'of an orchestrator whose subject is no id',
    () => withClaims({ role: 'orchestrator', sub: 'a/b' }),
    /claims/,
  ],
  [
    'with the algorithm none',
    async () => `${base64url({ alg: 'none' })}.${await payload()}.`,
    /no key that counts|no signed/,
  ],
  [
    'signed by HS256 with the public key as its secret',
    async () => {
      const { x } = signing as Jwk & { x: string };
      const head = base64url({ alg: 'HS256', kid: 'signing' });
      const body = await payload();
      const mac = createHmac('sha256', Buffer.from(x, 'base64url')).update(`${head}.${body}`);
      return `${head}.${body}.${mac.digest('base64url')}`;
    },
    /no key that counts/,
  ],
  [
    'with an algorithm of its own choice',
    async () => {
      const [, body, signature] = (await tokenOf(secret, 'admin')).split('.');
      return `${base64url({ alg: 'HS512', kid: 'secret' })}.${body}.${signature}`;
    },
    /no key that counts/,
  ],
  [
    'tampered with',
    async () => {
      const token = await tokenOf(secret, 'viewer');
      const [head, , signature] = token.split('.');
      return `${head}.${base64url({ ...claimsOf(token), role: 'admin' })}.${signature}`;
    },
    /no key that counts/,
  ],
  [
    'with a critical extension',
    async () => {
      const [, body] = (await tokenOf(secret, 'admin')).split('.');
      return signed({ alg: 'HS256', kid: 'secret', crit: ['x'], x: 1 }, body ?? '');
    },
    /no signed JWT/,
  ],
];

async function payload(): Promise<string> {
  return base64url(claimsOf(await tokenOf(secret, 'admin')));
}
async function withClaims(changes: object): Promise<string> {
  const claims = {
    ...claimsOf(await tokenOf(secret, 'admin', { expiresAtMs: Date.now() + hour })),
    ...changes,
  };
  return signed({ alg: 'HS256', kid: 'secret' }, base64url(claims));
}
function signed(header: object, body: string): string {
  const head = base64url(header);
  const { k } = secret as Jwk & { k: string };
  const mac = createHmac('sha256', Buffer.from(k, 'base64url')).update(`${head}.${body}`).digest('base64url');
  return `${head}.${body}.${mac}`;
}

for (const [what, make, message] of refused)
  test(`a token ${what} is a 401 that says so`, async (t) => {
    const answer = await replica.as(await make()).post(path, { org_id: 'never', name: 'Never' });
    t.regex(errorOf(t, answer, 401, 'unauthorized').message, message);
    t.regex(
      answer.headers.get('www-authenticate') ?? '',
      /^Bearer error="invalid_token", error_description="/,
    );
    t.deepEqual(await world.sql('SELECT 1 FROM organizations WHERE organization_id = $1', ['never']), []);
  });

test('whose reading is refused again and again does not fill the log', async (t) => {
  const persistent = replica.as(await tokenOf(secret, 'viewer', { subject: 'persistent' }));
  for (let count = 0; count < 20; count += 1)
    errorOf(t, await persistent.get('/api/v1/internal/logs'), 403, 'forbidden');
  const admin = replica.as(await tokenOf(secret, 'admin'));
  const lines = await linesOf(admin, { event: 'forbidden' });
  t.is(lines.filter((line) => line.includes('viewer persistent')).length, 1);
});

test('the clock of who signs may be a little off', async (t) => {
  dataOf(
    t,
    await replica.as(await tokenOf(secret, 'viewer', { expiresAtMs: Date.now() - 60_000 })).get(path),
  );
});

test('probes and metrics need no token, nor does the description of the API', async (t) => {
  for (const open of [
    ...['/health', '/health/live', '/health/ready', '/metrics', '/openapi.json', '/asyncapi.json'],
    ...['/docs', '/docs/events', '/docs/start.js'],
  ])
    t.is((await api.get(open)).status, 200, open);
});

// An identity provider that publishes its keys.

async function openProvider(keys: Jwk[]) {
  let published = keys;
  let fetched = 0;
  let status = 200;
  let instead: string | undefined;
  const server = createServer((_request, response) => {
    fetched += 1;
    response.writeHead(status, { 'content-type': 'application/json' });
    const keys = published.map((jwk) => (jwk.kty === 'oct' ? jwk : publicPart(jwk)));
    response.end(instead ?? JSON.stringify({ keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/keys`,
    publish(next: Jwk[]) {
      published = next;
    },
    answer(with_: number) {
      status = with_;
    },
    /** Answers this text in the place of keys; undefined: the keys again. */
    say(text: string | undefined) {
      instead = text;
    },
    get fetched() {
      return fetched;
    },
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

type Provider = Awaited<ReturnType<typeof openProvider>>;

/** @param prepare what happens to the provider before the controller starts */
async function openWorldOf(
  stack: AsyncDisposableStack,
  keys: Jwk[],
  changes: SettingsChanges['auth'] = {},
  prepare: (provider: Provider) => void = () => undefined,
) {
  const provider = stack.adopt(await openProvider(keys), (it) => it.close());
  prepare(provider);
  const auth = { jwksUrl: `${provider.url}?key=hidden`, jwksCooldownMs: 1, ...changes };
  const own = stack.adopt(await openWorld({ settings: { auth } }), (it) => it.close());
  return {
    provider,
    own,
    get: async (key: Jwk) =>
      own
        .replica(0)
        .as(await tokenOf(key, 'viewer'))
        .get(path),
  };
}

test('published keys are fetched once, and again when a token names one that is new', async (t) => {
  await using stack = new AsyncDisposableStack();
  const [old, fresh] = [newPrivateKey('old'), newPrivateKey('fresh')];
  const { provider, get } = await openWorldOf(stack, [old]);
  dataOf(t, await get(old));
  dataOf(t, await get(old));
  t.is(provider.fetched, 1);
  errorOf(t, await get(fresh), 401, 'unauthorized');
  provider.publish([old, fresh]);
  dataOf(t, await get(fresh));
  dataOf(t, await get(old));
  provider.publish([fresh]);
  errorOf(t, await get(newPrivateKey('unknown')), 401, 'unauthorized');
  errorOf(t, await get(old), 401, 'unauthorized');
});

test('a secret that a provider publishes signs nothing', async (t) => {
  await using stack = new AsyncDisposableStack();
  const leaked = newSecretKey('leaked');
  const { get } = await openWorldOf(stack, [leaked, newPrivateKey('other')]);
  errorOf(t, await get(leaked), 401, 'unauthorized');
  t.false(publishedAlgorithms.some((algorithm) => algorithm.startsWith('HS') || algorithm === 'none'));
});

test('while the provider is away the keys that are known count; without any it is a 503', async (t) => {
  await using stack = new AsyncDisposableStack();
  const key = newPrivateKey('one');
  const local = newSecretKey();
  const changes = { jwksCacheMs: 1, keys: [local] };
  const { provider, own, get } = await openWorldOf(stack, [key], changes, (it) => it.answer(500));
  const answer = await get(key);
  errorOf(t, answer, 503, 'unavailable');
  t.is(answer.headers.get('retry-after'), '2');
  const admin = own.replica(0).as(await tokenOf(local, 'admin'));
  t.deepEqual(await linesOf(admin, { event: 'auth', level: 'WARNING' }), [
    `WARNING auth The keys for tokens cannot be fetched from ${provider.url}; none are known: calls are answered 503`,
  ]);
  provider.answer(200);
  dataOf(t, await get(key));
  provider.answer(500);
  dataOf(t, await get(key));
});

for (const nonsense of ['<html>Please log in</html>', '{"error":"none"}', '{"keys":"none"}', '[]', ''])
  test(`a provider that answers 200 and ${nonsense || 'nothing'} is away`, async (t) => {
    await using stack = new AsyncDisposableStack();
    const [key, local] = [newPrivateKey('one'), newSecretKey()];
    const changes = { keys: [local], jwksCacheMs: 1, jwksCooldownMs: 50_000, jwksStaleMs: 200_000 };
    const { provider, own, get } = await openWorldOf(stack, [key], changes, (it) => it.say(nonsense));
    errorOf(t, await get(key), 503, 'unavailable');
    errorOf(t, await get(key), 503, 'unavailable');
    t.is(provider.fetched, 1, 'it is left alone for a while');
    const admin = own.replica(0).as(await tokenOf(local, 'admin'));
    t.regex((await linesOf(admin, { event: 'auth', level: 'WARNING' }))[0] ?? '', /cannot be fetched/);

    provider.say(undefined);
    own.clock.advance(50_001);
    dataOf(t, await get(key));
    provider.say(nonsense);
    dataOf(t, await get(key));
    own.clock.advance(200_001);
    errorOf(t, await get(key), 503, 'unavailable');
  });
