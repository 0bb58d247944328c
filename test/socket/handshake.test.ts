// A handshake makes a connection an orchestrator.
import test from 'ava';
import { rowsOf, timeOf } from '../support/rows.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());

const { controller, open, connect } = world.replica(0);

const isoTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

test('a handshake is acknowledged, and answered by handshake_ack with the same words', async (t) => {
  const orchestrator = await open();
  const ack = await orchestrator.handshake('ack-1');

  t.deepEqual(Object.keys(ack).sort(), [
    'epoch',
    'heartbeat_interval_ms',
    'node_id',
    'orch_id',
    'orchestrator_id',
    'ts',
    'type',
  ]);
  t.like(ack, {
    type: 'handshake_ack',
    orch_id: 'ack-1',
    orchestrator_id: 'ack-1',
    node_id: controller.nodeId,
    heartbeat_interval_ms: world.settings.socket.heartbeatIntervalMs,
  });
  t.true(Number.isInteger(ack.epoch) && ack.epoch > 0);
  t.regex(ack.ts, isoTime);
  t.deepEqual(await orchestrator.event('handshake_ack'), ack);
});

test('a handshake without an acknowledgement is answered by handshake_ack alone', async (t) => {
  const orchestrator = await open();
  orchestrator.socket.emit('handshake', { data: { orchestrator_id: 'ack-2' } });
  t.is((await orchestrator.event('handshake_ack')).orchestrator_id, 'ack-2');
});

test('the ids are of one organization, name and location have defaults where they are not told', async (t) => {
  const before = world.clock.now();
  await connect('default-1');
  const { instance, organization } = await rowsOf(world, 'default-1');

  t.like(instance, {
    orchestrator_id: 'default-1',
    organization_id: 'default-1',
    name: 'Organization default-1',
    location: 'unknown',
    status: 'active',
    health_status: 'healthy',
    is_independent: false,
    privacy_mode: false,
    features: {},
    metadata: {},
    session_config: {},
    monitoring_enabled: true,
    internal_url: null,
    container_id: null,
    image_name: null,
    phoenix_endpoint: null,
    node_id: controller.nodeId,
  });
  t.like(organization, {
    organization_id: 'default-1',
    name: 'Organization default-1',
    location: 'unknown',
    status: 'active',
    is_active: true,
    is_independent: false,
    features: {},
    settings: {},
    metadata: {},
  });
  for (const row of [instance, organization])
    for (const column of ['last_seen', 'updated_at']) {
      const at = timeOf(row, column);
      t.true(at >= before && at <= world.clock.now(), column);
    }
});

test('both rows are written with what the orchestrator tells of itself', async (t) => {
  const metadata = {
    name: 'North',
    location: 'Oslo',
    version: '1.2.3',
    hostname: 'n1',
    ip: '10.0.0.1',
    ssl_enabled: true,
    features: ['routing', 'caching'],
    more: { of: ['any', 'kind', 1, null] },
  };
  await connect('told-1', { metadata });
  const { instance, organization } = await rowsOf(world, 'told-1');

  const told = { name: 'North', location: 'Oslo', features: ['routing', 'caching'], metadata };
  t.like(instance, told);
  t.like(organization, told);
});

test('several orchestrators share an organization, which keeps its own name', async (t) => {
  await connect('shared-1', { organization_id: 'shared', metadata: { name: 'First' } });
  await connect('shared-2', { organization_id: 'shared', metadata: { name: 'Second' } });
  const first = await rowsOf(world, 'shared-1', 'shared');
  const second = await rowsOf(world, 'shared-2', 'shared');

  t.is(first.instance?.name, 'First');
  t.is(second.instance?.name, 'Second');
  t.is(first.instance?.organization_id, 'shared');
  t.is(second.instance?.organization_id, 'shared');
  t.is(second.organization?.name, first.organization?.name);
  t.is(second.organization?.status, 'active');
});

test('a handshake never touches is_independent', async (t) => {
  await world.api.post('/api/v1/internal/orchestrators/register', { organization_id: 'free-1' });
  await world.api.put('/api/v1/internal/orchestrators/free-1/independence', {
    is_independent: true,
    privacy_mode: true,
  });
  await connect('free-1', { metadata: { name: 'Free', is_independent: false } });
  const { instance, organization } = await rowsOf(world, 'free-1');

  t.like(instance, { name: 'Free', status: 'active', is_independent: true, privacy_mode: true });
  t.like(organization, { name: 'Free', status: 'active', is_independent: true });
});

test('what a handshake does not tell stays as the row has it', async (t) => {
  const first = await connect('stay-1', {
    metadata: { name: 'Stay', location: 'Rome', features: { a: true } },
  });
  first.close();
  await connect('stay-1');
  t.like((await rowsOf(world, 'stay-1')).instance, {
    name: 'Stay',
    location: 'Rome',
    features: { a: true },
  });
});

