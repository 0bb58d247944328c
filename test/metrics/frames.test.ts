// Messages on their way are counted where something becomes of them.

import test from 'ava';
import { Queue } from 'bullmq';
import type { Frame } from '../../src/queue/frame.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { metric } from '../support/metrics.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({
  replicas: 2,
  settings: { delivery: { watchEveryMs: 20, resendAfterMs: 50 } },
});
test.after.always(() => world.close());
const [a, b] = [world.replica(0), world.replica(1)];
const send = (id: string, body: object) =>
  a.api.post(`/api/v1/internal/orchestrators/${id}/send`, { type: 'note', ...body });
const onA = (name: string) => metric(a.api, name);
const onB = (name: string) => metric(b.api, name);

test.serial('one that nobody answers for goes out again, and its time ends', async (t) => {
  await a.connect('deaf');
  t.is(await onA('moolai_frames_emitted_total'), 0);
  t.is((await send('deaf', { ack: true, timeout_ms: 1_000 })).status, 504);

  t.true(((await onA('moolai_frames_resent_total')) ?? 0) >= 1);
  t.is(await onA('moolai_frames_expired_total'), 1);
  t.true(((await onA('moolai_frames_emitted_total')) ?? 0) >= 1);
  t.is(await onA('moolai_frames_rerouted_total'), 0);
  t.is(await onA('moolai_sends_total{outcome="delivery_timeout"}'), 1);
});

test.serial('one whose time its timer ends is counted, though the clock is behind the timer', async (t) => {
  const late = await a.connect('late');
  const before = Number(await onA('moolai_frames_expired_total'));
  const sent = send('late', { ack: true, timeout_ms: 1_000 });
  await late.event('note');
  // By more than a timer is ever early.
  world.clock.advance(-60_000);
  t.is((await sent).status, 504);
  world.clock.advance(60_000);
  t.is(await onA('moolai_frames_expired_total'), before + 1);
});

test.serial('one whose orchestrator moves goes after it', async (t) => {
  const first = await a.connect('mover');
  const arrived = until('it to arrive', () => first.received.some(({ event }) => event === 'note'));
  const sent = send('mover', { ack: true });
  await arrived;
  const second = await b.open();
  second.socket.on('note', (_frame, acknowledge) => acknowledge('here'));
  await second.handshake('mover');

  t.is((await sent).body.ack, 'here');
  t.is(await onA('moolai_frames_rerouted_total'), 1);
  t.true(((await onB('moolai_frames_emitted_total')) ?? 0) >= 1);
});

test.serial('one of a sender that is gone waits in Redis for its orchestrator', async (t) => {
  const keys = createKeys(world.settings.redis.prefix);
  const queue = new Queue(`outbound.${b.controller.nodeId}`, {
    connection: world.redis,
    prefix: keys.queues,
  });
  const frame: Frame = {
    message_id: 'msg_waits_1',
    orchestrator_id: 'waits',
    type: 'note',
    data: null,
    timestamp: new Date(world.clock.now()).toISOString(),
    deadline: world.clock.now() + 30_000,
    ack: false,
    sender: 'node-gone',
    epoch: 1,
    after: null,
  };
  await queue.pause();
  await queue.add('1', [frame]);
  t.is(await onB('moolai_queue_frames'), 1);
  t.is(await onA('moolai_queue_frames'), 0, 'of its own queue alone');
  await queue.resume();
  await until('it to be parked', async () => (await onB('moolai_frames_parked_total')) === 1);
  t.is(await onB('moolai_queue_frames'), 0);
  const orchestrator = await a.connect('waits');
  t.is((await orchestrator.event('note')).message_id, frame.message_id);
  await queue.close();
});
