// Owns group commit: entries gather while a flush is under way and are then written together.

/** Who waits for an entry: called once, with what became of it. */
export interface Outcome<R> {
  resolve(result: R): void;
  reject(error: unknown): void;
}

export interface Batcher<V, R> {
  /**
   * Adds an entry to the next flush.
   * @returns the entry's own result, once the flush that wrote it has committed
   * @throws what `flush` threw, if it was no passing failure and this entry was the cause
   */
  add(key: string, value: V): Promise<R>;
  /** The same without a promise, for entries that come by the ten thousand a second. */
  enter(key: string, value: V, outcome: Outcome<R>): void;
  /** Adds an entry that nobody waits for; a refusal is reported through `onRefused`. */
  put(key: string, value: V): void;
  /** Resolves when everything added before the call is flushed or refused. */
  idle(): Promise<void>;
  /** Entries not yet written. */
  readonly size: number;
  /** Gives up retrying: what a passing failure keeps from being written is refused with `reason`. */
  abandon(reason: Error): void;
}

export type FailureVerdict = 'retry' | 'shrink' | 'divide' | 'refuse';

/** Is told what a batcher does, to count it. */
export interface BatchWatch {
  /** @param size entries not yet written, whenever it is asked */
  opened(size: () => number): void;
  written(entries: number, ms: number): void;
  failed(): void;
}

export interface BatcherOptions<V, R> {
  /** Writes the entries in one go; the results come in the order of the entries. All or nothing. */
  flush(values: readonly V[]): Promise<readonly R[]>;
  /**
   * What a failed flush means. `retry`: it will pass (a lost connection, a deadlock), the same entries are tried
   * again. `shrink`: it took too long, the next try takes half as many entries at the most, and each flush that
   * succeeds allows twice as many again; an entry that takes too long alone is tried behind all others, and alone.
   * `divide`: an entry is at fault, the batch is halved until it stands alone. `refuse`: all are refused.
   */
  onFailure(error: unknown): FailureVerdict;
  /**
   * Folds a repeat of a key into the entry that already waits, which bounds the batch by the number of keys.
   * Without it a repeat waits for a later flush: no flush ever holds a key twice.
   */
  merge?(older: V, newer: V): V;
  /** How many things a value stands for, where it gathers several; default 1. It is what `watch` counts. */
  weigh?(value: V): number;
  /** Entries written by one flush at the most; default 1,000. */
  maxBatch?: number;
  /**
   * Where a flush ends and several entries wait for the next, but fewer than `upTo`, that waits `ms` for more of them: a
   * flush has a price of its own. Who comes alone waits for nobody. Default: no such wait.
   */
  linger?: { readonly ms: number; readonly upTo: number };
  /** A flush failed and will be tried again in `retryMs`; `attempt` counts those in a row, from 1. */
  onRetry?(retry: { error: unknown; entries: number; retryMs: number; attempt: number }): void;
  watch?: BatchWatch;
  /** An entry was refused; who waits for it is told besides. */
  onRefused?(error: unknown, value: V): void;
}

interface Entry<V, R> {
  readonly key: string;
  value: V;
  /** Took too long alone: whoever shared a flush with it would wait for nothing. */
  slow: boolean;
  readonly outcomes: Outcome<R>[];
}

const firstRetryMs = 50;
const longestRetryMs = 1_000;

/**
 * The one batching primitive. While a flush is under way the next batch gathers; an idle batcher flushes at
 * the end of the current turn of the event loop, so a lone entry waits for nothing. A flush that fails for a
 * passing reason is tried again with backoff, its entries first and repeats still folded in. One that fails for
 * good is halved until the entry at fault stands alone, and that one alone is refused. One that takes too long is
 * made smaller, or what takes too long together would be tried for ever.
 */
