// The pace at which a replica lets new connections in.
import { once } from 'node:events';
import { connect } from 'node:net';
import test from 'ava';
import { until } from '../support/until.ts';
import { openWorld, type World } from '../support/world.ts';

const connectionsPerSecond = 20;
let world: World;
test.before(async () => {
  world = await openWorld({ settings: { socket: { connectionsPerSecond } } });
});
test.after.always(() => world.close());

test.serial('connections that come at once are let in one after the other, and all of them', async (t) => {
  const { open, api } = world.replica(0);
  const startedAtMs = performance.now();
  const opened = await Promise.all(Array.from({ length: 12 }, () => open()));
  // Two may come at once, and each of the others takes its time.
  t.true(performance.now() - startedAtMs >= (10 / connectionsPerSecond) * 1_000 * 0.9);
  t.true(opened.every(({ socket }) => socket.connected));
  t.is((await api.get('/health/live')).status, 200);
  for (const each of opened) each.close();
});

test.serial('who is in already waits at no door', async (t) => {
  const { open } = world.replica(0);
  const polling = await open({ transports: ['polling'] });
  const answers = Promise.all(Array.from({ length: 12 }, () => open()));
  t.is((await polling.handshake('inside-1')).orchestrator_id, 'inside-1');
  for (let beat = 0; beat < 20; beat += 1) t.is((await polling.ask('i_am_alive', {})).status, 'processed');
  for (const each of [polling, ...(await answers)]) each.close();
});

test.serial('who gives up at the door takes no place, and does no harm', async (t) => {
  const { api, open, hasOpen, controller } = world.replica(0);
  await hasOpen(0);
  const { port } = new URL(controller.url);
  const request = [
    'GET /ws/?EIO=4&transport=websocket HTTP/1.1',
    'Host: any',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  ];
  const leaving = await Promise.all(
    Array.from({ length: 200 }, async () => {
      const socket = connect(Number(port), '127.0.0.1');
      await once(socket, 'connect');
      socket.write(`${request.join('\r\n')}\r\n\r\n`);
      return socket;
    }),
  );
  await until('one to be in', async () => /\nmoolai_sockets [1-9]/.test((await api.get('/metrics')).body));
  for (const socket of leaving) socket.resetAndDestroy();
  await Promise.all(leaving.map((socket) => socket.closed || once(socket, 'close')));
  const startedAtMs = performance.now();
  const orchestrator = await open();
  t.true(performance.now() - startedAtMs < 5_000, 'not behind the others, who would have taken ten seconds');
  t.is((await orchestrator.handshake('after-1')).orchestrator_id, 'after-1');
  await hasOpen(1);
});
