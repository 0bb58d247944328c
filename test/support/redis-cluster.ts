// Owns a Redis Cluster of one test: three masters, and a replica of the one that holds the controller's slot.
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKeys } from '../../src/redis/keys.ts';
import { openGuard } from './guarded.ts';
import { freePort } from './own-stores.ts';
import type { RedisPair } from './redis-pair.ts';
import { infoOf, password, type RedisProcess, startRedisProcess } from './redis-process.ts';
import { until } from './until.ts';

const nodeTimeoutMs = 1_000;
const slots = 16_384;

/** All of it goes when it is disposed, or this process ends. */
export async function openRedisCluster(prefix = 'moolai'): Promise<RedisPair> {
  await using opening = new AsyncDisposableStack();
  const guard = opening.adopt(openGuard(), (it) => it.close());
  const folder = await mkdtemp(join(tmpdir(), 'moolai-redis-cluster-'));
  guard.remove(folder);
  const nodes = await Promise.all(
    Array.from({ length: 4 }, async (_, nth) => {
      const busPort = await freePort();
      const node = await startRedisProcess(
        { folder, guard },
        {
          name: `node-${nth}`,
          lines: () => [
            'cluster-enabled yes',
            `cluster-node-timeout ${nodeTimeoutMs}`,
            `cluster-port ${busPort}`,
            'cluster-replica-validity-factor 0',
          ],
        },
      );
      opening.defer(() => node.client.disconnect());
      return { ...node, busPort, id: String(await node.client.cluster('MYID')) };
    }),
  );
  const [first, , , follower] = nodes;
  if (first === undefined || follower === undefined) throw new Error('there are no nodes');
  const masters = nodes.slice(0, 3);
  const slot = Number(await first.client.cluster('KEYSLOT', createKeys(prefix).born));
  const share = Math.ceil(slots / masters.length);
  await Promise.all(
    masters.map(async ({ client }, nth) => {
      await client.cluster('SET-CONFIG-EPOCH', nth + 1);
      await client.cluster('ADDSLOTSRANGE', nth * share, Math.min(slots, (nth + 1) * share) - 1);
    }),
  );
  for (const { port, busPort } of nodes.slice(1))
    await first.client.cluster('MEET', '127.0.0.1', port, String(busPort));
  const owner = masters[Math.floor(slot / share)];
  if (owner === undefined) throw new Error(`nobody has slot ${slot}`);
  await until(
    'the replica to follow',
    async () => (await follower.client.cluster('REPLICATE', owner.id)) === 'OK',
  );
  await until('the cluster to be whole', async () => {
    const states = await Promise.all(nodes.map((node) => node.client.cluster('INFO')));
    return states.every((state) => /cluster_state:ok/.test(String(state)));
  });
  await until(
    'the replica to be in step',
    async () => (await infoOf(follower, 'replication', 'master_link_status')) === 'up',
  );

  let gone: RedisProcess | undefined;
  const pair = [owner, follower];
  async function roles() {
    const living = pair.filter((node) => node.pid !== gone?.pid);
    const told = await Promise.all(
      living.map(async (node) => ({ node, role: await infoOf(node, 'replication', 'role') })),
    );
    const master = told.find(({ role }) => role === 'master')?.node;
    const replica = pair.find((node) => node !== master);
    if (master === undefined || replica === undefined) throw new Error('there is no master');
    return { master, replica };
  }
  const untilAllSay = (master: RedisProcess, asked: readonly RedisProcess[]) =>
    until('all nodes to know the new master', async () => {
      const views = await Promise.all(asked.map(({ client }) => client.cluster('SLOTS')));
      return views.every((ranges) =>
        ranges.some(([from, to, first]) => from <= slot && slot <= to && first?.[1] === master.port),
      );
    });
  async function isBack(one: RedisProcess): Promise<void> {
    await until(
      'the other one to follow',
      async () => (await infoOf(one, 'replication', 'master_link_status')) === 'up',
    );
    gone = undefined;
  }
  const open = opening.move();
  return {
    url: `redis-cluster://:${password}@127.0.0.1:${masters.map(({ port }) => port).join(',127.0.0.1:')}`,
    roles,
    async handOver() {
      const { replica } = await roles();
      await replica.client.cluster('FAILOVER');
      await until('the replica to be master', async () => (await roles()).master === replica);
      await untilAllSay(replica, nodes);
    },
    async takenOver(from) {
      gone = from;
      const [next] = pair.filter((node) => node.pid !== from.pid);
      if (next === undefined) throw new Error('there is nobody to take over');
      await untilAllSay(
        next,
        nodes.filter((node) => node.pid !== from.pid),
      );
    },
    isBack,
    async moveSlot() {
      const { port } = (await roles()).master;
      const from = nodes.find((node) => node.port === port);
      const to = masters.find((node) => node !== owner);
      if (from === undefined || to === undefined) throw new Error('there are no two masters');
      await to.client.cluster('SETSLOT', slot, 'IMPORTING', from.id);
      await from.client.cluster('SETSLOT', slot, 'MIGRATING', to.id);
      for (;;) {
        const keys = await from.client.cluster('GETKEYSINSLOT', slot, 100);
        if (keys.length === 0) break;
        const where = ['127.0.0.1', String(to.port), '', '0', '5000', 'AUTH', password];
        await from.client.call('MIGRATE', ...where, 'KEYS', ...keys.map(String));
      }
      for (const { client } of [to, from, ...nodes.filter((node) => node !== to && node !== from)])
        if (client.status === 'ready') await client.cluster('SETSLOT', slot, 'NODE', to.id);
    },
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}
