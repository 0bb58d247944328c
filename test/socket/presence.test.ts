// Presence says who is connected right now, from Redis alone.
import test from 'ava';
import { createKeys } from '../../src/redis/keys.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());

const { api, controller, connect } = world.replica(0);
const keys = createKeys(world.settings.redis.prefix);

const live = async (query = '') => (await api.get(`/api/v1/controller/orchestrators/live${query}`)).body.data;
const connectionsOf = async () => (await api.get('/api/v1/internal/nodes')).body.nodes[0].connections;

test.serial('who is connected is listed with what it told, since when, and where', async (t) => {
  const from = world.clock.now();
  const metadata = { name: 'Listed', version: '1' };
  const orchestrator = await connect('listed-1', { organization_id: 'listed-org', metadata });

  const list = await live();
  t.is(list.total_count, 1);
  const entry = list.orchestrators['listed-1'];
  t.deepEqual(Object.keys(entry).sort(), [
    'connected_at',
    'last_seen',
    'metadata',
    'name',
    'node_id',
    'organization_id',
    'status',
  ]);
  t.like(entry, {
    organization_id: 'listed-org',
    name: 'Listed',
    status: 'connected',
    node_id: controller.nodeId,
    metadata,
  });
  t.true(Date.parse(entry.connected_at) >= from);
  t.is(entry.last_seen, entry.connected_at);
  t.deepEqual(await live('/listed-1'), { orchestrator_id: 'listed-1', ...entry });
  t.is((await api.get('/api/v1/controller/overview')).body.data.connected, 1);
  t.is((await api.get('/api/v1/internal/health')).body.ws.active_connections, 1);
  t.is(await connectionsOf(), 1);
  orchestrator.close();
  await until('the list to be empty', async () => (await live()).total_count === 0);
});

test.serial('a connection without a handshake is nobody’s presence', async (t) => {
  const orchestrator = await world.replica(0).open();
  t.is((await live()).total_count, 0);
  t.is(await connectionsOf(), 0);
  await orchestrator.handshake('nobody-1');
  t.is((await live()).total_count, 1);
  orchestrator.close();
  await until('the list to be empty', async () => (await live()).total_count === 0);
});

test.serial('a registered orchestrator is not present until it connects', async (t) => {
  await api.post('/api/v1/internal/orchestrators/register', { organization_id: 'registered-1' });
  await api.post('/api/v1/internal/orchestrators/heartbeat', { orchestrator_id: 'registered-1' });
  t.is((await live()).total_count, 0);
  t.is((await api.get('/api/v1/controller/orchestrators/live/registered-1')).status, 404);
});

test.serial('nothing is left in Redis of an orchestrator that has gone', async (t) => {
  const orchestrator = await connect('trace-1');
  await orchestrator.ask('i_am_alive', {});
  await until('its presence', () => world.redis.hexists(keys.owners, 'trace-1'));
  orchestrator.close();
  await until('the list to be empty', async () => (await live()).total_count === 0);
  t.is(await world.redis.hexists(keys.owners, 'trace-1'), 0);
  t.is(await world.redis.zscore(keys.lastSeen, 'trace-1'), null);
  t.deepEqual(await world.redis.hkeys(keys.presence(controller.nodeId)), []);
});

test.serial('one whose last heartbeat Redis does not know was last seen when it connected', async (t) => {
  const orchestrator = await connect('unseen-1');
  await world.redis.zrem(keys.lastSeen, 'unseen-1');
  const one = await live('/unseen-1');
  t.is(one.last_seen, one.connected_at);
  t.is((await live()).orchestrators['unseen-1'].last_seen, one.connected_at);
  orchestrator.close();
  await until('the list to be empty', async () => (await live()).total_count === 0);
});

test.serial('presence that Redis has lost is restored, and so is delivery', async (t) => {
  const orchestrator = await connect('restored-1');
  const before = await live('/restored-1');
  const left = await world.redis.keys(`{${world.settings.redis.prefix}}*`);
  await world.redis.del(left);

  await until('its presence', async () => (await live('/restored-1'))?.node_id === controller.nodeId);
  t.deepEqual(await live('/restored-1'), before);
  const sent = await api.post('/api/v1/internal/orchestrators/restored-1/send', { type: 'hello' });
  t.is(sent.status, 200);
  t.is((await orchestrator.event('hello')).message_id, sent.body.message_id);
  t.like((await world.sql("SELECT * FROM orchestrator_instances WHERE orchestrator_id = 'restored-1'"))[0], {
    status: 'active',
    connection_epoch: String((await orchestrator.event('handshake_ack')).epoch),
  });
  orchestrator.close();
});

test.serial('processed heartbeats are counted by the minute', async (t) => {
  const orchestrator = await connect('counted-1');
  const count = async () => (await api.get('/api/v1/controller/overview')).body.data.heartbeats_per_minute;
  world.clock.advance(60_000);
  t.is(await count(), 0);
  for (let beat = 0; beat < 3; beat += 1) await orchestrator.ask('i_am_alive', {});
  await until('three', async () => (await count()) === 3);
  world.clock.advance(60_000);
  t.is(await count(), 0);
});