test('a second handshake on the same socket refreshes the metadata and keeps the epoch', async (t) => {
  const orchestrator = await open();
  const first = await orchestrator.handshake('again-1', { metadata: { version: '1' } });
  const second = await orchestrator.handshake('again-1', { metadata: { version: '2', location: 'Bern' } });

  t.is(second.epoch, first.epoch);
  t.like((await rowsOf(world, 'again-1')).instance, {
    location: 'Bern',
    metadata: { version: '2', location: 'Bern' },
    connection_epoch: first.epoch,
  });
  const live = await world.api.get('/api/v1/controller/orchestrators/live/again-1');
  t.deepEqual(live.body.data.metadata, { version: '2', location: 'Bern' });
  t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed');
  t.deepEqual(
    orchestrator.received.map((each) => each.event),
    ['handshake_ack', 'provision_config', 'handshake_ack', 'provision_config'],
  );
});

test('a second handshake with another id is an error, and the connection stays what it is', async (t) => {
  const orchestrator = await connect('mine-1');
  orchestrator.socket.emit('handshake', { data: { orchestrator_id: 'other-1' } });

  const error = await orchestrator.event('error');
  t.like(error, { code: 'identity_mismatch', retryable: false });
  t.true(error.message.includes('mine-1'));
  t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed');
  t.is((await rowsOf(world, 'other-1')).instance, undefined);
});

test('two handshakes at once with different ids give the connection to the first', async (t) => {
  const orchestrator = await open();
  orchestrator.socket.emit('handshake', { data: { orchestrator_id: 'quick-1' } });
  orchestrator.socket.emit('handshake', { data: { orchestrator_id: 'quick-2' } });

  t.is((await orchestrator.event('error')).code, 'identity_mismatch');
  t.is((await orchestrator.event('handshake_ack')).orchestrator_id, 'quick-1');
  t.is((await rowsOf(world, 'quick-2')).instance, undefined);
});

test('a bad handshake is answered with every fault, and closed', async (t) => {
  const orchestrator = await open();
  orchestrator.socket.emit('handshake', {
    type: 7,
    service: [],
    data: {
      orchestrator_id: 'not an id',
      organization_id: '-',
      metadata: { name: '', location: 5, features: 'all' },
    },
    timestamp: {},
  });

  const error = await orchestrator.event('error');
  t.like(error, { code: 'invalid_handshake', retryable: false });
  for (const path of [
    'type',
    'service',
    'data.orchestrator_id',
    'data.organization_id',
    'data.metadata.name',
    'data.metadata.location',
    'data.metadata.features',
    'timestamp',
  ])
    t.true(error.message.includes(`${path}: `), path);
  t.is(await orchestrator.closed(), 'io server disconnect');
});

for (const [what, payload] of [
  ['nothing', undefined],
  ['null', null],
  ['a text', 'org-1'],
  ['no data', {}],
  ['no id', { data: {} }],
  ['an id of 256 characters', { data: { orchestrator_id: 'x'.repeat(256) } }],
  ['an id that starts with a dot', { data: { orchestrator_id: '.x' } }],
  ['an id with a slash', { data: { orchestrator_id: 'a/b' } }],
  ['an empty organization', { data: { orchestrator_id: 'a', organization_id: '' } }],
] as const)
  test(`a handshake of ${what} is refused, and closed`, async (t) => {
    const orchestrator = await open();
    orchestrator.socket.emit('handshake', ...(payload === undefined ? [] : [payload]));
    t.like(await orchestrator.event('error'), { code: 'invalid_handshake', retryable: false });
    t.is(await orchestrator.closed(), 'io server disconnect');
  });

test('an id may be of 255 characters, of letters, digits, dots, underscores and dashes', async (t) => {
  const id = `9A-z._${'x'.repeat(249)}`;
  const orchestrator = await open();
  t.is((await orchestrator.handshake(id)).orchestrator_id, id);
});

test('a connection without a valid handshake is closed when its time is up', async (t) => {
  await using stack = new AsyncDisposableStack();
  const hasty = stack.adopt(await openWorld({ settings: { socket: { handshakeTimeoutMs: 500 } } }), (it) =>
    it.close(),
  );
  const orchestrator = await hasty.replica(0).open();

  t.like(await orchestrator.event('error'), { code: 'handshake_timeout', retryable: true });
  t.is(await orchestrator.closed(), 'io server disconnect');
});

test('a handshake that waits for Postgres is in time', async (t) => {
  await using stack = new AsyncDisposableStack();
  const hasty = stack.adopt(await openWorld({ settings: { socket: { handshakeTimeoutMs: 2_000 } } }), (it) =>
    it.close(),
  );
  const held = stack.use(await hasty.hold('LOCK TABLE organizations IN SHARE MODE'));
  const patient = await hasty.replica(0).open();
  const ack = patient.handshake('late-1');
  await held.awaited();
  const mute = await hasty.replica(0).open();

  // By the time that the later one, which says nothing, is closed, the time of the earlier one is up as well.
  t.is(await mute.closed(), 'io server disconnect');
  await held.release();
  t.is((await ack).epoch, 1);
});