export function createBatcher<V, R>(options: BatcherOptions<V, R>): Batcher<V, R> {
  const { maxBatch = 1_000, linger, weigh } = options;
  let waiting: Entry<V, R>[] = [];
  let batchLimit = maxBatch;
  const byKey = new Map<string, Entry<V, R>>();
  let inFlight = 0;
  let running: Promise<void> | undefined;
  let abandoned: Error | undefined;
  let endPause: (() => void) | undefined;

  function hold(key: string, value: V): Entry<V, R> {
    const known = byKey.get(key);
    if (known !== undefined && options.merge !== undefined) {
      known.value = options.merge(known.value, value);
      return known;
    }
    const entry: Entry<V, R> = { key, value, slow: false, outcomes: [] };
    waiting.push(entry);
    byKey.set(key, entry);
    running ??= run();
    return entry;
  }

  function forget(entry: Entry<V, R>): void {
    if (byKey.get(entry.key) === entry) byKey.delete(entry.key);
  }

  async function run(): Promise<void> {
    // The end of the turn: everything that this turn of the event loop read from its sockets is one batch.
    await new Promise(setImmediate);
    let failures = 0;
    while (waiting.length > 0) {
      const batch = take();
      inFlight = weightOf(batch);
      try {
        await write(batch);
        failures = 0;
        inFlight = 0;
        if (linger !== undefined && waiting.length > 1 && waiting.length < linger.upTo)
          await pause(linger.ms);
      } catch (error) {
        if (abandoned !== undefined) {
          refuse([...batch, ...waiting.splice(0)], abandoned);
          break;
        }
        failures += 1;
        giveBack(batch);
        const retryMs =
          Math.min(longestRetryMs, firstRetryMs * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
        options.onRetry?.({
          error,
          entries: waiting.length,
          retryMs: Math.round(retryMs),
          attempt: failures,
        });
        inFlight = 0;
        await pause(retryMs);
      }
    }
    inFlight = 0;
    running = undefined;
  }

  function take(): Entry<V, R>[] {
    // As it is nearly always: all that waits is one batch. Where repeats are merged no key is in it twice.
    if (options.merge !== undefined && waiting.length <= batchLimit && !waiting.some((entry) => entry.slow)) {
      const all = waiting;
      waiting = [];
      byKey.clear();
      return all;
    }
    const batch: Entry<V, R>[] = [];
    const held: Entry<V, R>[] = [];
    const keys = new Set<string>();
    let index = 0;
    for (; index < waiting.length && batch.length < batchLimit; index += 1) {
      const entry = waiting[index];
      if (entry === undefined) continue;
      if (batch[0]?.slow === true || (entry.slow && batch.length > 0)) break;
      if (keys.has(entry.key)) held.push(entry);
      else {
        keys.add(entry.key);
        forget(entry);
        batch.push(entry);
      }
    }
    waiting = held.concat(waiting.slice(index));
    return batch;
  }

  /** Writes a batch; resolves when each entry is written or refused, throws if the whole should be tried again. */
  async function write(batch: readonly Entry<V, R>[]): Promise<void> {
    let results: readonly R[];
    // Before the flush, which may take what it has written out of them.
    const weight = weightOf(batch);
    const startedAt = performance.now();
    try {
      results = await options.flush(batch.map((entry) => entry.value));
      if (results.length !== batch.length)
        throw new Error(`flush returned ${results.length} results for ${batch.length} entries`);
    } catch (error) {
      options.watch?.failed();
      const verdict = options.onFailure(error);
      if (verdict === 'shrink') shrink(batch);
      if (verdict === 'retry' || verdict === 'shrink') throw error;
      if (verdict === 'refuse' || batch.length === 1) return refuse(batch, error);
      const middle = batch.length >> 1;
      for (const half of [batch.slice(0, middle), batch.slice(middle)]) await writeOrReturn(half);
      return;
    }
    options.watch?.written(weight, performance.now() - startedAt);
    batchLimit = Math.min(maxBatch, batchLimit * 2);
    for (const [index, result] of results.entries())
      for (const outcome of batch[index]?.outcomes ?? []) outcome.resolve(result);
  }

  function shrink(batch: readonly Entry<V, R>[]): void {
    const [first] = batch;
    if (batch.length > 1) batchLimit = batch.length >> 1;
    else if (first !== undefined) first.slow = true;
  }

  /** A half that meets a passing failure goes back alone: its sibling may have been written already. */
  async function writeOrReturn(half: readonly Entry<V, R>[]): Promise<void> {
    try {
      await write(half);
    } catch {
      giveBack(half);
    }
  }

  /** What failed goes first, but for a slow one: that goes last, and whatever came after it under its key behind it. */
  function giveBack(batch: readonly Entry<V, R>[]): void {
    if (options.merge === undefined) {
      for (const entry of batch) if (!byKey.has(entry.key)) byKey.set(entry.key, entry);
      waiting = batch.concat(waiting);
    } else mergeBack(batch, options.merge);
    const [first] = batch;
    if (first?.slow !== true) return;
    const isSlow = ({ key }: Entry<V, R>) => key === first.key;
    waiting = waiting.filter((entry) => !isSlow(entry)).concat(waiting.filter(isSlow));
  }

  function mergeBack(batch: readonly Entry<V, R>[], merge: (older: V, newer: V) => V): void {
    const overtaken = new Set<Entry<V, R>>();
    for (const entry of batch) {
      const newer = byKey.get(entry.key);
      if (newer !== undefined) {
        entry.value = merge(entry.value, newer.value);
        entry.outcomes.push(...newer.outcomes);
        overtaken.add(newer);
      }
      byKey.set(entry.key, entry);
    }
    waiting = batch.concat(waiting.filter((entry) => !overtaken.has(entry)));
  }

  function refuse(entries: readonly Entry<V, R>[], error: unknown): void {
    for (const entry of entries) {
      forget(entry);
      options.onRefused?.(error, entry.value);
      settle(entry, (outcome) => outcome.reject(error));
    }
  }

  function settle(entry: Entry<V, R>, how: (outcome: Outcome<R>) => void): void {
    for (const outcome of entry.outcomes) how(outcome);
  }

  async function pause(ms: number): Promise<void> {
    if (abandoned !== undefined) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    endPause = undefined;
  }

  function weightOf(entries: readonly Entry<V, R>[]): number {
    if (weigh === undefined) return entries.length;
    return entries.reduce((sum, entry) => sum + weigh(entry.value), 0);
  }

  const size = () => weightOf(waiting) + inFlight;
  options.watch?.opened(size);

  return {
    add(key, value) {
      const { promise, resolve, reject } = Promise.withResolvers<R>();
      hold(key, value).outcomes.push({ resolve, reject });
      return promise;
    },
    enter(key, value, outcome) {
      hold(key, value).outcomes.push(outcome);
    },
    put(key, value) {
      hold(key, value);
    },
    async idle() {
      while (running !== undefined) await running;
    },
    get size() {
      return size();
    },
    abandon(reason) {
      abandoned = reason;
      endPause?.();
    },
  };
}
