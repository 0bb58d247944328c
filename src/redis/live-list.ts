// Owns the list of everyone who is connected, kept from one read to the next: what has changed meanwhile is read, and no more.
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { PresenceIncomplete } from './failures.ts';
import type { Keys } from './keys.ts';
import { cutIntoParts, mergeInto, opensPart, type Parts, replaceInParts } from './live-parts.ts';
import { loadScript } from './script.ts';

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
  /** Of the list. */
  opensPart: boolean;
}

/** Everyone, at one moment. Nothing of it ever changes. */
export interface LiveList {
  /** By id. A part in which nobody has changed is the same object as in the list before. */
  readonly parts: Parts<Present>;
  readonly total: number;
  /** The same as one list. */
  all(): readonly Present[];
  /** When it was read, ms. */
  readonly atMs: number;
}

/** What Redis holds of one orchestrator, and how that is told. */
interface Held {
  readonly json: string;
  readonly nodeId: string;
  readonly seenMs: number;
  readonly present: Present;
}

/** As of which change, on which server, and through which live nodes. */
interface Position {
  readonly server: string;
  readonly change: string;
  readonly live: readonly string[];
}

const changeReply = z.tuple([z.string(), z.array(z.string())]);
const changesReply = z.tuple([
  z.union([z.literal(0), z.literal(1)]),
  z.string(),
  z.string(),
  z.array(z.string()),
  z.int(),
  z.array(changeReply).nullable(),
]);
/** Who is so far behind reads everything. */
const mostChanges = 4_000;

/**
 * @returns reads it, as of a moment after the call; one call at a time. It throws PresenceIncomplete, and what Redis does
 * @param options.requireWhole throws PresenceIncomplete
 */
