// What a replica tells of its stores: true figures while they answer, none while they do not.
import test from 'ava';
import { metric, scrape } from '../support/metrics.ts';
import { openProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import { openWorld, shippedTimeouts } from '../support/world.ts';

const stack = new AsyncDisposableStack();
const redis = stack.adopt(await openProxy(), (it) => it.close());
const database = stack.adopt(await openProxy(), (it) => it.close());
const world = stack.adopt(
  await openWorld({
    replicas: 2,
    reach: { redis: redis.through, database: database.through },
    settings: {
      ...shippedTimeouts(),
      presence: { leaseMs: 2_500, renewEveryMs: 300 },
      logs: { level: 'silent', ringLevel: 'debug', ringSize: 100, auditSize: 10, ringBacklog: 4 },
    },
  }),
  (it) => it.close(),
);
test.after.always(() => stack.disposeAsync());
const [a, b] = [world.replica(0), world.replica(1)];
const ofCluster = ['moolai_cluster_presence_entries', 'moolai_cluster_nodes', 'moolai_queue_frames'];

test.serial('every replica tells the same of the cluster, and of itself its own', async (t) => {
  for (const id of ['one', 'two', 'three']) await a.connect(id);
  await b.connect('four');
  const [atA, atB] = [await scrape(a.api), await scrape(b.api)];

  for (const each of [atA, atB]) {
    t.is(each.value('moolai_cluster_presence_entries'), 4);
    t.is(each.value('moolai_cluster_nodes'), 2);
    t.is(each.value('moolai_queue_frames'), 0);
    t.is(each.value('moolai_redis_figures_up'), 1);
    t.is(each.value('moolai_lease_held'), 1);
    t.is(each.value('moolai_ready'), 1);
    t.is(each.value('moolai_draining'), 0);
    for (const store of ['database', 'redis', 'queue'])
      t.is(each.value(`moolai_store_up{store="${store}"}`), 1);
    t.true((each.value('moolai_lease_renewals_total{outcome="ok"}') ?? 0) >= 1);
    t.true((each.value('moolai_commit_entries_sum{batch="handshakes"}') ?? 0) >= 1);
  }
  t.is(atA.value('moolai_connections'), 3);
  t.is(atB.value('moolai_connections'), 1);
  t.is(atA.value('moolai_handshakes_total{outcome="opened"}'), 3);
  t.is(atA.value('moolai_handshake_duration_seconds_count'), 3);
  await until('lines to be in the ring', async () => metric(a.api, 'moolai_log_lines_written_total'));
});

test.serial(
  'while Postgres is away heartbeats wait, failed batches are counted, and this is told',
  async (t) => {
    const beating = await a.connect('beating');
    const failures = 'moolai_commit_failures_total{batch="heartbeats"}';
    t.is(await metric(a.api, failures), 0);
    database.cut();
    const beat = beating.ask('i_am_alive', {});
    await until('a batch to fail', () => metric(a.api, failures));
    const away = await scrape(a.api);
    t.is(away.value('moolai_commit_waiting{batch="heartbeats"}'), 1);
    t.is(away.value('moolai_store_up{store="database"}'), 0);
    t.is(away.value('moolai_ready'), 0);

    database.mend();
    t.is((await beat).status, 'processed');
    const back = await until('it to be ready', async () => {
      const found = await scrape(a.api);
      return found.value('moolai_ready') === 1 && found;
    });
    t.is(back.value('moolai_commit_waiting{batch="heartbeats"}'), 0);
    t.is(back.value('moolai_commit_entries_sum{batch="heartbeats"}'), 1);
    t.is(back.value('moolai_commit_duration_seconds_count{batch="heartbeats"}'), 1);
  },
);

test.serial('while Redis is away its figures are absent, this is told, and fast', async (t) => {
  redis.cut();
  const away = await until('Redis to be away', async () => {
    const startedAt = performance.now();
    const found = await scrape(a.api);
    // Commands wait for 1.5 s at the most, side by side.
    t.true(performance.now() - startedAt < 5_000);
    return found.value('moolai_redis_figures_up') === 0 && found;
  });
  for (const name of ofCluster) {
    t.true(away.families.has(name));
    t.deepEqual(away.labelsOf(name), [], `${name} is absent`);
    t.is(away.value(name), undefined);
  }
  t.is(away.value('moolai_store_up{store="redis"}'), 0);
  t.is(away.value('moolai_store_up{store="queue"}'), 0);
  t.is(away.value('moolai_store_up{store="database"}'), 1);
  t.is(away.value('moolai_ready'), 0);
  t.is(away.value('moolai_connections'), 4, 'what it knows itself it tells');
  await until('a renewal to fail', () => metric(a.api, 'moolai_lease_renewals_total{outcome="failed"}'));

  // More lines than wait for Redis.
  for (let nth = 0; nth < 20; nth += 1)
    await a.api.post('/api/v1/controller/organizations', { org_id: `o-${nth}`, name: 'O' });
  await until('lines to be dropped', () => metric(a.api, 'moolai_log_lines_dropped_total'));

  redis.mend();
  const back = await until('Redis to be back', async () => {
    const found = await scrape(a.api);
    return found.value('moolai_cluster_presence_entries') === 5 && found;
  });
  t.is(back.value('moolai_redis_figures_up'), 1);
});

test.serial('the lease is not held once it is lost, and a replica that drains says so', async (t) => {
  await b.controller.drain();
  const { value } = await scrape(b.api);
  t.is(value('moolai_draining'), 1);
  t.is(value('moolai_ready'), 0);
  const late = await b.open();
  late.socket.emit('handshake', { data: { orchestrator_id: 'late' } });
  await late.event('reconnect');
  t.is(await metric(b.api, 'moolai_handshakes_total{outcome="draining"}'), 1);
  redis.cut();
  await until('the lease to run out', async () => (await metric(a.api, 'moolai_lease_held')) === 0);
  redis.mend();
  await until('it to be held again', async () => metric(a.api, 'moolai_lease_held'));
});
