// Owns how a sorted list is cut into parts, so that what is made of a part outlives a change elsewhere in the list.

/** How many entries a part has on average: few enough to be made anew for one change, and enough to compress well. */
const averageSize = 64;

interface Entry {
  readonly orchestrator_id: string;
  /** Whether a part begins with it, by `opensPart`. */
  readonly opensPart: boolean;
}

export type Parts<E> = readonly (readonly E[])[];

/**
 * Whether a part begins with this id. That the id says so, and no count, keeps all other parts as they are when one more
 * enters the list, and has whoever has the same entries, on whichever replica, have them in the same parts.
 */
export function opensPart(id: string): boolean {
  // FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv/
  let hash = 0x811c9dc5;
  for (let at = 0; at < id.length; at += 1) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193);
  // The low bits of a product know little of the high ones.
  return ((hash ^ (hash >>> 16)) >>> 0) % averageSize === 0;
}

/** @param before as it was cut last: what is still the same is the same object */
export function cutIntoParts<E extends Entry>(all: readonly E[], before: Parts<E>): Parts<E> {
  const known = new Map(before.map((part) => [part[0], part]));
  const parts: (readonly E[])[] = [];
  let from = 0;
  for (let at = 1; at <= all.length; at += 1) {
    if (at < all.length && all[at]?.opensPart === false) continue;
    const old = known.get(all[from]);
    parts.push(old !== undefined && isSame(old, all, from, at) ? old : all.slice(from, at));
    from = at;
  }
  return parts;
}

function isSame<E>(part: readonly E[], all: readonly E[], from: number, to: number): boolean {
  return part.length === to - from && part.every((entry, at) => entry === all[from + at]);
}

/** @param changed entries that take the place of those with their ids, which are in the list */
export function replaceInParts<E extends Entry>(parts: Parts<E>, changed: Iterable<E>): Parts<E> {
  const copies = [...parts];
  const copied = new Map<number, E[]>();
  for (const entry of changed) {
    const at = placeOf(entry.orchestrator_id, (nth) => parts[nth]?.at(-1)?.orchestrator_id, parts.length);
    const part = copied.get(at) ?? [...(parts[at] ?? [])];
    part[placeOf(entry.orchestrator_id, (nth) => part[nth]?.orchestrator_id, part.length)] = entry;
    copied.set(at, part);
    copies[at] = part;
  }
  return copies;
}

/** Where an id is among so many sorted ones, or would be. */
export function placeOf(id: string, idAt: (nth: number) => string | undefined, count: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((idAt(middle) ?? '') < id) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** @param changed by id, those who are new among them; undefined for those who have gone */
export function mergeInto<E extends Entry>(
  all: readonly E[],
  changed: ReadonlyMap<string, E | undefined>,
): E[] {
  const merged: E[] = [];
  let from = 0;
  for (const [id, entry] of [...changed].sort(([one], [other]) => (one < other ? -1 : 1))) {
    const at = placeOf(id, (nth) => all[nth]?.orchestrator_id, all.length);
    for (const same of all.slice(from, at)) merged.push(same);
    from = all[at]?.orchestrator_id === id ? at + 1 : at;
    if (entry !== undefined) merged.push(entry);
  }
  return merged.concat(all.slice(from));
}
