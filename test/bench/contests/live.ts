// Owns the contest of the live list: how often it is answered, how fast, and how large that is.
import { openArena } from '../arena.ts';
import type { Contest, Contestant, Stage } from '../contest.ts';
import { startCallingLoad } from '../load/calling.ts';
import { startPresence } from '../load/presence.ts';
import { openPeer } from '../peer.ts';
import { processorSeconds } from '../usage.ts';

const warmMs = 1_000;
const callers = 10;
const sizes = [1_000, 10_000];
const path = '/api/v1/controller/orchestrators/live';
const manners = ['plain', 'gzip', 'conditional'] as const;
const controller = (size: number) => `controller, ${size.toLocaleString('en-US')}`;
const peer = (size: number) => `hash each time, ${size.toLocaleString('en-US')}`;

export const live: Contest = {
  name: 'live',
  title: `GET orchestrators/live by ${callers} callers, while all of the fleet beats every 30 s`,
  figures: {
    perSecond: { label: 'answered a second', unit: '/s' },
    p50Ms: { label: 'answered within, median', unit: 'ms' },
    p99Ms: { label: 'answered within, 99 of 100', unit: 'ms' },
    plainP99Ms: { label: 'the same, not compressed', unit: 'ms' },
    gzipP99Ms: { label: 'the same, compressed', unit: 'ms' },
    plainKilobytes: { label: 'body, not compressed', unit: 'KB' },
    gzipKilobytes: { label: 'body, compressed', unit: 'KB' },
    unchangedShare: { label: 'share of If-None-Match answered 304', unit: '' },
    serverPerThousand: { label: 'processor time of the server for a thousand', unit: 's' },
    serverCores: { label: 'busy cores of the server', unit: '' },
    driverCores: { label: 'busy cores of the load', unit: '' },
  },
  aims: [
    ...sizes.map((size) => ({
      ...{ figure: 'perSecond', of: controller(size), to: peer(size), atLeast: 5 },
    })),
    { figure: 'p99Ms', of: controller(10_000), atMost: 50 },
  ],
  async open(stage) {
    stage.note(
      'who is connected was planted through the code that writes presence, heartbeats among it, without sockets',
    );
    const contestants: Contestant[] = [];
    const { connections } = stage;
    for (const size of connections === undefined ? sizes : [connections])
      contestants.push(...(await openSize(stage, size)));
    return contestants;
  },
};

async function openSize(stage: Stage, size: number): Promise<Contestant[]> {
  const { closing } = stage;
  const arena = await openArena(stage, { replicas: 1 });
  const [replica] = arena.replicas;
  if (replica === undefined) throw new Error('no replica');
  const { nodeId } = replica;
  const fleet = { redisUrl: arena.redis.url, nodeId };
  closing.use(await startPresence({ ...fleet, count: size }));
  const naive = closing.use(await openPeer('presence-hash', fleet));
  const loadOn = async (url: string) =>
    closing.use(await startCallingLoad({ url, callers, manners: [...manners] }));
  return [
    contestant(controller(size), stage, await loadOn(replica.url + path), replica.pid),
    contestant(peer(size), stage, await loadOn(naive.url), naive.pid),
  ];
}

function contestant(
  name: string,
  { seconds = 4 }: Stage,
  load: Awaited<ReturnType<typeof startCallingLoad>>,
  pid: number,
): Contestant {
  return {
    name,
    async round() {
      let server = 0;
      const called = await load.call(
        { warmMs: Math.min(warmMs, seconds * 1_000), ms: seconds * 1_000 },
        () => {
          const before = processorSeconds(pid);
          return () => {
            server = processorSeconds(pid) - before;
          };
        },
      );
      const { plain, gzip, conditional } = called.byManner;
      return {
        perSecond: called.calls / called.seconds,
        p50Ms: called.p50Ms,
        p99Ms: called.p99Ms,
        plainP99Ms: plain?.p99Ms ?? 0,
        gzipP99Ms: gzip?.p99Ms ?? 0,
        plainKilobytes: (plain?.meanBytes ?? 0) / 1_000,
        gzipKilobytes: (gzip?.meanBytes ?? 0) / 1_000,
        unchangedShare: called.unchanged / (conditional?.calls ?? 1),
        serverPerThousand: (server / called.calls) * 1_000,
        serverCores: server / called.seconds,
        driverCores: called.cores,
      };
    },
  };
}
