import { type RequestOptions, request } from 'node:http';
import { text } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import { io } from 'socket.io-client';
import { dataOf, linesOf } from '../support/answers.ts';
import { sendRaw } from '../support/raw.ts';
import { asksForTokens, newSecretKey } from '../support/tokens.ts';
import { openWorld, type World } from '../support/world.ts';

// Without keys: this machine alone is served. Switched off: whoever reaches it.
const keyless = await openWorld();
const off = await openWorld({ settings: { auth: { mode: 'off', ...asksForTokens(newSecretKey()).auth } } });

test.after.always(() => Promise.all([keyless.close(), off.close()]));

const urlOf = (world: World) => world.replica(0).controller.url;

/** A call that says that it was sent to another host: a status, and the error's code. */
async function callAs(world: World, host: string, path = '/api/v1/controller/organizations', method = 'GET') {
  const options: RequestOptions = { method, headers: { host }, setHost: false };
  const response = await new Promise<import('node:http').IncomingMessage>((resolve, reject) => {
    request(`${urlOf(world)}${path}`, options, resolve)
      .on('error', reject)
      .end();
  });
  const body = await text(response);
  return {
    status: response.statusCode,
    code: body.startsWith('{') ? JSON.parse(body).code : undefined,
    body,
  };
}

/** How a connection that says that it was sent to another host is refused; undefined: it is not. */
async function connectAs(world: World, host: string): Promise<unknown> {
  const socket = io(urlOf(world), {
    path: '/ws',
    transports: ['websocket'],
    reconnection: false,
    forceNew: true,
    extraHeaders: { host },
  });
  try {
    return await new Promise((resolve, reject) => {
      socket.once('connect', () => resolve(undefined));
      socket.once('connect_error', (error) => {
        const data: unknown = Reflect.get(error, 'data');
        if (data === undefined) reject(error);
        else resolve(data);
      });
    });
  } finally {
    socket.disconnect();
  }
}

async function anyoneMayDoAnything(t: ExecutionContext, world: World): Promise<void> {
  dataOf(t, await world.api.post('/api/v1/controller/organizations', { org_id: 'acme', name: 'Acme' }), 201);
  const orchestrator = await world.replica(0).connect('acme');
  t.is((await world.api.post('/api/v1/internal/orchestrators/acme/send', { type: 'note' })).status, 200);
  // A token that nobody asked for is not looked at.
  const named = world.replica(0).as('no.token.atall');
  t.is((await named.delete('/api/v1/internal/orchestrators/acme/deregister')).status, 200);
  await orchestrator.closed();
  const { body } = await world.api.get('/api/v1/internal/logs?event=audit');
  t.deepEqual(
    body.data.items.map(({ audit }: { audit: { sub: string; role: string } }) => [audit.sub, audit.role]),
    Array.from({ length: 3 }, () => ['anonymous', 'anyone']),
  );
}

test('without keys anyone on this machine may do anything, and the log warns of it', async (t) => {
  await anyoneMayDoAnything(t, keyless);
  t.deepEqual(await linesOf(keyless.api, { event: 'auth' }), [
    'WARNING auth Anyone who reaches 127.0.0.1 may do anything, without a token: no keys for tokens are configured (AUTH_KEYS, AUTH_JWKS_URL), so only this machine is served',
  ]);
});

test('with AUTH=off anyone may do anything, keys or none, and the log warns of it', async (t) => {
  await anyoneMayDoAnything(t, off);
  t.deepEqual(await linesOf(off.api, { event: 'auth' }), [
    'WARNING auth Anyone who reaches 127.0.0.1 may do anything, without a token: AUTH is off',
  ]);
});

const port = new URL(urlOf(keyless)).port;
for (const host of [
  'localhost',
  `localhost:${port}`,
  'LOCALHOST',
  'controller.localhost',
  '127.0.0.1',
  `127.0.0.1:${port}`,
  '127.8.8.8',
  '[::1]',
  `[::1]:${port}`,
])
  test(`without keys a call to ${host} is answered`, async (t) => {
    t.is((await callAs(keyless, host)).status, 200);
    t.is(await connectAs(keyless, host), undefined);
  });

for (const host of [
  'rebound.example.com',
  `rebound.example.com:${port}`,
  'localhost.example.com',
  'notlocalhost',
  '127.0.0.1.example.com',
  'localhost@example.com',
  '0.0.0.0',
  '10.0.0.1',
  '169.254.169.254',
  '[::]',
  '[::ffff:10.0.0.1]',
])
  test(`without keys a call to ${host} is refused: a page's own name may lead to this machine`, async (t) => {
    for (const [path, method] of [
      ['/api/v1/controller/organizations', 'GET'],
      ['/api/v1/internal/orchestrators/acme/deregister', 'DELETE'],
      ['/health', 'GET'],
      ['/openapi.json', 'GET'],
    ] as const) {
      const { status, code } = await callAs(keyless, host, path, method);
      t.deepEqual([status, code], [403, 'forbidden'], path);
    }
    t.deepEqual(await connectAs(keyless, host), {
      code: 'forbidden',
      message:
        'No keys for tokens are configured: the controller answers to loopback names alone, such as localhost',
      retryable: false,
    });
    t.is((await callAs(off, host)).status, 200);
    t.is(await connectAs(off, host), undefined);
  });

test('without keys a call that names no host at all is refused', async (t) => {
  const path = '/api/v1/controller/organizations';
  for (const head of [`GET ${path} HTTP/1.0`, `GET ${path} HTTP/1.1\r\nHost:\r\nConnection: close`]) {
    const { status, body } = await sendRaw(urlOf(keyless), `${head}\r\n\r\n`);
    t.regex(status, /^HTTP\/1\.1 40[03] /, head);
    t.false(body.includes('items'));
  }
});

for (const [name, value] of [
  ['x-forwarded-for', '192.0.2.1'],
  ['x-forwarded-host', 'controller.example.com'],
  ['forwarded', 'for=192.0.2.1'],
  ['via', '1.1 proxy'],
] as const)
  test(`without keys nothing is served that a proxy passes on, as ${name} tells`, async (t) => {
    const path = '/api/v1/controller/organizations';
    const answer = await keyless.api.request(path, { headers: { [name]: value } });
    t.is(answer.status, 403);
    t.is(answer.body.code, 'forbidden');
    t.is(answer.headers.get('www-authenticate'), null);
    t.is((await off.api.request(path, { headers: { [name]: value } })).status, 200);
    const socket = io(urlOf(keyless), {
      ...{ path: '/ws', transports: ['websocket'], reconnection: false, forceNew: true },
      extraHeaders: { [name]: value },
    });
    t.teardown(() => socket.disconnect());
    const error = await new Promise<Error>((resolve, reject) => {
      socket.once('connect', () => reject(new Error('it was let in')));
      socket.once('connect_error', resolve);
    });
    t.like(Reflect.get(error, 'data'), { code: 'forbidden', retryable: false });
  });
