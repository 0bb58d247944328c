// Connections that say too little: each is answered, or ended, when its time is up.
import { once } from 'node:events';
import type { Socket } from 'node:net';
import test from 'ava';
import { within } from '../../src/deadline.ts';
import { linesOf } from '../support/answers.ts';
import { connectRaw, readAnswer } from '../support/raw.ts';
import { until } from '../support/until.ts';
import { openWorld, type World } from '../support/world.ts';

let world: World;
test.before(async () => {
  world = await openWorld({
    settings: {
      http: { requestTimeoutMs: 600, headersTimeoutMs: 300, keepAliveTimeoutMs: 200 },
      // Over polling a handshake takes several calls.
      socket: { handshakeTimeoutMs: 3_000 },
    },
  });
});
test.after.always(() => world.close());
test.after('none of it was an error of the controller’s', async (t) => {
  for (const level of ['ERROR', 'CRITICAL']) t.deepEqual(await linesOf(world.api, { level }, 0), []);
});

const connected = (options = {}) => connectRaw(world.replica(0).controller.url, options);

function soon<T>(ms: number, closed: Promise<T>): Promise<T> {
  return within(ms, closed, () => new Error(`not closed within ${ms} ms`));
}

/** What comes until the connection is closed, which is to be soon. */
const answerIn = (socket: Socket, ms: number) => soon(ms, readAnswer(socket));

/** Sends one byte after the other, so that the connection is never idle. */
function drip(socket: Socket, first: string): void {
  socket.write(first);
  const dripping = setInterval(() => socket.write('x'), 20);
  socket.on('error', () => undefined);
  // To go on behind its answer would be to ask for a reset, which takes the answer with it.
  for (const end of ['readable', 'end', 'close']) socket.once(end, () => clearInterval(dripping));
}

const post = 'POST /api/v1/controller/organizations HTTP/1.1\r\nHost: localhost\r\n';
for (const [what, bytes] of [
  ['a header', 'GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Slow: '],
  ['a request line', 'GET /health/'],
  ['a body', `${post}Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{`],
] as const)
  test(`${what} that drips in is a 408 with the envelope, and the end of the connection`, async (t) => {
    const socket = await connected();
    drip(socket, bytes);
    const { status, headers, body } = await answerIn(socket, 10_000);
    t.is(status, 'HTTP/1.1 408 Request Timeout');
    t.is(headers.connection, 'close');
    t.like(JSON.parse(body), {
      success: false,
      code: 'request_timeout',
      message: 'The request did not arrive in time',
    });
  });

for (const [what, bytes] of [
  ['is too slow', `${post}Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{`],
  ['talks no HTTP', 'good morning\r\n\r\n'],
  ['expects too much', `${post}Expect: the-best\r\n\r\n`],
] as const)
  test(`one that ${what}, and keeps its side open, is cut off`, async (t) => {
    const socket = await connected({ stubborn: true });
    const cutOff = Promise.withResolvers<void>();
    socket.once('error', () => cutOff.resolve());
    socket.once('close', () => cutOff.resolve());
    // What is written to a connection that is gone on the other side comes back as an error.
    socket.once('end', () => drip(socket, ''));
    socket.write(bytes);
    socket.resume();
    await soon(10_000, cutOff.promise);
    t.true(socket.readableEnded, 'behind its answer');
  });

test('a connection on which nothing is asked is ended', async (t) => {
  const { status } = await answerIn(await connected(), 10_000);
  t.is(status, 'HTTP/1.1 408 Request Timeout');
});

test('a connection that is kept alive for nothing is closed without a word', async (t) => {
  const socket = await connected();
  socket.write('GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n');
  // Node's own time-out is five seconds, and it gives one more to each.
  const { status, body } = await answerIn(socket, 4_500);
  t.is(status, 'HTTP/1.1 200 OK');
  t.is(JSON.parse(body).status, 'alive');
});

test('a websocket that never joins is closed', async (t) => {
  const url = world.replica(0).controller.url.replace('http', 'ws');
  const socket = new WebSocket(`${url}/ws?EIO=4&transport=websocket`);
  let opened = false;
  socket.addEventListener('open', () => {
    opened = true;
  });
  await soon(10_000, once(socket, 'close'));
  t.true(opened);
});

test('a connection by polling that never joins is ended', async (t) => {
  const url = `${world.replica(0).controller.url}/ws?EIO=4&transport=polling`;
  const opened = await (await fetch(url)).text();
  const { sid } = JSON.parse(opened.slice(1));
  await until('it to be unknown', async () => (await fetch(`${url}&sid=${sid}`)).status === 400);
  t.pass();
});

test('one that waits for its poll, or on its websocket, is not slow', async (t) => {
  const orchestrators = await Promise.all(
    (['polling', 'websocket'] as const).map(async (transport) => {
      const orchestrator = await world.replica(0).open({ transports: [transport] });
      await orchestrator.handshake(`waits-by-${transport}`);
      return orchestrator;
    }),
  );
  // Longer than any of those of a call, as another connection shows that is closed after them.
  const socket = await connected();
  drip(socket, `${post}Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{`);
  await answerIn(socket, 10_000);
  for (const orchestrator of orchestrators)
    t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed');
});
