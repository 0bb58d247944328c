// What goes out on a connection at one time is one write.
import { Socket } from 'node:net';
import test from 'ava';
import { connectRaw, upgradeRequest } from '../support/raw.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());

/** A text of up to 125 bytes as a client's frame, masked by zeros (RFC 6455, 5.2). */
const frame = (text: string) =>
  Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);

/** Counts what the sockets of a server are given to write at once; the peer's reads do not show it. */
function countWrites(localPort: number): () => number {
  let count = 0;
  for (const name of ['_write', '_writev'] as const) {
    const write: unknown = Reflect.get(Socket.prototype, name);
    if (typeof write !== 'function') throw new Error(`this version of Node has no ${name}`);
    Reflect.set(Socket.prototype, name, function observe(this: Socket, ...args: unknown[]) {
      if (this.localPort === localPort) count += 1;
      return Reflect.apply(write, this, args);
    });
  }
  return () => count;
}

test('a connection is opened in one write, and welcomed in one', async (t) => {
  const { url } = world.replica(0).controller;
  const writes = countWrites(Number(new URL(url).port));
  const socket = await connectRaw(url);
  t.teardown(() => socket.destroy());
  let received = '';
  socket.on('data', (chunk) => {
    received += String(chunk);
  });

  socket.write(upgradeRequest({ Host: new URL(url).host }));
  await until('the connection to be opened', () => /^HTTP\/1\.1 101 [\s\S]*0\{"sid":/.test(received));
  t.is(writes(), 1);
  socket.write(frame('40'));
  await until('the namespace', () => received.includes('40{"sid":'));
  t.is(writes(), 2);
  socket.write(frame(`421${JSON.stringify(['handshake', { data: { orchestrator_id: 'one-write' } }])}`));
  await until('the configuration', () => received.includes('42["provision_config",{'));
  t.is(writes(), 3);
  const parts = ['431[{', '42["handshake_ack",{', '42["provision_config",{'];
  const places = parts.map((part) => received.indexOf(part));
  t.false(places.includes(-1), received);
  t.deepEqual(
    places,
    places.toSorted((one, other) => one - other),
  );
});
