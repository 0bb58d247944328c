// Owns the sharing of a read that is dear: however many ask, one is under way and one more is to follow.

/**
 * The same read, but that those who ask while one is under way share the next. What a caller is told was read after it
 * had asked, so it finds what it has just written. The result is shared: nobody may change it.
 */
export function shareRead<T>(read: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<unknown> = Promise.resolve();
  let next: Promise<T> | undefined;

  function begin(): Promise<T> {
    next = undefined;
    const mine = read();
    // The next one begins behind it, whatever comes of it.
    underWay = mine.catch(() => undefined);
    return mine;
  }

  return () => {
    next ??= underWay.then(begin);
    return next;
  };
}
