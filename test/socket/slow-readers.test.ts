// An orchestrator that stops reading: it is cut off before much waits for it, and nobody else notices.
import { subscribe } from 'node:diagnostics_channel';
import { Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { linesOf } from '../support/answers.ts';
import { connectOrchestrator, type TestOrchestrator } from '../support/orchestrator.ts';
import { openProxy } from '../support/proxy.ts';
import { rowsOf } from '../support/rows.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const sendBufferBytes = 2 * 1_048_576;
const large = 'x'.repeat(200_000);

const world = await openWorld({
  // Who stays busy beats without a pause.
  settings: { socket: { sendBufferBytes, eventsPerSecond: 1_000_000 } },
});
test.after.always(() => world.close());
const { api, controller, connect } = world.replica(0);

// Every socket that the replica has accepted, to see what Node holds for it in memory.
const accepted = new Set<Socket>();
subscribe('net.server.socket', (message) => {
  const socket: unknown = Reflect.get(Object(message), 'socket');
  if (socket instanceof Socket && String(socket.localPort) === new URL(controller.url).port) {
    accepted.add(socket);
    socket.once('close', () => accepted.delete(socket));
  }
});

const metric = async (name: string) => {
  const { body } = await api.get('/metrics');
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(body)?.[1]);
};
const send = (id: string, data: unknown) =>
  api.post(`/api/v1/internal/orchestrators/${id}/send`, { type: 'note', data, wait: false });

/** Sends until the replica says that it is not connected; returns the most that was ever in memory for it. */
async function flood(t: ExecutionContext, id: string): Promise<number> {
  let most = 0;
  await until(`${id} to be disconnected`, async () => {
    const { status } = await send(id, large);
    const buffered = [...accepted].reduce((sum, socket) => sum + socket.writableLength, 0);
    most = Math.max(most, buffered, await metric('moolai_unread_bytes'));
    if (status !== 409) t.is(status, 202);
    return status === 409;
  });
  return most;
}

async function isGone(t: ExecutionContext, id: string): Promise<void> {
  const row = await until('the row to be inactive', async () => {
    const { instance } = await rowsOf(world, id);
    return instance?.status === 'inactive' && instance;
  });
  t.is(row.status, 'inactive');
  t.deepEqual(await linesOf(api, { event: 'slow_reader', orchestrator_id: id }), [
    `WARNING slow_reader Orchestrator ${id} stopped reading; disconnected`,
  ]);
  await until('its memory to be freed', () => [...accepted].every((socket) => socket.writableLength === 0));
  t.is(await metric('moolai_unread_bytes'), 0);
}

/** Answers what it is sent and beats, until it is told to stop; returns how many of each there were. */
function stayBusy(orchestrator: TestOrchestrator, id: string) {
  let stopped = false;
  const done = (async () => {
    let rounds = 0;
    for (; !stopped || rounds < 3; rounds += 1) {
      const beat = await orchestrator.ask('i_am_alive', {});
      const sent = await api.post(`/api/v1/internal/orchestrators/${id}/send`, { type: 'ask', ack: true });
      if (beat.status !== 'processed' || sent.status !== 200)
        throw new Error(`${beat.status}, ${sent.status}`);
    }
    return rounds;
  })();
  orchestrator.socket.on('ask', (_frame, acknowledge) => acknowledge('here'));
  return () => {
    stopped = true;
    return done;
  };
}

for (const [how, transports] of [
  ['a websocket', ['websocket']],
  ['a connection that began by polling', ['polling', 'websocket']],
] as const)
  test.serial(
    `who stops reading ${how} is disconnected before the bound, and others do not notice`,
    async (t) => {
      const id = `deaf-${transports.length}`;
      const proxy = await openProxy();
      t.teardown(proxy.close);
      const slow = await connectOrchestrator(proxy.through(controller.url), { transports: [...transports] });
      t.teardown(slow.close);
      await slow.handshake(id);
      await until('a websocket', () => slow.socket.io.engine.transport.name === 'websocket');
      const beside = stayBusy(await connect(`beside-${id}`), `beside-${id}`);
      const before = await metric('moolai_slow_readers_total');

      proxy.stall();
      const most = await flood(t, id);

      t.true(most > sendBufferBytes / 4, `${most} bytes waited`);
      t.true(most <= sendBufferBytes, `${most} bytes waited`);
      await isGone(t, id);
      t.is(await metric('moolai_slow_readers_total'), before + 1);
      t.true((await beside()) >= 3);
    },
  );

test.serial('who stops polling is disconnected before the bound', async (t) => {
  const id = 'deaf-poller';
  const poll = async (sid = '', packet?: string) => {
    const url = `${controller.url}/ws?EIO=4&transport=polling${sid && `&sid=${sid}`}`;
    const init = packet === undefined ? {} : { method: 'POST', body: packet };
    return (await fetch(url, init)).text();
  };
  const { sid } = JSON.parse((await poll()).slice(1));
  await poll(sid, '40');
  await poll(sid, `42${JSON.stringify(['handshake', { data: { orchestrator_id: id } }])}`);
  const heard = await until('the welcome', async () => {
    const text = await poll(sid);
    return text.includes('provision_config') && text;
  });
  t.true(heard.includes(id));

  const most = await flood(t, id);

  t.true(most > sendBufferBytes / 2 && most <= sendBufferBytes, `${most} bytes waited`);
  await isGone(t, id);
  t.true((await poll(sid)).includes('Session ID unknown'));
});

test.serial('who reads gets any amount, and all of it', async (t) => {
  const orchestrator = await connect('eager');
  for (let count = 0; count < 40; count += 1) t.is((await send('eager', large)).status, 202);
  const notes = await until('every note', () => {
    const all = orchestrator.received.filter(({ event }) => event === 'note');
    return all.length === 40 && all;
  });
  t.true(notes.every(({ payload }) => payload.data === large));
  t.true(orchestrator.socket.connected);
  await until('nothing to wait', async () => (await metric('moolai_unread_bytes')) === 0);
});
