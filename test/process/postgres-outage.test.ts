// Postgres goes away under a whole fleet's heartbeats, and its connections are cut: all waits, and nothing is lost.
import { setTimeout as pause } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { type BeatingFleet, type FleetReport, startFleet } from '../support/beating-fleet.ts';
import { type Cluster, openCluster } from '../support/cluster.ts';
import { connectOrchestrator } from '../support/orchestrator.ts';
import { until } from '../support/until.ts';

/** The same holds for 10,000, with half as much again to do for two cores. */
const count = Number(process.env.OUTAGE_ORCHESTRATORS ?? 2_000);
const everyMs = 2_000;
const betweenLooksMs = 250;
const outageMs = 20_000;
/** What one replica may need for what waits: bounded by its orchestrators, however long the outage. */
const growthMiB = 160 + (count / 1_000) * 25;
const organizations = '/api/v1/controller/organizations';
const stack = new AsyncDisposableStack();
let cluster: Cluster;
let fleet: BeatingFleet;
let atFirst: FleetReport;

test.before(async (t) => {
  t.timeout(300_000);
  // One address is the whole fleet here.
  cluster = stack.use(await openCluster({ replicas: 2, config: { limits: { handshakesPerAddress: 0 } } }));
  fleet = stack.use(
    await startFleet({
      urls: cluster.replicas.map(({ url }) => url),
      count,
      prefix: 'org-',
      organizations: 100,
      everyMs,
    }),
  );
  atFirst = await until(
    'the first heartbeats',
    async () => {
      const report = await fleet.report();
      return report.acknowledged > 3 * count && report;
    },
    120_000,
  );
});
test.after.always(() => stack.disposeAsync());

async function memoryMiB(): Promise<number[]> {
  return Promise.all(
    cluster.replicas.map(async ({ api }) => {
      const { body } = await api.get('/metrics');
      return Number(/^process_resident_memory_bytes (\d+)/m.exec(body)?.[1]) / 2 ** 20;
    }),
  );
}

/** The orchestrators whose last acknowledged heartbeat Postgres does not have. */
async function lost({ orchestrators }: FleetReport): Promise<string[]> {
  const rows = await cluster.sql(
    'SELECT orchestrator_id, extract(epoch FROM last_seen)::float8 * 1000 AS ms FROM orchestrator_instances',
  );
  const seen = new Map(rows.map((row) => [row.orchestrator_id, Math.round(Number(row.ms))]));
  return orchestrators.flatMap(([id, , acknowledgedMs]) =>
    (seen.get(id) ?? 0) < acknowledgedMs ? [id] : [],
  );
}

/** Heartbeats go through again, and none that was sent before waits any more. */
const settled = () =>
  until(
    'heartbeats to be acknowledged',
    async () => {
      const report = await fleet.report();
      return report.oldestWaitingMs < everyMs && report;
    },
    60_000,
  );

/** What needs Postgres is 503 at once, on each replica. */
async function readsAreRefused(t: ExecutionContext): Promise<void> {
  await Promise.all(
    cluster.replicas.map(async ({ api }) => {
      t.is((await api.get('/health/live')).status, 200);
      t.is((await api.get('/health/ready')).status, 503);
      const startedAt = performance.now();
      const answer = await api.get(organizations);
      const ms = performance.now() - startedAt;
      t.is(answer.status, 503);
      t.regex(answer.headers.get('retry-after') ?? 'none', /^\d+$/);
      t.true(ms < 2_000, `${ms} ms`);
      await pause(betweenLooksMs);
    }),
  );
}

const areReady = () =>
  Promise.all(
    cluster.replicas.map(({ api }) =>
      until('readiness', async () => (await api.get('/health/ready')).status === 200),
    ),
  );

function nobodyWasHarmed(t: ExecutionContext, report: FleetReport): void {
  t.is(report.lost, 0);
  t.is(report.connected, count);
  for (const code of Object.keys(report.errors))
    t.true(['unavailable', 'too_many_heartbeats'].includes(code), `${code}: ${report.messages.join()}`);
  t.false(report.messages.some((message) => /deadlock/i.test(message)));
  t.deepEqual(
    report.orchestrators.map(([id, epoch]) => [id, epoch]),
    atFirst.orchestrators.map(([id, epoch]) => [id, epoch]),
  );
  t.true(cluster.replicas.every((replica) => !replica.hasEnded));
}

