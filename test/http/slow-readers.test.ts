// Who asks over REST and does not read the answer: the connection, and what waits on it, is let go.
import { subscribe } from 'node:diagnostics_channel';
import { Socket } from 'node:net';
import test from 'ava';
import { connectRaw } from '../support/raw.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const stalledTimeoutMs = 1_000;
const world = await openWorld({ settings: { http: { stalledTimeoutMs, processPort: 0 } } });
test.after.always(() => world.close());
const { controller, open } = world.replica(0);

/** Every socket that the replica has accepted and not closed, by its port. */
const accepted = new Set<Socket>();
subscribe('net.server.socket', (message) => {
  const socket: unknown = Reflect.get(Object(message), 'socket');
  if (!(socket instanceof Socket)) return;
  accepted.add(socket);
  socket.once('close', () => accepted.delete(socket));
});
const waitingAt = (url: string) =>
  [...accepted].filter(
    (socket) => String(socket.localPort) === new URL(url).port && socket.writableLength > 0,
  ).length;

for (const [what, url, path] of [
  ['the API', controller.url, '/openapi.json'],
  ['health and metrics', controller.processUrl, '/metrics'],
] as const)
  test.serial(`an answer of ${what} that nobody reads is not kept`, async (t) => {
    const orchestrator = await open();
    await orchestrator.handshake('quiet-1');
    const socket = await connectRaw(url, { stubborn: true });
    t.teardown(() => socket.destroy());
    socket.on('error', () => undefined);
    socket.pause();
    // More than the kernel takes: Node reads no further while an answer waits.
    const request = `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    socket.write(request.repeat(2_000));
    await until('an answer to wait', () => waitingAt(url) === 1);
    await until('it to be let go', () => waitingAt(url) === 0, 10_000);
    t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed', 'a websocket may be quiet');
    orchestrator.close();
  });
