// Owns how who is connected right now is told: one of them, and all of them at once.
import { z } from 'zod';
import { knownId, nodeId, storedObject, time } from '../../fleet/shapes.ts';
import type { LiveList, Present } from '../../redis/live-list.ts';
import { tagOf, wrapping } from '../answer-body.ts';
import { createPiece, type Piece, PreparedBody } from '../prepared-body.ts';

export const live = z.object({
  organization_id: knownId,
  name: z.string(),
  status: z.literal('connected'),
  connected_at: time,
  last_seen: time,
  node_id: nodeId,
  metadata: storedObject,
});

export function presentLive(present: Present): z.output<typeof live> {
  const { organization_id, name, connected_at, last_seen, node_id, metadata } = present;
  return { organization_id, name, status: 'connected', connected_at, last_seen, node_id, metadata };
}

/**
 * @returns the body that tells of everyone. What parts of the list have not changed since the last one is not rendered
 *   again, and nothing is for callers who share a list
 */
export function createLiveBodies(): (list: LiveList) => PreparedBody {
  const pieces = new WeakMap<readonly Present[], Piece>();
  const tags = new WeakMap<LiveList['parts'], string>();
  const bodies = new WeakMap<LiveList, PreparedBody>();

  return (list) => {
    const known = bodies.get(list);
    if (known !== undefined) return known;
    const all = list.parts.map((part) => remember(pieces, part, renderPart));
    const tag = remember(tags, list.parts, () => tagOf(all.map(({ digest }) => digest).join()));
    const { before, behind } = wrapping('data', undefined, list.atMs);
    const text = {
      before: `${before}{"orchestrators":{`,
      behind: `},"total_count":${list.total}}${behind}`,
    };
    return remember(bodies, list, () => new PreparedBody(text, all, tag));
  };
}

const renderPart = (part: readonly Present[]): Piece =>
  createPiece(
    part.map((each) => `${JSON.stringify(each.orchestrator_id)}:${JSON.stringify(presentLive(each))}`).join(),
  );

function remember<Key extends object, Made>(
  made: WeakMap<Key, Made>,
  key: Key,
  make: (key: Key) => Made,
): Made {
  const known = made.get(key);
  if (known !== undefined) return known;
  const it = make(key);
  made.set(key, it);
  return it;
}
