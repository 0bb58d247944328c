// Owns what must hold at rest: when no fault is left and everyone has had time to come back.
import type { Cluster } from '../support/cluster.ts';
import { until } from '../support/until.ts';
import { findLostBeats } from './beat-record.ts';
import type { Fleet } from './fleet.ts';
import { type Ledger, probe } from './ledger.ts';
import type { ReplicaSet } from './replica-set.ts';

export interface Scene {
  readonly cluster: Cluster;
  readonly replicas: ReplicaSet;
  readonly fleet: Fleet;
  readonly ledger: Ledger;
}

/**
 * Whether everyone is connected to a living replica, and every replica is ready, shows just the fleet, and sends to
 * an orchestrator of every other.
 */
export async function isWhole(scene: Scene): Promise<boolean> {
  const { replicas, fleet } = scene;
  const nodes = new Set(replicas.live.map((each) => each.process.nodeId));
  const allAtHome = fleet.members.every(
    ({ orchestrator, nodeId }) => orchestrator.state === 'connected' && nodes.has(nodeId),
  );
  if (!allAtHome) return false;
  const each = replicas.live.map(async ({ process: { api } }) => {
    const [ready, live] = await Promise.all([
      api.get('/health/ready'),
      api.get('/api/v1/controller/orchestrators/live?page_size=1'),
    ]);
    return ready.status === 200 && live.body.data?.total_count === fleet.members.length;
  });
  return (await Promise.all(each)).every(Boolean) && (await sendEverywhere(scene)).length === 0;
}

/** One frame, to be acknowledged, from each replica to an orchestrator of each: those that did not go through. */
async function sendEverywhere({ replicas, fleet }: Scene): Promise<string[]> {
  const owned = Map.groupBy(fleet.members, (member) => member.nodeId);
  const sent = replicas.live.flatMap(({ process: from }) =>
    replicas.live.map(async ({ process: to }) => {
      const member = owned.get(to.nodeId)?.[0];
      if (member === undefined) return [];
      const path = `/api/v1/internal/orchestrators/${member.id}/send`;
      const call = { type: 'chaos', data: probe, ack: true, timeout_ms: 1_000 };
      const { status } = await from.api.post(path, call);
      return status === 200 ? [] : [`${from.nodeId} to ${member.id} on ${to.nodeId}: ${status}`];
    }),
  );
  return (await Promise.all(sent)).flat();
}

/** Writes down as a breach what does not hold within `withinMs`. */
export async function inspect(scene: Scene, withinMs: number): Promise<void> {
  const checks: [string, (scene: Scene) => Promise<string[]>][] = [
    ['not connected exactly once', countSockets],
    ['live is not the fleet', compareLive],
    ['another connection counts', compareOwners],
    ['row not active', compareRows],
    ['something of a dead replica is left', findRemains],
    ['a send does not go through', sendEverywhere],
    ['queue not empty', findQueued],
  ];
  const deadline = performance.now() + withinMs;
  for (const [kind, check] of checks) {
    let faults: string[] = [];
    try {
      await until(
        kind,
        async () => {
          faults = await check(scene);
          return faults.length === 0;
        },
        Math.max(0, deadline - performance.now()),
      );
    } catch (error) {
      const details = faults.length > 0 ? faults : [String(error)];
      for (const detail of details) scene.ledger.broke(kind, detail);
    }
  }
  for (const fault of await findLostBeats(scene.cluster, scene.ledger.beats))
    scene.ledger.broke('acknowledged heartbeat lost', fault);
}

async function countSockets({ replicas, fleet }: Scene): Promise<string[]> {
  const counts = await Promise.all(
    replicas.live.map(async ({ process: { api } }) => {
      const { body } = await api.get('/metrics');
      return Number(/^moolai_connections (\d+)$/m.exec(String(body))?.[1]);
    }),
  );
  const sum = counts.reduce((total, count) => total + count, 0);
  const away = fleet.members.filter(({ orchestrator }) => orchestrator.state !== 'connected');
  return [
    ...away.map(({ id, orchestrator }) => `${id} is ${orchestrator.state}`),
    ...(sum === fleet.members.length ? [] : [`${sum} connections (${counts.join(' + ')}) of the fleet`]),
  ];
}

async function compareLive({ replicas, fleet }: Scene): Promise<string[]> {
  const lists = replicas.live.map(async ({ process: { api, nodeId } }) => {
    const { status, body } = await api.get('/api/v1/controller/orchestrators/live');
    if (status !== 200) return [`${nodeId} answers ${status}`];
    const shown = new Map<string, { node_id: string }>(Object.entries(body.data.orchestrators));
    const wrong = fleet.members.filter((member) => shown.get(member.id)?.node_id !== member.nodeId);
    const strangers = shown.size - (fleet.members.length - wrong.length);
    return [
      ...wrong.map(
        (member) =>
          `${nodeId} shows ${member.id} on ${shown.get(member.id)?.node_id}, it is on ${member.nodeId}`,
      ),
      ...(wrong.length === 0 && strangers > 0 ? [`${nodeId} shows ${strangers} too many`] : []),
    ];
  });
  return (await Promise.all(lists)).flat();
}

async function compareOwners({ cluster, fleet }: Scene): Promise<string[]> {
  const owners = await cluster.commands.hgetall('{moolai}:owners');
  return fleet.members
    .filter(({ id, epoch, nodeId }) => owners[id] !== `${epoch} ${nodeId}`)
    .map(({ id, epoch, nodeId }) => `${id} was told ${epoch} ${nodeId}, Redis has ${owners[id]}`);
}

async function compareRows({ cluster, fleet }: Scene): Promise<string[]> {
  const rows = await cluster.sql(
    'SELECT orchestrator_id, status, connection_epoch, node_id FROM orchestrator_instances',
  );
  const byId = new Map(
    rows.map((row) => [row.orchestrator_id, `${row.status} ${row.connection_epoch} ${row.node_id}`]),
  );
  return fleet.members
    .filter(({ id, epoch, nodeId }) => byId.get(id) !== `active ${epoch} ${nodeId}`)
    .map(({ id, epoch, nodeId }) => `${id} was told ${epoch} ${nodeId}, its row has ${byId.get(id)}`);
}

async function findRemains({ cluster, replicas }: Scene): Promise<string[]> {
  const keys = await cluster.commands.keys('*');
  return keys.filter((key) => replicas.dead.some((nodeId) => key.includes(nodeId)));
}

async function findQueued({ replicas, cluster }: Scene): Promise<string[]> {
  const depths = replicas.live.map(async ({ process: { nodeId } }) => {
    const queue = `{moolai}:queues:outbound.${nodeId}`;
    const [waiting, active] = await Promise.all([
      cluster.commands.llen(`${queue}:wait`),
      cluster.commands.llen(`${queue}:active`),
    ]);
    return waiting + active === 0 ? [] : [`${nodeId}: ${waiting} wait, ${active} in hand`];
  });
  return (await Promise.all(depths)).flat();
}
