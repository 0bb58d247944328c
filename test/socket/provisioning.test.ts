// An orchestrator is given its configuration after every handshake, and whenever it asks.
import test from 'ava';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());

const { open, connect } = world.replica(0);

test('every handshake is followed by the configuration, behind its acknowledgement', async (t) => {
  await world.api.post('/api/v1/controller/organizations', {
    org_id: 'tenant-1',
    name: 'Tenant',
    settings: { model: 'small', limits: [1, 2] },
  });
  const metadata = { name: 'One', location: 'Oslo', features: { cache: true }, version: '3' };
  const orchestrator = await open();
  await orchestrator.handshake('one-1', { organization_id: 'tenant-1', metadata });

  const config = await orchestrator.event('provision_config');
  t.deepEqual(Object.keys(config).sort(), ['data', 'timestamp', 'type']);
  t.is(config.type, 'provision_config');
  t.regex(config.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  t.deepEqual(config.data, {
    orchestrator_id: 'one-1',
    organization_id: 'tenant-1',
    name: 'One',
    location: 'Oslo',
    features: { cache: true },
    settings: { model: 'small', limits: [1, 2] },
    metadata,
  });
  t.deepEqual(
    orchestrator.received.map((each) => each.event),
    ['handshake_ack', 'provision_config'],
  );

  await orchestrator.handshake('one-1', { organization_id: 'tenant-1', metadata: { name: 'Uno' } });
  const again = await until('the second configuration', () =>
    orchestrator.received.filter((each) => each.event === 'provision_config').at(1),
  );
  t.like(again.payload.data, { name: 'Uno', location: 'Oslo', metadata: { name: 'Uno' } });
});

test('a configuration comes whole however long it is, and in whichever script', async (t) => {
  const long = (bytes: number) => 'ø'.repeat(bytes / 2);
  const settings = { prompt: long(30_000) };
  await world.api.post('/api/v1/controller/organizations', { org_id: 'long', name: 'Long', settings });
  for (const [id, bytes] of [
    ['long-1', 100],
    ['long-2', 10_000],
    ['long-3', 30_000],
  ] as const) {
    const metadata = { name: '港 🚢', features: [long(bytes)] };
    const orchestrator = await open();
    await orchestrator.handshake(id, { organization_id: 'long', metadata });
    const { data } = await orchestrator.event('provision_config');
    t.like(data, { name: metadata.name, features: metadata.features, settings, metadata });
  }
});

test('an orchestrator that told nothing is given the defaults', async (t) => {
  const orchestrator = await connect('plain-1');
  t.deepEqual((await orchestrator.event('provision_config')).data, {
    orchestrator_id: 'plain-1',
    organization_id: 'plain-1',
    name: 'Organization plain-1',
    location: 'unknown',
    features: {},
    settings: {},
    metadata: {},
  });
});

test('a provisioning_request is answered with the configuration as it is by then', async (t) => {
  const orchestrator = await connect('asks-1');
  await orchestrator.event('provision_config');
  await world.api.post('/api/v1/internal/orchestrators/register', {
    organization_id: 'asks-1',
    name: 'Renamed',
    features: ['new'],
  });
  for (const payload of [{}, undefined, null, { type: 'provisioning_request' }]) {
    orchestrator.received.length = 0;
    orchestrator.socket.emit('provisioning_request', ...(payload === undefined ? [] : [payload]));
    t.like((await orchestrator.event('provision_config')).data, {
      orchestrator_id: 'asks-1',
      name: 'Renamed',
      location: 'unknown',
      features: ['new'],
    });
  }
});

test('a provisioning_request right behind its handshake waits for it', async (t) => {
  const orchestrator = await open();
  const hello = orchestrator.handshake('eager-1');
  orchestrator.socket.emit('provisioning_request', {});
  await hello;
  await until(
    'both configurations',
    () => orchestrator.received.filter((each) => each.event === 'provision_config').length === 2,
  );
  t.is(orchestrator.received[0]?.event, 'handshake_ack');
});

test('a provisioning_request of no object is refused, and the connection lives on', async (t) => {
  const orchestrator = await connect('odd-1');
  orchestrator.socket.emit('provisioning_request', 7);
  t.like(await orchestrator.event('error'), { code: 'invalid_payload', retryable: false });
  t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed');
});

test('a provisioning_request of an orchestrator whose row is gone closes its connection', async (t) => {
  const orchestrator = await connect('gone-1');
  await world.sql("DELETE FROM orchestrator_instances WHERE orchestrator_id = 'gone-1'");
  orchestrator.socket.emit('provisioning_request', {});
  t.like(await orchestrator.event('error'), { code: 'deregistered', retryable: false });
  t.is(await orchestrator.closed(), 'io server disconnect');
});
