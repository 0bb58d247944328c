// What is not HTTP, or too much of it, gets the error envelope too.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import test from 'ava';
import { answerClientErrors } from '../../src/http/client-errors.ts';
import { isoTime } from '../support/answers.ts';
import { connectRaw } from '../support/raw.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());

/** Sends bytes as they are, and returns the whole answer. */
async function raw(
  request: string,
  url = world.replica(0).controller.url,
): Promise<{ status: string; body: Record<string, unknown> }> {
  const { port, hostname } = new URL(url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  socket.write(request);
  const [head = '', body = ''] = (await text(socket)).split('\r\n\r\n');
  return { status: head.slice(0, head.indexOf('\r\n')), body: JSON.parse(body) };
}

test('what is not HTTP is a 400 with the envelope', async (t) => {
  const { status, body } = await raw('good morning\r\n\r\n');
  t.is(status, 'HTTP/1.1 400 Bad Request');
  t.like(body, { success: false, code: 'invalid_request' });
  t.is(typeof body.timestamp, 'string');
});

test('a target that names a host that is none is a 400 with the envelope', async (t) => {
  for (const target of ['http://[::1/health/live', 'http://x:port/']) {
    const { status, body } = await raw(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    t.is(status, 'HTTP/1.1 400 Bad Request', target);
    t.is(body.code, 'invalid_request');
  }
});

test('an unknown method token is a 400 with the envelope', async (t) => {
  const { status, body } = await raw('FETCH / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  t.is(status, 'HTTP/1.1 400 Bad Request');
  t.is(body.code, 'invalid_request');
});

for (const target of [
  'http://[/health/live',
  'http://a:b@[::/x',
  'https://%/x',
  'http://a b',
  'http:',
  '?',
  '*',
  'x',
])
  test(`what is asked for as ${target} is a 4xx with the envelope`, async (t) => {
    const { status, body } = await raw(
      `GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
    );
    t.regex(status, /^HTTP\/1\.1 40[04] /);
    t.regex(String(body.code), /^(?:invalid_request|not_found)$/);
  });

test('headers without end are a 431 with the envelope', async (t) => {
  const { status, body } = await raw(
    `GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`,
  );
  t.is(status, 'HTTP/1.1 431 Request Header Fields Too Large');
  t.is(body.code, 'headers_too_large');
});

test('an empty body is a 400 that names what is missing, however it is announced', async (t) => {
  const announced = await raw(
    'POST /api/v1/controller/organizations HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
  );
  t.is(announced.status, 'HTTP/1.1 400 Bad Request');
  t.is(announced.body.code, 'invalid_request');
  const without = await raw(
    'POST /api/v1/controller/organizations HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
  );
  t.is(without.status, 'HTTP/1.1 400 Bad Request');
});

test('an expectation that cannot be met is a 417 with the envelope', async (t) => {
  const { status, body } = await raw(
    'GET /health/live HTTP/1.1\r\nHost: localhost\r\nExpect: the-best\r\n\r\n',
  );
  t.is(status, 'HTTP/1.1 417 Expectation Failed');
  t.like(body, { success: false, code: 'expectation_failed' });
});

test('a request without a host is a 400 with the envelope', async (t) => {
  const { status, body } = await raw('GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n');
  t.is(status, 'HTTP/1.1 400 Bad Request');
  t.like(body, { code: 'invalid_request', errors: [{ path: 'headers.host', message: 'is required' }] });
});

test('a request that asks for another protocol is answered as if it had not asked', async (t) => {
  const upgrade = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n';
  const asked = (path: string) =>
    raw(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${upgrade}\r\n`);
  const found = await asked('/health/live');
  t.is(found.status, 'HTTP/1.1 200 OK');
  t.is(found.body.status, 'alive');
  const lost = await asked('/wsx?EIO=4&transport=websocket');
  t.is(lost.status, 'HTTP/1.1 404 Not Found');
  t.is(lost.body.code, 'not_found');
});

test('the replica goes on serving', async (t) => {
  t.is((await world.api.get('/health/live')).status, 200);
});

for (const [what, half] of [
  ['headers', 'GET / HTTP/1.1\r\nHost: localhost\r\n'],
  ['body', 'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{'],
] as const)
  test(`a request that stops within its ${what} is a 408 with the envelope when its time is up`, async (t) => {
    await using stack = new AsyncDisposableStack();
    const hasty = { requestTimeout: 50, headersTimeout: 50, connectionsCheckingInterval: 10 };
    const server = stack.adopt(createServer(hasty), (it) => void it.close());
    answerClientErrors(server, world.clock);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');

    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;

    const { status, body } = await raw(half, `http://127.0.0.1:${port}`);

    t.is(status, 'HTTP/1.1 408 Request Timeout');
    const { timestamp, ...rest } = body;
    t.regex(String(timestamp), isoTime);
    t.deepEqual(rest, {
      success: false,
      message: 'The request did not arrive in time',
      code: 'request_timeout',
    });
  });

test('a client that keeps its side open behind the answer, and sends nothing more, holds no connection', async (t) => {
  await using stack = new AsyncDisposableStack();
  const server = stack.adopt(createServer(), (it) => void it.close());
  answerClientErrors(server, world.clock);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const socket = await connectRaw(`http://127.0.0.1:${port}`, { stubborn: true });
  stack.defer(() => void socket.destroy());

  socket.write('good morning\r\n\r\n');
  socket.resume();
  await once(socket, 'end');

  const count = promisify(server.getConnections.bind(server));
  await until('no connection to be there', async () => (await count()) === 0, 10_000);
  t.pass();
});

test('behind a body that cannot be unpacked the connection takes the next request', async (t) => {
  const { port, hostname } = new URL(world.replica(0).controller.url);
  const socket = connect(Number(port), hostname);
  const body = 'x'.repeat(900_000);
  socket.write(
    'POST /api/v1/controller/organizations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n' +
      `Content-Encoding: deflate\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  const [refusal] = await once(socket, 'data');
  t.regex(String(refusal), /^HTTP\/1\.1 400 /);
  socket.write('GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  const late = setTimeout(() => socket.destroy(new Error('no second answer')), 5_000);
  t.regex(await text(socket), /^HTTP\/1\.1 200 /);
  clearTimeout(late);
});
