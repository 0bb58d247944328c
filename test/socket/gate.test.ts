// Who is turned away before a connection is made, over both transports.
import test from 'ava';
import { io } from 'socket.io-client';
import { isoTime, linesOf } from '../support/answers.ts';
import { connectOrchestrator } from '../support/orchestrator.ts';
import { connectRaw, sendRaw, upgradeRequest } from '../support/raw.ts';
import { until } from '../support/until.ts';
import { openWorld, type SettingsChanges, type World } from '../support/world.ts';

const stack = new AsyncDisposableStack();
test.after.always(() => stack.disposeAsync());

async function openGate(settings: SettingsChanges, replicas = 1): Promise<World> {
  return stack.adopt(await openWorld({ replicas, settings }), (it) => it.close());
}

const poll = '/ws?EIO=4&transport=polling';
const urlOf = (world: World, replica = 0) => world.replica(replica).controller.url;

/** How a real client is refused: the status that it got. */
function refusalOf(url: string, transport: 'polling' | 'websocket', extraHeaders = {}): Promise<number> {
  const socket = io(url, {
    path: '/ws',
    transports: [transport],
    reconnection: false,
    forceNew: true,
    extraHeaders,
  });
  return new Promise((resolve, reject) => {
    socket.once('connect', () => {
      socket.disconnect();
      reject(new Error('it was let in'));
    });
    socket.once('connect_error', (error) => {
      socket.disconnect();
      const description: unknown = Reflect.get(error, 'description');
      // Polling tells the status, the websocket an error that names it.
      const told =
        typeof description === 'number' ? description : Reflect.get(Object(description), 'message');
      resolve(Number(/\d{3}/.exec(String(told))?.[0]));
    });
  });
}

/** The same refusal over both transports, byte for byte but for the time: its head and its envelope. */
async function refusedBothWays(url: string, headers: Record<string, string> = {}) {
  const lines = Object.entries({ Host: 'controller.example.com', ...headers }).map(
    ([k, v]) => `${k}: ${v}\r\n`,
  );
  const polling = await sendRaw(url, `GET ${poll} HTTP/1.1\r\n${lines.join('')}\r\n`);
  const upgrade = await sendRaw(url, upgradeRequest(headers));
  return [polling, upgrade].map((answer) => ({ ...answer, body: JSON.parse(answer.body) }));
}

test('new connections beyond what one address may make are a 429, through whichever replica', async (t) => {
  const handshakesPerAddress = 4;
  const world = await openGate(
    {
      http: { trustedProxies: ['loopback'] },
      limits: { handshakesPerAddress, handshakeWindowSeconds: 60 },
    },
    2,
  );
  const inside = [];
  for (const transports of [['websocket'], ['polling']] as const)
    for (const replica of world.replicas) inside.push(await replica.open({ transports: [...transports] }));

  for (const replica of [0, 1])
    for (const transport of ['polling', 'websocket'] as const)
      t.is(await refusalOf(urlOf(world, replica), transport), 429, transport);
  for (const { status, headers, body } of await refusedBothWays(urlOf(world))) {
    t.is(status, 'HTTP/1.1 429 Too Many Requests');
    t.is(headers['content-type'], 'application/json; charset=utf-8');
    t.is(headers.connection, 'close');
    const seconds = Number(headers['retry-after']);
    t.true(Number.isInteger(seconds) && seconds >= 1 && seconds <= 60, `${seconds}`);
    const { timestamp, ...rest } = body;
    t.regex(timestamp, isoTime);
    t.deepEqual(rest, {
      success: false,
      code: 'rate_limited',
      message: 'Too many new connections from this address',
    });
  }
  // Those that are in make no new ones, however often they poll.
  for (const [at, orchestrator] of inside.entries()) {
    await orchestrator.handshake(`inside-${at}`);
    t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed');
  }
  const elsewhere = await fetch(`${urlOf(world)}${poll}`, { headers: { 'x-forwarded-for': '192.0.2.9' } });
  t.is(elsewhere.status, 200, 'another address is not concerned');
  t.is((await world.api.get('/health/live')).status, 200);
  t.regex((await world.api.get('/metrics')).body, /\nmoolai_connections_refused_total\{reason="rate"\} 4\n/);
});

