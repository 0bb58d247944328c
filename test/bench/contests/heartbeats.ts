// Owns the contest of heartbeats: how many are acknowledged, and what a million of them cost.

import { openArena, wideOpen } from '../arena.ts';
import type { Contest, Contestant, Stage } from '../contest.ts';
import { type BeatingLoad, startBeatingLoad } from '../load/beating.ts';
import { openPeer } from '../peer.ts';
import { processorSeconds } from '../usage.ts';

const warmMs = 1_000;
const defaults = { connections: 1_000, seconds: 4 };

export const figures = {
  perSecond: { label: 'acknowledged a second', unit: '/s' },
  cpuPerMillion: { label: 'processor time of server, Postgres and Redis for a million', unit: 's' },
  serverPerMillion: { label: 'of that, the server', unit: 's' },
  p50Ms: { label: 'acknowledged within, median', unit: 'ms' },
  p99Ms: { label: 'acknowledged within, 99 of 100', unit: 'ms' },
  serverCores: { label: 'busy cores of the server', unit: '' },
  driverCores: { label: 'busy cores of the load', unit: '' },
};

export const heartbeats: Contest = {
  name: 'heartbeats',
  title: 'Acknowledged heartbeats, each committed to Postgres on the disk',
  figures,
  aims: [
    { figure: 'perSecond', of: 'controller', to: 'bare Socket.IO', atLeast: 0.85 },
    { figure: 'perSecond', of: 'controller', to: 'naive', atLeast: 6 },
    { figure: 'cpuPerMillion', of: 'controller', to: 'bare Socket.IO', atMost: 1.5 },
  ],
  async open(stage) {
    const { closing, connections = defaults.connections } = stage;
    const arena = await openArena(stage, { replicas: 1, config: { socket: wideOpen } });
    const [replica] = arena.replicas;
    if (replica === undefined) throw new Error('no replica');
    const bare = closing.use(await openPeer('socket-io', {}));
    const naive = closing.use(await openPeer('socket-io', { databaseUrl: arena.postgres.url }));
    const loadOn = async (url: string, prefix: string) =>
      closing.use(await startBeatingLoad({ urls: [url], count: connections, prefix }));
    const stores = [arena.postgres.pid, arena.redis.pid];
    return [
      contestant('bare Socket.IO', stage, await loadOn(bare.url, 'bare-'), [bare.pid], []),
      contestant('controller', stage, await loadOn(replica.url, 'ours-'), [replica.pid], stores),
      contestant('naive', stage, await loadOn(naive.url, 'naive-'), [naive.pid], stores),
    ];
  },
};

/** @param servers what serves it, @param stores what it uses besides */
export function contestant(
  name: string,
  { connections = defaults.connections, seconds = defaults.seconds }: Pick<Stage, 'connections' | 'seconds'>,
  load: BeatingLoad,
  servers: readonly number[],
  stores: readonly number[],
): Contestant {
  const secondsOf = (pids: readonly number[]) => pids.reduce((sum, pid) => sum + processorSeconds(pid), 0);
  return {
    name,
    async round() {
      let server = 0;
      let store = 0;
      const beaten = await load.beat({ warmMs, ms: seconds * 1_000, connections }, () => {
        const before = { server: secondsOf(servers), store: secondsOf(stores) };
        return () => {
          server = secondsOf(servers) - before.server;
          store = secondsOf(stores) - before.store;
        };
      });
      const millions = beaten.acknowledged / 1_000_000;
      return {
        perSecond: beaten.acknowledged / beaten.seconds,
        cpuPerMillion: (server + store) / millions,
        serverPerMillion: server / millions,
        p50Ms: beaten.p50Ms,
        p99Ms: beaten.p99Ms,
        serverCores: server / beaten.seconds,
        driverCores: beaten.cores,
      };
    },
  };
}
