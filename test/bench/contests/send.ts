// Owns the contest of `/send` across replicas: how soon a call is answered behind the arrival of its message, and how many are.

import { openArena } from '../arena.ts';
import type { Contest, Contestant, Stage } from '../contest.ts';
import { type SendingLoad, startSendingLoad } from '../load/sending.ts';
import { openPeer } from '../peer.ts';
import { processorSeconds } from '../usage.ts';

const warmMs = 500;
const defaults = { connections: 50, seconds: 4 };
const inFlights = [1, 50];

export const send: Contest = {
  name: 'send',
  title:
    'Messages sent over one replica to orchestrators behind another, each call answered behind its arrival',
  figures: {
    p50Ms: { label: 'answered within, median', unit: 'ms' },
    p99Ms: { label: 'answered within, 99 of 100', unit: 'ms' },
    perSecond: { label: 'answered a second', unit: '/s' },
    cpuPerThousand: { label: 'processor time of both replicas and Redis for a thousand', unit: 's' },
    redisPerThousand: { label: 'of that, Redis', unit: 's' },
    serverCores: { label: 'busy cores of both replicas and Redis', unit: '' },
    driverCores: { label: 'busy cores of the load', unit: '' },
  },
  aims: [
    { figure: 'p50Ms', of: 'controller, 1 in flight', to: 'adapter, 1 in flight', atMost: 1.5 },
    { figure: 'perSecond', of: 'controller, 50 in flight', to: 'BullMQ, 50 in flight', atLeast: 2 },
  ],
  async open(stage) {
    const { closing, connections = defaults.connections } = stage;
    const arena = await openArena(stage, { replicas: 2 });
    const redis = arena.redis.pid;
    const replicas: Record<string, readonly { readonly url: string; readonly pid: number }[]> = {
      controller: arena.replicas,
    };
    for (const [name, way] of [
      ['adapter', 'adapter'],
      ['BullMQ', 'bullmq'],
    ] as const) {
      const openOne = async (node: string) =>
        closing.use(await openPeer('sending', { redisUrl: arena.redis.url, way, node, owner: 'b' }));
      replicas[name] = [await openOne('a'), await openOne('b')];
    }
    const loads: { name: string; load: SendingLoad; pids: number[] }[] = [];
    for (const [name, [called, owner]] of Object.entries(replicas)) {
      if (called === undefined || owner === undefined) throw new Error(`${name} has less than two replicas`);
      const load = await startSendingLoad({
        callUrl: called.url,
        ownerUrl: owner.url,
        orchestrators: connections,
        prefix: `${name}-`,
      });
      loads.push({ name, load: closing.use(load), pids: [called.pid, owner.pid] });
    }
    return inFlights.flatMap((inFlight) =>
      loads.map((each) => contestant({ ...each, redis, inFlight: Math.min(inFlight, connections) }, stage)),
    );
  },
};

function contestant(
  options: {
    name: string;
    load: SendingLoad;
    /** Of the replicas. */
    pids: readonly number[];
    redis: number;
    inFlight: number;
  },
  { seconds = defaults.seconds }: Stage,
): Contestant {
  const { name, load, pids, redis, inFlight } = options;
  return {
    name: `${name}, ${inFlight} in flight`,
    async round() {
      const used = { replicas: 0, redis: 0 };
      const sent = await load.send(
        { warmMs: Math.min(warmMs, seconds * 1_000), ms: seconds * 1_000, inFlight },
        () => {
          const replicas = () => pids.reduce((sum, pid) => sum + processorSeconds(pid), 0);
          const before = { replicas: replicas(), redis: processorSeconds(redis) };
          return () => {
            used.replicas = replicas() - before.replicas;
            used.redis = processorSeconds(redis) - before.redis;
          };
        },
      );
      const thousands = sent.answered / 1_000;
      return {
        p50Ms: sent.p50Ms,
        p99Ms: sent.p99Ms,
        perSecond: sent.answered / sent.seconds,
        cpuPerThousand: (used.replicas + used.redis) / thousands,
        redisPerThousand: used.redis / thousands,
        serverCores: (used.replicas + used.redis) / sent.seconds,
        driverCores: sent.cores,
      };
    },
  };
}
