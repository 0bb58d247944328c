// A whole fleet that comes back at once is let in at a pace, and is whole again soon.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { type Cluster, openCluster } from '../support/cluster.ts';
import type { ReplicaProcess } from '../support/replica-process.ts';
import { until } from '../support/until.ts';

/** `STORM_ORCHESTRATORS=10000` is what two free cores are to stand; beside other tests it is fewer. */
const count = Number(process.env.STORM_ORCHESTRATORS ?? 1_500);
const backWithinMs = 60_000;
/** Beside what the machine itself keeps a process waiting, which this one's own delay shows. */
const longestDelayMs = 500;
const command = fileURLToPath(new URL('../../src/local/orchestrator.ts', import.meta.url));

test('a fleet whose replicas were all killed is back within a minute, and no replica stands still for it', async (t) => {
  t.timeout(180_000);
  await using ending = new AsyncDisposableStack();
  // One address is the whole fleet here, and that twice within a minute.
  const config = { limits: { handshakesPerAddress: 0 } };
  const cluster = ending.use(await openCluster({ replicas: 3, config }));
  const ports = cluster.replicas.map((replica) => Number(new URL(replica.url).port));
  for (const [at, { url }] of cluster.replicas.entries()) {
    const share = Math.floor(count / 3) + (at < count % 3 ? 1 : 0);
    const args = [
      '--count',
      String(share),
      '--concurrency',
      String(share),
      '--id',
      `storm-${at}`,
      '--url',
      url,
    ];
    const fleet = spawn(process.execPath, [command, ...args], { stdio: 'ignore' });
    ending.defer(async () => {
      const ended = once(fleet, 'exit');
      fleet.kill('SIGKILL');
      await ended;
    });
  }
  await until(
    'the fleet to be connected',
    async () => (await liveOn(cluster.replicas[0])) === count,
    120_000,
  );

  await Promise.all(cluster.replicas.map((replica) => replica.kill()));
  const killedAt = performance.now();
  const replicas = await Promise.all(ports.map((port) => cluster.startReplica({ port })));
  const control = monitorEventLoopDelay({ resolution: 10 });
  control.enable();
  // What their start took is told, and forgotten.
  for (const replica of replicas) await delayOf(replica);
  const delays = new Map<string, number>();
  await until(
    'the fleet to be back',
    async () => {
      for (const replica of replicas)
        delays.set(replica.nodeId, Math.max(delays.get(replica.nodeId) ?? 0, await delayOf(replica)));
      return (await activeIn(cluster, replicas)) === count;
    },
    backWithinMs,
  );
  const backMs = performance.now() - killedAt;

  const starvedMs = control.max / 1e6;
  const told = [...delays.values()].map((ms) => `${Math.round(ms)} ms`).join(', ');
  t.log(
    `${count} orchestrators back after ${(backMs / 1_000).toFixed(1)} s; longest event-loop delays ${told} (here ${Math.round(starvedMs)} ms)`,
  );
  for (const ms of delays.values()) t.true(ms < longestDelayMs + starvedMs, told);
  for (const replica of replicas) t.true((await gaugeOf(replica, 'process_resident_memory_bytes')) < 400e6);
  t.is(await until('live to be whole', () => liveOn(replicas[0])), count);
});

async function gaugeOf(replica: ReplicaProcess, name: string): Promise<number> {
  const { body } = await replica.api.get('/metrics');
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(String(body))?.[1]);
}

/** The longest since it was asked before. */
const delayOf = async (replica: ReplicaProcess) =>
  (await gaugeOf(replica, 'nodejs_eventloop_lag_max_seconds')) * 1_000;

async function liveOn(replica: ReplicaProcess | undefined): Promise<number | undefined> {
  const answer = await replica?.api.get('/api/v1/controller/orchestrators/live?page_size=1');
  return answer?.body.data?.total_count;
}

async function activeIn(cluster: Cluster, replicas: readonly ReplicaProcess[]): Promise<number> {
  const [row] = await cluster.sql(
    "SELECT count(*)::int FROM orchestrator_instances WHERE status = 'active' AND node_id = ANY ($1::text[])",
    [replicas.map((replica) => replica.nodeId)],
  );
  return Number(row?.count);
}
