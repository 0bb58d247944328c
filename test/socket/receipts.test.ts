// A receipt says that the client has read what was sent, and is of no other message.
import { once } from 'node:events';
import { createServer } from 'node:http';
import test from 'ava';
import { Server, type Socket } from 'socket.io';
import { WebSocket } from 'ws';
import { createReceipts } from '../../src/socket/receipts.ts';
import { until } from '../support/until.ts';

const [ping, pong] = ['2', '3'];

/** A socket of the server's, and a client that answers pings only when it is told to. */
async function openPair(closing: AsyncDisposableStack) {
  const http = createServer();
  // Engine.IO's own pings do not come in this test.
  const io = new Server(http, { pingInterval: 86_400_000 });
  closing.defer(() => io.close());
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const address = http.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const client = new WebSocket(`ws://127.0.0.1:${port}/socket.io/?EIO=4&transport=websocket`);
  const packets: string[] = [];
  client.on('message', (data) => packets.push(String(data)));
  const connected = once(io, 'connection');
  await once(client, 'open');
  client.send('40');
  const [socket]: Socket[] = await connected;
  if (socket === undefined) throw new Error('no socket');
  await until('the client to be in', () => packets.some((packet) => packet.startsWith('40')));
  packets.length = 0;
  const received: number[] = [];
  const receipts = createReceipts(socket);
  const send = (n: number) =>
    receipts.ask(
      () => socket.emit('note', n),
      () => received.push(n),
    );
  const has = (count: number) => until(`${count} packets`, () => packets.length >= count);
  /** Resolves when the server has read what the client has sent so far. */
  const read = async () => {
    const echoed = once(socket, 'done');
    client.send('42["done"]');
    await echoed;
  };
  return { client, packets, received, send, has, read };
}

test('each pong is the receipt of what went out before its ping, and of nothing behind it', async (t) => {
  await using closing = new AsyncDisposableStack();
  const { client, packets, received, send, has, read } = await openPair(closing);
  send(1);
  await has(2);
  send(2);
  await has(4);
  t.deepEqual(packets, ['42["note",1]', ping, '42["note",2]', ping]);
  t.deepEqual(received, []);
  client.send(pong);
  await read();
  t.deepEqual(received, [1]);
  client.send(pong);
  await read();
  t.deepEqual(received, [1, 2]);
});

test('messages that go out together share one ping behind them', async (t) => {
  await using closing = new AsyncDisposableStack();
  const { client, packets, received, send, has, read } = await openPair(closing);
  for (const n of [1, 2, 3]) send(n);
  // The first is written at once, the others when it is.
  await has(5);
  t.deepEqual(packets, ['42["note",1]', ping, '42["note",2]', '42["note",3]', ping]);
  client.send(pong);
  await read();
  t.deepEqual(received, [1]);
  client.send(pong);
  await read();
  t.deepEqual(received, [1, 2, 3]);
});
