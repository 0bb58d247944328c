// A connection that ends leaves its orchestrator inactive, and nothing in presence.
import test from 'ava';
import { linesOf } from '../support/answers.ts';
import { holdUpdatesOf } from '../support/gate.ts';
import { rowsOf } from '../support/rows.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());

const { api, connect } = world.replica(0);

const instanceStatus = async (id: string) => (await rowsOf(world, id)).instance?.status;
const organizationStatus = async (id: string) => (await rowsOf(world, '', id)).organization?.status;
const inactive = (id: string) =>
  until(`${id} to be inactive`, async () => (await instanceStatus(id)) === 'inactive');
const isLive = async (id: string) =>
  (await api.get(`/api/v1/controller/orchestrators/live/${id}`)).status === 200;

test('a disconnect turns the instance and its organization inactive, and ends its presence', async (t) => {
  const orchestrator = await connect('leaves-1');
  t.true(await isLive('leaves-1'));
  const before = await rowsOf(world, 'leaves-1');

  orchestrator.close();
  await inactive('leaves-1');

  const after = await rowsOf(world, 'leaves-1');
  t.like(after.instance, {
    status: 'inactive',
    health_status: 'healthy',
    connection_epoch: before.instance?.connection_epoch,
    last_seen: before.instance?.last_seen,
  });
  t.like(after.organization, { status: 'inactive', is_active: false });
  await until('its presence to end', async () => !(await isLive('leaves-1')));
  const sent = await api.post('/api/v1/internal/orchestrators/leaves-1/send', { type: 'hello' });
  t.is(sent.status, 409);
  t.is(sent.body.code, 'not_connected');
});

test('an organization is active until its last active instance is gone', async (t) => {
  const first = await connect('last-1', { organization_id: 'last-org' });
  const second = await connect('last-2', { organization_id: 'last-org' });

  first.close();
  await inactive('last-1');
  t.is(await organizationStatus('last-org'), 'active');

  second.close();
  await inactive('last-2');
  t.is(await organizationStatus('last-org'), 'inactive');

  await connect('last-1', { organization_id: 'last-org' });
  t.is(await organizationStatus('last-org'), 'active');
  t.is(await instanceStatus('last-2'), 'inactive');
});

test('two instances that leave at once leave their organization inactive', async (t) => {
  const pair = await Promise.all(
    ['pair-1', 'pair-2'].map((id) => connect(id, { organization_id: 'pair-org' })),
  );
  for (const each of pair) each.close();
  await Promise.all([inactive('pair-1'), inactive('pair-2')]);
  t.is(await organizationStatus('pair-org'), 'inactive');
});

test('a disconnect behind an uncommitted heartbeat has the last word', async (t) => {
  const orchestrator = await connect('word-1');
  await using held = await world.hold(
    "SELECT 1 FROM orchestrator_instances WHERE orchestrator_id = 'word-1' FOR UPDATE",
  );
  orchestrator.socket.emit('i_am_alive', {});
  await held.awaited();
  orchestrator.close();
  // Its presence ends at once, whatever Postgres still has to write.
  await until('its presence to end', async () => !(await isLive('word-1')));
  t.is(await instanceStatus('word-1'), 'active');
  await held.release();
  await inactive('word-1');
  t.is((await linesOf(api, { orchestrator_id: 'word-1', event: 'keepalive' })).length, 1);
});

test('a connection that ends during its handshake leaves its orchestrator inactive', async (t) => {
  const first = await connect('brief-1');
  first.close();
  await inactive('brief-1');
  await using held = await holdUpdatesOf(world, 'brief-1');
  const epoch = (await rowsOf(world, 'brief-1')).instance?.connection_epoch;
  const { open } = world.replica(0);
  const second = await open();
  second.socket.emit('handshake', { data: { orchestrator_id: 'brief-1' } });
  await held.awaited();
  second.close();
  await held.release();
  await until('the second handshake to be undone', async () => {
    const { instance } = await rowsOf(world, 'brief-1');
    return Number(instance?.connection_epoch) > Number(epoch) && instance?.status === 'inactive';
  });
  await until('its presence to end', async () => !(await isLive('brief-1')));
  t.is(await organizationStatus('brief-1'), 'inactive');
});

