// A replica that stood still for longer than its lease, with the settings as they are shipped: it comes back believing
// that it owns its sockets, and must own none that moved meanwhile.
import test from 'ava';
import { openCluster } from '../support/cluster.ts';
import { type Contender, contend } from '../support/contender.ts';
import type { ReplicaProcess } from '../support/replica-process.ts';
import { findDisagreements, liveOn, untilAtRest } from '../support/standing.ts';
import { until } from '../support/until.ts';

const pauseMs = 30_000;
const names = (what: string, count: number) => Array.from({ length: count }, (_, nth) => `${what}-${nth}`);

test('after a replica stood still for 30 s each orchestrator has one connection, the newest', async (t) => {
  t.timeout(120_000);
  await using cluster = await openCluster({ replicas: 2 });
  const [paused, other] = cluster.replicas;
  if (paused === undefined || other === undefined) throw new Error('there are no two replicas');
  const independent = [...names('free-moves', 5), ...names('free-stays', 5)];
  const moving = [...names('moves', 40), ...names('free-moves', 5)];
  const staying = [...names('stays', 40), ...names('free-stays', 5)];
  const old = [...moving, ...staying].map((id) => contend(paused.url, id));
  await untilWelcome(old);
  for (const id of independent) {
    const path = `/api/v1/internal/orchestrators/${id}/independence`;
    t.is((await other.api.put(path, { is_independent: true })).status, 200);
  }
  await untilAtRest(cluster, old);

  const pausedAt = performance.now();
  paused.pause();
  // In the queue of the paused replica: one whose orchestrator comes back elsewhere in time, and one whose does not.
  const caught = send(other, 'moves-0', { timeout_ms: 20_000 });
  const lost = send(other, 'stays-0', { timeout_ms: 5_000 });
  for (const each of old) each.beat();
  const moved = moving.map((id) => contend(other.url, id));
  await untilWelcome(moved);
  t.is((await caught).status, 200);
  t.is((await lost).status, 504);
  t.is((await send(other, 'moves-1')).status, 200);
  await until('the paused replica to count as dead', async () =>
    Object.values(await liveOn(other)).every((each) => each.node_id === other.nodeId),
  );
  t.is((await send(other, 'stays-1')).status, 409);
  await until('rows of those who stayed to be inactive', async () => {
    const [row] = await cluster.sql(
      "SELECT count(*) AS count FROM orchestrator_instances WHERE status = 'active'",
    );
    return Number(row?.count) === moved.length;
  });
  await until('the pause to have lasted', () => performance.now() - pausedAt >= pauseMs, pauseMs + 5_000);
  paused.resume();

  await untilAtRest(cluster, [...old, ...moved], 20_000);
  for (const each of old.slice(0, moving.length))
    t.true(each.isOver, `${each.orchestratorId} is still there`);
  t.deepEqual(
    old.slice(moving.length).filter((each) => !each.isConnected),
    [],
    'whoever stayed keeps the connection',
  );
  // Through either replica to all of them: what a socket that does not count any more receives, it was wrongly sent.
  for (const via of [paused, other]) {
    const answers = await Promise.all([...moving, ...staying].map((id) => send(via, id)));
    t.deepEqual(
      answers.filter((answer) => answer.status !== 200),
      [],
    );
  }
  for (const each of old.slice(0, moving.length)) t.is(each.frames.length, 0, each.orchestratorId);
  const received = (each: Contender) => each.frames.length;
  t.deepEqual(
    moved.map(received),
    moving.map((id) => (id === 'moves-0' || id === 'moves-1' ? 3 : 2)),
  );
  t.true(old.slice(moving.length).every((each) => received(each) === 2));
  for (const each of [...old, ...moved]) each.beat();
  await Promise.all(cluster.replicas.map(({ api }) => api.get('/health/ready')));
  t.deepEqual(await findDisagreements(cluster, [...old, ...moved]), []);
  for (const each of [...old, ...moved]) each.close();
});

function untilWelcome(contenders: readonly Contender[]): Promise<boolean> {
  return until('every handshake to be answered', () => contenders.every((each) => each.isConnected));
}

function send(via: ReplicaProcess, orchestratorId: string, body: { timeout_ms?: number } = {}) {
  return via.api.post(`/api/v1/internal/orchestrators/${orchestratorId}/send`, { type: 'note', ...body });
}
