// How an orchestrator enters and leaves the fleet over HTTP: register, heartbeat, deregister.
import test from 'ava';
import { dataOf, errorOf, fieldsOf, isoTime, linesOf } from '../support/answers.ts';
import { until } from '../support/until.ts';
import { openWorld, type World } from '../support/world.ts';

const internal = '/api/v1/internal/orchestrators';
const register = `${internal}/register`;
const heartbeat = `${internal}/heartbeat`;
const orchestrators = '/api/v1/controller/orchestrators';
const organizations = '/api/v1/controller/organizations';
let world: World;
test.before(async () => {
  world = await openWorld();
});
test.after.always(() => world.close());

const instanceOf = async (id: string) =>
  (await world.sql('SELECT * FROM orchestrator_instances WHERE orchestrator_id = $1', [id]))[0];
const organizationOf = async (id: string) =>
  (await world.sql('SELECT * FROM organizations WHERE organization_id = $1', [id]))[0];

test('a registration makes both rows and says so', async (t) => {
  const answer = await world.api.post(register, {
    organization_id: 'org-new',
    orchestrator_id: 'orch-new',
    name: 'New',
    location: 'Basel',
    internal_url: 'http://orch-new:8080',
    database_url: 'postgres://u:p@db/x',
    redis_url: 'redis://:p@cache',
    container_id: 'c1',
    image_name: 'image:1',
    environment_variables: { A: '1', B: '' },
    features: ['chat'],
    monitoring: false,
  });

  t.deepEqual(fieldsOf(t, answer), {
    orchestrator_id: 'orch-new',
    organization_id: 'org-new',
    organization_name: 'New',
    status: 'inactive',
    created: true,
  });
  t.like(await instanceOf('orch-new'), {
    organization_id: 'org-new',
    name: 'New',
    location: 'Basel',
    status: 'inactive',
    health_status: 'unknown',
    is_independent: false,
    privacy_mode: false,
    last_seen: null,
    internal_url: 'http://orch-new:8080',
    database_url: 'postgres://u:p@db/x',
    redis_url: 'redis://:p@cache',
    container_id: 'c1',
    image_name: 'image:1',
    environment_variables: { A: '1', B: '' },
    features: ['chat'],
    monitoring_enabled: false,
  });
  t.like(await organizationOf('org-new'), {
    name: 'New',
    location: 'Basel',
    status: 'inactive',
    is_active: false,
    is_independent: false,
    features: ['chat'],
  });
  t.deepEqual(await linesOf(world.api, { orchestrator_id: 'orch-new' }), [
    'INFO register DB registration successful for orch-new',
  ]);
});

test('a registration of nothing but an organization is of its namesake, with the defaults', async (t) => {
  t.deepEqual(fieldsOf(t, await world.api.post(register, { organization_id: 'bare' })), {
    orchestrator_id: 'bare',
    organization_id: 'bare',
    organization_name: 'Organization bare',
    status: 'inactive',
    created: true,
  });
  t.like(dataOf(t, await world.api.get(`${orchestrators}/bare`)), {
    name: 'Organization bare',
    location: 'unknown',
    monitoring_enabled: true,
    features: {},
  });
});

test('a second registration updates what it names and keeps the rest', async (t) => {
  await world.api.post(register, {
    organization_id: 'again',
    name: 'First',
    location: 'Genf',
    image_name: 'image:1',
    database_url: 'postgres://u:p@db/x',
    environment_variables: { A: '1' },
    features: { a: 1 },
    monitoring: false,
  });

  const second = fieldsOf(
    t,
    await world.api.post(register, { organization_id: 'again', name: 'Second', image_name: 'image:2' }),
  );

  t.is(second.created, false);
  t.is(second.organization_name, 'Second');
  t.like(await instanceOf('again'), {
    name: 'Second',
    location: 'Genf',
    image_name: 'image:2',
    database_url: 'postgres://u:p@db/x',
    environment_variables: { A: '1' },
    features: { a: 1 },
    monitoring_enabled: false,
  });
  t.like(await organizationOf('again'), { name: 'Second', location: 'Genf', features: { a: 1 } });
});

