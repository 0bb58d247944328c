// A replica of three that is killed under load, with the settings as they are shipped: within 20 s nobody is told that
// it has anybody, and what stood in its queue has gone to those who came back, or ended.
import test from 'ava';
import { type Cluster, openCluster } from '../support/cluster.ts';
import { type Contender, contend } from '../support/contender.ts';
import type { ReplicaProcess } from '../support/replica-process.ts';
import {
  findDisagreements,
  findLost,
  findRemains,
  liveOn,
  living,
  untilAtRest,
} from '../support/standing.ts';
import { until } from '../support/until.ts';

const orchestrators = 1_000;
/** Handshakes under way at once: the test shares its cores with the replicas. */
const atOnce = 50;
const beatEveryMs = 2_000;
const recoveredMs = 20_000;
const sendTimeoutMs = 18_000;
/** How much later than at its deadline a frame may be read here, which is busy with a thousand others. */
const lateMs = 500;

test('within 20 s of a kill nobody is on the dead replica, and its frames are with those who came back', async (t) => {
  t.timeout(120_000);
  await using cluster = await openCluster({
    replicas: 3,
    config: { socket: { heartbeatIntervalMs: beatEveryMs } },
  });
  const [doomed, ...others] = cluster.replicas;
  if (doomed === undefined) throw new Error('there is no replica');
  const names = Array.from({ length: orchestrators }, (_, nth) => `of-${nth}`);
  const first = await arrive(names, cluster.replicas);
  const all = [...first];
  const pulse = beat(all);
  t.teardown(() => clearInterval(pulse));
  await until('each to have beaten', () => first.every((each) => each.processed.length > 0));

  const its = first.filter((each) => each.welcome?.nodeId === doomed.nodeId);
  const itsIds = its.map((each) => each.orchestratorId);
  const back = itsIds.filter((_, nth) => nth % 2 === 0);
  const returned = new Set(back);
  const elsewhere = names.filter((id) => !itsIds.includes(id)).slice(0, 100);
  // Held still before it dies, so that all of these stand in its queue: none was sent out before.
  doomed.pause();
  const sends = [...itsIds, ...elsewhere].map((id, nth) => send(at(others, nth), id));
  await until('its queue to be full', async () => (await queuedFor(cluster, doomed)).size === itsIds.length);
  const killedAt = performance.now();
  await doomed.kill();
  sends.push(...[...itsIds.slice(0, 40), ...elsewhere].map((id, nth) => send(at(others, nth), id)));
  all.push(...(await arrive(back, others)));

  await untilAtRest(cluster, all, recoveredMs - (performance.now() - killedAt));
  t.log(
    `of ${all.length} connections ${its.length} died; at rest ${Math.round(performance.now() - killedAt)} ms later`,
  );
  for (const replica of living(cluster))
    t.false(Object.values(await liveOn(replica)).some((each) => each.node_id === doomed.nodeId));

  await Promise.all(sends.map((sent) => sent.answer));
  const received = Map.groupBy(
    all.flatMap((each) => each.frames.map((frame) => ({ ...frame, id: each.orchestratorId }))),
    (frame) => frame.id,
  );
  const wrong: string[] = [];
  for (const { id, answer } of sends) {
    const { status, body } = await answer;
    const frames = received.get(id) ?? [];
    const stayedAway = itsIds.includes(id) && !returned.has(id);
    if (!(stayedAway ? [504, 409] : [200]).includes(status))
      wrong.push(`${id}, ${stayedAway ? 'away' : 'there'}: ${status} ${JSON.stringify(body)}`);
    if (status === 200 && !frames.some((frame) => frame.messageId === body.message_id))
      wrong.push(`${id} did not receive what was answered 200`);
    for (const frame of frames)
      if (frame.at > frame.acceptedAt + sendTimeoutMs + lateMs) wrong.push(`${id} received a frame late`);
  }
  t.deepEqual(wrong, []);
  // Those who came back have beaten meanwhile, and no late word about the dead replica undid them.
  t.deepEqual(await findDisagreements(cluster, all), []);
  t.deepEqual(await findRemains(cluster), []);
  t.deepEqual(await findLost(cluster, all), []);
  for (const each of all) each.close();
});

function at(replicas: readonly ReplicaProcess[], nth: number): ReplicaProcess {
  const found = replicas[nth % replicas.length];
  if (found === undefined) throw new RangeError('there is no replica');
  return found;
}

/** Connects all of them, spread over the replicas. */
async function arrive(ids: readonly string[], replicas: readonly ReplicaProcess[]): Promise<Contender[]> {
  const all: Contender[] = [];
  for (let from = 0; from < ids.length; from += atOnce) {
    const some = ids.slice(from, from + atOnce).map((id, nth) => contend(at(replicas, nth).url, id));
    all.push(...some);
    await until('handshakes to be answered', () => some.every((each) => each.isConnected));
  }
  return all;
}

/** Each beats at its interval, those there are at the time, spread over it. */
function beat(all: readonly Contender[]): NodeJS.Timeout {
  const parts = 20;
  let tick = 0;
  return setInterval(() => {
    tick += 1;
    for (let nth = tick % parts; nth < all.length; nth += parts) all[nth]?.beat();
  }, beatEveryMs / parts);
}

function send(via: ReplicaProcess, id: string) {
  const path = `/api/v1/internal/orchestrators/${id}/send`;
  return { id, answer: via.api.post(path, { type: 'note', timeout_ms: sendTimeoutMs }) };
}

/** For whom a frame is there, once or again: a job holds some, and one that nobody answers for comes twice. */
async function queuedFor({ commands }: Cluster, { nodeId }: ReplicaProcess): Promise<Set<string>> {
  const queue = `{moolai}:queues:outbound.${nodeId}`;
  const jobs = await commands.lrange(`${queue}:wait`, 0, -1);
  const data = await Promise.all(jobs.map((id) => commands.hget(`${queue}:${id}`, 'data')));
  const frames: { orchestrator_id: string }[] = data.flatMap((json) => JSON.parse(json ?? '[]'));
  return new Set(frames.map((frame) => frame.orchestrator_id));
}
