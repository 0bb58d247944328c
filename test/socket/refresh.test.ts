// A second handshake on the same socket refreshes what its orchestrator tells, under the same epoch.
import test from 'ava';
import { rowsOf } from '../support/rows.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());

const { api, connect, open } = world.replica(0);
const liveOf = async (id: string) => (await api.get(`/api/v1/controller/orchestrators/live/${id}`)).body.data;

test('a refresh that names no organization leaves its orchestrator where it is', async (t) => {
  const orchestrator = await connect('stays-1', { organization_id: 'tenant-1' });
  const first = await orchestrator.event('handshake_ack');
  const again = await orchestrator.handshake('stays-1', { metadata: { name: 'Renamed' } });
  t.is(again.epoch, first.epoch);
  t.like((await rowsOf(world, 'stays-1')).instance, { organization_id: 'tenant-1', name: 'Renamed' });
  t.is((await rowsOf(world, '', 'stays-1')).organization, undefined);
});

test('a refresh may move its orchestrator to an organization that does not exist yet', async (t) => {
  const orchestrator = await connect('moves-1', { organization_id: 'tenant-2' });
  const { epoch } = await orchestrator.handshake('moves-1', { organization_id: 'tenant-3' });
  t.is(epoch, (await orchestrator.event('handshake_ack')).epoch);
  t.like(await rowsOf(world, 'moves-1'), {
    instance: { organization_id: 'tenant-3', status: 'active' },
    organization: { organization_id: 'tenant-3', status: 'active' },
  });
  t.is((await rowsOf(world, '', 'tenant-2')).organization?.status, 'inactive');
  // And nobody else's handshake waits for it.
  t.is((await (await connect('innocent-1')).event('handshake_ack')).orchestrator_id, 'innocent-1');
});

test('a refresh leaves the time of connecting as it is, and brings live up to date', async (t) => {
  const orchestrator = await connect('since-1', { metadata: { name: 'Before' } });
  const before = await liveOf('since-1');
  world.clock.advance(5_000);
  await orchestrator.handshake('since-1', { metadata: { name: 'After' } });
  const after = await liveOf('since-1');
  t.is(after.connected_at, before.connected_at);
  t.is(after.name, 'After');
  t.true(Date.parse(after.last_seen) >= Date.parse(before.last_seen) + 5_000);
});

test('a refresh whose connection counts no more changes nothing, its organization least of all', async (t) => {
  await api.post('/api/v1/controller/orchestrator-instances', {
    org_id: 'tenant-4',
    orchestrator_id: 'sibling-1',
    name: 'Sibling',
  });
  const orchestrator = await connect('goner-1', { organization_id: 'tenant-4' });
  await using held = await world.hold(
    "SELECT 1 FROM organizations WHERE organization_id = 'tenant-4' FOR UPDATE",
  );
  const removal = api.delete('/api/v1/controller/orchestrator-instances/goner-1');
  await held.awaited();
  const hello = { orchestrator_id: 'goner-1', organization_id: 'tenant-4', metadata: { name: 'Again' } };
  orchestrator.socket.emit('handshake', { data: hello });
  await held.awaited(2);
  await held.release();

  t.is((await removal).status, 200);
  await orchestrator.closed();
  // Behind this one, the refresh has been answered.
  await connect('marker-1');
  t.is((await rowsOf(world, 'goner-1')).instance, undefined);
  t.is((await rowsOf(world, '', 'tenant-4')).organization?.status, 'inactive');
});

test('so many events may wait behind a handshake; more are refused at once', async (t) => {
  await connect('waits-1');
  await using held = await world.hold(
    "SELECT 1 FROM orchestrator_instances WHERE orchestrator_id = 'waits-1' FOR UPDATE",
  );
  const orchestrator = await open();
  const ack = orchestrator.handshake('waits-1');
  const most = world.settings.socket.unacknowledgedBeats;
  const beats = Array.from({ length: most }, () => orchestrator.ask('i_am_alive', {}));
  orchestrator.socket.emit('i_am_alive', {});
  t.like(await orchestrator.event('error'), {
    code: 'too_many_events',
    retryable: true,
    retry_after_ms: world.settings.socket.heartbeatIntervalMs,
  });
  await held.awaited();
  await held.release();
  t.is((await ack).type, 'handshake_ack');
  t.true((await Promise.all(beats)).every((beat) => beat.status === 'processed'));
});