test('a registration of a connected orchestrator leaves status, health and independence alone', async (t) => {
  const orchestrator = await world.replica(0).connect('busy');
  await orchestrator.ask('i_am_alive', { health_status: 'degraded' });
  await world.api.put(`${internal}/busy/independence`, { is_independent: true, privacy_mode: true });
  const columns = ({
    status,
    health_status,
    is_independent,
    privacy_mode,
    last_seen,
    connection_epoch,
  }: {
    [column: string]: unknown;
  }) => ({ status, health_status, is_independent, privacy_mode, last_seen, connection_epoch });
  const before = columns((await instanceOf('busy')) ?? {});
  t.like(before, { status: 'active', health_status: 'degraded', is_independent: true, privacy_mode: true });
  const organizationBefore = await organizationOf('busy');
  t.like(organizationBefore, { status: 'active', is_independent: true });

  const answer = await world.api.post(register, { organization_id: 'busy', location: 'Chur' });

  t.like(fieldsOf(t, answer), { status: 'independent', created: false });
  t.deepEqual(columns((await instanceOf('busy')) ?? {}), before);
  const { updated_at: _then, ...organization } = organizationBefore ?? {};
  const { updated_at: _now, ...organizationNow } = (await organizationOf('busy')) ?? {};
  t.deepEqual(organizationNow, { ...organization, location: 'Chur' });
  orchestrator.close();
});

test('the status told at registration is the connection’s', async (t) => {
  const orchestrator = await world.replica(0).connect('told');
  t.is(fieldsOf(t, await world.api.post(register, { organization_id: 'told' })).status, 'active');
  orchestrator.close();
});

test('of many registrations of one id at once exactly one creates it', async (t) => {
  const answers = await Promise.all(
    Array.from({ length: 12 }, () => world.api.post(register, { organization_id: 'race' })),
  );
  const created = answers.map((answer) => fieldsOf(t, answer).created);
  t.is(created.filter((each) => each === true).length, 1);
  t.is(created.filter((each) => each === false).length, 11);
});

test('every fault of a registration is reported at once, and nothing is written', async (t) => {
  const answer = await world.api.post(register, {
    organization_id: 'faulty_',
    orchestrator_id: '.faulty',
    name: 1,
    location: '',
    internal_url: {},
    database_url: 'x'.repeat(2_049),
    redis_url: 5,
    container_id: false,
    image_name: '',
    environment_variables: 'A=1',
    features: 'chat',
    monitoring: 'yes',
  });
  errorOf(t, answer, 400, 'invalid_request', [
    'body.orchestrator_id',
    'body.name',
    'body.location',
    'body.internal_url',
    'body.database_url',
    'body.redis_url',
    'body.container_id',
    'body.image_name',
    'body.environment_variables',
    'body.features',
    'body.monitoring',
  ]);
  errorOf(t, await world.api.post(register, {}), 400, 'invalid_request', ['body.organization_id']);
  t.is(await organizationOf('faulty_'), undefined);
});

test('a fault in a credential does not repeat it', async (t) => {
  const secret = 'hunter2-never-shown\u0000';
  const answer = await world.api.post(register, { organization_id: 'leak', database_url: secret });
  errorOf(t, answer, 400, 'invalid_request', ['body.database_url']);
  t.false(JSON.stringify(answer.body).includes('hunter2'));
});

test('a heartbeat over HTTP does what i_am_alive does', async (t) => {
  await world.api.post(register, { organization_id: 'org-beat', orchestrator_id: 'beat' });
  const answer = await world.api.post(heartbeat, { orchestrator_id: 'beat' });

  t.deepEqual(fieldsOf(t, answer), { orchestrator_id: 'beat', status: 'active' });
  const row = await instanceOf('beat');
  t.like(row, { status: 'active', health_status: 'healthy' });
  t.is(typeof row?.last_seen, 'string');
  t.like(await organizationOf('org-beat'), { status: 'active', is_active: true, last_seen: row?.last_seen });
  t.is(
    (await linesOf(world.api, { orchestrator_id: 'beat', event: 'keepalive' })).at(-1)?.replace(/^\w+ /, ''),
    'keepalive [C-OCS] Processing heartbeat from orchestrator beat',
  );
});

