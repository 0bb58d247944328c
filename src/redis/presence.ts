// Owns presence: which orchestrator is connected where. It may be lost; the replicas that own the sockets restore it.
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { createBatcher } from '../batcher.ts';
import { hideCredentials, hideCredentialsInText } from '../credentials.ts';
import type { Metrics } from '../metrics.ts';
import { shareRead } from '../shared-read.ts';
import { PresenceIncomplete } from './failures.ts';
import type { Keys } from './keys.ts';
import { loadScript } from './script.ts';

/** The connection that counts for an orchestrator. */
export interface Owner {
  epoch: number;
  nodeId: string;
}

const entrySchema = z.object({
  organization_id: z.string(),
  name: z.string(),
  connected_at: z.string(),
  metadata: z.unknown(),
});
/** What is told of a connection besides its owner and its last heartbeat. */
export type PresenceEntry = z.infer<typeof entrySchema>;

export interface Present extends PresenceEntry {
  orchestrator_id: string;
  node_id: string;
  last_seen: string;
}

/** Heartbeats that were written together. */
export interface Seen {
  readonly ids: string[];
  /** Of each id the time of its last one, milliseconds since 1970. */
  readonly atMs: number[];
  /** How many they were. */
  beats: number;
}

export interface Presence {
  /**
   * Makes a connection of this node the one that counts, unless one with a higher epoch does.
   * Atomic. What looks like a credential in its metadata is not written. Frames that were parked for the orchestrator come with the answer, oldest first, and are parked no more.
   */
  claim(
    orchestratorId: string,
    claim: { epoch: number; entry: PresenceEntry; lastSeenMs: number },
  ): Promise<
    { accepted: true; previous: Owner | undefined; parked: string[] } | { accepted: false; owner: Owner }
  >;
  /** Ends this node's connection. Returns false, and changes nothing, when another connection counts by now. */
  release(orchestratorId: string, epoch: number): Promise<boolean>;
  /** Ends the connection of whichever node has it, if it is of this epoch or an older one. */
  forget(orchestratorId: string, epoch: number): Promise<void>;
  /** The owners, in the order of the ids; undefined where nobody is connected through a live node. */
  owners(orchestratorIds: readonly string[]): Promise<(Owner | undefined)[]>;
  /**
   * Keeps a frame for `ttlMs` for an orchestrator that has no owner, unless its sender lives.
   * @param frame.goneEpoch an owner of this epoch or an older one is known to be gone
   * @returns what keeps it from being parked: the owner, or the sender, which sends it again by itself
   */
  park(
    orchestratorId: string,
    frame: { json: string; ttlMs: number; sender: string; goneEpoch: number },
  ): Promise<Owner | 'sender' | undefined>;
  /** Notes heartbeats, in the next batch. Never fails: a note that Redis does not take is lost. */
  seen(seen: Seen): void;
  get(orchestratorId: string): Promise<Present | undefined>;
  liveNodes(): Promise<string[]>;
  /**
   * @throws PresenceIncomplete while who is not found may be connected all the same: Redis came back empty, or another
   *   server goes on with its data
   */
  requireWhole(): Promise<void>;
  /** Ends that, if all these nodes have registered their presence. */
  settleWhole(nodeIds: readonly string[]): Promise<void>;
  /** Everyone connected through a live node, by id. Many calls at once share one read, and its result. */
  list(): Promise<readonly Present[]>;
  /** How many are connected through a live node. */
  count(): Promise<number>;
  /** Heartbeats processed by the whole cluster in the last minute. */
  beatsPerMinute(): Promise<number>;
  /** The orchestrators that Redis holds under this node. */
  heldHere(): Promise<string[]>;
  /** Clears what a dead node left; false if it lives after all. */
  bury(nodeId: string): Promise<boolean>;
  /** For so long nobody's silence counts, in the whole cluster. */
  excuseSilence(ms: number): Promise<void>;
  silenceExcused(): Promise<boolean>;
  /** Resolves when the heartbeats noted so far are written or lost. */
  settled(): Promise<void>;
}

const bucketMs = 10_000;
const ownersReply = z.array(z.string());
const claimReply = z.union([
  z.tuple([z.literal(1), z.string()], z.string()),
  z.tuple([z.literal(0), z.string()]),
]);

