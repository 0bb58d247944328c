// A handshake whose socket is gone before it is written is not written: its orchestrator may be elsewhere by now.
import test from 'ava';
import type { TestOrchestrator } from '../support/orchestrator.ts';
import { rowsOf } from '../support/rows.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ replicas: 2 });
test.after.always(() => world.close());
const [a, b] = [world.replica(0), world.replica(1)];

/** Sends a handshake to A, whose batches wait, and closes the socket once A has read it. */
async function abandonOnA(orchestratorId: string): Promise<void> {
  const open = await openOnA();
  const dead = await a.open();
  dead.socket.emit('handshake', { data: { orchestrator_id: orchestratorId } });
  await fillBehind(dead);
  dead.close();
  await a.hasOpen(open);
}

async function openOnA(): Promise<number> {
  return Number(/\nmoolai_sockets (\d+)\n/.exec((await a.api.get('/metrics')).body)?.[1]);
}

/** More than may wait behind a handshake: the refusal of one says that the handshake before it was read. */
async function fillBehind({ socket, event }: TestOrchestrator): Promise<void> {
  const events = world.settings.socket.unacknowledgedBeats + 1;
  for (let sent = 0; sent < events; sent += 1) socket.emit('i_am_alive', {});
  await event('error');
}

/** Keeps A's handshakes waiting: this one first, the others behind it. */
async function blockA(tenant: string) {
  await b.connect(`${tenant}-owner`, { organization_id: tenant });
  const held = await world.hold('SELECT 1 FROM organizations WHERE organization_id = $1 FOR UPDATE', [
    tenant,
  ]);
  const blocked = a.connect(`${tenant}-blocked`, { organization_id: tenant });
  await held.awaited();
  return async () => {
    await held.release();
    await blocked;
  };
}

/** Behind it, whatever waited on A before has been written or left out. */
const marker = (name: string) => a.connect(`${name}-marker`);

test.serial('an orchestrator that gave up on A and connected to B stays on B', async (t) => {
  const unblock = await blockA('first');
  await abandonOnA('victim');
  const alive = await b.connect('victim');
  await unblock();
  await marker('first');

  t.is((await alive.ask('i_am_alive', {})).status, 'processed');
  t.false(alive.received.some((each) => each.event === 'superseded'));
  const { epoch } = await alive.event('handshake_ack');
  t.like((await rowsOf(world, 'victim')).instance, { status: 'active', connection_epoch: epoch });
  const live = await a.api.get('/api/v1/controller/orchestrators/live/victim');
  t.is(live.body.data.node_id, b.controller.nodeId);
});

test.serial('an orchestrator that was deregistered is not made anew by a handshake it gave up', async (t) => {
  const before = await b.connect('leaver');
  const unblock = await blockA('second');
  await abandonOnA('leaver');
  t.is((await b.api.delete('/api/v1/internal/orchestrators/leaver/deregister')).status, 200);
  await before.closed();
  await unblock();
  await marker('second');

  t.is((await rowsOf(world, 'leaver')).instance, undefined);
});

test.serial('a handshake that meets a newer one at its row gives up if its socket is gone', async (t) => {
  // Its organization is there already, so that nobody waits for another's insertion of it.
  await b.connect('meets');
  const unblock = await blockA('third');
  // In one batch: the first keeps it waiting before it has locked anything of the second.
  await b.connect('a-tenant');
  await using held = await world.hold(
    "SELECT 1 FROM organizations WHERE organization_id = 'a-tenant' FOR UPDATE",
  );
  const beside = await a.open();
  beside.socket.emit('handshake', { data: { orchestrator_id: 'beside', organization_id: 'a-tenant' } });
  const open = await openOnA();
  const dead = await a.open();
  dead.socket.emit('handshake', { data: { orchestrator_id: 'meets' } });
  await fillBehind(dead);
  await unblock();
  await held.awaited();
  const alive = await b.connect('meets');
  dead.close();
  await a.hasOpen(open);
  await held.release();

  await beside.event('handshake_ack');
  await marker('third');
  t.is((await alive.ask('i_am_alive', {})).status, 'processed');
  t.false(alive.received.some((each) => each.event === 'superseded'));
  const { epoch } = await alive.event('handshake_ack');
  t.like((await rowsOf(world, 'meets')).instance, { status: 'active', connection_epoch: epoch });
});
