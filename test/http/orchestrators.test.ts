// Orchestrator instances, as the dashboard lists, reads, creates and deletes them.
import test from 'ava';
import { dataOf, errorOf, isoTime, linesOf } from '../support/answers.ts';
import { until } from '../support/until.ts';
import { openWorld, type World } from '../support/world.ts';

const orchestrators = '/api/v1/controller/orchestrators';
const instances = '/api/v1/controller/orchestrator-instances';
const organizations = '/api/v1/controller/organizations';
const internal = '/api/v1/internal/orchestrators';
let world: World;
test.before(async () => {
  world = await openWorld();
});
test.after.always(() => world.close());

const organizationOf = (id: string) =>
  world.sql('SELECT * FROM organizations WHERE organization_id = $1', [id]);

test('a created instance is an inactive placeholder, whole, with 201 and one log line', async (t) => {
  const answer = await world.api.post(instances, {
    org_id: 'org-whole',
    orchestrator_id: 'orch-whole',
    name: 'Whole',
    location: 'Bern',
    features: { chat: true },
    metadata: { rack: 3 },
  });

  const instance = dataOf(t, answer, 201);
  t.is(answer.body.message, 'Orchestrator instance orch-whole created successfully');
  const { created_at, updated_at, ...rest } = instance;
  t.regex(created_at, isoTime);
  t.is(updated_at, created_at);
  t.deepEqual(rest, {
    orchestrator_id: 'orch-whole',
    organization_id: 'org-whole',
    name: 'Whole',
    organization_name: 'Organization org-whole',
    location: 'Bern',
    status: 'inactive',
    health_status: 'unknown',
    is_independent: false,
    privacy_mode: false,
    last_seen: null,
    features: { chat: true },
    metadata: { rack: 3 },
    session_config: {},
    monitoring_enabled: true,
    internal_url: null,
    container_id: null,
    image_name: null,
    phoenix_endpoint: null,
  });
  t.deepEqual(dataOf(t, await world.api.get(`${orchestrators}/orch-whole`)), instance);
  const listed = dataOf(t, await world.api.get(`${orchestrators}?organization_id=org-whole`));
  t.deepEqual(listed.items, [instance]);
  t.deepEqual(await linesOf(world.api, { orchestrator_id: 'orch-whole' }), [
    'INFO instance_created Orchestrator instance orch-whole created successfully',
  ]);
});

test('an instance without an id of its own is the namesake of its organization, which is made too', async (t) => {
  const instance = dataOf(t, await world.api.post(instances, { org_id: 'namesake', name: 'Name' }), 201);
  t.is(instance.orchestrator_id, 'namesake');
  t.is(instance.organization_id, 'namesake');
  t.is(instance.organization_name, 'Name');
  t.is(instance.location, 'unknown');
  t.deepEqual([instance.features, instance.metadata], [{}, {}]);
  const organization = dataOf(t, await world.api.get(`${organizations}/namesake`));
  t.is(organization.name, 'Name');
  t.is(organization.status, 'inactive');
});

test('an instance joins an organization that exists and leaves it as it is', async (t) => {
  const before = dataOf(
    t,
    await world.api.post(organizations, { org_id: 'org-join', name: 'Joined', settings: { a: 1 } }),
    201,
  );
  const body = { org_id: 'org-join', orchestrator_id: 'join-1', name: 'One', location: 'Here' };
  t.is(dataOf(t, await world.api.post(instances, body), 201).organization_name, 'Joined');
  t.deepEqual(dataOf(t, await world.api.get(`${organizations}/org-join`)), before);
});

test('a second instance of the same id is a 409, in whichever organization', async (t) => {
  const first = dataOf(t, await world.api.post(instances, { org_id: 'twice', name: 'First' }), 201);
  errorOf(t, await world.api.post(instances, { org_id: 'twice', name: 'Second' }), 409, 'already_exists');
  errorOf(
    t,
    await world.api.post(instances, { org_id: 'twice-other', orchestrator_id: 'twice', name: 'Third' }),
    409,
    'already_exists',
  );
  t.deepEqual(dataOf(t, await world.api.get(`${orchestrators}/twice`)), first);
  t.deepEqual(await organizationOf('twice-other'), [], 'the refused creation left no organization');
});

test('of many creations of one id at once exactly one succeeds', async (t) => {
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, at) => world.api.post(instances, { org_id: 'race', name: `n${at}` })),
  );
  t.is(answers.filter((answer) => answer.status === 201).length, 1);
  for (const answer of answers) if (answer.status !== 201) errorOf(t, answer, 409, 'already_exists');
  t.is((await linesOf(world.api, { orchestrator_id: 'race' })).length, 1);
});

test('many instances of one new organization can be created at once', async (t) => {
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, at) =>
      world.api.post(instances, { org_id: 'crowd', orchestrator_id: `crowd-${at}`, name: 'C' }),
    ),
  );
  for (const answer of answers) dataOf(t, answer, 201);
  t.is(dataOf(t, await world.api.get(`${orchestrators}?organization_id=crowd`)).total_items, 12);
});

