// An orchestrator that changes its organization: the one it leaves is active only while somebody else of it is.
import test from 'ava';
import { rowsOf } from '../support/rows.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ replicas: 2 });
test.after.always(() => world.close());
const [a, b] = [world.replica(0), world.replica(1)];

const statusOf = async (organizationId: string) =>
  (await rowsOf(world, 'nobody', organizationId)).organization?.status;

test('a handshake for another organization leaves the old one inactive', async (t) => {
  await a.connect('mover-1', { organization_id: 'old-1' });
  t.is(await statusOf('old-1'), 'active');
  await b.connect('mover-1', { organization_id: 'new-1' });
  t.is(await statusOf('old-1'), 'inactive');
  t.is(await statusOf('new-1'), 'active');
});

test('an organization that keeps another orchestrator stays active', async (t) => {
  await a.connect('mover-2', { organization_id: 'old-2' });
  await b.connect('stayer-2', { organization_id: 'old-2' });
  await b.connect('mover-2', { organization_id: 'new-2' });
  t.is(await statusOf('old-2'), 'active');
  t.is(await statusOf('new-2'), 'active');
});

test('registering a connected orchestrator under another organization settles both', async (t) => {
  await a.connect('mover-3', { organization_id: 'old-3' });
  const registered = await b.api.post('/api/v1/internal/orchestrators/register', {
    organization_id: 'new-3',
    orchestrator_id: 'mover-3',
  });
  t.is(registered.status, 200);
  t.is(await statusOf('old-3'), 'inactive');
  t.is(await statusOf('new-3'), 'active');
});

test('orchestrators that change places at once, through both replicas, end in order', async (t) => {
  const ids = Array.from({ length: 30 }, (_, at) => `swap-${at}`);
  await Promise.all(ids.map((id, at) => world.replica(at % 2).connect(id, { organization_id: 'east' })));
  await Promise.all(
    ids.map((id, at) =>
      world.replica((at + 1) % 2).connect(id, { organization_id: at % 2 === 0 ? 'west' : 'north' }),
    ),
  );
  t.deepEqual(await Promise.all(['east', 'west', 'north'].map(statusOf)), ['inactive', 'active', 'active']);
});

test('two moves of one orchestrator at once leave no organization active that nobody is in', async (t) => {
  await a.connect('torn-1', { organization_id: 'torn-0' });
  await using held = await world.hold(
    "SELECT 1 FROM organizations WHERE organization_id = 'torn-0' FOR UPDATE",
  );
  const [one, two] = [await a.open(), await b.open()];
  one.socket.emit('handshake', { data: { orchestrator_id: 'torn-1', organization_id: 'torn-a' } });
  await held.awaited();
  two.socket.emit('handshake', { data: { orchestrator_id: 'torn-1', organization_id: 'torn-b' } });
  await held.awaited(2);
  await held.release();

  await until('one of the two to be left', () => one.socket.connected !== two.socket.connected);
  const { instance } = await rowsOf(world, 'torn-1');
  const lost = instance?.organization_id === 'torn-a' ? 'torn-b' : 'torn-a';
  t.is(await statusOf(String(instance?.organization_id)), 'active');
  t.not(await statusOf(lost), 'active');
  t.is(await statusOf('torn-0'), 'inactive');
});
