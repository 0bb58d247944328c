// Owns how a sorted list is cut into parts, so that what is made of a part outlives a change elsewhere in the list.

/** How many entries a part has on average: few enough to be made anew for one change, and enough to compress well. */
const averageSize = 64;

interface Identified {
  readonly orchestrator_id: string;
}

/**
 * Cuts where an id says so, and not by counting: one more in the list changes one part, and the others stay the same
 * objects. Whoever has the same entries, on whichever replica, has them in the same parts.
 * @param before as it was cut last
 */
export function cutIntoParts<Entry extends Identified>(
  all: readonly Entry[],
  before: readonly (readonly Entry[])[],
): readonly (readonly Entry[])[] {
  const known = new Map(before.map((part) => [part[0], part]));
  const parts: (readonly Entry[])[] = [];
  let from = 0;
  for (let at = 1; at <= all.length; at += 1) {
    const next = all[at];
    if (next !== undefined && !isFirst(next.orchestrator_id)) continue;
    const old = known.get(all[from]);
    parts.push(old !== undefined && isSame(old, all, from, at) ? old : all.slice(from, at));
    from = at;
  }
  return parts;
}

function isSame<Entry>(part: readonly Entry[], all: readonly Entry[], from: number, to: number): boolean {
  return part.length === to - from && part.every((entry, at) => entry === all[from + at]);
}

/** FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv/ */
function isFirst(id: string): boolean {
  let hash = 0x811c9dc5;
  for (let at = 0; at < id.length; at += 1) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193);
  // The low bits of a product know little of the high ones.
  return ((hash ^ (hash >>> 16)) >>> 0) % averageSize === 0;
}
