// Independence is set in both tables at once, and decides about heartbeats, not about connections.
import test from 'ava';
import { fieldsOf } from '../support/answers.ts';
import { rowsOf } from '../support/rows.ts';
import { until } from '../support/until.ts';
import { openWorld, type World } from '../support/world.ts';

const internal = '/api/v1/internal/orchestrators';
let world: World;
test.before(async () => {
  world = await openWorld();
});
test.after.always(() => world.close());

const setIndependent = (id: string, is_independent: boolean) =>
  world.api.put(`${internal}/${id}/independence`, { is_independent });

test('nobody sees an organization independent before its orchestrator is', async (t) => {
  await world.api.post(`${internal}/register`, { organization_id: 'org-1', orchestrator_id: 'whole-1' });
  const flags = async () => {
    const { instance, organization } = await rowsOf(world, 'whole-1');
    return [organization?.is_independent, instance?.is_independent];
  };
  await using held = await world.hold(
    "SELECT 1 FROM orchestrator_instances WHERE orchestrator_id = 'whole-1' FOR UPDATE",
  );
  const setting = setIndependent('whole-1', true);
  await held.awaited();
  t.deepEqual(await flags(), [false, false]);

  await held.release();
  t.is(fieldsOf(t, await setting).is_independent, true);
  t.deepEqual(await flags(), [true, true]);
});

test('the disconnect of an independent orchestrator makes its row inactive, and leaves it independent', async (t) => {
  const orchestrator = await world.replica(0).connect('leaves-1');
  await setIndependent('leaves-1', true);
  t.like((await rowsOf(world, 'leaves-1')).instance, { status: 'active', is_independent: true });

  orchestrator.close();

  await until('its row to be inactive', async () => {
    return (await rowsOf(world, 'leaves-1')).instance?.status === 'inactive';
  });
  const { instance, organization } = await rowsOf(world, 'leaves-1');
  t.like(instance, { is_independent: true, node_id: null });
  t.like(organization, { status: 'inactive', is_independent: true });
});

test('a heartbeat over HTTP is answered as independent while its orchestrator is, and as active again', async (t) => {
  await world.api.post(`${internal}/register`, { organization_id: 'beats-1' });
  const beat = async () => {
    const answer = await world.api.post(`${internal}/heartbeat`, { orchestrator_id: 'beats-1' });
    return fieldsOf(t, answer).status;
  };
  t.is(await beat(), 'active');
  await setIndependent('beats-1', true);
  t.is(await beat(), 'independent');
  t.is(await beat(), 'independent');
  await setIndependent('beats-1', false);
  t.is(await beat(), 'active');
});