test('every fault of a new instance is reported at once, and nothing is written', async (t) => {
  const answer = await world.api.post(instances, {
    org_id: 'faulty org',
    orchestrator_id: '_',
    name: 'n'.repeat(256),
    location: '',
    features: 1,
    metadata: [],
  });
  errorOf(t, answer, 400, 'invalid_request', [
    'body.org_id',
    'body.orchestrator_id',
    'body.name',
    'body.location',
    'body.features',
    'body.metadata',
  ]);
  t.deepEqual(await organizationOf('faulty org'), []);
});

test('an unknown instance is a 404, a malformed id a 400', async (t) => {
  errorOf(t, await world.api.get(`${orchestrators}/nobody`), 404, 'not_found');
  errorOf(t, await world.api.get(`${orchestrators}/-nobody`), 400, 'invalid_request', ['params.id']);
  errorOf(t, await world.api.delete(`${instances}/nobody`), 404, 'not_found');
  errorOf(t, await world.api.delete(`${instances}/-nobody`), 400, 'invalid_request', ['params.id']);
});

test('what a registration tells is shown, except what holds credentials', async (t) => {
  const secret = 'hunter2-never-shown';
  await world.api.post(`${internal}/register`, {
    organization_id: 'secretive',
    internal_url: 'http://10.0.0.7:8080',
    database_url: `postgres://u:${secret}@db/x`,
    redis_url: `redis://:${secret}@cache`,
    container_id: 'c0ffee',
    image_name: 'moolai/orchestrator:1',
    environment_variables: { API_KEY: secret },
    monitoring: false,
  });
  const live = await world.replica(0).connect('secretive', { metadata: { name: 'Secretive' } });
  const [stored] = await world.sql(
    "SELECT database_url, redis_url, environment_variables FROM orchestrator_instances WHERE orchestrator_id = 'secretive'",
  );
  t.deepEqual(stored, {
    database_url: `postgres://u:${secret}@db/x`,
    redis_url: `redis://:${secret}@cache`,
    environment_variables: { API_KEY: secret },
  });

  const instance = dataOf(t, await world.api.get(`${orchestrators}/secretive`));
  const { internal_url, container_id, image_name, monitoring_enabled } = instance;
  t.deepEqual(
    { internal_url, container_id, image_name, monitoring_enabled },
    {
      internal_url: 'http://10.0.0.7:8080',
      container_id: 'c0ffee',
      image_name: 'moolai/orchestrator:1',
      monitoring_enabled: false,
    },
  );
  for (const path of [
    `${orchestrators}/secretive`,
    `${orchestrators}?organization_id=secretive`,
    `${orchestrators}/live`,
    `${orchestrators}/live/secretive`,
    `${organizations}/secretive`,
    `${internal}/secretive/independence`,
    '/api/v1/internal/logs?limit=1000',
  ]) {
    const { status, body } = await world.api.get(path);
    t.is(status, 200);
    const shown = JSON.stringify(body);
    t.true(shown.includes('secretive'), `${path} speaks of the orchestrator`);
    for (const hidden of [secret, 'database_url', 'redis_url', 'environment_variables'])
      t.false(shown.includes(hidden), `${path} shows ${hidden}`);
  }
  live.close();
});

test('an instance is active and healthy while it is connected, independent when it is that', async (t) => {
  const orchestrator = await world.replica(0).connect('shown', { metadata: { location: 'There' } });
  const active = dataOf(t, await world.api.get(`${orchestrators}/shown`));
  t.is(active.status, 'active');
  t.is(active.health_status, 'healthy');
  t.is(active.location, 'There');
  t.regex(active.last_seen, isoTime);

  await world.api.put(`${internal}/shown/independence`, { is_independent: true, privacy_mode: true });
  const independent = dataOf(t, await world.api.get(`${orchestrators}/shown`));
  t.is(independent.status, 'independent');
  t.is(independent.is_independent, true);
  t.is(independent.privacy_mode, true);

  await world.api.put(`${internal}/shown/independence`, { is_independent: false });
  orchestrator.close();
  await until('the instance to be inactive', async () => {
    const { body } = await world.api.get(`${orchestrators}/shown`);
    return body.data.status === 'inactive';
  });
});

test('deleting the last instance of an organization deletes its messages and the organization', async (t) => {
  await world.api.post(instances, { org_id: 'last', orchestrator_id: 'last-1', name: 'L' });
  for (const content of ['a', 'b'])
    await world.api.post(`${internal}/last-1/messages`, { message_type: 'monitoring', content });

  const answer = await world.api.delete(`${instances}/last-1`);

  const data = dataOf(t, answer);
  t.is(answer.body.message, 'Orchestrator instance last-1 deleted');
  t.deepEqual(data, {
    orchestrator_id: 'last-1',
    deleted: { messages: 2, instances: 1, organizations: 1 },
  });
  errorOf(t, await world.api.get(`${orchestrators}/last-1`), 404, 'not_found');
  errorOf(t, await world.api.get(`${organizations}/last`), 404, 'not_found');
  t.deepEqual(await world.sql("SELECT 1 FROM orchestrator_messages WHERE orchestrator_id = 'last-1'"), []);
  t.is(
    (await linesOf(world.api, { orchestrator_id: 'last-1', event: 'instance_deleted' })).at(-1),
    'INFO instance_deleted Orchestrator instance last-1 deleted',
  );
  errorOf(t, await world.api.delete(`${instances}/last-1`), 404, 'not_found');
});

