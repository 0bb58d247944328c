// Two replicas behind a PgBouncer that has fewer connections than they: the same build, and nothing is left in a session.
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { MikroORM } from '@mikro-orm/postgresql';
import test, { type ExecutionContext } from 'ava';
import { startFleet } from '../support/beating-fleet.ts';
import { type Cluster, openCluster } from '../support/cluster.ts';
import { openGuard } from '../support/guarded.ts';
import { connectOrchestrator } from '../support/orchestrator.ts';
import type { OwnStore } from '../support/own-stores.ts';
import { openPgBouncer } from '../support/pgbouncer.ts';
import type { ReplicaProcess } from '../support/replica-process.ts';
import { until } from '../support/until.ts';

const poolSize = 4;
const readTimeoutMs = 2_500;
const statementTimeoutMs = 3_500;
const messages = '/api/v1/internal/messages';
const stack = new AsyncDisposableStack();
let cluster: Cluster;
let pgbouncer: OwnStore;
let migrations: { code: number | null; output: string }[];
let first: ReplicaProcess;
let second: ReplicaProcess;

test.before(async (t) => {
  t.timeout(120_000);
  cluster = stack.use(
    await openCluster({ replicas: 0, config: { database: { readTimeoutMs, statementTimeoutMs } } }),
  );
  const guard = stack.adopt(openGuard(), (it) => it.close());
  pgbouncer = await openPgBouncer({
    folder: cluster.folder,
    guard,
    postgresUrl: cluster.postgres.url,
    poolSize,
  });
  // What was migrated the direct way.
  await cluster.sql('DROP SCHEMA public CASCADE');
  await cluster.sql('CREATE SCHEMA public');
  migrations = await Promise.all([migrate(), migrate(), migrate()]);
  const env = { DATABASE_URL: pgbouncer.url, DATABASE_POOLER: 'transaction', DATABASE_POOL_SIZE: '10' };
  [first, second] = await Promise.all([cluster.startReplica({ env }), cluster.startReplica({ env })]);
});
test.after.always(() => stack.disposeAsync());

async function migrate(): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, ['src/database/migrate-command.ts'], {
    env: { ...process.env, DATABASE_URL: pgbouncer.url },
  });
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [code, out, err] = await Promise.all([closed, text(child.stdout), text(child.stderr)]);
  return { code, output: out + err };
}

const instance = async (id: string) =>
  (await cluster.sql('SELECT * FROM orchestrator_instances WHERE orchestrator_id = $1', [id]))[0];
const statementsOfReplicas = `
  SELECT count(*)::int AS count FROM pg_stat_activity
  WHERE application_name = 'moolai-controller' AND state <> 'idle'`;

test.serial('three migrate at once through it, and one of them does', (t) => {
  t.deepEqual(
    migrations.map(({ code }) => code),
    [0, 0, 0],
    migrations.map(({ output }) => output).join(),
  );
  t.is(migrations.filter(({ output }) => output.includes('applied 2026-11-23-tables')).length, 1);
});

test.serial('handshakes, heartbeats, messages and removals pass through it and are committed', async (t) => {
  const orchestrator = await connectOrchestrator(first.url);
  const { epoch } = await orchestrator.handshake('org-a', { metadata: { name: 'Harbour' } });
  t.is(Number((await instance('org-a'))?.connection_epoch), epoch);

  const { status, ts } = await orchestrator.ask('i_am_alive', {});
  t.is(status, 'processed');
  t.is(Date.parse(String((await instance('org-a'))?.last_seen)), Date.parse(ts));

  orchestrator.socket.on('reload', (_payload: unknown, acknowledge: (answer: unknown) => void) =>
    acknowledge({ received: true }),
  );
  const sent = await second.api.post('/api/v1/internal/orchestrators/org-a/send', {
    type: 'reload',
    data: {},
    ack: true,
  });
  t.is(sent.status, 200, JSON.stringify(sent.body));
  t.deepEqual(sent.body.ack, { received: true });

  // A transaction of several statements.
  const independent = await second.api.put('/api/v1/internal/orchestrators/org-a/independence', {
    is_independent: true,
  });
  t.is(independent.status, 200);
  t.true((await instance('org-a'))?.is_independent);
  t.is((await orchestrator.ask('i_am_alive', {})).status, 'ignored');

  const listed = await second.api.get('/api/v1/controller/organizations');
  t.deepEqual(
    listed.body.data.items.map((each: { organization_id: string }) => each.organization_id),
    ['org-a'],
  );
  const gone = await second.api.delete('/api/v1/internal/orchestrators/org-a/deregister');
  t.is(gone.status, 200, JSON.stringify(gone.body));
  t.is(await instance('org-a'), undefined);
  t.truthy(await orchestrator.closed());
});

test.serial('more calls at once than it has connections are all served', async (t) => {
  const calls = Array.from({ length: 80 }, (_, at) => (at % 2 === 0 ? first : second).api.get(messages));
  t.deepEqual(
    (await Promise.all(calls)).map(({ status }) => status),
    calls.map(() => 200),
  );
  const [row] = await cluster.sql(
    "SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name = 'moolai-controller'",
  );
  t.true(Number(row?.count) <= poolSize, `${row?.count} connections`);
});