test.serial('heartbeats wait through an outage in bounded memory, and are committed behind it', async (t) => {
  t.timeout(300_000);
  const before = await memoryMiB();
  await cluster.postgres.kill();
  const awayAt = performance.now();
  // What was committed before may still be on its way.
  let acknowledged = -1;
  await until('the last acknowledgement', async () => {
    const last = acknowledged;
    acknowledged = (await fleet.report()).acknowledged;
    return last === acknowledged;
  });
  const early = await Promise.all(cluster.replicas.map(({ url }) => connectOrchestrator(url)));
  for (const [at, { socket }] of early.entries())
    socket.emit('handshake', { type: 'handshake', data: { orchestrator_id: `early-${at}` } });
  while (performance.now() - awayAt < outageMs) await readsAreRefused(t);
  const during = await memoryMiB();
  const { acknowledged: atLast, sent } = await fleet.report();
  t.is(atLast, acknowledged);
  t.true(sent - atLast > count * (outageMs / everyMs - 2));
  t.false(early.some(({ received }) => received.some(({ event }) => event === 'handshake_ack')));
  const endedAt = Date.now();
  await cluster.postgres.start();
  const startedAt = performance.now();
  const report = await settled();
  t.log(
    `${count} orchestrators: all acknowledged ${Math.round(performance.now() - startedAt)} ms behind the outage`,
  );
  const after = await memoryMiB();
  t.log(
    `MiB before ${before.map(Math.round)}, at its end ${during.map(Math.round)}, behind it ${after.map(Math.round)}`,
  );
  t.log(`errors ${JSON.stringify(report.errors)}`);
  t.true(report.acknowledged >= sent);
  t.true(report.orchestrators.every(([, , ms]) => ms > endedAt - everyMs * 2));
  t.deepEqual(await lost(report), []);
  nobodyWasHarmed(t, report);
  for (const [at, mib] of before.entries())
    for (const grown of [during, after]) t.true(Number(grown[at]) - mib < growthMiB);
  const epochs = await Promise.all(early.map(async (each) => (await each.event('handshake_ack')).epoch));
  for (const [at, each] of early.entries()) {
    const [row] = await cluster.sql(
      'SELECT status, connection_epoch FROM orchestrator_instances WHERE orchestrator_id = $1',
      [`early-${at}`],
    );
    t.deepEqual([row?.status, Number(row?.connection_epoch)], ['active', epochs[at]]);
    each.close();
  }
  await areReady();
});

test.serial('a Postgres that hangs is no different', async (t) => {
  t.timeout(120_000);
  cluster.postgres.pause();
  const hungAt = performance.now();
  // Longer than any statement may take.
  while (performance.now() - hungAt < 12_000) await readsAreRefused(t);
  const { sent, acknowledged } = await fleet.report();
  t.true(sent - acknowledged > count * 3);
  cluster.postgres.resume();
  const startedAt = performance.now();
  const report = await settled();
  t.log(`all acknowledged ${Math.round(performance.now() - startedAt)} ms behind it`);
  t.true(report.acknowledged >= sent);
  t.deepEqual(await lost(report), []);
  nobodyWasHarmed(t, report);
  await areReady();
});

test.serial('connections that Postgres cuts under load are made anew, and nobody hears of it', async (t) => {
  t.timeout(120_000);
  for (let round = 1; round <= 5; round += 1) {
    const { sent } = await fleet.report();
    const [cut] = await cluster.sql(
      `SELECT count(pg_terminate_backend(pid))::int AS backends FROM pg_stat_activity
       WHERE application_name = 'moolai-controller'`,
    );
    t.true(Number(cut?.backends) > 0);
    for (const { api } of cluster.replicas) {
      const id = `made-${round}-${api === cluster.replicas[0]?.api ? 'a' : 'b'}`;
      const made = await api.post(organizations, { org_id: id, name: 'x', location: 'y' });
      t.true([201, 503].includes(made.status), JSON.stringify(made.body));
      t.notRegex(JSON.stringify(made.body), /deadlock/i);
    }
    await until('what was sent before to be acknowledged', async () => {
      const report = await fleet.report();
      return report.acknowledged > sent + count && report.oldestWaitingMs < everyMs;
    });
  }
  const report = await settled();
  t.deepEqual(await lost(report), []);
  nobodyWasHarmed(t, report);
  for (const replica of cluster.replicas) t.notRegex(replica.output(), /deadlock/i);
});
