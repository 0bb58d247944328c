// How many events one connection may send in a second.
import test from 'ava';
import { createEventRate } from '../../src/socket/event-rate.ts';
import { linesOf } from '../support/answers.ts';
import { until } from '../support/until.ts';
import { openWorld, type World } from '../support/world.ts';

const eventsPerSecond = 10;
let world: World;
test.before(async () => {
  world = await openWorld({ settings: { socket: { eventsPerSecond } } });
});
test.after.always(() => world.close());

test('so many are handled in a second, the next is told, ten times as many are the end', (t) => {
  let nowMs = 5_000;
  const rate = createEventRate({ eventsPerSecond: 2, now: () => nowMs });
  const count = (times: number) => Array.from({ length: times }, () => rate.count());
  t.deepEqual(count(4), ['handle', 'handle', 'tell', 'drop']);
  nowMs += 400;
  t.is(rate.retryAfterMs, 600);
  t.deepEqual(count(1), ['drop']);
  nowMs += 600;
  t.deepEqual(count(3), ['handle', 'handle', 'tell'], 'the next second is another');
  t.deepEqual(count(17), Array(17).fill('drop'));
  t.deepEqual(count(2), ['end', 'end']);
  nowMs += 1_000;
  t.deepEqual(count(1), ['handle']);
});

test('events beyond the limit are not handled and told once; the connection stays and is heard again', async (t) => {
  const { connect, api } = world.replica(0);
  const orchestrator = await connect('eager');
  let acknowledged = 0;
  const beat = () => orchestrator.socket.emit('i_am_alive', {}, () => (acknowledged += 1));
  // The handshake may be in the same second.
  for (let count = 0; count < 5 * eventsPerSecond; count += 1) beat();
  const { message, retry_after_ms, ...error } = await orchestrator.event('error');
  t.deepEqual(error, { code: 'rate_limited', retryable: true });
  t.is(message, 'events come faster than they may; those beyond are not handled');
  t.true(Number.isInteger(retry_after_ms) && retry_after_ms >= 1 && retry_after_ms <= 1_000);

  await until('a beat to be heard again', () =>
    orchestrator.socket.timeout(200).emitWithAck('i_am_alive', {}),
  );
  t.true(orchestrator.socket.connected);
  t.true(acknowledged <= 2 * eventsPerSecond, `${acknowledged} of ${5 * eventsPerSecond} were handled`);
  const { body } = await api.get('/metrics');
  t.regex(body, /\nmoolai_events_refused_total [1-9]/);
});

test('one who sends without end is disconnected, behind that error, and others are not', async (t) => {
  const { connect, api } = world.replica(0);
  const calm = await connect('calm');
  const flooding = await connect('flooding');
  for (let count = 0; count < 30 * eventsPerSecond; count += 1) flooding.socket.emit('nothing', count);
  t.is(await flooding.closed(), 'io server disconnect');
  const errors = flooding.received
    .filter(({ event }) => event === 'error')
    .map(({ payload }) => payload.code);
  t.true(errors.includes('rate_limited'), errors.join());
  t.deepEqual(await linesOf(api, { event: 'flood' }), [
    'WARNING flood Orchestrator flooding sent events without end; disconnected',
  ]);
  t.is((await calm.ask('i_am_alive', {})).status, 'processed');
});
