// Owns the faults: what each does to the cluster, and when its cause is gone.
import { setTimeout as pause } from 'node:timers/promises';
import type { Cluster } from '../support/cluster.ts';
import type { Ledger } from './ledger.ts';
import type { Random } from './random.ts';
import type { Member, ReplicaSet } from './replica-set.ts';

/**
 * Resolves when the fault is over and a replica that it cost is replaced.
 * @param healed called once its cause is gone: the process is dead or goes on, the store or the network is back
 */
export type Fault = (healed: () => void) => Promise<void>;

export interface Durations {
  /** How long a replica is paused. */
  readonly pauseMs: number;
  /** How long a store or the network is away. */
  readonly outageMs: number;
}

export function createFaults(options: {
  cluster: Cluster;
  replicas: ReplicaSet;
  random: Random;
  ledger: Ledger;
  durations: Durations;
}): Map<string, Fault> {
  const { cluster, replicas, random, ledger } = options;
  const { pauseMs, outageMs } = options.durations;
  const { redis, postgres, commands } = cluster;
  const drawn = () => random.pick(replicas.live);

  const cut =
    (store: keyof Member['network']): Fault =>
    async (healed) => {
      const network = drawn().network[store];
      network.cut();
      await pause(outageMs);
      network.mend();
      healed();
    };

  /** The connections there are fall silent, as when a router forgets them; new ones work. */
  const stall =
    (store: keyof Member['network']): Fault =>
    async (healed) => {
      drawn().network[store].stall();
      healed();
    };

  return new Map<string, Fault>([
    [
      'replica killed',
      async (healed) => {
        const member = drawn();
        replicas.expectEnd(member);
        await member.process.kill();
        healed();
        await replicas.grow();
      },
    ],
    [
      'replica stopped',
      async (healed) => {
        const member = drawn();
        replicas.expectEnd(member);
        replicas.withdraw(member);
        const [how] = await Promise.all([member.process.stop(), replicas.grow()]);
        if (how.code !== 0)
          ledger.broke(
            'stop failed',
            `${member.process.nodeId}: ${how.signal ?? how.code} after ${how.ms} ms`,
          );
        healed();
      },
    ],
    [
      'replica paused',
      async (healed) => {
        const member = drawn();
        member.process.pause();
        replicas.withdraw(member);
        await pause(pauseMs);
        member.process.resume();
        replicas.restore(member);
        healed();
      },
    ],
    [
      'Redis stopped',
      async (healed) => {
        await redis.kill();
        await pause(outageMs);
        await redis.start();
        healed();
      },
    ],
    [
      'Redis back empty',
      async (healed) => {
        await redis.kill();
        await redis.start({ empty: true });
        healed();
      },
    ],
    [
      'FLUSHALL',
      async (healed) => {
        await commands.flushall();
        healed();
      },
    ],
    [
      'Postgres stopped',
      async (healed) => {
        await postgres.kill();
        await pause(outageMs);
        await postgres.start();
        healed();
      },
    ],
    [
      'Postgres sessions ended',
      async (healed) => {
        await cluster.sql(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
        );
        healed();
      },
    ],
    ['network to Redis cut', cut('redis')],
    ['network to Postgres cut', cut('postgres')],
    ['connections to Redis lost', stall('redis')],
    ['connections to Postgres lost', stall('postgres')],
  ]);
}
