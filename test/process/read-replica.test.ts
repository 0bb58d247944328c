// Lists that come from a streaming standby, while all that decides anything comes from the primary.
import { MikroORM } from '@mikro-orm/postgresql';
import test from 'ava';
import { createApi } from '../support/api.ts';
import { type Cluster, openCluster } from '../support/cluster.ts';
import { openGuard } from '../support/guarded.ts';
import type { OwnStore } from '../support/own-stores.ts';
import type { ReplicaProcess } from '../support/replica-process.ts';
import { openStandby } from '../support/standby.ts';
import { newSecretKey, tokenOf } from '../support/tokens.ts';
import { until } from '../support/until.ts';

const organizations = '/api/v1/controller/organizations';
const orchestrators = '/api/v1/controller/orchestrators';
const messages = '/api/v1/internal/messages';
const stack = new AsyncDisposableStack();
const key = newSecretKey('test');
let cluster: Cluster;
let standby: OwnStore;
let replica: ReplicaProcess;
let api: ReplicaProcess['api'];
let confined: ReplicaProcess['api'];
/** What each replica here is started with. */
let env: NodeJS.ProcessEnv;

test.before(async (t) => {
  t.timeout(120_000);
  cluster = stack.use(await openCluster({ replicas: 0 }));
  const guard = stack.adopt(openGuard(), (it) => it.close());
  standby = await openStandby({ folder: cluster.folder, guard, primaryUrl: cluster.postgres.url });
  env = { DATABASE_READ_URL: standby.url, AUTH_KEYS: JSON.stringify({ keys: [key] }) };
  replica = await cluster.startReplica({ env });
  api = createApi(replica.url, await tokenOf(key, 'admin'));
  confined = createApi(replica.url, await tokenOf(key, 'admin', { organizations: ['org-a'] }));
});
test.after.always(() => stack.disposeAsync());

async function onStandby(statement: string): Promise<void> {
  const orm = await MikroORM.init({
    clientUrl: standby.url,
    entities: [],
    discovery: { warnWhenNoEntities: false },
    ensureDatabase: false,
  });
  try {
    await orm.driver.execute(statement);
  } finally {
    await orm.close(true);
  }
}

const register = (id: string) =>
  api.post('/api/v1/internal/orchestrators/register', { organization_id: id, name: id });
const say = (id: string, content: string) =>
  api.post(`/api/v1/internal/orchestrators/${id}/messages`, { message_type: 'monitoring', content });
const idsOf = ({ body }: { body: { data: { items: { organization_id: string }[] } } }) =>
  body.data.items.map((item) => item.organization_id);
const isListed = (id: string) =>
  until(`${id} in the list`, async () => idsOf(await api.get(organizations)).includes(id));

const isReady = async () => (await replica.api.get('/health/ready')).status === 200;
const toldTimes = (line: RegExp) => replica.output().match(new RegExp(line, 'g'))?.length ?? 0;

test.serial('a list shows what the standby has replayed, a single row what is', async (t) => {
  t.is((await register('org-a')).status, 200);
  t.is((await say('org-a', 'first')).status, 201);
  await isListed('org-a');
  await until('the message', async () => (await api.get(messages)).body.total_count === 1);
  await onStandby('SELECT pg_wal_replay_pause()');

  t.is((await register('org-b')).status, 200);
  const second = await say('org-a', 'second');
  t.deepEqual(idsOf(await api.get(organizations)), ['org-a']);
  t.deepEqual(idsOf(await api.get(orchestrators)), ['org-a']);
  t.is((await api.get(`${organizations}/org-b`)).status, 200);
  t.is((await api.get(`${orchestrators}/org-b`)).status, 200);
  const { body } = await api.get('/api/v1/controller/overview');
  t.deepEqual([body.data.organizations, body.data.instances.total, body.data.pending_messages], [1, 1, 1]);
  for (const each of [api, confined]) {
    const list = await each.get(messages);
    t.deepEqual(
      list.body.messages.map((message: { content: string }) => message.content),
      ['first'],
      JSON.stringify(list.body),
    );
    // Whoever has just been told of a message may go on from it.
    const older = await each.get(`${messages}?before=${second.body.message_id}`);
    t.is(older.status, 200, JSON.stringify(older.body));
    t.is(older.body.messages.length, 1);
  }
  t.is((await api.put(`${messages}/${second.body.message_id}/status`, { status: 'accepted' })).status, 200);

  await onStandby('SELECT pg_wal_replay_resume()');
  await isListed('org-b');
});