test('an orchestrator that comes back is active again, under a higher epoch', async (t) => {
  const first = await connect('back-1');
  first.close();
  await inactive('back-1');
  const second = await connect('back-1');
  t.true((await second.event('handshake_ack')).epoch > (await first.event('handshake_ack')).epoch);
  t.is(await instanceStatus('back-1'), 'active');
  t.is(await organizationStatus('back-1'), 'active');
  t.true(await isLive('back-1'));
});

test('the late disconnect of an older epoch changes nothing', async (t) => {
  const orchestrator = await connect('late-1');
  // As if a newer connection had been made elsewhere, and this replica had not heard of it.
  await world.sql(
    "UPDATE orchestrator_instances SET connection_epoch = connection_epoch + 1000 WHERE orchestrator_id = 'late-1'",
  );
  const before = await rowsOf(world, 'late-1');
  orchestrator.close();
  await until('its presence to end', async () => !(await isLive('late-1')));
  // Disconnects are written in their order: once the marker's is there, so would this one's be.
  const marker = await connect('marker-1');
  marker.close();
  await inactive('marker-1');
  t.deepEqual(await rowsOf(world, 'late-1'), before);
});

test('a connection without a handshake ends without a trace', async (t) => {
  const orchestrator = await world.replica(0).open();
  orchestrator.close();
  const marker = await connect('trace-1');
  marker.close();
  await inactive('trace-1');
  t.deepEqual(
    await world.sql(
      "SELECT 1 FROM orchestrator_instances WHERE orchestrator_id IN ('', 'undefined', 'null')",
    ),
    [],
  );
  // Lines are written in their order: behind the marker's, this connection's would be there.
  await linesOf(api, { event: 'disconnect', orchestrator_id: 'trace-1' }, 2);
  t.deepEqual(await linesOf(api, { event: 'disconnect', q: 'undefined' }, 0), []);
});

test('a disconnect of one that is moved meanwhile leaves its new organization as its others have it', async (t) => {
  const orchestrator = await connect('moved-1', { organization_id: 'left-org' });
  (await connect('moved-2', { organization_id: 'joined-org' })).close();
  await inactive('moved-2');
  // As who moves an active instance leaves it.
  await world.sql("UPDATE organizations SET status = 'active' WHERE organization_id = 'joined-org'");
  await using other = await world.hold(
    `WITH joined AS (UPDATE organizations SET status = 'active' WHERE organization_id = 'joined-org')
     UPDATE orchestrator_instances SET status = 'active' WHERE orchestrator_id = 'moved-2'`,
  );
  await using move = await world.hold(
    `WITH left_one AS MATERIALIZED (SELECT 1 FROM organizations WHERE organization_id = 'left-org' FOR UPDATE)
     UPDATE orchestrator_instances SET organization_id = 'joined-org'
     WHERE orchestrator_id = 'moved-1' AND (SELECT count(*) FROM left_one) = 1`,
  );
  orchestrator.close();
  await move.awaited();
  await move.release();
  await other.awaited();
  await other.release();
  await inactive('moved-1');
  t.is(await organizationStatus('joined-org'), 'active');
});

// Alone: the lock of a table keeps the others waiting, one for another.
test.serial(
  'one that disconnects while its registration is being brought to its presence does not come back into it',
  async (t) => {
    const orchestrator = await connect('renamed-1');
    const row = await world.hold(
      "SELECT 1 FROM orchestrator_instances WHERE orchestrator_id = 'renamed-1' FOR UPDATE",
    );
    await using stack = new AsyncDisposableStack();
    stack.use(row);
    const registered = api.post('/api/v1/internal/orchestrators/register', {
      ...{ organization_id: 'renamed-1', orchestrator_id: 'renamed-1', name: 'Renamed' },
    });
    await row.awaited();
    // Behind the registration, and before the look at what it wrote.
    const table = world.hold('LOCK TABLE orchestrator_instances');
    await row.awaited(2);
    await row.release();
    const held = stack.use(await table);
    t.is((await registered).status, 200);
    await held.awaited();
    orchestrator.close();
    await until('its presence to end', async () => !(await isLive('renamed-1')));
    await held.release();
    await inactive('renamed-1');
    // A later claim is answered behind an earlier one.
    await connect('renamed-2');
    t.false(await isLive('renamed-1'));
  },
);