// Those who wait at the door count: they come at once, and are let in one by one.
test('connections beyond what a replica holds are a 503, also when they come at once, and told in the log', async (t) => {
  const connectionsPerReplica = 3;
  const world = await openGate({ socket: { connectionsPerReplica, connectionsPerSecond: 5 } });
  const url = urlOf(world);
  const came = await Promise.allSettled(
    Array.from({ length: 12 }, (_, nth) =>
      connectOrchestrator(url, { transports: [nth % 2 ? 'polling' : 'websocket'] }),
    ),
  );
  const inside = came.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  t.teardown(() => {
    for (const each of inside) each.close();
  });
  t.is(inside.length, connectionsPerReplica);

  for (const transport of ['polling', 'websocket'] as const)
    t.is(await refusalOf(url, transport), 503, transport);
  for (const { status, headers, body } of await refusedBothWays(url)) {
    t.is(status, 'HTTP/1.1 503 Service Unavailable');
    t.is(headers['retry-after'], '5');
    t.like(body, {
      success: false,
      code: 'unavailable',
      message: 'This replica holds as many connections as it may',
    });
  }
  const lines = await linesOf(world.api, { event: 'full' });
  t.is(lines[0], 'WARNING full 3 connections are open on this replica; new ones are refused');
  t.true(lines.length < 4, `${lines.length} lines for 13 refusals`);
  t.regex((await world.api.get('/metrics')).body, /\nmoolai_connections_refused_total\{reason="full"\} 13\n/);

  inside.pop()?.close();
  const next = await until('a place', () => connectOrchestrator(url).catch(() => undefined));
  inside.push(next);
  await next.handshake('next');
});

test('a client that gave up, or asked for nothing that there is, takes no place', async (t) => {
  const world = await openGate({ socket: { connectionsPerReplica: 1 } });
  const url = urlOf(world);
  for (const path of [
    '/ws?EIO=4&transport=none',
    '/ws?EIO=3&transport=polling',
    '/ws?EIO=4&transport=websocket',
  ])
    for (let count = 0; count < 3; count += 1) t.is((await fetch(url + path)).status, 400, path);
  const bad = upgradeRequest().replace('EIO=4', 'EIO=3');
  t.regex((await sendRaw(url, bad)).status, /^HTTP\/1\.1 (101|400) /);
  await until('a place', () =>
    connectOrchestrator(url).then(
      (orchestrator) => {
        orchestrator.close();
        return true;
      },
      () => false,
    ),
  );
  t.pass();
});

test('a new connection that claims to be one of none is counted and bounded like any other', async (t) => {
  const limits = { handshakesPerAddress: 3, handshakeWindowSeconds: 60 };
  const world = await openGate({ limits, socket: { connectionsPerReplica: 2 } });
  const url = urlOf(world);
  const claims = ['&sid=', '&sid=any&sid=', '&sid', ''];
  const statuses = [];
  for (const claim of claims) statuses.push((await fetch(url + poll + claim)).status);
  t.deepEqual(statuses, [200, 200, 503, 429]);
  const upgrade = upgradeRequest().replace('transport=websocket', 'transport=websocket&sid=');
  t.is(await firstLine(url, upgrade), 'HTTP/1.1 429 Too Many Requests');
  t.is((await fetch(`${url}${poll}&sid=&sid=any`)).status, 400, 'there is no such connection');
});

test('a page of another origin is a 403, one of its own or of the list is let in, and so is what is no page', async (t) => {
  const world = await openGate({ http: { corsOrigins: ['https://dashboard.example.com'] } });
  const url = urlOf(world);
  const { host } = new URL(url);
  for (const transport of ['polling', 'websocket'] as const)
    t.is(await refusalOf(url, transport, { Origin: 'https://evil.example.com' }), 403, transport);
  for (const origin of [
    'https://evil.example.com',
    'http://controller.example.com:81',
    'https://dashboard.example.com:444',
    'http://dashboard.example.com',
    'https://dashboard.example.com.evil.example.com',
    'null',
    'file://',
    '*',
    '',
  ])
    for (const { status, body } of await refusedBothWays(url, { Origin: origin })) {
      t.is(status, 'HTTP/1.1 403 Forbidden', origin);
      t.like(body, { code: 'forbidden', message: 'Pages of this origin may not connect' });
    }
  for (const origin of [`http://${host}`, `https://${host}`, 'https://dashboard.example.com']) {
    const answer = await fetch(url + poll, { headers: { origin } });
    t.is(answer.status, 200, origin);
    const isListed = origin.includes('dashboard');
    t.is(answer.headers.get('access-control-allow-origin'), isListed ? origin : null, origin);
    t.regex(await firstLine(url, upgradeRequest({ Host: host, Origin: origin })), /^HTTP\/1\.1 101 /, origin);
  }
  t.regex(await firstLine(url, upgradeRequest({ Host: 'h', Origin: 'http://h' })), / 101 /);
  t.regex(await firstLine(url, upgradeRequest({ Host: 'h:443', Origin: 'https://h' })), / 101 /);
  // A poll of a connection that is in already is asked as well.
  const { sid } = JSON.parse((await (await fetch(url + poll)).text()).slice(1));
  const stolen = await fetch(`${url}${poll}&sid=${sid}`, { headers: { origin: 'https://evil.example.com' } });
  t.is(stolen.status, 403);
});

/** The first line of the answer, whatever becomes of the connection. */
async function firstLine(url: string, bytes: string): Promise<string> {
  const socket = await connectRaw(url);
  socket.write(bytes);
  for await (const chunk of socket) {
    socket.destroy();
    return String(chunk).split('\r\n', 1)[0] ?? '';
  }
  return '';
}
