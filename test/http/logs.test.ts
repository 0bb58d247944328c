// The cluster's log, as the administration reads it.
import test from 'ava';
import { countLines, errorOf, fieldsOf, isoTime, linesOf } from '../support/answers.ts';
import { openWorld, type World } from '../support/world.ts';

const logs = '/api/v1/internal/logs';
const orchestrators = '/api/v1/internal/orchestrators';
let world: World;
test.before(async () => {
  world = await openWorld();
});
test.after.always(() => world.close());

const register = (id: string) => world.api.post(`${orchestrators}/register`, { organization_id: id });

interface Line {
  id: string;
  timestamp: string;
  level: string;
  message: string;
  source: string;
  node_id: string;
  event?: string;
  orchestrator_id?: string;
}

test('a line has an id, a time, a level, a message, a source, a node, and what it is about', async (t) => {
  await register('fields');
  await linesOf(world.api, { orchestrator_id: 'fields' });
  const { data, ...rest } = fieldsOf(t, await world.api.get(`${logs}?orchestrator_id=fields&event=register`));
  t.deepEqual(rest, {});
  t.deepEqual(Object.keys(data), ['items', 'total']);
  t.is(data.total, 1);
  const { id, timestamp, ...line } = data.items[0];
  t.true(typeof id === 'string' && id !== '');
  t.regex(timestamp, isoTime);
  t.deepEqual(line, {
    level: 'INFO',
    message: 'DB registration successful for fields',
    source: 'controller',
    node_id: world.replica(0).controller.nodeId,
    event: 'register',
    orchestrator_id: 'fields',
  });
});

test('a line that is about no orchestrator names none', async (t) => {
  await linesOf(world.api, { event: 'start' });
  const { data } = fieldsOf(t, await world.api.get(`${logs}?event=start`));
  t.is(data.total, 1);
  t.false('orchestrator_id' in data.items[0]);
  t.is(
    data.items[0].message,
    `Replica ${world.replica(0).controller.nodeId} listens at ${world.replica(0).controller.url}`,
  );
});

test('lines come newest first, the limit counts from the newest, the total counts all', async (t) => {
  for (let at = 0; at < 5; at += 1) await register('newest');
  await world.api.put(`${orchestrators}/newest/independence`, { is_independent: true });
  await linesOf(world.api, { orchestrator_id: 'newest' }, 7);
  await linesOf(world.api, { orchestrator_id: 'newest', event: 'audit' }, 6);
  const read = async (limit: string): Promise<{ items: Line[]; total: number }> =>
    fieldsOf(t, await world.api.get(`${logs}?orchestrator_id=newest${limit}`)).data;

  const all = await read('');
  // Seven, and what the audit says of six calls.
  t.is(all.total, 13);
  t.is(all.items.length, 13);
  t.regex(all.items[0]?.message ?? '', /independence.set newest \(independent\): done/);
  t.is(all.items[1]?.message, 'Independence setting written to environment files');
  t.is(all.items[12]?.message, 'DB registration successful for newest');
  const times = all.items.map((line) => line.timestamp);
  t.deepEqual(times, [...times].sort().reverse());
  t.is(new Set(all.items.map((line) => line.id)).size, 13);
  t.deepEqual(await read('&limit=3'), { items: all.items.slice(0, 3), total: 13 });
  t.deepEqual(await read('&limit=1000'), all);
});

test('lines can be filtered by text, level, event and orchestrator, and by all at once', async (t) => {
  await register('filter-a');
  await register('filter-b');
  await world.api.post(`${orchestrators}/heartbeat`, { orchestrator_id: 'filter-a' });
  const heard = 'keepalive [C-OCS] Processing heartbeat from orchestrator filter-a';
  const registered = (id: string) => `INFO register DB registration successful for ${id}`;
  const without = (lines: string[]) =>
    lines.map((line) => line.replace(/^(DEBUG|INFO) keepalive/, 'keepalive'));

  await linesOf(world.api, { orchestrator_id: 'filter-a', event: 'keepalive' });
  t.deepEqual(await linesOf(world.api, { q: 'FILTER-', event: 'register' }), [
    registered('filter-a'),
    registered('filter-b'),
  ]);
  t.deepEqual(without(await linesOf(world.api, { orchestrator_id: 'filter-a' })), [
    registered('filter-a'),
    heard,
  ]);
  t.deepEqual(without(await linesOf(world.api, { orchestrator_id: 'filter-a', event: 'keepalive' })), [
    heard,
  ]);
  t.deepEqual(await linesOf(world.api, { q: 'successful for filter-b' }), [registered('filter-b')]);
  t.deepEqual(
    await linesOf(world.api, { orchestrator_id: 'filter-a', level: 'INFO', q: 'db', event: 'register' }),
    [registered('filter-a')],
  );
  t.deepEqual(await linesOf(world.api, { orchestrator_id: 'filter-a', q: 'filter-b' }, 0), []);
  t.deepEqual(await linesOf(world.api, { orchestrator_id: 'filter-a', level: 'CRITICAL' }, 0), []);
  t.deepEqual(await linesOf(world.api, { orchestrator_id: 'nobody' }, 0), []);
  t.deepEqual(await linesOf(world.api, { event: 'no_such_event' }, 0), []);
  t.deepEqual(await linesOf(world.api, { q: '.*' }, 0), [], 'the text is no pattern');
});

