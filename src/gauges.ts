// Owns the figures of one replica that are read when Prometheus asks for them.
import { Gauge } from 'prom-client';
import type { Calls } from './calls.ts';
import { within } from './deadline.ts';
import type { Readiness } from './fleet/readiness.ts';
import type { Metrics } from './metrics.ts';
import type { Lease } from './redis/lease.ts';
import type { Presence } from './redis/presence.ts';
import { shareRead } from './shared-read.ts';
import type { Admission } from './socket/admission.ts';
import type { Sockets } from './socket/server.ts';
import { version } from './version.ts';

export interface Gauged {
  calls: Pick<Calls, 'size'>;
  sockets: Pick<Sockets, 'size' | 'open' | 'unreadBytes'>;
  admission: Pick<Admission, 'waiting'>;
  lease: Pick<Lease, 'held'>;
  readiness: Pick<Readiness, 'check' | 'draining'>;
  presence: Pick<Presence, 'count' | 'liveNodes'>;
  queueDepth(): Promise<number>;
  connectionsPerReplica: number;
  /** What a store has not answered by then is not told. */
  answerWithinMs: number;
}

/** Of a process, asked for nowhere but in its own memory. */
function ofThisReplica(of: Gauged): [name: string, help: string, read: () => number][] {
  const { calls, sockets, admission, lease, readiness } = of;
  return [
    [
      'moolai_http_calls',
      'Calls over HTTP that have begun and are not answered to the end',
      () => calls.size,
    ],
    ['moolai_connections', 'Orchestrators connected to this replica', () => sockets.size],
    ['moolai_connections_limit', 'Sockets that this replica may have open', () => of.connectionsPerReplica],
    ['moolai_sockets', 'Sockets open on this replica, with a handshake or yet without', () => sockets.open],
    ['moolai_handshakes_waiting', 'Handshakes that wait for their commit', () => admission.waiting],
    ['moolai_unread_bytes', 'Bytes that wait until orchestrators read them', () => sockets.unreadBytes],
    ['moolai_lease_held', '1 while this replica may speak for its orchestrators', () => Number(lease.held())],
    ['moolai_draining', '1 once this replica sends its orchestrators away', () => Number(readiness.draining)],
  ];
}

/** What Redis knows; undefined where it does not say. */
interface Figures {
  entries: number | undefined;
  nodes: number | undefined;
  queued: number | undefined;
}

/** Of Redis. Where it does not answer they are absent: an old number, or 0, would be taken for true. */
function ofRedis(figures: () => Promise<Figures>): [string, string, () => Promise<number | undefined>][] {
  const isKnown = ({ entries, nodes, queued }: Figures) => ![entries, nodes, queued].includes(undefined);
  return [
    [
      'moolai_queue_frames',
      'Messages that wait in the queue of this replica',
      async () => (await figures()).queued,
    ],
    [
      'moolai_cluster_presence_entries',
      'Orchestrators connected to the whole cluster, as Redis knows it',
      async () => (await figures()).entries,
    ],
    [
      'moolai_cluster_nodes',
      'Replicas of the whole cluster whose lease holds',
      async () => (await figures()).nodes,
    ],
    [
      'moolai_redis_figures_up',
      '1 if Redis told moolai_queue_frames and the figures of the whole cluster, 0 if any of them is missing',
      async () => Number(isKnown(await figures())),
    ],
  ];
}

export function registerGauges({ registry }: Metrics, of: Gauged): void {
  const registers = [registry];
  const figures = shareRead(async (): Promise<Figures> => {
    const told = (answer: Promise<number>) =>
      within(of.answerWithinMs, answer, () => new Error('too late')).catch(() => undefined);
    const [entries, nodes, queued] = await Promise.all([
      told(of.presence.count()),
      told(of.presence.liveNodes().then((live) => live.length)),
      told(of.queueDepth()),
    ]);
    return { entries, nodes, queued };
  });
  for (const [name, help, read] of [...ofThisReplica(of), ...ofRedis(figures)])
    new Gauge({
      name,
      help,
      registers,
      async collect() {
        const value = await read();
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });

  new Gauge({
    name: 'moolai_ready',
    help: '1 if this replica can take calls: what /health/ready says',
    registers,
    async collect() {
      this.set(Number((await of.readiness.check()).faults.length === 0));
    },
  });
  new Gauge({
    name: 'moolai_store_up',
    help: '1 if this replica is answered by this store: database, redis or queue',
    labelNames: ['store'],
    registers,
    async collect() {
      const { stores } = await of.readiness.check();
      for (const [store, state] of Object.entries(stores)) this.set({ store }, Number(state === 'up'));
    },
  });
  new Gauge({
    name: 'moolai_build_info',
    help: '1, of this version, run by this version of Node',
    labelNames: ['version', 'node'],
    registers,
  }).set({ version, node: process.versions.node }, 1);
}
