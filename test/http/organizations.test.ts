// Organizations, as the dashboard lists, reads and creates them.
import test from 'ava';
import { dataOf, errorOf, isoTime, linesOf } from '../support/answers.ts';
import { until } from '../support/until.ts';
import { openWorld, type World } from '../support/world.ts';

const organizations = '/api/v1/controller/organizations';
let world: World;
test.before(async () => {
  world = await openWorld();
});
test.after.always(() => world.close());

test('a created organization comes back whole, with 201 and one log line', async (t) => {
  const answer = await world.api.post(organizations, {
    org_id: 'org-whole',
    name: 'Müller & Söhne 🙂',
    location: 'Zürich',
    features: { beta: true, limits: [1, 2.5, null] },
    settings: { retention_days: 30 },
    metadata: { owner: { team: 'a' } },
  });

  const organization = dataOf(t, answer, 201);
  t.is(answer.body.message, 'Organization org-whole created successfully');
  const { created_at, updated_at, ...rest } = organization;
  t.regex(created_at, isoTime);
  t.is(updated_at, created_at);
  t.deepEqual(rest, {
    organization_id: 'org-whole',
    name: 'Müller & Söhne 🙂',
    location: 'Zürich',
    status: 'inactive',
    is_active: false,
    is_independent: false,
    last_seen: null,
    features: { beta: true, limits: [1, 2.5, null] },
    settings: { retention_days: 30 },
    metadata: { owner: { team: 'a' } },
  });
  t.deepEqual(dataOf(t, await world.api.get(`${organizations}/org-whole`)), organization);
  t.deepEqual(await linesOf(world.api, { q: 'Organization org-whole ' }), [
    'INFO organization_created Organization org-whole created successfully',
  ]);
});

test('what is left out or null gets its default', async (t) => {
  const bare = dataOf(t, await world.api.post(organizations, { org_id: 'org-bare', name: 'Bare' }), 201);
  const nulls = dataOf(
    t,
    await world.api.post(organizations, {
      org_id: 'org-nulls',
      name: 'Nulls',
      location: null,
      features: null,
      settings: null,
      metadata: null,
    }),
    201,
  );

  for (const { location, features, settings, metadata } of [bare, nulls])
    t.deepEqual(
      { location, features, settings, metadata },
      { location: 'unknown', features: {}, settings: {}, metadata: {} },
    );
});

test('features may be a list', async (t) => {
  const body = { org_id: 'org-features', name: 'F', features: ['chat', 'search'] };
  t.deepEqual(dataOf(t, await world.api.post(organizations, body), 201).features, ['chat', 'search']);
  t.deepEqual(dataOf(t, await world.api.get(`${organizations}/org-features`)).features, ['chat', 'search']);
});

test('a second organization of the same id is a 409 and changes nothing', async (t) => {
  const first = dataOf(t, await world.api.post(organizations, { org_id: 'org-twice', name: 'First' }), 201);
  errorOf(
    t,
    await world.api.post(organizations, { org_id: 'org-twice', name: 'Second' }),
    409,
    'already_exists',
  );
  t.deepEqual(dataOf(t, await world.api.get(`${organizations}/org-twice`)), first);
});

test('of many creations of one id at once exactly one succeeds', async (t) => {
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, at) =>
      world.api.post(organizations, { org_id: 'org-race', name: `n${at}` }),
    ),
  );

  const created = answers.filter((answer) => answer.status === 201);
  t.is(created.length, 1);
  for (const answer of answers) if (answer.status !== 201) errorOf(t, answer, 409, 'already_exists');
  t.deepEqual(dataOf(t, await world.api.get(`${organizations}/org-race`)), created[0]?.body.data);
  t.is((await linesOf(world.api, { q: 'Organization org-race ' })).length, 1);
});

test('every fault of a new organization is reported at once, and nothing is written', async (t) => {
  const answer = await world.api.post(organizations, {
    org_id: '-bad',
    name: '',
    location: 7,
    features: 'all',
    settings: ['no'],
    metadata: 3,
  });

  errorOf(t, answer, 400, 'invalid_request', [
    'body.org_id',
    'body.name',
    'body.location',
    'body.features',
    'body.settings',
    'body.metadata',
  ]);
  t.deepEqual(await world.sql("SELECT 1 FROM organizations WHERE organization_id = '-bad'"), []);
});