export function createPresence(options: {
  redis: Redis;
  keys: Keys;
  nodeId: string;
  liveNodes(): Promise<string[]>;
  now(): number;
  metrics: Pick<Metrics, 'batch'>;
}): Presence {
  const { redis, keys, nodeId } = options;
  const claimScript = loadScript(redis, 'claim');
  const releaseScript = loadScript(redis, 'release');
  const ownersScript = loadScript(redis, 'owners');
  const parkScript = loadScript(redis, 'park');
  const touchScript = loadScript(redis, 'touch');
  const buryScript = loadScript(redis, 'bury');
  const wholeScript = loadScript(redis, 'whole');
  const settleScript = loadScript(redis, 'settle');

  const touches = createBatcher<Seen, undefined>({
    async flush(batch) {
      for (const { ids, atMs, beats } of batch)
        await touchScript(
          [keys.lastSeen, keys.beats(Math.floor(options.now() / bucketMs))],
          [beats, ...ids.flatMap((id, at) => [atMs[at] ?? 0, id])],
        );
      return batch.map(() => undefined);
    },
    merge(older, newer) {
      older.ids.push(...newer.ids);
      older.atMs.push(...newer.atMs);
      older.beats += newer.beats;
      return older;
    },
    weigh: ({ beats }) => beats,
    // Postgres holds the heartbeat; the next one brings Redis up to date.
    onFailure: () => 'refuse',
    watch: options.metrics.batch('last_seen'),
  });

  async function requireWhole(): Promise<void> {
    if ((await wholeScript([keys.born, keys.incomplete, keys.server], [])) !== 1)
      throw new PresenceIncomplete();
  }

  async function read(ids: readonly string[] | undefined): Promise<Present[]> {
    const live = await options.liveNodes();
    const [, hashes, scores] = await Promise.all([
      requireWhole(),
      Promise.all(live.map((node) => entriesOf(node, ids))),
      ids === undefined
        ? redis.zrange(keys.lastSeen, 0, '-1', 'WITHSCORES').then(asScores)
        : redis
            .zmscore(keys.lastSeen, [...ids])
            .then((found) => asScores(ids.flatMap((id, at) => (found[at] ? [id, found[at]] : [])))),
    ]);
    return hashes
      .flatMap((entries, at) =>
        entries.map(([id, entry]) => ({
          orchestrator_id: id,
          node_id: live[at] ?? '',
          last_seen: new Date(scores.get(id) ?? Date.parse(entry.connected_at)).toISOString(),
          ...entry,
        })),
      )
      .sort((a, b) => (a.orchestrator_id < b.orchestrator_id ? -1 : 1));
  }

  async function entriesOf(
    node: string,
    ids: readonly string[] | undefined,
  ): Promise<[string, PresenceEntry][]> {
    const found =
      ids === undefined
        ? Object.entries(await redis.hgetall(keys.presence(node)))
        : (await redis.hmget(keys.presence(node), ...ids)).map((json, at) => [ids[at] ?? '', json] as const);
    return found.flatMap(([id, json]) => (json === null ? [] : [[id, entrySchema.parse(JSON.parse(json))]]));
  }

  return {
    async claim(orchestratorId, { epoch, entry, lastSeenMs }) {
      // Here, where every entry passes once: ten thousand are read at a time.
      const { name, metadata } = entry;
      const shown = { ...entry, name: hideCredentialsInText(name), metadata: hideCredentials(metadata) };
      const reply = claimReply.parse(
        await claimScript(
          [keys.owners, keys.presence(nodeId), keys.lastSeen, keys.parked(orchestratorId), keys.nodes],
          [orchestratorId, epoch, nodeId, JSON.stringify(shown), lastSeenMs, keys.presence('')],
        ),
      );
      if (reply[0] === 0) return { accepted: false, owner: asOwner(reply[1]) ?? { epoch, nodeId } };
      return { accepted: true, previous: asOwner(reply[1]), parked: reply.slice(2).map(String) };
    },
    async release(orchestratorId, epoch) {
      const keysOf = [keys.owners, keys.presence(nodeId), keys.lastSeen];
      return (await releaseScript(keysOf, [orchestratorId, epoch, nodeId])) === 1;
    },
    async forget(orchestratorId, epoch) {
      const owner = asOwner((await redis.hget(keys.owners, orchestratorId)) ?? '');
      if (owner === undefined || owner.epoch > epoch) return;
      const keysOf = [keys.owners, keys.presence(owner.nodeId), keys.lastSeen];
      await releaseScript(keysOf, [orchestratorId, owner.epoch, owner.nodeId]);
    },
    async owners(orchestratorIds) {
      if (orchestratorIds.length === 0) return [];
      return ownersReply.parse(await ownersScript([keys.owners, keys.nodes], orchestratorIds)).map(asOwner);
    },
    async park(orchestratorId, { json, ttlMs, sender, goneEpoch }) {
      const keysOf = [
        ...[keys.owners, keys.nodes, keys.parked(orchestratorId)],
        ...[keys.incomplete, keys.born, keys.server],
      ];
      const args = [orchestratorId, json, Math.ceil(ttlMs), sender, goneEpoch];
      const reply = z.string().parse(await parkScript(keysOf, args));
      return reply === 'sender' ? reply : asOwner(reply);
    },
    seen: (seen) => touches.put('seen', seen),
    async get(orchestratorId) {
      return (await read([orchestratorId]))[0];
    },
    liveNodes: options.liveNodes,
    requireWhole,
    async settleWhole(nodeIds) {
      await settleScript([keys.incomplete, keys.server, ...nodeIds.map(keys.node)], []);
    },
    list: shareRead(() => read(undefined)),
    async count() {
      const live = await options.liveNodes();
      const [counts] = await Promise.all([
        Promise.all(live.map((node) => redis.hlen(keys.presence(node)))),
        requireWhole(),
      ]);
      return counts.reduce((sum, count) => sum + count, 0);
    },
    async beatsPerMinute() {
      const bucket = Math.floor(options.now() / bucketMs);
      const buckets = Array.from({ length: 60_000 / bucketMs }, (_, back) => keys.beats(bucket - back));
      return (await redis.mget(...buckets)).reduce((sum, count) => sum + Number(count ?? 0), 0);
    },
    heldHere: () => redis.hkeys(keys.presence(nodeId)),
    async bury(dead) {
      const keysOf = [keys.nodes, keys.node(dead), keys.presence(dead), keys.owners, keys.lastSeen];
      return (await buryScript(keysOf, [dead])) !== null;
    },
    async excuseSilence(ms) {
      await redis.set(keys.silenceExcused, 1, 'PX', ms);
    },
    silenceExcused: async () => (await redis.exists(keys.silenceExcused)) === 1,
    settled: () => touches.idle(),
  };
}

function asOwner(text: string): Owner | undefined {
  const space = text.indexOf(' ');
  if (space < 0) return undefined;
  return { epoch: Number(text.slice(0, space)), nodeId: text.slice(space + 1) };
}

function asScores(flat: readonly string[]): Map<string, number> {
  const scores = new Map<string, number>();
  for (let at = 0; at + 1 < flat.length; at += 2) scores.set(flat[at] ?? '', Number(flat[at + 1]));
  return scores;
}
