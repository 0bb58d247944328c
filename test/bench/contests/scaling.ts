// Owns the contest of the controller against itself: what a heartbeat costs where there are more connections, or replicas.
import { openArena, wideOpen } from '../arena.ts';
import type { Contest, Contestant, Stage } from '../contest.ts';
import { startBeatingLoad } from '../load/beating.ts';
import { contestant, figures } from './heartbeats.ts';

/** The first is what the others are compared with. */
const sizes = [
  { name: '1,000 connections', connections: 1_000, replicas: 1 },
  { name: '5,000 connections', connections: 5_000, replicas: 1 },
  { name: '15,000 connections', connections: 15_000, replicas: 1 },
  { name: '2 replicas', connections: 1_000, replicas: 2 },
  { name: '4 replicas', connections: 1_000, replicas: 4 },
] as const;

export const scaling: Contest = {
  name: 'scaling',
  title: 'What a heartbeat costs with more connections, and with 1,000 connections on more replicas',
  figures,
  aims: sizes
    .slice(1)
    .map(({ name }) => ({ figure: 'cpuPerMillion', of: name, to: sizes[0].name, atMost: 1.2 })),
  async open(stage) {
    if (stage.connections !== undefined)
      stage.note(
        `--connections ${stage.connections} stands for 1,000, and the others are as many times that`,
      );
    const contestants: Contestant[] = [];
    for (const size of sizes) contestants.push(await openSize(stage, size));
    return contestants;
  },
};

/** Stores of its own: a table has the rows of its own fleet alone. */
async function openSize(stage: Stage, size: (typeof sizes)[number]): Promise<Contestant> {
  const { connections: unit = 1_000, seconds, closing, onProgress } = stage;
  const connections = (size.connections / 1_000) * unit;
  onProgress(`scaling: connecting ${connections} to ${size.replicas} replicas…`);
  const arena = await openArena(stage, { replicas: size.replicas, config: { socket: wideOpen } });
  const urls = arena.replicas.map(({ url }) => url);
  const load = closing.use(await startBeatingLoad({ urls, count: connections, prefix: 'scaling-' }));
  const servers = arena.replicas.map(({ pid }) => pid);
  return contestant(size.name, { connections, seconds }, load, servers, [
    arena.postgres.pid,
    arena.redis.pid,
  ]);
}
