// What is answered to whoever connects, before a token is shown: asking for more of it ends the connection.
import { once } from 'node:events';
import test from 'ava';
import { linesOf } from '../support/answers.ts';
import { connectRaw, upgradeRequest } from '../support/raw.ts';
import { asksForTokens, newSecretKey, tokenOf } from '../support/tokens.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const sendBufferBytes = 2 * 1_048_576;
const key = newSecretKey();
const world = await openWorld({ settings: { ...asksForTokens(key), socket: { sendBufferBytes } } });
test.after.always(() => world.close());
const { controller, hasOpen } = world.replica(0);
const socketUrl = `${controller.url.replace('http', 'ws')}/ws?EIO=4&transport=websocket`;

/** A bare websocket, and the packets that came on it. */
async function openWebsocket(t: { teardown(close: () => void): void }) {
  const websocket = new WebSocket(socketUrl);
  t.teardown(() => websocket.close());
  const packets: string[] = [];
  websocket.addEventListener('message', ({ data }) => packets.push(String(data)));
  await until('the engine to open', () => packets.length > 0);
  return { websocket, packets, closed: until('its end', () => websocket.readyState === WebSocket.CLOSED) };
}

for (const transport of ['websocket', 'polling'])
  test.serial(`who asks for a namespace again is hung up on, over ${transport}`, async (t) => {
    await hasOpen(0);
    const asks = ['40/admin,', '40/other,', '40/more,'];
    if (transport === 'websocket') {
      const { websocket, packets, closed } = await openWebsocket(t);
      for (const ask of asks) websocket.send(ask);
      await closed;
      t.is(packets.filter((packet) => packet.startsWith('44')).length, 1, 'the first is answered');
    } else {
      const poll = `${controller.url}/ws?EIO=4&transport=polling`;
      const { sid } = JSON.parse((await (await fetch(poll)).text()).slice(1));
      await fetch(`${poll}&sid=${sid}`, { method: 'POST', body: asks.join('\x1e') });
      const next = await fetch(`${poll}&sid=${sid}`);
      t.is(next.status, 400);
      t.deepEqual(await next.json(), { code: 1, message: 'Session ID unknown' });
    }
    await hasOpen(0);
  });

test.serial('one connection is one conversation, however often it shows its token', async (t) => {
  const token = await tokenOf(key, 'orchestrator', { subject: 'once-1' });
  const { websocket, closed } = await openWebsocket(t);
  for (let count = 0; count < 5; count += 1) websocket.send(`40${JSON.stringify({ token })}`);
  await closed;
  await hasOpen(0);
  const admin = world.replica(0).as(await tokenOf(key, 'admin'));
  const { body } = await admin.get('/api/v1/internal/logs?event=connection');
  t.true(body.data.total <= 1, `${body.data.total} conversations were begun`);
  const told = await linesOf(admin, { event: 'flood' });
  t.deepEqual(told, ['WARNING flood [C-OCS] A connection asked for a namespace again; disconnected']);
});

// A ping of a websocket (RFC 6455, 5.5.2) is answered by the library; the mask is of no matter.
test.serial('who sends pings and reads no answer is cut off before much waits for it', async (t) => {
  await hasOpen(0);
  const ping = Buffer.concat([Buffer.from([0x89, 0x80 | 125, 0, 0, 0, 0]), Buffer.alloc(125)]);
  const many = Buffer.concat(Array.from({ length: 1_000 }, () => ping));
  const socket = await connectRaw(controller.url, { stubborn: true });
  t.teardown(() => socket.destroy());
  socket.on('error', () => undefined);
  socket.write(upgradeRequest());
  await once(socket, 'readable');
  let sent = 0;
  const most = 400;
  while (!socket.destroyed && sent < most) {
    sent += 1;
    if (!socket.write(many)) await until('room', () => !socket.writableNeedDrain || socket.destroyed);
  }
  t.true(socket.destroyed, 'the kernel takes a few megabytes, the replica no more than it is told to');
  await hasOpen(0);
});