test('a heartbeat may tell health and features', async (t) => {
  await world.api.post(register, { organization_id: 'telling', features: { old: true } });
  for (const health_status of ['degraded', 'unhealthy', 'unknown', 'healthy']) {
    fieldsOf(t, await world.api.post(heartbeat, { orchestrator_id: 'telling', health_status }));
    t.like(await instanceOf('telling'), { health_status, features: { old: true } });
  }
  const features = ['chat', 'search'];
  fieldsOf(t, await world.api.post(heartbeat, { orchestrator_id: 'telling', features }));
  t.like(await instanceOf('telling'), { health_status: 'healthy', features });
});

test('a heartbeat of an independent orchestrator changes nothing', async (t) => {
  await world.api.post(register, { organization_id: 'alone' });
  await world.api.post(heartbeat, { orchestrator_id: 'alone' });
  await world.api.put(`${internal}/alone/independence`, { is_independent: true });
  const before = [await instanceOf('alone'), await organizationOf('alone')];
  world.clock.advance(50);

  const body = { orchestrator_id: 'alone', health_status: 'degraded', features: ['new'] };
  t.deepEqual(fieldsOf(t, await world.api.post(heartbeat, body)), {
    orchestrator_id: 'alone',
    status: 'independent',
  });

  t.deepEqual([await instanceOf('alone'), await organizationOf('alone')], before);
  t.is(
    (await linesOf(world.api, { orchestrator_id: 'alone', event: 'keepalive' }, 2))
      .at(-1)
      ?.replace(/^\w+ /, ''),
    'keepalive [C-OCS] Ignoring heartbeat from independent orchestrator alone',
  );
});

test('a heartbeat of an unknown orchestrator is a 404 and makes none', async (t) => {
  errorOf(t, await world.api.post(heartbeat, { orchestrator_id: 'nobody' }), 404, 'not_found');
  t.is(await instanceOf('nobody'), undefined);
});

test('every fault of a heartbeat is reported at once', async (t) => {
  const body = { orchestrator_id: '', health_status: 'fine', features: 1 };
  errorOf(t, await world.api.post(heartbeat, body), 400, 'invalid_request', [
    'body.orchestrator_id',
    'body.health_status',
    'body.features',
  ]);
});

test('deregistering removes an orchestrator from all three tables, in three log lines', async (t) => {
  await world.api.post(register, { organization_id: 'org-leave', orchestrator_id: 'leave' });
  for (const message_type of ['monitoring', 'recommendation', 'monitoring'])
    await world.api.post(`${internal}/leave/messages`, { message_type, content: 'x' });

  const answer = await world.api.delete(`${internal}/leave/deregister`);

  t.deepEqual(fieldsOf(t, answer), {
    orchestrator_id: 'leave',
    deleted: { messages: 3, instances: 1, organizations: 1 },
  });
  t.is(await instanceOf('leave'), undefined);
  t.is(await organizationOf('org-leave'), undefined);
  t.deepEqual(await world.sql("SELECT 1 FROM orchestrator_messages WHERE orchestrator_id = 'leave'"), []);
  t.deepEqual(await linesOf(world.api, { orchestrator_id: 'leave', event: 'deregister' }, 3), [
    'INFO deregister Orchestrator leave disconnected',
    'INFO deregister Cleaned up connection for leave',
    'INFO deregister Orchestrator leave deregistered from database',
  ]);
});

test('deregistering one of two keeps the organization, inactive if the other is', async (t) => {
  await world.api.post(register, { organization_id: 'duo', orchestrator_id: 'duo-1' });
  await world.api.post(register, { organization_id: 'duo', orchestrator_id: 'duo-2' });
  await world.api.post(heartbeat, { orchestrator_id: 'duo-1' });
  t.is(dataOf(t, await world.api.get(`${organizations}/duo`)).status, 'active');

  const answer = await world.api.delete(`${internal}/duo-1/deregister`);

  t.deepEqual(fieldsOf(t, answer).deleted, { messages: 0, instances: 1, organizations: 0 });
  t.is(dataOf(t, await world.api.get(`${organizations}/duo`)).status, 'inactive');
  dataOf(t, await world.api.get(`${orchestrators}/duo-2`));
});