test.serial('a statement that nobody waits for any more is ended at the server', async (t) => {
  // In one message, so that it is one connection that holds the lock.
  const held = cluster.sql(
    'BEGIN; LOCK TABLE orchestrator_messages IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60)',
  );
  held.catch(() => undefined);
  const [holder] = await until('the lock', () =>
    cluster.sql("SELECT pid FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted").then(nonEmpty),
  );
  const startedAt = performance.now();
  const { status } = await first.api.get(messages);
  t.is(status, 503);
  t.true(performance.now() - startedAt < readTimeoutMs + 1_000);
  await until(
    'the abandoned statement to end',
    async () => (await cluster.sql(statementsOfReplicas))[0]?.count === 0,
    statementTimeoutMs + 2_000,
  );
  t.log(`gone ${Math.round(performance.now() - startedAt)} ms after it was asked`);
  await cluster.sql('SELECT pg_terminate_backend($1)', [holder?.pid]);
  await t.throwsAsync(held);
  t.is((await first.api.get(messages)).status, 200);
});

test.serial(
  'while it or Postgres is away all is 503 at once, and nothing that was acknowledged is lost',
  async (t) => {
    t.timeout(120_000);
    const everyMs = 500;
    await using fleet = await startFleet({
      urls: [first.url, second.url],
      count: 100,
      prefix: 'beat-',
      organizations: 10,
      everyMs,
    });
    for (const [round, server] of [pgbouncer, cluster.postgres].entries()) {
      await until('heartbeats', async () => (await fleet.report()).acknowledged > (round + 1) * 300);
      await server.kill();
      for (const { api } of [first, second]) await isRefusedAtOnce(t, api);
      const during = await fleet.report();
      await server.start();
      t.deepEqual(await lost(during.orchestrators), []);
      const after = await until('what waited to be acknowledged', async () => {
        const report = await fleet.report();
        return report.acknowledged >= during.sent && report.oldestWaitingMs < everyMs * 2 && report;
      });
      t.deepEqual(await lost(after.orchestrators), []);
      t.is(after.lost, 0);
      for (const { api } of [first, second])
        await until('readiness', async () => (await api.get('/health/ready')).status === 200);
    }
  },
);

test.serial('the sessions that it hands out have nothing of ours', async (t) => {
  const orm = await MikroORM.init({
    clientUrl: pgbouncer.url,
    entities: [],
    discovery: { warnWhenNoEntities: false },
    ensureDatabase: false,
  });
  t.teardown(() => orm.close(true));
  const look = () =>
    orm.driver.execute<Record<string, unknown>[]>(
      `SELECT pg_backend_pid() AS pid, current_setting('statement_timeout') AS statement,
         current_setting('idle_in_transaction_session_timeout') AS idle,
         (SELECT count(*)::int FROM pg_prepared_statements) AS prepared, pg_sleep(0.2)::text AS slept`,
    );
  // At once, and each for a while: each gets another of its connections.
  const found = (await Promise.all(Array.from({ length: poolSize }, look))).flat();
  t.true(new Set(found.map(({ pid }) => pid)).size > 1);
  for (const { statement, idle, prepared } of found) t.deepEqual([statement, idle, prepared], ['0', '0', 0]);
});

test.serial('a replica that is not told of it says so, and does not start', async (t) => {
  const error = await t.throwsAsync(
    cluster.startReplica({
      env: {
        DATABASE_URL: pgbouncer.url,
        DATABASE_POOLER: 'none',
        // A busy machine may take longer than a call may.
        NODE_CONFIG: '{"database":{"connectTimeoutMs":20000}}',
      },
    }),
  );
  t.regex(
    error?.message ?? '',
    /could not start: Postgres at 127\.0\.0\.1:\d+ \(DATABASE_URL\) cannot be used: unsupported startup parameter: statement_timeout: a pooler is in between; say so with DATABASE_POOLER=transaction\n/,
  );
});

async function isRefusedAtOnce(t: ExecutionContext, api: ReplicaProcess['api']): Promise<void> {
  const startedAt = performance.now();
  const answer = await api.get('/api/v1/controller/organizations');
  t.is(answer.status, 503);
  t.regex(answer.headers.get('retry-after') ?? 'none', /^\d+$/);
  t.true(performance.now() - startedAt < readTimeoutMs + 1_500);
  t.is((await api.get('/health/ready')).status, 503);
  t.is((await api.get('/health/live')).status, 200);
}

/** Those whose last acknowledged heartbeat Postgres does not have. */
async function lost(orchestrators: [string, number, number][]): Promise<string[]> {
  const rows = await cluster.sql(
    'SELECT orchestrator_id, extract(epoch FROM last_seen)::float8 * 1000 AS ms FROM orchestrator_instances',
  );
  const seen = new Map(rows.map((row) => [row.orchestrator_id, Math.round(Number(row.ms))]));
  return orchestrators.flatMap(([id, , acknowledgedMs]) =>
    (seen.get(id) ?? 0) < acknowledgedMs ? [id] : [],
  );
}

function nonEmpty<T>(rows: T[]): T[] | undefined {
  return rows.length === 0 ? undefined : rows;
}
