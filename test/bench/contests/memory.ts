// Owns the contest of memory: what one connection costs that has shaken hands and says nothing more.
import { openArena, wideOpen } from '../arena.ts';
import type { Contest, Contestant, Stage } from '../contest.ts';
import { startStormingLoad } from '../load/storming.ts';
import { openPeer } from '../peer.ts';
import { untilQuiet } from '../quiet.ts';
import { untilSettled } from '../settled.ts';
import { residentBytes } from '../usage.ts';

const defaultConnections = 15_000;

interface Fresh {
  readonly url: string;
  readonly pid: number;
}

export const memory: Contest = {
  name: 'memory',
  title: 'Connections that have shaken hands and lie idle, each round on a fresh process',
  figures: {
    bytesPerConnection: { label: 'resident memory for each', unit: 'bytes' },
    emptyMegabytes: { label: 'of the process without any', unit: 'MB' },
  },
  aims: [{ figure: 'bytesPerConnection', of: 'controller', to: 'bare Socket.IO', atMost: 1 }],
  async open(stage) {
    const arena = await openArena(stage, { replicas: 0, config: { socket: wideOpen } });
    return [
      contestant('bare Socket.IO', stage, async (server) => server.use(await openPeer('socket-io', {}))),
      contestant('controller', stage, async (server) =>
        server.adopt(await arena.startReplica(), (replica) => replica.kill()),
      ),
    ];
  },
};

/** @param start a server that ends with what it is given */
function contestant(
  name: string,
  { connections = defaultConnections }: Stage,
  start: (server: AsyncDisposableStack) => Promise<Fresh>,
): Contestant {
  return {
    name,
    async round() {
      await using server = new AsyncDisposableStack();
      const { url, pid } = await start(server);
      const load = server.use(await startStormingLoad({ url }));
      const before = await untilSettled(() => residentBytes(pid));
      await load.come(connections, 'idle-');
      await untilQuiet([pid]);
      const after = await untilSettled(() => residentBytes(pid));
      return { bytesPerConnection: (after - before) / connections, emptyMegabytes: before / 1e6 };
    },
  };
}