test('deleting one of two instances keeps the organization and the other', async (t) => {
  for (const orchestrator_id of ['pair-1', 'pair-2'])
    await world.api.post(instances, { org_id: 'pair', orchestrator_id, name: 'P' });
  await world.api.post(`${internal}/pair-2/messages`, { message_type: 'monitoring', content: 'stays' });

  t.deepEqual(dataOf(t, await world.api.delete(`${instances}/pair-1`)).deleted, {
    messages: 0,
    instances: 1,
    organizations: 0,
  });
  dataOf(t, await world.api.get(`${organizations}/pair`));
  dataOf(t, await world.api.get(`${orchestrators}/pair-2`));
  t.is((await world.api.get(`${internal}/pair-2/messages`)).body.total_count, 1);
  t.is(dataOf(t, await world.api.delete(`${instances}/pair-2`)).deleted.organizations, 1);
});

test('of many deletions of one instance at once exactly one succeeds', async (t) => {
  await world.api.post(instances, { org_id: 'gone', name: 'G' });
  const answers = await Promise.all(Array.from({ length: 8 }, () => world.api.delete(`${instances}/gone`)));
  t.is(answers.filter((answer) => answer.status === 200).length, 1);
  for (const answer of answers) if (answer.status !== 200) errorOf(t, answer, 404, 'not_found');
});

test('deleting an instance closes its live connection', async (t) => {
  const orchestrator = await world.replica(0).connect('cut');
  dataOf(t, await world.api.delete(`${instances}/cut`));

  t.is((await orchestrator.event('error')).code, 'deregistered');
  t.is(await orchestrator.closed(), 'io server disconnect');
  await until('its presence to be gone', async () => {
    const { status } = await world.api.get(`${orchestrators}/live/cut`);
    return status === 404;
  });
  errorOf(t, await world.api.get(`${orchestrators}/cut`), 404, 'not_found');
});

test('instances come in pages, newest first, and can be filtered', async (t) => {
  await using stack = new AsyncDisposableStack();
  const own = stack.adopt(await openWorld(), (it) => it.close());
  const page = async (query: string) => {
    const { items, ...rest } = dataOf(t, await own.api.get(orchestrators + query));
    return { ids: items.map((item: { orchestrator_id: string }) => item.orchestrator_id), ...rest };
  };
  // Not in the order of their ids, so that only time can have sorted them.
  for (const [org_id, orchestrator_id] of [
    ['one', 'm'],
    ['two', 'a'],
    ['one', 'z'],
    ['two', 'k'],
    ['one', 'b'],
  ]) {
    own.clock.advance(5);
    await own.api.post(instances, { org_id, orchestrator_id, name: 'I' });
  }

  const first = { page: 1, page_size: 20, total_pages: 1, has_next: false, has_prev: false };
  t.deepEqual(await page(''), { ids: ['b', 'k', 'z', 'a', 'm'], total_items: 5, ...first });
  t.deepEqual(await page('?page=2&page_size=2'), {
    ids: ['z', 'a'],
    page: 2,
    page_size: 2,
    total_items: 5,
    total_pages: 3,
    has_next: true,
    has_prev: true,
  });
  t.deepEqual(await page('?page=9&page_size=100'), {
    ids: [],
    page: 9,
    page_size: 100,
    total_items: 5,
    total_pages: 1,
    has_next: false,
    has_prev: true,
  });
  t.deepEqual(await page('?organization_id=two'), { ids: ['k', 'a'], total_items: 2, ...first });
  t.deepEqual((await page('?organization_id=one&page_size=2')).total_pages, 2);
  const none = { ids: [], total_items: 0, ...first, total_pages: 0 };
  t.deepEqual(await page('?organization_id=three'), none);

  await own.replica(0).connect('a', { organization_id: 'two' });
  await own.replica(0).connect('z', { organization_id: 'one' });
  await own.api.put(`${internal}/z/independence`, { is_independent: true });
  t.deepEqual(await page('?status=active'), { ids: ['a'], total_items: 1, ...first });
  t.deepEqual(await page('?status=independent'), { ids: ['z'], total_items: 1, ...first });
  t.deepEqual(await page('?status=inactive'), { ids: ['b', 'k', 'm'], total_items: 3, ...first });
  t.deepEqual(await page('?status=inactive&organization_id=two'), { ids: ['k'], total_items: 1, ...first });
  t.deepEqual(await page('?status=active&organization_id=one'), none);
});

test('every fault of a list’s query is reported at once', async (t) => {
  const query = 'page=0&page_size=101&organization_id=a%20b&status=connected';
  errorOf(t, await world.api.get(`${orchestrators}?${query}`), 400, 'invalid_request', [
    'query.page',
    'query.page_size',
    'query.organization_id',
    'query.status',
  ]);
});
