// The metrics of a replica count what it does, by what became of it.
import test from 'ava';
import { scrape } from '../support/metrics.ts';
import { until } from '../support/until.ts';
import { openWorld, type World } from '../support/world.ts';

let world: World;
test.before(async () => {
  world = await openWorld();
});
test.after.always(() => world.close());

/** The samples of one counter that are not 0, by outcome. */
async function countsOf(name: string): Promise<Record<string, number>> {
  const { value, labelsOf } = await scrape(world.api);
  const outcomes = labelsOf(name).map(({ outcome = '' }) => outcome);
  const counts = outcomes.map((outcome) => [outcome, value(`${name}{outcome="${outcome}"}`) ?? 0] as const);
  return Object.fromEntries(counts.filter(([, count]) => count > 0));
}

// One after the other: they count on the same replica.
test.serial('heartbeats are counted by what became of them', async (t) => {
  const beats = () => countsOf('moolai_heartbeats_total');
  const orchestrator = await world.replica(0).connect('beats-1');
  t.deepEqual(await beats(), {});

  for (let beat = 0; beat < 2; beat += 1) await orchestrator.ask('i_am_alive', {});
  const overHttp = (id: string) =>
    world.api.post('/api/v1/internal/orchestrators/heartbeat', { orchestrator_id: id });
  await overHttp('beats-1');
  t.deepEqual(await beats(), { processed: 3 });

  await world.api.put('/api/v1/internal/orchestrators/beats-1/independence', { is_independent: true });
  await orchestrator.ask('i_am_alive', {});
  t.is((await overHttp('nobody')).status, 404);
  t.deepEqual(await beats(), { processed: 3, ignored: 1, unknown: 1 });
});

test.serial('sends are counted by their outcome, and how long they took', async (t) => {
  const sends = () => countsOf('moolai_sends_total');
  const send = (id: string, body: object) =>
    world.api.post(`/api/v1/internal/orchestrators/${id}/send`, { type: 'note', ...body });
  const orchestrator = await world.replica(0).connect('sends-1');
  orchestrator.socket.on('note', (_frame, acknowledge) => acknowledge?.('seen'));
  t.deepEqual(await sends(), {});

  for (let count = 0; count < 2; count += 1) t.is((await send('sends-1', {})).status, 200);
  t.deepEqual(await sends(), { received: 2 });

  t.is((await send('sends-1', { ack: true })).status, 200);
  t.is((await send('sends-1', { wait: false })).status, 202);
  t.is((await send('nobody', {})).status, 409);
  t.deepEqual(await sends(), { received: 2, acknowledged: 1, queued: 1, not_connected: 1 });
  t.deepEqual(await countsOf('moolai_send_duration_seconds_count'), await sends());
});

test.serial('handshakes are counted by what became of them', async (t) => {
  const handshakes = () => countsOf('moolai_handshakes_total');
  const before = (await handshakes()).opened ?? 0;
  const opened = await world.replica(0).connect('hands-1');
  await opened.handshake('hands-1', { metadata: { name: 'Again' } });
  opened.socket.emit('handshake', { data: { orchestrator_id: 'another' } });
  await opened.event('error');
  const bad = await world.replica(0).open();
  bad.socket.emit('handshake', { data: {} });
  await bad.closed();

  t.deepEqual(await handshakes(), { opened: before + 1, refreshed: 1, invalid: 2 });
  const { value } = await scrape(world.api);
  t.is(value('moolai_handshake_duration_seconds_count'), before + 2, 'those that were committed');
});

test.serial('the end of a connection is a batch as well', async (t) => {
  const before = (await scrape(world.api)).value('moolai_commit_entries_sum{batch="disconnects"}') ?? 0;
  const leaving = await world.replica(0).connect('leaving');
  leaving.close();
  await until('its end to be written', async () => {
    const { value } = await scrape(world.api);
    return (value('moolai_commit_entries_sum{batch="disconnects"}') ?? 0) === before + 1;
  });
  t.pass();
});