test('an id has 1 to 255 of its characters, the first a letter or digit', async (t) => {
  const longest = `A${'z'.repeat(250)}.-_9`;
  dataOf(t, await world.api.post(organizations, { org_id: longest, name: 'Long' }), 201);
  t.is(dataOf(t, await world.api.get(`${organizations}/${longest}`)).organization_id, longest);
  for (const org_id of ['', '_a', '.a', 'a b', 'a/b', 'ä', 'a\n', 'a\u0000', `${longest}x`, 5, null, ['a']])
    errorOf(t, await world.api.post(organizations, { org_id, name: 'Bad' }), 400, 'invalid_request', [
      'body.org_id',
    ]);
});

test('an unknown organization is a 404, a malformed id a 400', async (t) => {
  errorOf(t, await world.api.get(`${organizations}/nobody`), 404, 'not_found');
  errorOf(t, await world.api.get(`${organizations}/_nobody`), 400, 'invalid_request', ['params.id']);
});

test('an organization is active while an orchestrator of it is connected', async (t) => {
  dataOf(t, await world.api.post(organizations, { org_id: 'org-active', name: 'Active' }), 201);
  const orchestrator = await world.replica(0).connect('org-active-1', { organization_id: 'org-active' });

  const active = dataOf(t, await world.api.get(`${organizations}/org-active`));
  t.is(active.name, 'Active');
  t.is(active.status, 'active');
  t.is(active.is_active, true);
  t.regex(active.last_seen, isoTime);

  orchestrator.close();
  const after = await until('the organization to be inactive', async () => {
    const { body } = await world.api.get(`${organizations}/org-active`);
    return body.data.status === 'inactive' && body.data;
  });
  t.is(after.is_active, false);
  t.is(after.last_seen, active.last_seen);
});

test('organizations come in pages, newest first', async (t) => {
  await using stack = new AsyncDisposableStack();
  const own = stack.adopt(await openWorld(), (it) => it.close());
  const page = async (query: string) => {
    const { items, ...rest } = dataOf(t, await own.api.get(organizations + query));
    return { ids: items.map((item: { organization_id: string }) => item.organization_id), ...rest };
  };
  t.deepEqual(await page(''), {
    ids: [],
    page: 1,
    page_size: 20,
    total_items: 0,
    total_pages: 0,
    has_next: false,
    has_prev: false,
  });

  // Not in the order of their ids, so that only time can have sorted them.
  const ids = ['m', 'a', 'z', 'k', 'b'];
  for (const id of ids) {
    own.clock.advance(5);
    await own.api.post(organizations, { org_id: id, name: id });
  }

  const shared = { total_items: 5, total_pages: 3, page_size: 2 };
  t.deepEqual(await page('?page_size=2'), {
    ids: ['b', 'k'],
    page: 1,
    has_next: true,
    has_prev: false,
    ...shared,
  });
  t.deepEqual(await page('?page=2&page_size=2'), {
    ids: ['z', 'a'],
    page: 2,
    has_next: true,
    has_prev: true,
    ...shared,
  });
  t.deepEqual(await page('?page=3&page_size=2'), {
    ids: ['m'],
    page: 3,
    has_next: false,
    has_prev: true,
    ...shared,
  });
  t.deepEqual(await page('?page=4&page_size=2'), {
    ids: [],
    page: 4,
    has_next: false,
    has_prev: true,
    ...shared,
  });
  const whole = { ids: [...ids].reverse(), page: 1, total_items: 5, has_next: false, has_prev: false };
  t.deepEqual(await page('?page_size=5'), { ...whole, page_size: 5, total_pages: 1 });
  t.deepEqual(await page('?page_size=100'), { ...whole, page_size: 100, total_pages: 1 });
  t.deepEqual(await page(''), { ...whole, page_size: 20, total_pages: 1 });
  t.deepEqual((await page('?page=1000000000&page_size=100')).ids, []);
});

test('a page outside its bounds is a 400 naming both faults', async (t) => {
  for (const bad of ['0', '-1', '1.5', '1e3', '', 'x', '0x10', '%00', '9'.repeat(400), '9007199254740993'])
    errorOf(t, await world.api.get(`${organizations}?page=${bad}&page_size=${bad}`), 400, 'invalid_request', [
      'query.page',
      'query.page_size',
    ]);
  errorOf(t, await world.api.get(`${organizations}?page_size=101`), 400, 'invalid_request', [
    'query.page_size',
  ]);
});
