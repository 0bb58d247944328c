// Owns the contest of the reconnect storm: how many handshakes a second are committed, and what ten thousand of them cost.
import { openArena, wideOpen } from '../arena.ts';
import type { Contest, Contestant, Stage } from '../contest.ts';
import { type StormingLoad, startStormingLoad } from '../load/storming.ts';
import { openPeer } from '../peer.ts';
import { untilQuiet } from '../quiet.ts';
import { processorSeconds } from '../usage.ts';

const defaultConnections = 10_000;
/** Counted for each address in Redis, as shipped; one address is the whole fleet here. */
const limits = { handshakesPerAddress: 1_000_000_000 };

export const storm: Contest = {
  name: 'storm',
  title: 'Connections that come all at once and shake hands, both rows of each committed to Postgres',
  figures: {
    perSecond: { label: 'reconnected a second', unit: '/s' },
    firstPerSecond: { label: 'connected for the first time a second', unit: '/s' },
    cpuPerTenThousand: {
      label: 'processor time of server, Postgres and Redis for 10,000 reconnects',
      unit: 's',
    },
    serverPerTenThousand: { label: 'of that, the server', unit: 's' },
    p50Ms: { label: 'from connecting to the acknowledgement, median', unit: 'ms' },
    p99Ms: { label: 'from connecting to the acknowledgement, 99 of 100', unit: 'ms' },
    serverCores: { label: 'busy cores of the server', unit: '' },
    driverCores: { label: 'busy cores of the load', unit: '' },
  },
  aims: [
    { figure: 'perSecond', of: 'controller', to: 'bare Socket.IO', atLeast: 0.6 },
    { figure: 'perSecond', of: 'controller', to: 'naive', atLeast: 2 },
  ],
  async open(stage) {
    const { closing } = stage;
    stage.note(
      'The controller lets 250 connections a second in, as shipped, and so many handshakes wait as settings say: lifted here, where it is to show what a storm costs.',
    );
    const arena = await openArena(stage, { replicas: 1, config: { socket: wideOpen, limits } });
    const [replica] = arena.replicas;
    if (replica === undefined) throw new Error('no replica');
    const bare = closing.use(await openPeer('socket-io', {}));
    const naive = closing.use(await openPeer('socket-io', { databaseUrl: arena.postgres.url }));
    const loadOn = async (url: string) => closing.use(await startStormingLoad({ url }));
    const stores = [arena.postgres.pid, arena.redis.pid];
    return Promise.all([
      contestant('bare Socket.IO', stage, await loadOn(bare.url), [bare.pid], []),
      contestant('controller', stage, await loadOn(replica.url), [replica.pid], stores),
      contestant('naive', stage, await loadOn(naive.url), [naive.pid], stores),
    ]);
  },
};

/** @param servers what serves it, @param stores what it uses besides */
function contestant(
  name: string,
  { connections = defaultConnections }: Stage,
  load: StormingLoad,
  servers: readonly number[],
  stores: readonly number[],
): Contestant {
  const secondsOf = (pids: readonly number[]) => pids.reduce((sum, pid) => sum + processorSeconds(pid), 0);
  let rounds = 0;

  async function blow(prefix: string) {
    const before = { server: secondsOf(servers), store: secondsOf(stores) };
    const come = await load.come(connections, prefix);
    const server = secondsOf(servers) - before.server;
    const store = secondsOf(stores) - before.store;
    await load.leave();
    // Whoever still writes ends would do it in the next one's turn.
    await untilQuiet([...servers, ...stores]);
    return { come, server, store };
  }

  return {
    name,
    async round() {
      const prefix = `${name[0]}${rounds}-`;
      rounds += 1;
      const first = await blow(prefix);
      const { come, server, store } = await blow(prefix);
      const tenThousands = connections / 10_000;
      return {
        perSecond: connections / come.seconds,
        firstPerSecond: connections / first.come.seconds,
        cpuPerTenThousand: (server + store) / tenThousands,
        serverPerTenThousand: server / tenThousands,
        p50Ms: come.p50Ms,
        p99Ms: come.p99Ms,
        serverCores: server / come.seconds,
        driverCores: come.cores,
      };
    },
  };
}
