// `/send`: a message over the orchestrator's socket, told truly whether it got there.
import test from 'ava';
import { createKeys } from '../../src/redis/keys.ts';
import { errorOf, fieldsOf, isoTime, linesOf } from '../support/answers.ts';
import { openProxy, type StoreProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import { openWorld, type World } from '../support/world.ts';

const stack = new AsyncDisposableStack();
let postgres: StoreProxy;
let world: World;
test.before(async () => {
  postgres = stack.adopt(await openProxy(), (it) => it.close());
  // One sweep at the start and then none, so that every byte to Postgres is some call's.
  const options = { reach: { database: postgres.through }, settings: { sweep: { everyMs: 86_400_000 } } };
  world = stack.adopt(await openWorld(options), (it) => it.close());
  const sweeps = `${createKeys(world.settings.redis.prefix).queues}:sweep:completed`;
  await until('the first sweep', async () => (await world.redis.zcard(sweeps)) > 0);
});
test.after.always(() => stack.disposeAsync());

const send = (id: string, body: unknown) => world.api.post(`/api/v1/internal/orchestrators/${id}/send`, body);
const linesAbout = (id: string, atLeast = 1) =>
  linesOf(world.api, { orchestrator_id: id, event: 'message_sent' }, atLeast);

test.serial('sending writes nothing to Postgres and asks it nothing', async (t) => {
  await world.replica(0).connect('quiet');
  const atRest = postgres.sentBytes;
  await world.api.get('/api/v1/controller/orchestrators/quiet');
  const counted = postgres.sentBytes;
  t.true(counted > atRest, 'the counter sees a call that does query');
  for (const body of [{ type: 'a' }, { type: 'b', wait: false }])
    t.true((await send('quiet', body)).status < 300);
  errorOf(t, await send('nobody', { type: 'a' }), 409, 'not_connected');
  t.is(postgres.sentBytes, counted);
});

test('a sent message is emitted once as a frame, then answered 200, with one log line', async (t) => {
  const orchestrator = await world.replica(0).connect('sent');
  const answer = await send('sent', { type: 'config.update', data: { limits: [1, 2], deep: { a: null } } });

  const { message_id, ...rest } = fieldsOf(t, answer);
  t.deepEqual(rest, {
    orchestrator_id: 'sent',
    type: 'config.update',
    node_id: world.replica(0).controller.nodeId,
  });
  t.regex(message_id, /^msg_sent_[0-9a-f]{32}$/);
  const { timestamp, ...frame } = await orchestrator.event('config.update');
  t.regex(timestamp, isoTime);
  t.deepEqual(frame, {
    type: 'config.update',
    data: { limits: [1, 2], deep: { a: null } },
    message_id,
  });
  t.is(orchestrator.received.filter((each) => each.event === 'config.update').length, 1);
  t.deepEqual(await linesAbout('sent'), [
    'INFO message_sent Sent message to orchestrator sent (type: config.update)',
  ]);
});

test('data may be any JSON, or left out', async (t) => {
  const orchestrator = await world.replica(0).connect('data');
  const all = ['text', 0, false, [], [[1]], {}, null, 'ü🙂'];
  for (const [at, data] of all.entries()) {
    fieldsOf(t, await send('data', { type: `t${at}`, data }));
    t.deepEqual((await orchestrator.event(`t${at}`)).data, data);
  }
  fieldsOf(t, await send('data', { type: 'none' }));
  t.is((await orchestrator.event('none')).data, null);
});

test('with ack the answer carries what the orchestrator acknowledged', async (t) => {
  const orchestrator = await world.replica(0).connect('acking');
  const replies: unknown[] = [{ ok: true, n: [1] }, 'done', 0, false, null];
  orchestrator.socket.on('job', (frame: { data: number }, reply?: (value: unknown) => void) =>
    reply?.(replies[frame.data]),
  );
  for (const [at, ack] of replies.entries()) {
    const fields = fieldsOf(t, await send('acking', { type: 'job', data: at, ack: true }));
    t.deepEqual(fields.ack, ack);
    t.is(fields.node_id, world.replica(0).controller.nodeId);
  }
  t.false('ack' in fieldsOf(t, await send('acking', { type: 'job', data: 0 })));
});

test('an acknowledgement that does not come in time is a 504, though the message was delivered', async (t) => {
  const orchestrator = await world.replica(0).connect('mute');
  const began = performance.now();
  const answer = await send('mute', { type: 'job', ack: true, timeout_ms: 5_000 });
  const tookMs = performance.now() - began;

  errorOf(t, answer, 504, 'delivery_timeout');
  t.true(tookMs >= 4_990 && tookMs < 30_000, `${tookMs} ms`);
  await orchestrator.event('job');
  t.deepEqual(await linesAbout('mute', 0), []);
});

test('without waiting the answer is 202 as soon as the message is queued; it is delivered all the same', async (t) => {
  const orchestrator = await world.replica(0).connect('queued');
  const answer = await send('queued', { type: 'job', data: 1, wait: false });

  const { message_id, ...rest } = fieldsOf(t, answer, 202);
  t.deepEqual(rest, {});
  t.is((await orchestrator.event('job')).message_id, message_id);
  t.deepEqual(await linesAbout('queued'), [
    'INFO message_sent Sent message to orchestrator queued (type: job)',
  ]);
});

test('without waiting, an acknowledgement is not waited for either', async (t) => {
  const orchestrator = await world.replica(0).connect('hurried');
  const { ack: _none, ...fields } = fieldsOf(
    t,
    await send('hurried', { type: 'job', wait: false, ack: true }),
    202,
  );
  t.is((await orchestrator.event('job')).message_id, fields.message_id);
});

test('nobody connected is a 409 at once, known or not, and leaves no log line', async (t) => {
  await world.api.post('/api/v1/internal/orchestrators/register', { organization_id: 'away' });
  for (const id of ['away', 'unknown'])
    for (const wait of [true, false]) {
      const began = performance.now();
      errorOf(t, await send(id, { type: 'job', wait, timeout_ms: 30_000 }), 409, 'not_connected');
      t.true(performance.now() - began < 5_000);
    }
  t.deepEqual([...(await linesAbout('away', 0)), ...(await linesAbout('unknown', 0))], []);
});

test('who has just disconnected is not connected', async (t) => {
  const orchestrator = await world.replica(0).connect('leaving');
  orchestrator.close();
  await until('the presence to be gone', async () => {
    const { status } = await world.api.get('/api/v1/controller/orchestrators/live/leaving');
    return status === 404;
  });
  errorOf(t, await send('leaving', { type: 'job' }), 409, 'not_connected');
});

test('who was sent to, and has disconnected since, is not connected', async (t) => {
  const orchestrator = await world.replica(0).connect('left');
  t.is((await send('left', { type: 'job' })).status, 200);
  orchestrator.close();
  await until('the presence to be gone', async () => {
    const { status } = await world.api.get('/api/v1/controller/orchestrators/live/left');
    return status === 404;
  });
  errorOf(t, await send('left', { type: 'job' }), 409, 'not_connected');
});

test('messages arrive in the order in which they were accepted, waited for or not', async (t) => {
  const orchestrator = await world.replica(0).connect('ordered');
  const sends = [];
  for (let n = 0; n < 60; n += 1) sends.push(send('ordered', { type: 'job', data: n, wait: n % 3 === 0 }));
  const accepted = (await Promise.all(sends)).map((answer) => answer.body.message_id);
  t.is(new Set(accepted).size, 60);

  const frames = await until('all frames', () => {
    const found = orchestrator.received.filter((each) => each.event === 'job');
    return found.length === 60 && found;
  });
  // Ids sort by the time of acceptance: at least across milliseconds the frames must be in their order.
  const times = frames.map((frame) => String(frame.payload.timestamp));
  t.deepEqual(times, [...times].sort());
  t.deepEqual(new Set(frames.map((frame) => frame.payload.message_id)), new Set(accepted));

  for (let n = 0; n < 10; n += 1)
    t.is((await send('ordered', { type: 'next', data: n, wait: false })).status, 202);
  const next = await until('the next frames', () => {
    const found = orchestrator.received.filter((each) => each.event === 'next');
    return found.length === 10 && found;
  });
  t.deepEqual(
    next.map((frame) => frame.payload.data),
    Array.from({ length: 10 }, (_, n) => n),
  );
});

test('every fault of a send is reported at once', async (t) => {
  const body = { type: 'With Space', wait: 'yes', ack: 1, timeout_ms: 99 };
  errorOf(t, await send('_', body), 400, 'invalid_request', [
    'params.id',
    'body.type',
    'body.wait',
    'body.ack',
    'body.timeout_ms',
  ]);
  errorOf(t, await send('sent', {}), 400, 'invalid_request', ['body.type']);
});

test('a type that Socket.IO or the protocol keeps for itself is a 400', async (t) => {
  await world.replica(0).connect('reserved');
  const reserved = ['connect', 'connect_error', 'disconnect', 'disconnecting'];
  for (const type of [...reserved, 'handshake_ack', 'superseded', 'reconnect', 'error'])
    errorOf(t, await send('reserved', { type }), 400, 'invalid_request', ['body.type']);
  for (const type of ['', 'A', 'a b', 'ä', 'a/b', `a\u0000`, 'x'.repeat(65), null, 1])
    errorOf(t, await send('reserved', { type }), 400, 'invalid_request', ['body.type']);
  for (const type of ['x'.repeat(64), '0', '_.-']) fieldsOf(t, await send('reserved', { type }));
});

test('a time-out is 100 to 30000 whole milliseconds', async (t) => {
  await world.replica(0).connect('timed');
  for (const timeout_ms of [99, 30_001, 100.5, '100', null, -1, 1e300, 2 ** 53])
    errorOf(t, await send('timed', { type: 'job', timeout_ms }), 400, 'invalid_request', ['body.timeout_ms']);
  for (const timeout_ms of [100, 30_000])
    t.not((await send('timed', { type: 'job', timeout_ms, wait: false })).status, 400);
});
