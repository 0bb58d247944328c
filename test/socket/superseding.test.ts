// One connection counts for an orchestrator: the newest.
import test from 'ava';
import { holdUpdatesOf } from '../support/gate.ts';
import { rowsOf } from '../support/rows.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());

const { api, controller, open, connect } = world.replica(0);

test('of two sockets with one id on the same replica the older is told, and closed', async (t) => {
  const older = await connect('twice-1');
  const newer = await connect('twice-1', { metadata: { version: '2' } });

  const { epoch } = await newer.event('handshake_ack');
  t.true(epoch > (await older.event('handshake_ack')).epoch);
  t.deepEqual(await older.event('superseded'), { epoch, by_node: controller.nodeId });
  t.is(await older.closed(), 'io server disconnect');
  t.is((await newer.ask('i_am_alive', {})).status, 'processed');

  const sent = await api.post('/api/v1/internal/orchestrators/twice-1/send', { type: 'hello' });
  t.is((await newer.event('hello')).message_id, sent.body.message_id);
  t.false(older.received.some((each) => each.event === 'hello'));
});

test('the late disconnect of a superseded socket changes nothing', async (t) => {
  const older = await connect('late-1');
  const newer = await connect('late-1');
  const before = await rowsOf(world, 'late-1');
  await older.closed();
  await until('the older connection to have ended', async () => {
    const lines = await api.get('/api/v1/internal/logs?event=superseded&orchestrator_id=late-1');
    return lines.body.data.total === 1;
  });

  const { epoch } = await newer.event('handshake_ack');
  t.like(before.instance, { status: 'active', connection_epoch: epoch });
  t.deepEqual(await rowsOf(world, 'late-1'), before);
  const live = await api.get('/api/v1/controller/orchestrators/live/late-1');
  t.is(live.status, 200);
  t.is((await newer.ask('i_am_alive', {})).status, 'processed');
  const disconnects = await api.get('/api/v1/internal/logs?event=disconnect&orchestrator_id=late-1');
  t.is(disconnects.body.data.total, 0);
});

test('of many handshakes at once with one id exactly one connection is left, the one of the row', async (t) => {
  const rivals = await Promise.all(Array.from({ length: 12 }, () => open()));
  for (const rival of rivals) rival.socket.emit('handshake', { data: { orchestrator_id: 'rush-1' } });

  await until('all but one to be closed', () => rivals.filter((each) => each.socket.connected).length === 1);
  const winner = await until('the winner', () => rivals.find((each) => each.socket.connected));
  const ack = await winner.event('handshake_ack');
  const { instance } = await rowsOf(world, 'rush-1');
  t.like(instance, { connection_epoch: ack.epoch, status: 'active' });
  for (const rival of rivals)
    if (rival !== winner) t.truthy(rival.received.find((each) => each.event === 'superseded'));
  t.is((await winner.ask('i_am_alive', {})).status, 'processed');
});

test('a handshake is not made older by the one before it that is still being written', async (t) => {
  await connect('slow-1');
  await using held = await world.hold(
    "SELECT 1 FROM orchestrator_instances WHERE orchestrator_id = 'slow-1' FOR UPDATE",
  );
  const second = await open();
  const third = await open();
  const acks = [second.handshake('slow-1')];
  await held.awaited();
  acks.push(third.handshake('slow-1'));
  await held.release();
  const [earlier, later] = (await Promise.all(acks)).map((ack) => ack.epoch);
  t.true(Number(later) > Number(earlier));
  t.is((await second.event('superseded')).epoch, later);
  t.is((await third.ask('i_am_alive', {})).status, 'processed');
});

test('a second handshake on a socket that is superseded meanwhile takes nothing back', async (t) => {
  const older = await connect('stale-1');
  await using held = await world.hold(
    "SELECT 1 FROM orchestrator_instances WHERE orchestrator_id = 'stale-1' FOR UPDATE",
  );
  const newer = await open();
  const ack = newer.handshake('stale-1');
  await held.awaited();
  older.socket.emit('handshake', { data: { orchestrator_id: 'stale-1', metadata: { version: 'old' } } });
  await held.release();

  const { epoch } = await ack;
  t.is((await older.event('superseded')).epoch, epoch);
  await older.closed();
  t.is((await newer.ask('i_am_alive', {})).status, 'processed');
  t.like((await rowsOf(world, 'stale-1')).instance, {
    connection_epoch: epoch,
    status: 'active',
    metadata: {},
  });
  newer.close();
  await until('the row to be inactive', async () => {
    return (await rowsOf(world, 'stale-1')).instance?.status === 'inactive';
  });
  await until('its presence to end', async () => {
    return (await api.get('/api/v1/controller/orchestrators/live/stale-1')).status === 404;
  });
});

test('a connection that learns of a newer one which is not in Redis is in live no more', async (t) => {
  const orchestrator = await connect('ghost-1');
  // As if another replica had died between the commit of a handshake and its claim.
  await world.sql(
    "UPDATE orchestrator_instances SET connection_epoch = nextval('connection_epochs'), node_id = 'node-dead' WHERE orchestrator_id = 'ghost-1'",
  );
  orchestrator.socket.emit('i_am_alive', {});
  t.is((await orchestrator.event('superseded')).by_node, 'node-dead');
  await until('its presence to end', async () => {
    return (await api.get('/api/v1/controller/orchestrators/live/ghost-1')).status === 404;
  });
  t.is((await api.post('/api/v1/internal/orchestrators/ghost-1/send', { type: 'hello' })).status, 409);
});

test('a newer connection that is gone before its welcome has taken the older one’s place', async (t) => {
  const older = await connect('brief-2');
  await using held = await holdUpdatesOf(world, 'brief-2');
  const newer = await open();
  // A heartbeat right behind it must not outlive it either.
  newer.socket.emit('handshake', { data: { orchestrator_id: 'brief-2' } });
  newer.socket.emit('i_am_alive', {});
  await held.awaited();
  newer.close();
  await held.release();

  await older.event('superseded');
  await older.closed();
  await until('the row to be inactive', async () => {
    return (await rowsOf(world, 'brief-2')).instance?.status === 'inactive';
  });
  const marker = await connect('brief-2-marker');
  t.is((await marker.ask('i_am_alive', {})).status, 'processed');
  t.is((await rowsOf(world, 'brief-2')).instance?.status, 'inactive');
});