test('deregistering closes the connection and clears presence', async (t) => {
  const orchestrator = await world.replica(0).connect('closed');
  t.is(dataOf(t, await world.api.get(`${orchestrators}/live/closed`)).status, 'connected');

  fieldsOf(t, await world.api.delete(`${internal}/closed/deregister`));

  t.is((await orchestrator.event('error')).code, 'deregistered');
  t.is(await orchestrator.closed(), 'io server disconnect');
  await until('its presence to be gone', async () => {
    const { status } = await world.api.get(`${orchestrators}/live/closed`);
    return status === 404;
  });
  t.is(await instanceOf('closed'), undefined);
});

test('who was deregistered may register again, as new', async (t) => {
  await world.api.post(register, { organization_id: 'back' });
  await world.api.put(`${internal}/back/independence`, { is_independent: true });
  fieldsOf(t, await world.api.delete(`${internal}/back/deregister`));
  t.like(fieldsOf(t, await world.api.post(register, { organization_id: 'back' })), {
    created: true,
    status: 'inactive',
  });
});

test('an unknown orchestrator cannot be deregistered: 404, and 400 for a malformed id', async (t) => {
  errorOf(t, await world.api.delete(`${internal}/nobody/deregister`), 404, 'not_found');
  errorOf(t, await world.api.delete(`${internal}/_/deregister`), 400, 'invalid_request', ['params.id']);
});

test('times are ISO 8601 in UTC with milliseconds', async (t) => {
  await world.api.post(register, { organization_id: 'timed' });
  await world.api.post(heartbeat, { orchestrator_id: 'timed' });
  const instance = dataOf(t, await world.api.get(`${orchestrators}/timed`));
  for (const time of [instance.created_at, instance.updated_at, instance.last_seen]) t.regex(time, isoTime);
});

test('who registers second in an organization is told its name, and changes nothing of it', async (t) => {
  await world.api.post(register, {
    organization_id: 'tenant',
    orchestrator_id: 'tenant-1',
    name: 'Tenant',
    location: 'Bern',
    features: { plan: 'gold' },
  });
  const { updated_at: _then, ...before } = (await organizationOf('tenant')) ?? {};

  const second = await world.api.post(register, {
    organization_id: 'tenant',
    orchestrator_id: 'tenant-2',
    name: 'Second',
    location: 'Oslo',
    features: { plan: 'iron' },
  });

  t.deepEqual(fieldsOf(t, second), {
    orchestrator_id: 'tenant-2',
    organization_id: 'tenant',
    organization_name: 'Tenant',
    status: 'inactive',
    created: true,
  });
  t.like(await instanceOf('tenant-2'), { name: 'Second', location: 'Oslo', features: { plan: 'iron' } });
  const { updated_at: _now, ...after } = (await organizationOf('tenant')) ?? {};
  t.deepEqual(after, before);
  t.like(after, { name: 'Tenant', location: 'Bern', features: { plan: 'gold' } });
});

test('a registration locks an organization that is removed and comes back meanwhile in its turn', async (t) => {
  await world.api.post(register, { organization_id: 'turn-b', orchestrator_id: 'turning', name: 'Turning' });
  await world.sql("INSERT INTO organizations (organization_id, name) VALUES ('turn-a', 'First')");
  await using gate = await world.hold(
    "SELECT 1 FROM organizations WHERE organization_id = 'turn-b' FOR UPDATE",
  );
  await using removal = await world.hold(
    "SELECT 1 FROM organizations WHERE organization_id = 'turn-a' FOR UPDATE",
  );
  const moved = world.api.post(register, {
    ...{ organization_id: 'turn-a', orchestrator_id: 'turning', name: 'Turning' },
  });
  await removal.awaited();
  await removal.run("DELETE FROM organizations WHERE organization_id = 'turn-a'");
  await removal.release();
  await gate.awaited();
  await world.sql("INSERT INTO organizations (organization_id, name) VALUES ('turn-a', 'Again')");
  await using again = await world.hold(
    "SELECT 1 FROM organizations WHERE organization_id = 'turn-a' FOR UPDATE",
  );
  await gate.release();
  await again.awaited();
  // Whoever waits for one holds none that comes behind it.
  await t.notThrowsAsync(
    world.sql("SELECT 1 FROM organizations WHERE organization_id = 'turn-b' FOR UPDATE NOWAIT"),
  );
  await again.release();
  t.is((await moved).status, 200);
  t.is((await instanceOf('turning'))?.organization_id, 'turn-a');
});