test('every level can be asked for, and each line is of the one asked for', async (t) => {
  await register('level');
  await world.api.post(`${orchestrators}/heartbeat`, { orchestrator_id: 'level' });
  await linesOf(world.api, { orchestrator_id: 'level' }, 2);
  for (const level of ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL']) {
    const { data } = fieldsOf(t, await world.api.get(`${logs}?level=${level}&limit=1000`));
    t.true(data.items.every((line: Line) => line.level === level));
    if (level === 'DEBUG' || level === 'INFO') t.true(data.total > 0, level);
  }
});

test('every fault of the query is reported at once', async (t) => {
  const long = 'x'.repeat(1_001);
  const query = `q=${long}&level=info&event=${long}&orchestrator_id=_&limit=0`;
  errorOf(t, await world.api.get(`${logs}?${query}`), 400, 'invalid_request', [
    'query.q',
    'query.level',
    'query.event',
    'query.orchestrator_id',
    'query.limit',
  ]);
  for (const limit of ['1001', '-1', '1.5', ''])
    errorOf(t, await world.api.get(`${logs}?limit=${limit}`), 400, 'invalid_request', ['query.limit']);
});

test('reading writes no line, whatever is read', async (t) => {
  await using stack = new AsyncDisposableStack();
  const own = stack.adopt(await openWorld(), (it) => it.close());
  await own.api.post(`${orchestrators}/register`, { organization_id: 'read' });
  await linesOf(own.api, { event: 'register' });
  const before = await countLines(own.api);

  for (const path of [
    '/api/v1/controller/organizations',
    '/api/v1/controller/organizations/read',
    '/api/v1/controller/organizations/nobody',
    '/api/v1/controller/orchestrators',
    '/api/v1/controller/orchestrators/read',
    '/api/v1/controller/orchestrators/live',
    '/api/v1/controller/orchestrators/live/read',
    '/api/v1/controller/overview',
    '/api/v1/controller/health',
    `${orchestrators}/read/independence`,
    `${orchestrators}/read/messages`,
    '/api/v1/internal/messages',
    '/api/v1/internal/health',
    '/api/v1/internal/nodes',
    logs,
    `${logs}?limit=0`,
    '/health',
    '/metrics',
    '/nowhere',
  ])
    t.true((await own.api.get(path)).status < 500);

  t.is(await countLines(own.api), before);
  await own.api.post(`${orchestrators}/register`, { organization_id: 'read' });
  await linesOf(own.api, { event: 'register' }, 2);
  t.is(await countLines(own.api), before + 1, 'the count sees a call that does write a line');
});

test('the ring keeps the newest lines and no more than its size, and of the audit some more', async (t) => {
  await using stack = new AsyncDisposableStack();
  const own = stack.adopt(
    await openWorld({ settings: { logs: { ringSize: 10, auditSize: 15, ringLevel: 'info' } } }),
    (it) => it.close(),
  );
  for (let at = 0; at < 25; at += 1)
    await own.api.post(`${orchestrators}/register`, { organization_id: `org-${at}` });

  await linesOf(own.api, { q: 'for org-24' });
  await linesOf(own.api, { event: 'audit', q: 'org-24' });
  const { data } = fieldsOf(t, await own.api.get(logs));
  // The newest ten: of five calls, each with its line of the audit; and that of ten more.
  t.is(data.total, 20);
  const ids = (found: Line[]) => found.map((line) => line.orchestrator_id);
  const calls = Array.from({ length: 15 }, (_, at) => `org-${24 - at}`);
  const isAudit = (line: Line) => line.event === 'audit';
  t.deepEqual(ids(data.items.filter((line: Line) => !isAudit(line))), calls.slice(0, 5));
  t.deepEqual(ids(data.items.filter(isAudit)), calls);
  const times = data.items.map((line: Line) => line.timestamp);
  t.deepEqual(times, [...times].sort().reverse());
});

test('by default two hundred lines are shown', async (t) => {
  await using stack = new AsyncDisposableStack();
  const own = stack.adopt(await openWorld(), (it) => it.close());
  for (let batch = 0; batch < 21; batch += 1)
    await Promise.all(
      Array.from({ length: 10 }, async (_, at) =>
        fieldsOf(
          t,
          await own.api.post(`${orchestrators}/register`, { organization_id: `org-${batch}-${at}` }),
        ),
      ),
    );
  await linesOf(own.api, { event: 'register' }, 210);
  const { data } = fieldsOf(t, await own.api.get(`${logs}?event=register`));
  t.is(data.items.length, 200);
  t.is(data.total, 210);
});