for (const event of ['i_am_alive', 'provisioning_request', 'anything_else'])
  test(`${event} before the handshake is an error, and the handshake may still come`, async (t) => {
    const orchestrator = await open();
    orchestrator.socket.emit(event, {});
    t.like(await orchestrator.event('error'), { code: 'handshake_required', retryable: true });
    t.is((await orchestrator.handshake(`early-${event}`)).type, 'handshake_ack');
  });

test('a handshake is answered only when it is committed', async (t) => {
  await connect('commit-1');
  await using held = await world.hold(
    "SELECT 1 FROM orchestrator_instances WHERE orchestrator_id = 'commit-1' FOR UPDATE",
  );
  const orchestrator = await open();
  const ack = orchestrator.handshake('commit-1');
  await held.awaited();
  t.deepEqual(orchestrator.received, []);
  await held.release();
  t.is((await ack).type, 'handshake_ack');
});

test('polling carries the whole conversation', async (t) => {
  const orchestrator = await open({ transports: ['polling'] });
  t.is((await orchestrator.handshake('poll-1')).type, 'handshake_ack');
  await orchestrator.event('provision_config');
  t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed');
  const sent = await world.api.post('/api/v1/internal/orchestrators/poll-1/send', { type: 'hello' });
  t.is(sent.status, 200);
  t.is((await orchestrator.event('hello')).message_id, sent.body.message_id);
  orchestrator.close();
  await until('the instance to be inactive', async () => {
    return (await rowsOf(world, 'poll-1')).instance?.status === 'inactive';
  });
});

test('a bad handshake over polling is told its faults before it is closed', async (t) => {
  const orchestrator = await open({ transports: ['polling'] });
  orchestrator.socket.emit('handshake', {});
  t.is((await orchestrator.event('error')).code, 'invalid_handshake');
  t.is(await orchestrator.closed(), 'io server disconnect');
});

test('the acknowledgement of a handshake is called only when it is committed', async (t) => {
  await connect('callback-1');
  await using held = await world.hold(
    "SELECT 1 FROM orchestrator_instances WHERE orchestrator_id = 'callback-1' FOR UPDATE",
  );
  const orchestrator = await open();
  let acknowledged: { epoch: number } | undefined;
  orchestrator.socket.emit(
    'handshake',
    { data: { orchestrator_id: 'callback-1' } },
    (ack: { epoch: number }) => {
      acknowledged = ack;
    },
  );
  await held.awaited();
  // A round trip to the same process: whatever it sent before has arrived.
  await world.api.get('/health/live');
  t.is(acknowledged, undefined);

  await held.release();
  const ack = await until('the acknowledgement', () => acknowledged);
  t.is((await rowsOf(world, 'callback-1')).instance?.connection_epoch, ack.epoch);
});

test('organizations that are removed and come back meanwhile are locked in their turn', async (t) => {
  await connect('turn-1');
  await connect('turn-2');
  const gate = await world.hold("SELECT 1 FROM organizations WHERE organization_id = 'turn-2' FOR UPDATE");
  const removal = await world.hold(
    `WITH gone AS (DELETE FROM orchestrator_instances WHERE orchestrator_id = 'turn-1')
     DELETE FROM organizations WHERE organization_id = 'turn-1'`,
  );
  await using stack = new AsyncDisposableStack();
  stack.use(gate);
  stack.use(removal);
  // Those that come while one waits are one batch.
  await connect('turn-0');
  await using first = await world.hold(
    "SELECT 1 FROM organizations WHERE organization_id = 'turn-0' FOR UPDATE",
  );
  const orchestrators = await Promise.all(['turn-0', 'turn-1', 'turn-2'].map(() => open()));
  const acks = [orchestrators[0]?.handshake('turn-0')];
  await first.awaited();
  acks.push(orchestrators[1]?.handshake('turn-1'), orchestrators[2]?.handshake('turn-2'));
  await world.api.get('/health/live');
  await first.release();
  await removal.awaited();
  await removal.release();
  await gate.awaited();
  await world.sql("INSERT INTO organizations (organization_id, name) VALUES ('turn-1', 'Again')");
  await using again = await world.hold(
    "SELECT 1 FROM organizations WHERE organization_id = 'turn-1' FOR UPDATE",
  );
  await gate.release();
  await again.awaited();
  // Whoever waits for one holds none that comes behind it.
  await t.notThrowsAsync(
    world.sql("SELECT 1 FROM organizations WHERE organization_id = 'turn-2' FOR UPDATE NOWAIT"),
  );
  await again.release();
  t.true((await Promise.all(acks)).every((ack) => ack?.type === 'handshake_ack'));
});
