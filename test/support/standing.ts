// Owns what must be true of a cluster at rest: who is connected, as sockets, rows and every replica's `live` tell it,
// and that nothing is left of replicas that have ended.
import type { Cluster } from './cluster.ts';
import type { Contender } from './contender.ts';
import type { ReplicaProcess } from './replica-process.ts';
import { until } from './until.ts';

/** Resolves once the newest connection of each id is its only one, and all tell the same. @throws with what is not so */
export function untilAtRest(
  cluster: Cluster,
  contenders: readonly Contender[],
  withinMs?: number,
): Promise<boolean> {
  return until(
    'the cluster to come to rest',
    async () => {
      const wrong = [...(await findDisagreements(cluster, contenders)), ...(await findRemains(cluster))];
      if (wrong.length > 0) throw new Error(`${wrong.length} faults:\n${wrong.slice(0, 20).join('\n')}`);
      return true;
    },
    withinMs,
  );
}

/** What is not as it must be about who is connected, of all ids for which somebody contends. */
export async function findDisagreements(
  cluster: Cluster,
  contenders: readonly Contender[],
): Promise<string[]> {
  const rivals = Map.groupBy(contenders, (one) => one.orchestratorId);
  const rows = await cluster.sql(
    `SELECT orchestrator_id, status, connection_epoch, node_id FROM orchestrator_instances
     WHERE orchestrator_id = ANY ($1::text[])`,
    [[...rivals.keys()]],
  );
  const rowOf = new Map(rows.map((row) => [row.orchestrator_id, row]));
  const lives = await Promise.all(living(cluster).map(liveOn));
  const wrong: string[] = [];
  for (const [id, all] of rivals) {
    const welcomes = all.flatMap(({ welcome }) => (welcome === undefined ? [] : [welcome.epoch]));
    const connected = all.filter((one) => one.isConnected).flatMap(({ welcome }) => welcome ?? []);
    const [owner] = connected;
    const row = rowOf.get(id);
    if (connected.length > 1)
      wrong.push(`${id} has ${connected.length} connections: ${JSON.stringify(connected)}`);
    if (owner !== undefined && owner.epoch !== Math.max(...welcomes))
      wrong.push(`${id} is connected with epoch ${owner.epoch}, though ${Math.max(...welcomes)} was given`);
    const told = row?.status === 'active' ? `active by ${row.connection_epoch} ${row.node_id}` : 'not active';
    const wanted = owner === undefined ? 'not active' : `active by ${owner.epoch} ${owner.nodeId}`;
    if (told !== wanted) wrong.push(`the row of ${id} is ${told}, and must be ${wanted}`);
    for (const [nth, live] of lives.entries())
      if (live[id]?.node_id !== owner?.nodeId)
        wrong.push(`live on replica ${nth} has ${id} on ${live[id]?.node_id}, and must on ${owner?.nodeId}`);
  }
  return wrong;
}

/** What replicas that have ended left in Redis. */
export async function findRemains(cluster: Cluster): Promise<string[]> {
  const ended = cluster.replicas.filter((replica) => replica.hasEnded);
  const keys = await Promise.all(ended.map(({ nodeId }) => cluster.commands.keys(`*${nodeId}*`)));
  const leases = await cluster.commands.zrange('{moolai}:nodes', 0, '-1');
  const left = leases.filter((node) => ended.some(({ nodeId }) => nodeId === node));
  return [
    ...keys.flat().map((key) => `the key ${key} is of a replica that has ended`),
    ...left.map((node) => `${node} has a lease, and has ended`),
  ];
}

export function living(cluster: Cluster): ReplicaProcess[] {
  return cluster.replicas.filter((replica) => !replica.hasEnded);
}

export async function liveOn(replica: ReplicaProcess): Promise<Record<string, { node_id: string }>> {
  return (await replica.api.get('/api/v1/controller/orchestrators/live')).body.data.orchestrators;
}

/** Heartbeats that were acknowledged as processed and are not in Postgres. */
export async function findLost(
  cluster: Cluster,
  all: readonly Pick<Contender, 'orchestratorId' | 'processed'>[],
): Promise<string[]> {
  const acknowledged = all.filter((each) => each.processed.length > 0);
  const rows = await cluster.sql(
    `SELECT a.orchestrator_id, a.ts, i.last_seen
     FROM unnest($1::text[], $2::timestamptz[]) AS a (orchestrator_id, ts)
     LEFT JOIN orchestrator_instances i USING (orchestrator_id)
     WHERE i.last_seen IS NULL OR i.last_seen < a.ts`,
    [acknowledged.map((each) => each.orchestratorId), acknowledged.map((each) => each.processed.at(-1))],
  );
  return rows.map(
    (row) => `the heartbeat of ${row.orchestrator_id} at ${row.ts}: last seen ${row.last_seen}`,
  );
}
