// Owns the lease by which a replica counts as alive, and the list of those that do.
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Keys } from './keys.ts';
import { loadScript } from './script.ts';

export interface NodeInfo {
  node_id: string;
  started_at: string;
  /** Orchestrators present through it. */
  connections: number;
  draining: boolean;
}

export interface Roster {
  /** How long this Redis has held the fleet's data; short after it came back empty. */
  ageMs: number;
  live: string[];
  dead: string[];
}

export interface Lease {
  /** Takes the lease and keeps renewing it. Resolves after the first try, whether or not Redis answered. */
  start(): Promise<void>;
  /**
   * Whether this replica may speak for its sockets: renewed within the lease's time, and behind a gap its presence
   * registered since, or it would speak for orchestrators that have moved elsewhere meanwhile.
   */
  held(): boolean;
  /** How long it has been so without a gap, 0 if it is not. */
  heldForMs(): number;
  /** Something of this replica's presence did not reach Redis: register it anew at the next renewal. */
  invalidate(): void;
  drain(): Promise<void>;
  roster(): Promise<Roster>;
  /** The live replicas. */
  list(): Promise<NodeInfo[]>;
  /** Renews no more; the lease runs out by itself. */
  end(): void;
  /** Gives the lease up at once, so that the others need not wait for its end. @throws when Redis is away */
  release(): Promise<void>;
}

const renewedSchema = z.tuple([z.number(), z.number(), z.string()]);
const rosterSchema = z.tuple([z.number(), z.array(z.string()), z.array(z.string())]);
const retryMs = 500;
/** Who reads the presence less often reads all of it. */
const changesKeptMs = 15_000;

/**
 * @param options.onRegained Redis does not hold this replica's presence (first renewal, a gap, Redis came back empty), or
 *   may lack some of it (another server goes on with the data, as behind a failover): register every local socket. Called again at the next renewal if it throws.
 * @param options.onHeld what was registered counts from now on
 */
export function createLease(options: {
  redis: Redis;
  keys: Keys;
  nodeId: string;
  startedAt: string;
  leaseMs: number;
  renewEveryMs: number;
  onRegained(): Promise<void>;
  onHeld?(): Promise<void>;
  metrics: Pick<Metrics, 'leaseRenewals'>;
  log: Log;
}): Lease {
  const { redis, keys, nodeId, leaseMs, metrics } = options;
  const renewScript = loadScript(redis, 'renew');
  const nodesScript = loadScript(redis, 'nodes');
  let draining = false;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let registered = false;
  // performance.now() goes on while the process is paused, which is the case that matters.
  let heldUntil = 0;
  /** Undefined from a gap on until the presence is registered. */
  let heldSince: number | undefined;
  let renewal: Promise<void> | undefined;

  async function renew(): Promise<void> {
    const asked = performance.now();
    const [held, known, server] = renewedSchema.parse(
      await renewScript(
        [keys.nodes, keys.born, keys.node(nodeId), keys.incomplete, keys.server, keys.changes],
        [nodeId, leaseMs, options.startedAt, draining ? 1 : 0, changesKeptMs],
      ),
    );
    if (held !== 1 || asked > heldUntil) {
      registered = false;
      heldSince = undefined;
    } else if (known !== 1) {
      // Nobody was told that this replica is dead. What others had told this server may be lost: no sweep for a period.
      registered = false;
      if (heldSince !== undefined) heldSince = performance.now();
    }
    heldUntil = asked + leaseMs;
    if (!registered) {
      registered = true;
      try {
        await options.onRegained();
        const node = keys.node(nodeId);
        await redis.multi().hset(node, 'registered', server).pexpire(node, leaseMs).exec();
      } catch (error) {
        registered = false;
        throw error;
      }
      heldSince ??= performance.now();
      await options.onHeld?.();
    }
  }

  async function tick(): Promise<void> {
    timer = undefined;
    let pauseMs = options.renewEveryMs;
    try {
      renewal = renew();
      await renewal;
      metrics.leaseRenewals('ok').inc();
    } catch (error) {
      metrics.leaseRenewals('failed').inc();
      pauseMs = Math.min(retryMs, options.renewEveryMs);
      const left = Math.max(0, Math.round(heldUntil - performance.now()));
      options.log.debug(
        { source: 'lease', error },
        `The lease was not renewed; it holds for ${left} ms more`,
      );
    }
    if (!stopped) timer = setTimeout(() => void tick(), pauseMs);
  }

  /** Behind a gap in the connection another server may answer: nobody is told anything until all have registered there. */
  function hurry(): void {
    if (timer === undefined) return;
    clearTimeout(timer);
    void tick();
  }

  const heldForMs = () => {
    const now = performance.now();
    return heldSince !== undefined && now < heldUntil ? now - heldSince : 0;
  };
  async function roster(): Promise<Roster> {
    const [ageMs, live, dead] = rosterSchema.parse(await nodesScript([keys.nodes, keys.born], []));
    return { ageMs, live, dead };
  }

  return {
    start() {
      redis.on('ready', hurry);
      return tick();
    },
    held: () => heldSince !== undefined && performance.now() < heldUntil,
    heldForMs,
    invalidate() {
      registered = false;
    },
    async drain() {
      draining = true;
      await renew();
    },
    roster,
    async list() {
      const { live } = await roster();
      const hashes = await Promise.all(live.map((id) => redis.hgetall(keys.node(id))));
      const connections = await Promise.all(live.map((id) => redis.hlen(keys.presence(id))));
      return live.flatMap((id, at) => {
        const { started_at, draining: drains } = hashes[at] ?? {};
        if (started_at === undefined) return [];
        return [{ node_id: id, started_at, connections: connections[at] ?? 0, draining: drains === '1' }];
      });
    },
    end() {
      stopped = true;
      redis.off('ready', hurry);
      clearTimeout(timer);
      timer = undefined;
      heldUntil = 0;
    },
    async release() {
      // One on its way would take the lease anew.
      await renewal?.catch(() => undefined);
      // Dead rather than unknown: what this replica does not clear itself by its end, the sweep will.
      await redis.multi().zadd(keys.nodes, 0, nodeId).del(keys.node(nodeId)).exec();
    },
  };
}
