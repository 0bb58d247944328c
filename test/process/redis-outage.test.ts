// Redis goes away, comes back empty, loses its data, changes its run id: nobody reconnects, nobody is marked offline.
import { setTimeout as pause } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { createKeys } from '../../src/redis/keys.ts';
import type { Answer } from '../support/api.ts';
import { type BeatingFleet, type FleetReport, startFleet } from '../support/beating-fleet.ts';
import { type Cluster, openCluster } from '../support/cluster.ts';
import { until } from '../support/until.ts';

const count = 40;
const outageMs = 20_000;
const betweenLooksMs = 100;
const wholeWithinMs = 10_000;
const live = '/api/v1/controller/orchestrators/live';
const stack = new AsyncDisposableStack();
let cluster: Cluster;
let fleet: BeatingFleet;
let atFirst: FleetReport;
/** Looks at the rows from the first to the last moment of this file, and what they found wrong. */
const watch = { ends: false, looks: 0, wrong: new Set<string>(), done: Promise.resolve() };

test.before(async (t) => {
  t.timeout(120_000);
  cluster = stack.use(await openCluster({ replicas: 2 }));
  fleet = stack.use(
    await startFleet({
      urls: cluster.replicas.map(({ url }) => url),
      count,
      prefix: 'org-',
      organizations: 10,
      everyMs: 1_000,
    }),
  );
  await until('the first heartbeats', async () => (await fleet.report()).acknowledged > count);
  atFirst = await fleet.report();
  watch.done = look();
});
test.after.always(async () => {
  watch.ends = true;
  await watch.done;
  await stack.disposeAsync();
});

async function look(): Promise<void> {
  while (!watch.ends) {
    const rows = await cluster.sql(
      `SELECT orchestrator_id, i.status, health_status, o.status AS organization FROM orchestrator_instances i
       JOIN organizations o USING (organization_id)
       WHERE i.status <> 'active' OR o.status <> 'active' OR health_status <> 'healthy'`,
    );
    for (const row of rows) watch.wrong.add(JSON.stringify(row));
    watch.looks += 1;
    await pause(betweenLooksMs);
  }
}

const send = (api: Cluster['replicas'][number]['api'], id: string) =>
  api.post(`/api/v1/internal/orchestrators/${id}/send`, { type: 'hello', ack: true, timeout_ms: 5_000 });

async function timed(call: Promise<Answer>): Promise<Answer & { ms: number }> {
  const startedAt = performance.now();
  const answer = await call;
  return { ...answer, ms: performance.now() - startedAt };
}

/** The slowest heartbeat's time, as Postgres has it, ms. */
async function oldestLastSeen(): Promise<number> {
  const [row] = await cluster.sql(
    'SELECT extract(epoch FROM min(last_seen))::float8 * 1000 AS ms FROM orchestrator_instances',
  );
  return Number(row?.ms);
}

/** All are present again in time, each on the connection that it had, and messages reach them through each replica. */
async function isWhole(t: ExecutionContext, since: number): Promise<void> {
  for (const { api } of cluster.replicas) {
    const left = wholeWithinMs - (performance.now() - since);
    await until(
      'everybody to be live',
      async () => (await api.get(live)).body?.data?.total_count === count,
      left,
    );
  }
  t.log(`whole again after ${Math.round(performance.now() - since)} ms`);
  for (const { api } of cluster.replicas) {
    const left = wholeWithinMs - (performance.now() - since);
    await until('readiness', async () => (await api.get('/health/ready')).status === 200, left);
    for (const id of ['org-0', 'org-1']) {
      const sent = await send(api, id);
      t.is(sent.status, 200, JSON.stringify(sent.body));
      t.is(sent.body.ack, 'hello');
    }
  }
  const report = await fleet.report();
  t.is(report.lost, 0);
  t.is(report.connected, count);
  t.deepEqual(report.errors, {});
  const epochs = ({ orchestrators }: FleetReport) => orchestrators.map(([id, epoch]) => [id, epoch]);
  t.deepEqual(epochs(report), epochs(atFirst));
  const rows = await cluster.sql('SELECT orchestrator_id, connection_epoch FROM orchestrator_instances');
  t.deepEqual(
    Object.fromEntries(rows.map((row) => [row.orchestrator_id, Number(row.connection_epoch)])),
    Object.fromEntries(epochs(atFirst)),
  );
  t.deepEqual([...watch.wrong], []);
}

test.serial('while Redis is away what needs it is 503 at once, and heartbeats go on', async (t) => {
  t.timeout(120_000);
  await cluster.redis.kill();
  const awayAt = performance.now();
  const awaySince = Date.now();
  while (performance.now() - awayAt < outageMs)
    await Promise.all(
      cluster.replicas.map(async ({ api, hasEnded }) => {
        t.false(hasEnded);
        t.is((await api.get('/health/live')).status, 200);
        const ready = await timed(api.get('/health/ready'));
        t.is(ready.status, 503);
        t.true(ready.body.faults.includes('Redis does not answer'), JSON.stringify(ready.body));
        const organizations = await timed(api.get('/api/v1/controller/organizations'));
        t.is(organizations.status, 200);
        t.true(organizations.ms < 2_000);
        const calls = [api.get(live), api.get('/api/v1/internal/logs'), send(api, 'org-0')];
        for (const answer of await Promise.all(calls.map(timed))) {
          t.is(answer.status, 503, JSON.stringify(answer.body));
          t.regex(answer.headers.get('retry-after') ?? 'none', /^\d+$/);
          t.true(answer.ms < 2_000, `${answer.ms} ms`);
        }
        const { oldestWaitingMs } = await fleet.report();
        t.true(oldestWaitingMs < 2_000, `a heartbeat has waited for ${oldestWaitingMs} ms`);
        await pause(betweenLooksMs);
      }),
    );
  t.true((await oldestLastSeen()) > awaySince + outageMs - 4_000);
  const backAt = performance.now();
  await cluster.redis.start();
  await isWhole(t, backAt);
});

test.serial('a Redis that comes back empty is filled by the replicas', async (t) => {
  t.timeout(60_000);
  await cluster.redis.kill();
  const backAt = performance.now();
  await cluster.redis.start({ empty: true });
  await isWhole(t, backAt);
});

test.serial('a Redis that loses everything while it answers is filled by the replicas', async (t) => {
  t.timeout(60_000);
  const lostAt = performance.now();
  await cluster.commands.flushall();
  await isWhole(t, lostAt);
});

test.serial('a Redis that goes on as another process with the same data is used at once', async (t) => {
  t.timeout(60_000);
  const runId = async () => /run_id:(\w+)/.exec(await cluster.commands.info('server'))?.[1];
  const before = await runId();
  await cluster.redis.kill();
  const backAt = performance.now();
  await cluster.redis.start();
  t.not(await runId(), before);
  await isWhole(t, backAt);
});

test.serial('nor does any later sweep mark anybody offline', async (t) => {
  t.timeout(60_000);
  const { queues } = createKeys('moolai');
  // Behind a gap it believes that a replica is dead only once it has held its own lease for this long.
  const from = Date.now() + 15_000;
  await until('a sweep that acts', async () => {
    const [, finishedAt] = await cluster.commands.zrevrange(`${queues}:sweep:completed`, 0, 0, 'WITHSCORES');
    return Number(finishedAt) > from;
  });
  t.true(watch.looks > 100);
  t.deepEqual([...watch.wrong], []);
  t.is((await fleet.report()).lost, 0);
});
