// What every answer says to a browser, and whose pages may call.
import test, { type ExecutionContext } from 'ava';
import { errorOf } from '../support/answers.ts';
import { sendRaw } from '../support/raw.ts';
import { openWorld, type World } from '../support/world.ts';

const origin = 'https://dashboard.example.com';
const organizations = '/api/v1/controller/organizations';
let world: World;
let without: World;
test.before(async () => {
  world = await openWorld({
    settings: {
      // Behind a proxy, and open all the same.
      auth: { mode: 'off' },
      http: { corsOrigins: [origin, 'http://localhost:3000'], trustedProxies: ['loopback'] },
      limits: { requestsPerAddress: 50, windowSeconds: 600 },
    },
  });
  without = await openWorld();
});
test.after.always(() => Promise.all([world.close(), without.close()]));

const ask = (path: string, init: RequestInit = {}) => without.api.request(path, init);

test('every answer of REST keeps a browser from doing anything with it, whatever its status', async (t) => {
  for (const [status, path, init] of [
    [200, '/health/live', {}],
    [200, '/metrics', {}],
    [200, '/docs', {}],
    [200, '/docs/events', {}],
    [200, '/docs/start.js', {}],
    [200, '/openapi.json', {}],
    [200, organizations, {}],
    [400, `${organizations}?page=0`, {}],
    [404, '/nowhere', {}],
    [405, organizations, { method: 'DELETE' }],
    [415, organizations, { method: 'POST', body: 'x' }],
    [200, '/ws?EIO=4&transport=polling', {}],
    [400, '/ws?EIO=4&transport=none', {}],
    [403, '/ws?EIO=4&transport=polling', { headers: { origin: 'https://evil.example.com' } }],
  ] as const) {
    const { headers, ...answer } = await ask(path, init);
    t.is(answer.status, status, path);
    saysNo(t, Object.fromEntries(headers), path);
  }
});

test('so does what is refused before it is read', async (t) => {
  for (const bytes of [
    'good morning\r\n\r\n',
    `GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`,
    'GET / HTTP/1.1\r\nHost: x\r\nExpect: the-best\r\n\r\n',
  ]) {
    const { status, headers } = await sendRaw(without.replica(0).controller.url, bytes);
    t.regex(status, /^HTTP\/1\.1 4\d\d /);
    saysNo(t, headers, status);
  }
});

function saysNo(t: ExecutionContext, headers: Record<string, string>, what: string) {
  const policy = String(headers['content-security-policy']);
  for (const part of [
    "default-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ])
    t.is(policy.includes(part), true, `${what}: ${policy}`);
  t.is(policy.includes('unsafe'), false, what);
  t.is(headers['x-content-type-options'], 'nosniff', what);
  t.is(headers['x-frame-options'], 'DENY', what);
  t.is(headers['referrer-policy'], 'no-referrer', what);
  t.is(headers['cross-origin-resource-policy'], 'same-origin', what);
  // TLS is somebody else's, and nobody learns what runs here.
  for (const name of ['strict-transport-security', 'x-powered-by', 'server', 'access-control-allow-origin'])
    t.is(headers[name], undefined, what);
  t.is(policy.includes('upgrade-insecure-requests'), false, what);
}

const preflight = (path: string, from: string, method = 'POST') =>
  world.api.request(path, {
    method: 'OPTIONS',
    headers: {
      origin: from,
      'access-control-request-method': method,
      'access-control-request-headers': 'authorization,content-type,x-request-id',
    },
  });

test('a page of a listed origin may call, with a token, and read when to try again', async (t) => {
  for (const from of [origin, 'http://localhost:3000']) {
    const asked = await preflight(organizations, from);
    t.is(asked.status, 204);
    t.is(asked.headers.get('access-control-allow-origin'), from);
    t.is(
      asked.headers.get('access-control-allow-headers'),
      'Authorization,Content-Type,If-None-Match,X-Request-Id',
    );
    t.is(asked.headers.get('access-control-allow-methods'), 'GET,HEAD,POST,PUT,DELETE');
    t.is(asked.headers.get('access-control-max-age'), '600');
    t.is(asked.headers.get('access-control-allow-credentials'), null);
    for (const [path, status] of [
      [organizations, 200],
      [`${organizations}?page=0`, 400],
      ['/nowhere', 404],
    ] as const) {
      const answer = await world.api.request(path, { headers: { origin: from } });
      t.is(answer.status, status);
      t.is(answer.headers.get('access-control-allow-origin'), from);
      t.is(answer.headers.get('access-control-expose-headers'), 'ETag,Retry-After,X-Request-Id');
      t.regex(String(answer.headers.get('vary')), /Origin/);
    }
  }
});

test('it may read that it calls too often', async (t) => {
  const headers = { origin, 'x-forwarded-for': '192.0.2.1' };
  for (let count = 0; count < 50; count += 1) await world.api.request('/nowhere', { headers });
  const refused = await world.api.request(organizations, { headers });
  errorOf(t, refused, 429, 'rate_limited');
  t.is(refused.headers.get('access-control-allow-origin'), origin);
});

test('a page of any other origin is told nothing that would let it call', async (t) => {
  for (const from of ['https://evil.example.com', `${origin}.evil.example.com`, 'null', `${origin}:444`]) {
    const asked = await preflight(organizations, from);
    t.is(asked.status, 200, 'as OPTIONS without an origin is');
    const answer = await world.api.request(organizations, { headers: { origin: from } });
    for (const { headers } of [asked, answer]) t.is(headers.get('access-control-allow-origin'), null, from);
  }
  const asked = await ask(organizations, {
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': 'POST' },
  });
  t.is(asked.headers.get('access-control-allow-origin'), null, 'without a list it is nobody');
});

test('OPTIONS goes on to say what a path takes, and that there is none', async (t) => {
  for (const headers of [{}, { origin }, { origin: 'https://evil.example.com' }]) {
    const known = await world.api.request(organizations, { method: 'OPTIONS', headers });
    t.is(known.status, 200);
    t.deepEqual(String(known.headers.get('allow')).split(', ').sort(), ['GET', 'HEAD', 'POST']);
    errorOf(t, await world.api.request('/nowhere', { method: 'OPTIONS', headers }), 404, 'not_found');
  }
  errorOf(t, await preflight('/nowhere', origin), 404, 'not_found');
  const patch = await world.api.request(organizations, { method: 'PATCH', headers: { origin } });
  errorOf(t, patch, 405, 'method_not_allowed');
  t.is(patch.headers.get('access-control-allow-origin'), origin);
});
