// Owns waiting no longer than a deadline.

/**
 * What `work` comes to, if it does within `ms`; it goes on unobserved if it does not.
 * @throws what `work` throws in time, or what `late` makes of the lateness
 */
export async function within<T>(ms: number, work: Promise<T>, late: () => Error): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(late()), ms);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
