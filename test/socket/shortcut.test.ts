// A heartbeat takes a short way past Socket.IO. Whatever way it takes, what its orchestrator sees is the same.
import { once } from 'node:events';
import test from 'ava';
import { WebSocket } from 'ws';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());
const { connect, open, controller } = world.replica(0);

/** A websocket that speaks packets: sends text, and takes what comes, pings left out. */
async function openPackets(id: string) {
  const socket = new WebSocket(`${controller.url.replace('http', 'ws')}/ws?EIO=4&transport=websocket`);
  const packets: string[] = [];
  let arrived = Promise.withResolvers<void>();
  socket.on('message', (data) => {
    packets.push(String(data));
    arrived.resolve();
  });
  async function expect(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = packets.findIndex((packet) => pattern.test(packet));
      if (found >= 0) return packets.splice(found, 1)[0] ?? '';
      arrived = Promise.withResolvers();
      await arrived.promise;
    }
  }
  await expect(/^0/);
  socket.send('40');
  await expect(/^40/);
  socket.send(`420["handshake",{"data":{"orchestrator_id":"${id}"}}]`);
  await expect(/^430/);
  return { socket, packets, expect };
}

const ack = (id: string) =>
  new RegExp(`^43${id}\\[\\{"type":"i_am_alive_ack","status":"processed","ts":"[^"]+"\\}\\]$`);

test('each acknowledgement has the number that was asked for, in the short form of it', async (t) => {
  const { socket, expect } = await openPackets('short-1');
  for (const id of ['0', '7', '123456789012345']) {
    socket.send(`42${id}["i_am_alive",{}]`);
    t.regex(await expect(/^43/), ack(id));
  }
  // As a number it is written like this, and so Socket.IO answers it.
  socket.send('42007["i_am_alive"]');
  t.regex(await expect(/^43/), ack('7'));
  socket.close();
});

test('one that nobody wants acknowledged is written all the same', async (t) => {
  const { socket, expect } = await openPackets('short-2');
  const [before] = await world.sql(
    'SELECT last_seen FROM orchestrator_instances WHERE orchestrator_id = $1',
    ['short-2'],
  );
  world.clock.advance(1_000);
  socket.send('42["i_am_alive",{}]');
  socket.send('421["i_am_alive",{}]');
  t.regex(await expect(/^43/), ack('1'));
  const [after] = await world.sql('SELECT last_seen FROM orchestrator_instances WHERE orchestrator_id = $1', [
    'short-2',
  ]);
  t.not(String(after?.last_seen), String(before?.last_seen));
  socket.close();
});

test('more arguments than there should be are not looked at', async (t) => {
  const { socket, expect } = await openPackets('short-3');
  socket.send('425["i_am_alive",{},"more",3]');
  t.regex(await expect(/^43/), ack('5'));
  socket.close();
});

test('a bad payload is refused, and what is no JSON ends the connection', async (t) => {
  const { socket, expect } = await openPackets('short-4');
  socket.send('421["i_am_alive",{"health_status":"splendid"}]');
  t.regex(await expect(/^42\["error"/), /"code":"invalid_payload"/);
  const closed = once(socket, 'close');
  socket.send('422["i_am_alive",{]');
  await closed;
  t.pass();
});

test('a poll is told the same as a websocket', async (t) => {
  const orchestrator = await open({ transports: ['polling'] });
  await orchestrator.handshake('short-5');
  t.like(await orchestrator.ask('i_am_alive', {}), { type: 'i_am_alive_ack', status: 'processed' });
});

test('of many at once on one connection each is answered', async (t) => {
  const orchestrator = await connect('short-6');
  const acks = await Promise.all(Array.from({ length: 10 }, () => orchestrator.ask('i_am_alive')));
  t.true(acks.every((each) => each.status === 'processed'));
});

test('behind an upgrade from polling each is answered as before', async (t) => {
  const orchestrator = await open({ transports: ['polling', 'websocket'] });
  await orchestrator.handshake('short-7');
  const { engine } = orchestrator.socket.io;
  await until('the upgrade', () => engine.transport.name === 'websocket');
  const acks = await Promise.all(Array.from({ length: 3 }, () => orchestrator.ask('i_am_alive')));
  t.true(acks.every((each) => each.status === 'processed'));
});

test('the same bytes as a binary are no heartbeat', async (t) => {
  const { socket, packets } = await openPackets('short-8');
  const closed = once(socket, 'close');
  socket.send(Buffer.from('421["i_am_alive",{}]'));
  await closed;
  t.false(packets.some((packet) => packet.startsWith('43')));
});

test('an acknowledgement keeps its place among what else is sent', async (t) => {
  const { socket, expect } = await openPackets('short-9');
  const order: string[] = [];
  socket.on('message', (data) => {
    const [told] = /^(43\d|42\["error")/.exec(String(data)) ?? [];
    if (told !== undefined) order.push(told);
  });
  // The third is refused at once, the others are acknowledged once they are committed.
  socket.send('421["i_am_alive",{}]');
  socket.send('422["i_am_alive",{}]');
  socket.send('423["i_am_alive",{"health_status":"splendid"}]');
  await expect(/^432/);
  t.deepEqual(order, ['42["error"', '431', '432']);
  socket.close();
});
