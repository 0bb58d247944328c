// Owns a capped stream that is kept from one read to the next: what came behind the last entry that is known is read, and no more.
import type { Redis } from 'ioredis';

/**
 * @returns reads what the stream holds, as of a moment after the call, oldest first; one call at a time. The array is
 *   the caller's
 * @param options.size the newest items that are wanted: of no more entries
 * @param options.parse gets an entry's id, `{number}-{number}`, and its one field; to the items that are in it, none
 *   for what is none of ours. It must not throw
 */
export function followStream<T>(options: {
  redis: Redis;
  key: string;
  size: number;
  parse(id: string, text: string): readonly T[];
}): () => Promise<T[]> {
  const { redis, key, size } = options;
  let known: T[] = [];
  /** Those that the known items are of, with how many. */
  let entries: { id: string; count: number }[] = [];
  /** The newest entry, ours or not. */
  let last: { id: string; text: string } | undefined;

  function append(found: readonly [id: string, fields: string[]][]): void {
    for (const [id, [, text = '']] of found) {
      const items = options.parse(id, text);
      for (const item of items) known.push(item);
      entries.push({ id, count: items.length });
      last = { id, text };
    }
  }

  /** Forgets what the stream has no more. */
  function cut(oldestId: string): void {
    const from = entries.findIndex(({ id }) => !isOlder(id, oldestId));
    const gone = from === -1 ? entries.splice(0) : entries.splice(0, from);
    if (gone.length > 0) known = known.slice(gone.reduce((sum, { count }) => sum + count, 0));
  }

  async function readAll(): Promise<void> {
    const all = await redis.xrevrange(key, '+', '-', 'COUNT', size);
    known = [];
    entries = [];
    last = undefined;
    append(all.reverse());
  }

  return async () => {
    if (last === undefined) await readAll();
    else {
      const [found, [oldest]] = await Promise.all([
        redis.xrange(key, last.id, '+', 'COUNT', size + 1),
        redis.xrange(key, '-', '+', 'COUNT', 1),
      ]);
      const [first] = found;
      // Where that is no more what is known, the stream has moved on by more than it keeps, or it is another one: it was
      // lost, or a server goes on that did not have all of it.
      const isSame = first?.[0] === last.id && first[1][1] === last.text && oldest !== undefined;
      if (!isSame || found.length > size) await readAll();
      else {
        append(found.slice(1));
        cut(oldest[0]);
      }
    }
    return known.slice(-size);
  };
}

/** Whether one entry's id is of before another's. */
export function isOlder(one: string, other: string): boolean {
  const [number = 0, count = 0] = one.split('-').map(Number);
  const [otherNumber = 0, otherCount = 0] = other.split('-').map(Number);
  return number < otherNumber || (number === otherNumber && count < otherCount);
}