export function createLiveList(options: {
  redis: Redis;
  keys: Keys;
  now(): number;
  requireWhole(): Promise<void>;
}): () => Promise<LiveList> {
  const { redis, keys, requireWhole } = options;
  const changesScript = loadScript(redis, 'changes');
  let position: Position | undefined;
  let held = new Map<string, Held>();
  let parts: Parts<Present> = [];
  /** As many as Redis counts: more than are held, should two nodes have the same one. */
  let counted = 0;

  async function readAll(live: readonly string[]): Promise<Map<string, Held>> {
    const [hashes, scores] = await Promise.all([
      Promise.all(live.map((node) => redis.hgetall(keys.presence(node)))),
      redis.zrange(keys.lastSeen, 0, '-1', 'WITHSCORES').then(asScores),
      // Behind the reads: until then the server was one that knew of everybody.
      requireWhole(),
    ]);
    const found = new Map<string, Held>();
    counted = hashes.reduce((sum, entries) => sum + Object.keys(entries).length, 0);
    for (const [at, entries] of hashes.entries())
      for (const [id, json] of Object.entries(entries))
        found.set(id, hold(id, json, live[at] ?? '', scores.get(id), held.get(id)));
    return found;
  }

  /** Resolves to the orchestrators that changed: undefined for those who have gone. */
  async function readChanged(
    live: readonly string[],
    changes: readonly z.infer<typeof changeReply>[],
  ): Promise<Map<string, Held | undefined>> {
    const changed = new Map<string, Held | undefined>();
    const others = new Set<string>();
    for (const [, [kind, value = '']] of changes) {
      if (kind === 'id') others.add(value);
      else touchAll(value.split(' '), changed);
    }
    if (others.size === 0) return changed;
    const ids = [...others];
    const [hashes, scores] = await Promise.all([
      Promise.all(live.map((node) => redis.hmget(keys.presence(node), ...ids))),
      redis.zmscore(keys.lastSeen, ids),
      requireWhole(),
    ]);
    for (const [nth, id] of ids.entries()) {
      const at = hashes.findIndex((entries) => typeof entries[nth] === 'string');
      const json = hashes[at]?.[nth];
      const score = scores[nth];
      const seenMs = typeof score === 'string' ? Number(score) : undefined;
      changed.set(
        id,
        typeof json === 'string' ? hold(id, json, live[at] ?? '', seenMs, held.get(id)) : undefined,
      );
    }
    return changed;
  }

  /** As touch.lua does it: those who are present, and never back. */
  function touchAll(pairs: readonly string[], changed: Map<string, Held | undefined>): void {
    for (let at = 0; at + 1 < pairs.length; at += 2) {
      const id = pairs[at + 1] ?? '';
      const before = changed.get(id) ?? held.get(id);
      const seenMs = Number(pairs[at]);
      if (before !== undefined && before.seenMs < seenMs)
        changed.set(id, hold(id, before.json, before.nodeId, seenMs, before));
    }
  }

  function apply(changed: ReadonlyMap<string, Held | undefined>): void {
    const before = held.size;
    let isSameFleet = true;
    for (const [id, now] of changed) {
      isSameFleet &&= now !== undefined && held.has(id);
      if (now === undefined) held.delete(id);
      else held.set(id, now);
    }
    counted += held.size - before;
    const shown = new Map([...changed].map(([id, now]) => [id, now?.present]));
    parts = isSameFleet
      ? replaceInParts(
          parts,
          [...shown.values()].filter((each) => each !== undefined),
        )
      : cutIntoParts(mergeInto(parts.flat(), shown), parts);
  }

  return async () => {
    const [whole, server, change, nodes, count, changes] = changesReply.parse(
      await changesScript(
        [keys.born, keys.incomplete, keys.server, keys.nodes, keys.changes],
        [position?.change ?? '', mostChanges, keys.presence('')],
      ),
    );
    if (whole !== 1) throw new PresenceIncomplete();
    // They come by when their leases end.
    const live = nodes.sort();
    const kinds = new Set(changes?.map(([, [kind]]) => kind));
    const isKnown = position?.server === server && position.live.join() === live.join() && !kinds.has('all');
    if (isKnown && changes !== null) {
      const changed = await readChanged(live, changes);
      if (changed.size > 0) apply(changed);
    }
    // Those who changed were read later than they were counted. Otherwise whoever writes says so, or it shows here.
    if (!isKnown || changes === null || (count !== counted && !kinds.has('id'))) {
      held = await readAll(live);
      parts = cutIntoParts([...held.values()].map(({ present }) => present).sort(byId), parts);
    }
    position = { server, change, live };
    return { parts, total: held.size, atMs: options.now(), all: joinedOnce(parts) };
  };
}

/** One of them, as Redis holds it. @param score when it was last seen, where that is known */
export function readEntry(
  id: string,
  json: string,
  nodeId: string,
  score: string | null | undefined,
): Present {
  return hold(id, json, nodeId, typeof score === 'string' ? Number(score) : undefined).present;
}

/** What is known already is kept as it is. */
function hold(id: string, json: string, nodeId: string, score: number | undefined, before?: Held): Held {
  const entry = before?.json === json ? before.present : entrySchema.parse(JSON.parse(json));
  const { organization_id, name, connected_at, metadata } = entry;
  const seenMs = score ?? Date.parse(connected_at);
  if (entry === before?.present && before.nodeId === nodeId && before.seenMs === seenMs) return before;
  const present = {
    orchestrator_id: id,
    node_id: nodeId,
    last_seen: new Date(seenMs).toISOString(),
    ...{ organization_id, name, connected_at, metadata },
    opensPart: before?.present.opensPart ?? opensPart(id),
  };
  return { json, nodeId, seenMs, present };
}

function joinedOnce<T>(parts: Parts<T>): () => readonly T[] {
  let all: readonly T[] | undefined;
  return () => {
    all ??= parts.flat();
    return all;
  };
}

const byId = (one: Present, other: Present) => (one.orchestrator_id < other.orchestrator_id ? -1 : 1);

function asScores(flat: readonly string[]): Map<string, number> {
  const scores = new Map<string, number>();
  for (let at = 0; at + 1 < flat.length; at += 2) scores.set(flat[at] ?? '', Number(flat[at + 1]));
  return scores;
}
