// An orchestrator that changes its organization: the one it leaves is active only while somebody else of it is.
import test from 'ava';
import { rowsOf } from '../support/rows.ts';
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
