// How many handshakes a replica lets wait for their commit, and what those beyond that are told.
import test, { type ExecutionContext } from 'ava';
import { connectOrchestrator, type OrchestratorEvent } from '../../src/local/orchestrator-client.ts';
import { createLogs } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import { createAdmission } from '../../src/socket/admission.ts';
import { linesOf } from '../support/answers.ts';
import { openProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import { openWorld, type Replica, shippedTimeouts, type World } from '../support/world.ts';

const pendingHandshakes = 5;
const settings = { socket: { pendingHandshakes } };
const ids = Array.from({ length: pendingHandshakes }, (_, at) => `waits-${at}`);

/** Resolves when so many handshakes wait for their commit. */
function waiting({ api }: Replica, handshakes: number) {
  return until(`${handshakes} handshakes to wait`, async () =>
    (await api.get('/metrics')).body.includes(`\nmoolai_handshakes_waiting ${handshakes}\n`),
  );
}

/** Leaves as many handshakes waiting as may; returns what answers them. */
async function fill(replica: Replica) {
  const answers = ids.map((id) => replica.connect(id));
  await waiting(replica, pendingHandshakes);
  return answers;
}

async function isRefused(t: ExecutionContext, { open, api }: Replica): Promise<void> {
  const refused = await open();
  refused.socket.emit('handshake', { data: { orchestrator_id: 'one-too-many' } });
  const { retry_after_ms, ...error } = await refused.event('error');
  t.deepEqual(error, { code: 'busy', message: 'too many handshakes wait to be written', retryable: true });
  t.true(Number.isInteger(retry_after_ms) && retry_after_ms >= 500 && retry_after_ms <= 30_500);
  t.is(await refused.closed(), 'io server disconnect');
  t.regex((await api.get('/metrics')).body, /\nmoolai_handshakes_total\{outcome="busy"\} [1-9]/);
}

async function areWelcomed(t: ExecutionContext, world: World, answers: ReturnType<Replica['connect']>[]) {
  const orchestrators = await Promise.all(answers);
  for (const [at, orchestrator] of orchestrators.entries())
    t.is((await orchestrator.event('handshake_ack')).orchestrator_id, ids[at]);
  const { body } = await world.api.get('/api/v1/controller/orchestrators/live');
  t.true(ids.every((id) => body.data.orchestrators[id] !== undefined));
}

test('one handshake more than may wait is told to come again, and gets in when it does', async (t) => {
  await using stack = new AsyncDisposableStack();
  const world = stack.adopt(await openWorld({ settings }), (it) => it.close());
  const held = stack.use(await world.hold('LOCK TABLE orchestrator_instances'));
  const answers = await fill(world.replica(0));

  await isRefused(t, world.replica(0));
  const waits: (OrchestratorEvent & { type: 'waiting' })[] = [];
  const returning = connectOrchestrator({
    url: world.replica(0).controller.url,
    orchestratorId: 'returns-1',
    backoff: { baseMs: 1, capMs: 1 },
    onEvent: (event) => event.type === 'waiting' && waits.push(event),
  });
  stack.defer(() => returning.stop());
  const refusal = await until('the refusal', () => waits[0]);
  t.is(refusal.code, 'busy');
  t.true(refusal.delayMs >= 500);
  t.deepEqual(await linesOf(world.api, { event: 'busy' }), [
    `WARNING busy ${pendingHandshakes} handshakes wait to be written; more are told to come again`,
  ]);

  await held.release();
  await areWelcomed(t, world, answers);
  t.is((await returning.beat()).status, 'processed');
  await waiting(world.replica(0), 0);
});

test('a refresh is not refused, however many handshakes wait', async (t) => {
  await using stack = new AsyncDisposableStack();
  const world = stack.adopt(await openWorld({ settings }), (it) => it.close());
  const orchestrator = await world.replica(0).connect('fresh-1');
  const held = stack.use(await world.hold('LOCK TABLE orchestrator_instances'));
  const answers = await fill(world.replica(0));

  const refreshed = orchestrator.handshake('fresh-1', { metadata: { name: 'Renamed' } });
  await isRefused(t, world.replica(0));
  await held.release();

  t.is((await refreshed).orchestrator_id, 'fresh-1');
  await areWelcomed(t, world, answers);
  t.false(orchestrator.received.some(({ event }) => event === 'error'));
});

test('while Postgres is away so many wait and are written on its return, and no more', async (t) => {
  await using stack = new AsyncDisposableStack();
  const postgres = stack.adopt(await openProxy(), (it) => it.close());
  const reach = { database: postgres.through };
  const world = stack.adopt(
    await openWorld({ reach, settings: { ...shippedTimeouts(), ...settings } }),
    (it) => it.close(),
  );
  postgres.cut();
  const answers = await fill(world.replica(0));
  await isRefused(t, world.replica(0));
  postgres.mend();
  await areWelcomed(t, world, answers);
});

test('handshakes that are given up leave their places', async (t) => {
  await using stack = new AsyncDisposableStack();
  const world = stack.adopt(await openWorld({ settings }), (it) => it.close());
  const { open, hasOpen } = world.replica(0);
  const held = stack.use(await world.hold('LOCK TABLE orchestrator_instances'));
  const leaving = await Promise.all(ids.map(() => open()));
  for (const [at, { socket }] of leaving.entries())
    socket.emit('handshake', { data: { orchestrator_id: ids[at] } });
  await waiting(world.replica(0), pendingHandshakes);
  for (const each of leaving) each.close();
  await hasOpen(0);
  await held.release();
  await waiting(world.replica(0), 0);
  await areWelcomed(
    t,
    world,
    ids.map((id) => world.replica(0).connect(id)),
  );
});

/** An admission on a clock of the test's own, and without jitter. */
function admissionOf(limit: number) {
  const clock = { nowMs: 1_000 };
  const { log } = createLogs({ level: 'silent', ringLevel: 'silent', nodeId: 'n', ring: { write() {} } });
  const admission = createAdmission({
    pendingHandshakes: limit,
    now: () => clock.nowMs,
    random: () => 0.5,
    metrics: createMetrics(),
    log,
  });
  const enter = () => {
    const place = admission.enter();
    if (!place.admitted) throw new Error('refused');
    return place;
  };
  const refusal = () => {
    const place = admission.enter();
    if (place.admitted) throw new Error('admitted');
    return place.retryAfterMs;
  };
  /** Fills the queue, and serves it together after so many milliseconds. */
  const serve = (ms: number) => {
    const places = Array.from({ length: limit }, enter);
    clock.nowMs += ms;
    for (const place of places) place.leave();
  };
  return { admission, clock, enter, refusal, serve };
}

test('those refused are booked behind the queue, one after the other at the measured rate', (t) => {
  const { enter, refusal, serve } = admissionOf(100);
  for (let round = 0; round < 10; round += 1) serve(400);
  for (let count = 0; count < 100; count += 1) enter();
  const told = Array.from({ length: 1_000 }, refusal);
  t.true(told.every((ms, at) => at === 0 || ms >= (told[at - 1] ?? 0)));
  // 500 ms at the least, 400 for the queue, 4 for each before it.
  for (const [at, expected] of [
    [0, 904],
    [499, 2_900],
    [999, 4_900],
  ] as const)
    t.true(Math.abs((told[at] ?? 0) - expected) < 0.1 * expected, `${at}: ${told[at]}`);
});

test('nobody is sent away for longer than half a minute, also after an outage', (t) => {
  const { enter, refusal, serve } = admissionOf(10);
  serve(60_000);
  for (let count = 0; count < 10; count += 1) enter();
  const first = refusal();
  t.true(first > 2_500 && first <= 500 + 4_000 + 400, `${first}`);
  for (let count = 0; count < 1_000; count += 1) t.true(refusal() <= 20_500);
});

test('a place that is left twice is free once', (t) => {
  const { admission, enter, refusal } = admissionOf(2);
  const place = enter();
  enter();
  place.leave();
  place.leave();
  t.is(admission.waiting, 1);
  enter();
  t.true(refusal() >= 500);
});
