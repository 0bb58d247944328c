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

// These hold locks in a certain order, which a batch that others share would not keep.
test.serial(
  'independence that is set while its orchestrator moves is that of the organization it moved to',
  async (t) => {
    await a.connect('free-1', { organization_id: 'free-a' });
    await b.connect('free-2', { organization_id: 'free-b' });
    await using held = await world.hold(
      "SELECT 1 FROM organizations WHERE organization_id = 'free-a' FOR UPDATE",
    );
    const move = b.connect('free-1', { organization_id: 'free-b' });
    await held.awaited();
    const set = a.api.put('/api/v1/internal/orchestrators/free-1/independence', { is_independent: true });
    await held.awaited(2);
    await held.release();

    await move;
    t.is((await set).status, 200);
    t.like((await rowsOf(world, 'free-1')).instance, { organization_id: 'free-b', is_independent: true });
    t.is((await rowsOf(world, '', 'free-a')).organization?.is_independent, false);
    t.is((await rowsOf(world, '', 'free-b')).organization?.is_independent, true);
  },
);

test.serial(
  'a heartbeat that meets a move of its orchestrator waits for it, and deadlocks with nobody',
  async (t) => {
    const orchestrator = await a.connect('beats-1', { organization_id: 'beats-b' });
    await b.connect('beats-2', { organization_id: 'beats-a' });
    await using held = await world.hold(
      "SELECT 1 FROM organizations WHERE organization_id = 'beats-b' FOR UPDATE",
    );
    const beat = orchestrator.ask('i_am_alive', {});
    await held.awaited();
    await world.sql(
      "UPDATE orchestrator_instances SET organization_id = 'beats-a' WHERE orchestrator_id = 'beats-1'",
    );
    const both = world.sql(
      "SELECT 1 FROM organizations WHERE organization_id IN ('beats-a', 'beats-b') ORDER BY organization_id FOR NO KEY UPDATE",
    );
    await held.awaited(2);
    await held.release();

    await both;
    t.is((await beat).status, 'processed');
    const { instance, organization } = await rowsOf(world, 'beats-1', 'beats-a');
    t.deepEqual(organization?.last_seen, instance?.last_seen);
    const [{ deadlocks } = {}] = await world.sql(
      'SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()',
    );
    t.is(Number(deadlocks), 0);
  },
);

test('a registration through B that moves and renames an orchestrator on A shows in live', async (t) => {
  const orchestrator = await a.connect('shown-1', {
    organization_id: 'shown-old',
    metadata: { name: 'Old', version: '1' },
  });
  const register = { organization_id: 'shown-new', orchestrator_id: 'shown-1', name: 'New' };
  await b.api.post('/api/v1/internal/orchestrators/register', register);

  const path = '/api/v1/controller/orchestrators/live';
  const entry = await until('live to show it', async () => {
    const { orchestrators } = (await b.api.get(`${path}?organization_id=shown-new`)).body.data;
    return orchestrators['shown-1'];
  });
  t.like(entry, { organization_id: 'shown-new', name: 'New', metadata: { version: '1' } });
  t.is((await b.api.get(`${path}?organization_id=shown-old`)).body.data.total_count, 0);
  t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed');
});

test.serial(
  'two moves of one orchestrator at once leave no organization active that nobody is in',
  async (t) => {
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
  },
);
