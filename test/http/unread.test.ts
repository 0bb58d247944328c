// A client that asks much, and reads nothing.
import { text } from 'node:stream/consumers';
import test from 'ava';
import { connectRaw } from '../support/raw.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ settings: { http: { idleTimeoutMs: 1_000 } } });
test.after.always(() => world.close());

test('a connection whose answers nobody reads is closed, and what waits for it let go', async (t) => {
  const { controller, api } = world.replica(0);
  const size = Number((await api.get('/openapi.json')).headers.get('content-length'));
  const inHand = async () =>
    Number(/^moolai_http_calls (\d+)$/m.exec((await api.get('/metrics')).body)?.[1] ?? Number.NaN);
  // More than the kernel takes for one that does not read.
  const calls = Math.ceil(64_000_000 / size);
  const socket = await connectRaw(controller.url);
  socket.pause();
  socket.write('GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(calls));
  await until('answers to wait', async () => (await inHand()) > 100);
  await until('them to be let go', async () => (await inHand()) === 1);
  const arrived = await text(socket).catch((error: Error) => error.message);
  t.true(arrived.length < calls * size);
});
