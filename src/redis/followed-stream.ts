// Owns a capped stream that is kept from one read to the next: what came behind the last entry that is known is read, and no more.
import type { Redis } from 'ioredis';

/**
 * @returns reads what the stream holds, as of a moment after the call, oldest first; one call at a time. The array is
 *   the caller's
 * @param options.size the newest that are wanted
 * @param options.parse gets an entry's id, `{milliseconds}-{count}`, and its one field; undefined for what is none of ours.
 *   It must not throw
 */
export function followStream<T extends { readonly id: string }>(options: {
  redis: Redis;
  key: string;
  size: number;
  parse(id: string, text: string): T | undefined;
}): () => Promise<T[]> {
  const { redis, key, size } = options;
  let known: T[] = [];
  /** The newest entry, ours or not. */
  let last: { id: string; text: string } | undefined;

  function append(entries: readonly [id: string, fields: string[]][]): void {
    for (const [id, [, text = '']] of entries) {
      const entry = options.parse(id, text);
      if (entry !== undefined) known.push(entry);
      last = { id, text };
    }
  }

  async function readAll(): Promise<void> {
    const all = await redis.xrevrange(key, '+', '-', 'COUNT', size);
    known = [];
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
        const from = known.findIndex(({ id }) => !isOlder(id, oldest[0]));
        known = from === -1 ? [] : known.slice(Math.max(from, known.length - size));
      }
    }
    return [...known];
  };
}

/** Whether one entry's id is of before another's. */
export function isOlder(one: string, other: string): boolean {
  const [ms = 0, count = 0] = one.split('-').map(Number);
  const [otherMs = 0, otherCount = 0] = other.split('-').map(Number);
  return ms < otherMs || (ms === otherMs && count < otherCount);
}