test.serial('a standby that is killed harms no call, and is used again when it is back', async (t) => {
  const statuses: number[] = [];
  let isOver = false;
  const calls = Array.from({ length: 4 }, async () => {
    while (!isOver)
      for (const path of [organizations, orchestrators, messages])
        statuses.push((await api.get(path)).status);
  });
  await standby.kill();
  await until('its absence to be told', () =>
    toldTimes(/Postgres for reads \(DATABASE_READ_URL\) is away: /),
  );
  t.true(await isReady());
  const { body } = await replica.api.get('/health');
  t.deepEqual(
    [body.status, body.dependencies.database, body.dependencies.database_reads],
    ['healthy', 'up', 'down'],
  );
  t.is((await register('org-c')).status, 200);
  t.true(idsOf(await api.get(organizations)).includes('org-c'));

  await standby.start();
  await until('its return to be told', () =>
    toldTimes(/Postgres for reads \(DATABASE_READ_URL\) is back, after /),
  );
  await until('many calls to be answered', () => statuses.length > 50);
  isOver = true;
  await Promise.all(calls);
  t.deepEqual([...new Set(statuses)], [200]);
  t.is(toldTimes(/DATABASE_READ_URL\) is away/), 1);
  t.is(toldTimes(/"Postgres is away/), 0);

  await isListed('org-c');
  await onStandby('SELECT pg_wal_replay_pause()');
  t.is((await register('org-d')).status, 200);
  t.false(idsOf(await api.get(organizations)).includes('org-d'));
  await onStandby('SELECT pg_wal_replay_resume()');
  await isListed('org-d');
});

test.serial('a standby that hangs costs the first calls a wait, and nobody after them', async (t) => {
  standby.pause();
  t.true(await isReady());
  const met = await Promise.all(Array.from({ length: 8 }, () => api.get(organizations)));
  t.deepEqual([...new Set(met.map(({ status }) => status))], [200]);
  const startedAt = performance.now();
  t.is((await api.get(organizations)).status, 200);
  t.true(performance.now() - startedAt < 1_000);
  t.true(await isReady());
  standby.resume();
  await until(
    'it to be up',
    async () => (await replica.api.get('/health')).body.dependencies.database_reads === 'up',
  );
});

test.serial('one that has not the schema is not read from, and says so', async (t) => {
  await cluster.sql('CREATE DATABASE empty');
  const url = new URL(cluster.postgres.url);
  url.pathname = '/empty';
  const other = await cluster.startReplica({
    env: {
      ...env,
      DATABASE_READ_URL: url.href,
      // An outage is told once, with what was met first: on a busy machine that might be the end of a time-out.
      NODE_CONFIG: '{"database":{"connectTimeoutMs":20000,"readTimeoutMs":20000}}',
    },
  });
  await until('it to be told', () =>
    /Postgres for reads \(DATABASE_READ_URL\) is away: it has no tables yet/.test(other.output()),
  );
  t.is((await other.api.get('/health/ready')).status, 200);
  const { status, body } = await createApi(other.url, await tokenOf(key, 'viewer')).get(organizations);
  t.is(status, 200);
  t.true(body.data.total_items >= 4, JSON.stringify(body.data));
  await other.stop();
});

test.serial('while the primary is away lists go on, and what is decided does not', async (t) => {
  await cluster.postgres.kill();
  await until('readiness to end', async () => !(await isReady()));
  for (const path of [organizations, orchestrators, messages]) t.is((await api.get(path)).status, 200, path);
  t.is((await api.get(`${organizations}/org-a`)).status, 503);
  t.is((await register('org-e')).status, 503);
  await cluster.postgres.start();
  await until('readiness', isReady);
  t.is((await register('org-e')).status, 200);
});
