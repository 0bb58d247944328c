// The orchestrators connected right now, from Redis alone.
import test from 'ava';
import { createKeys } from '../../src/redis/keys.ts';
import { countLines, dataOf, errorOf, isoTime, linesOf } from '../support/answers.ts';
import type { Answer } from '../support/api.ts';
import { openProxy, type StoreProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import { openWorld, type World } from '../support/world.ts';

const live = '/api/v1/controller/orchestrators/live';
const stack = new AsyncDisposableStack();
let postgres: StoreProxy;
let world: World;
/** What was answered before anybody was connected. */
let atFirst: Answer;
test.before(async () => {
  postgres = stack.adopt(await openProxy(), (it) => it.close());
  // One sweep at the start and then none, so that every byte to Postgres is some call's.
  const options = { reach: { database: postgres.through }, settings: { sweep: { everyMs: 86_400_000 } } };
  world = stack.adopt(await openWorld(options), (it) => it.close());
  const sweeps = `${createKeys(world.settings.redis.prefix).queues}:sweep:completed`;
  await until('the first sweep', async () => (await world.redis.zcard(sweeps)) > 0);

  atFirst = await world.api.get(live);
  const hello = { organization_id: 'org-1', metadata: { name: 'One', version: '1.2', ssl_enabled: true } };
  await world.replica(0).connect('b', hello);
  await world.replica(0).connect('c', { organization_id: 'org-1' });
  await world.replica(0).connect('a');
});
test.after.always(() => stack.disposeAsync());

test.serial('nobody connected is an empty list', (t) => {
  t.deepEqual(dataOf(t, atFirst), { orchestrators: {}, total_count: 0 });
});

test.serial('who is connected is listed by id, with where, since when and what it told', async (t) => {
  const { orchestrators, total_count, ...rest } = dataOf(t, await world.api.get(live));
  t.is(total_count, 3);
  t.deepEqual(rest, {});
  t.deepEqual(Object.keys(orchestrators), ['a', 'b', 'c']);
  const { connected_at, last_seen, ...entry } = orchestrators.b;
  t.regex(connected_at, isoTime);
  t.is(last_seen, connected_at);
  t.deepEqual(entry, {
    organization_id: 'org-1',
    name: 'One',
    status: 'connected',
    node_id: world.replica(0).controller.nodeId,
    metadata: { name: 'One', version: '1.2', ssl_enabled: true },
  });
  t.is(orchestrators.a.organization_id, 'a');
  t.is(orchestrators.a.name, 'Organization a');
});

test.serial(
  'the list can be cut into pages and to one organization; the count is of all that match',
  async (t) => {
    const list = async (query: string) => {
      const { orchestrators, total_count } = dataOf(t, await world.api.get(live + query));
      return [Object.keys(orchestrators), total_count];
    };
    t.deepEqual(await list('?page=1&page_size=2'), [['a', 'b'], 3]);
    t.deepEqual(await list('?page=2&page_size=2'), [['c'], 3]);
    t.deepEqual(await list('?page=3&page_size=2'), [[], 3]);
    t.deepEqual(await list('?page_size=1'), [['a'], 3]);
    t.deepEqual(await list('?page=2'), [[], 3]);
    t.deepEqual(await list('?page=1000000000&page_size=100'), [[], 3]);
    t.deepEqual(await list('?organization_id=org-1'), [['b', 'c'], 2]);
    t.deepEqual(await list('?organization_id=org-1&page=2&page_size=1'), [['c'], 2]);
    t.deepEqual(await list('?organization_id=nobody'), [[], 0]);
    errorOf(
      t,
      await world.api.get(`${live}?page=0&page_size=101&organization_id=_`),
      400,
      'invalid_request',
      ['query.page', 'query.page_size', 'query.organization_id'],
    );
  },
);

test.serial('one of them is as it is in the list', async (t) => {
  const { orchestrators } = dataOf(t, await world.api.get(live));
  t.deepEqual(dataOf(t, await world.api.get(`${live}/b`)), { orchestrator_id: 'b', ...orchestrators.b });
});

test.serial('who is not connected is a 404, known or not; a malformed id is a 400', async (t) => {
  await world.api.post('/api/v1/controller/orchestrator-instances', { org_id: 'placeholder', name: 'P' });
  errorOf(t, await world.api.get(`${live}/placeholder`), 404, 'not_found');
  errorOf(t, await world.api.get(`${live}/nobody`), 404, 'not_found');
  errorOf(t, await world.api.get(`${live}/_nobody`), 400, 'invalid_request', ['params.id']);
});

test.serial('a heartbeat moves last_seen, a disconnect ends the entry', async (t) => {
  const orchestrator = await world.replica(0).connect('beating');
  const before = dataOf(t, await world.api.get(`${live}/beating`));
  world.clock.advance(1_000);
  await orchestrator.ask('i_am_alive', {});
  const after = await until('last_seen to move', async () => {
    const { data } = (await world.api.get(`${live}/beating`)).body;
    return data.last_seen !== before.last_seen && data;
  });
  t.true(Date.parse(after.last_seen) >= Date.parse(before.last_seen) + 1_000);
  t.is(after.connected_at, before.connected_at);

  orchestrator.close();
  await until('the entry to be gone', async () => (await world.api.get(`${live}/beating`)).status === 404);
  t.false('beating' in dataOf(t, await world.api.get(live)).orchestrators);
  // The row follows; the next test counts what goes to Postgres.
  t.is((await linesOf(world.api, { orchestrator_id: 'beating', q: 'Cleaned up connection' })).length, 1);
});

test.serial('live makes no SQL query and writes no log line', async (t) => {
  const linesBefore = await countLines(world.api);
  const atRest = postgres.sentBytes;
  await world.api.get('/api/v1/controller/orchestrators');
  const counted = postgres.sentBytes;
  t.true(counted > atRest, 'the counter sees a call that does query');

  for (let call = 0; call < 20; call += 1) {
    dataOf(t, await world.api.get(live));
    dataOf(t, await world.api.get(`${live}/a`));
    errorOf(t, await world.api.get(`${live}/nobody`), 404, 'not_found');
  }

  t.is(postgres.sentBytes, counted);
  t.is(await countLines(world.api), linesBefore);
});

test.serial('live answers while Postgres is away', async (t) => {
  postgres.cut();
  t.teardown(postgres.mend);
  errorOf(t, await world.api.get('/api/v1/controller/orchestrators/a'), 503, 'unavailable');
  t.is(dataOf(t, await world.api.get(live)).total_count, 3);
  t.is(dataOf(t, await world.api.get(`${live}/a`)).orchestrator_id, 'a');
});
