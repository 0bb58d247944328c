// Owns the contest of memory: what one connection costs that has shaken hands and says nothing more.
import { openArena, wideOpen } from '../arena.ts';
import type { Contest, Contestant, Stage } from '../contest.ts';
import { startStormingLoad } from '../load/storming.ts';
import { openPeer } from '../peer.ts';
import { untilQuiet } from '../quiet.ts';
import { untilSettled } from '../settled.ts';
import { residentBytes } from '../usage.ts';

/** V8 gives memory back bit by bit once nothing happens: so long it must stay what it is. */
const defaults = { connections: 15_000, seconds: 6 };

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
  { connections = defaults.connections, seconds = defaults.seconds }: Stage,
  start: (server: AsyncDisposableStack) => Promise<Fresh>,
): Contestant {
  return {
    name,
    async round() {
      await using server = new AsyncDisposableStack();
      const { url, pid } = await start(server);
      const load = server.use(await startStormingLoad({ url }));
      const before = await untilSettled(seconds * 1_000, () => residentBytes(pid));
      await load.come(connections, 'idle-');
      await untilQuiet([pid]);
      const after = await untilSettled(seconds * 1_000, () => residentBytes(pid));
      return { bytesPerConnection: (after - before) / connections, emptyMegabytes: before / 1e6 };
    },
  };
}
