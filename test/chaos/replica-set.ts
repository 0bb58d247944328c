// Owns the replicas under chaos: which of them take connections, which are dead, and each one's network to its stores.
import type { Cluster } from '../support/cluster.ts';
import { openProxy, type StoreProxy } from '../support/proxy.ts';
import type { ReplicaProcess } from '../support/replica-process.ts';
import type { Ledger } from './ledger.ts';

export interface Member {
  readonly process: ReplicaProcess;
  /** Its network, to each store alone. */
  readonly network: { readonly redis: StoreProxy; readonly postgres: StoreProxy };
}

export interface ReplicaSet extends AsyncDisposable {
  /** Those that a load balancer would send to. */
  readonly live: readonly Member[];
  /** The node ids of those that have ended. */
  readonly dead: readonly string[];
  /** One more. Resolves once it takes connections. */
  grow(): Promise<Member>;
  /** No new connections from now on. */
  withdraw(member: Member): void;
  /** New connections again. */
  restore(member: Member): void;
  /** Told before it is ended: an end that nobody asked for is a breach. */
  expectEnd(member: Member): void;
}

export function openReplicaSet(cluster: Cluster, ledger: Ledger): ReplicaSet {
  const live: Member[] = [];
  const dead: string[] = [];
  const ending = new Set<ReplicaProcess>();
  const networks: StoreProxy[] = [];
  const withdraw = (member: Member) => {
    if (live.includes(member)) live.splice(live.indexOf(member), 1);
  };
  let isOver = false;

  return {
    live,
    dead,
    async grow() {
      const network = { redis: await openProxy(), postgres: await openProxy() };
      networks.push(network.redis, network.postgres);
      const process = await cluster.startReplica({
        env: {
          DATABASE_URL: network.postgres.through(cluster.postgres.url),
          REDIS_URL: network.redis.through(cluster.redis.url),
        },
      });
      const member: Member = { process, network };
      live.push(member);
      void process.ended.then(({ code, signal }) => {
        dead.push(process.nodeId);
        withdraw(member);
        if (!isOver && !ending.has(process))
          ledger.broke(
            'replica ended by itself',
            `${process.nodeId}: ${signal ?? code}\n${process.output()}`,
          );
      });
      return member;
    },
    withdraw,
    restore(member) {
      if (!member.process.hasEnded) live.push(member);
    },
    expectEnd: ({ process }) => void ending.add(process),
    async [Symbol.asyncDispose]() {
      isOver = true;
      await Promise.all(networks.map((each) => each.close()));
    },
  };
}
