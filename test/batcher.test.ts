// The one batching primitive, with a flush that the test holds in its hands.
import { setImmediate as turn } from 'node:timers/promises';
import test from 'ava';
import { type BatcherOptions, createBatcher } from '../src/batcher.ts';
import { until } from './support/until.ts';

interface Flush {
  values: readonly string[];
  succeed(): void;
  fail(error: Error): void;
}

/** A batcher whose flushes stand still until the test says how each ends; a result is its value in upper case. */
function createHeld(options: Partial<BatcherOptions<string, string>> = {}) {
  const flushes: Flush[] = [];
  let seen = 0;
  const batcher = createBatcher<string, string>({
    flush(values) {
      const { promise, resolve, reject } = Promise.withResolvers<string[]>();
      flushes.push({
        values,
        succeed: () => resolve(values.map((value) => value.toUpperCase())),
        fail: reject,
      });
      return promise;
    },
    onFailure: () => 'retry',
    ...options,
  });
  const next = async (): Promise<Flush> => {
    const flush = await until(`flush ${seen + 1}`, () => flushes[seen]);
    seen += 1;
    return flush;
  };
  return { batcher, flushes, next };
}

const merge = (older: string, newer: string) => `${older}+${newer}`;

test('a lone entry is flushed at the end of the turn', async (t) => {
  const { batcher, flushes } = createHeld();
  const result = batcher.add('a', 'a1');
  t.is(batcher.size, 1);
  t.is(flushes.length, 0);
  await turn();
  await turn();
  t.deepEqual(
    flushes.map((each) => each.values),
    [['a1']],
  );
  flushes[0]?.succeed();
  t.is(await result, 'A1');
  await batcher.idle();
  t.is(batcher.size, 0);
});

test('what one turn adds is one flush, in its order, and each gets its own result', async (t) => {
  const { batcher, next } = createHeld();
  const results = Promise.all(['c', 'a', 'b'].map((key) => batcher.add(key, `${key}1`)));
  const flush = await next();
  t.deepEqual(flush.values, ['c1', 'a1', 'b1']);
  flush.succeed();
  t.deepEqual(await results, ['C1', 'A1', 'B1']);
});

test('while a flush is under way the next batch gathers', async (t) => {
  const { batcher, flushes, next } = createHeld();
  const first = batcher.add('a', 'a1');
  const under = await next();
  const rest = Promise.all([batcher.add('b', 'b1'), batcher.add('c', 'c1'), batcher.add('a', 'a2')]);
  await turn();
  await turn();
  t.is(flushes.length, 1);
  t.is(batcher.size, 4);
  under.succeed();
  t.is(await first, 'A1');
  const second = await next();
  t.deepEqual(second.values, ['b1', 'c1', 'a2']);
  second.succeed();
  t.deepEqual(await rest, ['B1', 'C1', 'A2']);
});

test('repeats of a key that waits are merged and share the outcome', async (t) => {
  const { batcher, next } = createHeld({ merge });
  const results = Promise.all([batcher.add('a', 'a1'), batcher.add('b', 'b1'), batcher.add('a', 'a2')]);
  batcher.put('a', 'a3');
  t.is(batcher.size, 2);
  const flush = await next();
  t.deepEqual(flush.values, ['a1+a2+a3', 'b1']);
  flush.succeed();
  t.deepEqual(await results, ['A1+A2+A3', 'B1', 'A1+A2+A3']);
});

test('without a merge a repeat waits for a later flush, and no flush holds a key twice', async (t) => {
  const { batcher, next } = createHeld();
  const results = Promise.all([
    batcher.add('a', 'a1'),
    batcher.add('a', 'a2'),
    batcher.add('b', 'b1'),
    batcher.add('a', 'a3'),
  ]);
  for (const expected of [['a1', 'b1'], ['a2'], ['a3']]) {
    const flush = await next();
    t.deepEqual(flush.values, expected);
    flush.succeed();
  }
  t.deepEqual(await results, ['A1', 'A2', 'B1', 'A3']);
});

test('no flush is larger than it may be', async (t) => {
  const { batcher, next } = createHeld({ maxBatch: 2 });
  const results = Promise.all(['a', 'b', 'c', 'd', 'e'].map((key) => batcher.add(key, key)));
  for (const expected of [['a', 'b'], ['c', 'd'], ['e']]) {
    const flush = await next();
    t.deepEqual(flush.values, expected);
    flush.succeed();
  }
  t.deepEqual(await results, ['A', 'B', 'C', 'D', 'E']);
});

test('a failure that passes is tried again, its entries first and in their order', async (t) => {
  const retries: { error: string; entries: number; attempt: number; retryMs: number }[] = [];
  const { batcher, next } = createHeld({
    onRetry: ({ error, entries, retryMs, attempt }) =>
      retries.push({ error: String(error), entries, attempt, retryMs }),
  });
  const results = Promise.all(['a', 'b'].map((key) => batcher.add(key, `${key}1`)));
  const first = await next();
  const late = Promise.all(['c', 'a'].map((key) => batcher.add(key, `${key}2`)));
  first.fail(new Error('away'));
  const second = await next();
  t.deepEqual(second.values, ['a1', 'b1', 'c2']);
  second.fail(new Error('still away'));
  const third = await next();
  t.deepEqual(third.values, ['a1', 'b1', 'c2']);
  third.succeed();
  t.deepEqual(await results, ['A1', 'B1']);
  const fourth = await next();
  t.deepEqual(fourth.values, ['a2']);
  fourth.succeed();
  t.deepEqual(await late, ['C2', 'A2']);

  t.deepEqual(
    retries.map(({ retryMs: _, ...retry }) => retry),
    [
      { error: 'Error: away', entries: 4, attempt: 1 },
      { error: 'Error: still away', entries: 4, attempt: 2 },
    ],
  );
  const [once, twice] = retries.map(({ retryMs }) => retryMs);
  t.true(Number(once) >= 25 && Number(once) <= 50);
  t.true(Number(twice) >= 50 && Number(twice) <= 100);
});

test('repeats are folded into the entries of a failed flush, and every caller hears of it', async (t) => {
  const { batcher, next } = createHeld({ merge });
  const older = batcher.add('a', 'a1');
  const other = batcher.add('b', 'b1');
  const first = await next();
  const newer = batcher.add('a', 'a2');
  first.fail(new Error('away'));
  const later = batcher.add('a', 'a3');
  const second = await next();
  t.deepEqual(second.values, ['a1+a2+a3', 'b1']);
  t.is(batcher.size, 2);
  second.succeed();
  t.deepEqual(await Promise.all([older, other, newer, later]), ['A1+A2+A3', 'B1', 'A1+A2+A3', 'A1+A2+A3']);
});

test('the one entry at fault is found by halves and refused alone', async (t) => {
  const flushed: string[][] = [];
  const batcher = createBatcher<string, string>({
    async flush(values) {
      flushed.push([...values]);
      if (values.includes('bad')) throw new Error('bad is bad');
      return values.map((value) => value.toUpperCase());
    },
    onFailure: () => 'divide',
  });
  const results = await Promise.allSettled(['a', 'b', 'bad', 'd', 'e'].map((key) => batcher.add(key, key)));
  t.deepEqual(
    results.map((each) => (each.status === 'fulfilled' ? each.value : each.reason.message)),
    ['A', 'B', 'bad is bad', 'D', 'E'],
  );
  const written = flushed.filter((values) => !values.includes('bad')).flat();
  t.deepEqual(written.toSorted(), ['a', 'b', 'd', 'e']);
});

test('a half that meets a passing failure is tried again, and its sibling is not written twice', async (t) => {
  const written: string[] = [];
  let away = true;
  const batcher = createBatcher<string, string>({
    async flush(values) {
      if (values.includes('bad')) throw new Error('fault');
      if (values.includes('d') && away) {
        away = false;
        throw new Error('away');
      }
      written.push(...values);
      return values.map((value) => value.toUpperCase());
    },
    onFailure: (error) => (String(error).includes('away') ? 'retry' : 'divide'),
  });
  const results = await Promise.allSettled(['a', 'bad', 'c', 'd'].map((key) => batcher.add(key, key)));
  t.deepEqual(
    results.map((each) => each.status),
    ['fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
  );
  t.deepEqual(written.toSorted(), ['a', 'c', 'd']);
});

test('a refused batch fails for each caller, and the next one is flushed', async (t) => {
  const refused: string[] = [];
  const { batcher, next } = createHeld({
    onFailure: () => 'refuse',
    onRefused: (_error, value) => refused.push(value),
  });
  const a = batcher.add('a', 'a1');
  batcher.put('b', 'b1');
  const first = await next();
  const c = batcher.add('c', 'c1');
  first.fail(new Error('no'));
  await t.throwsAsync(a, { message: 'no' });
  t.deepEqual(refused, ['a1', 'b1']);
  (await next()).succeed();
  t.is(await c, 'C1');
});

test('a flush that returns too few results is a fault', async (t) => {
  const batcher = createBatcher<string, string>({ flush: async () => [], onFailure: () => 'refuse' });
  await t.throwsAsync(batcher.add('a', 'a1'), { message: 'flush returned 0 results for 1 entries' });
});

test('an entry that stands for several counts as so many, while it waits and once it is written', async (t) => {
  const written: number[] = [];
  let size = () => 0;
  const { batcher, next } = createHeld({
    merge: (older, newer) => older + newer,
    weigh: (value) => value.length,
    watch: {
      opened(asked) {
        size = asked;
      },
      written: (entries) => written.push(entries),
      failed: () => undefined,
    },
  });
  batcher.put('a', 'one');
  batcher.put('a', 'four');
  t.is(size(), 7);
  const flush = await next();
  batcher.put('a', 'x');
  t.is(size(), 8);
  flush.succeed();
  (await next()).succeed();
  await batcher.idle();
  t.deepEqual(written, [7, 1]);
});

test('an outcome that is no promise is told the same, when the entry is written and when it is refused', async (t) => {
  const told: string[] = [];
  const outcome = {
    resolve: (result: string) => told.push(result),
    reject: (error: unknown) => told.push(error instanceof Error ? error.message : 'no error'),
  };
  const { batcher, next } = createHeld({ merge, onFailure: () => 'refuse' });
  batcher.enter('a', 'a1', outcome);
  const promised = batcher.add('a', 'a2');
  (await next()).succeed();
  t.is(await promised, 'A1+A2');
  batcher.enter('a', 'a3', outcome);
  (await next()).fail(new Error('no'));
  await batcher.idle();
  t.deepEqual(told, ['A1+A2', 'no']);
});

test('idle resolves when everything is written, and at once where nothing waits', async (t) => {
  const { batcher, next } = createHeld();
  await batcher.idle();
  let idle = false;
  batcher.put('a', 'a1');
  const waiting = batcher.idle().then(() => {
    idle = true;
  });
  const first = await next();
  batcher.put('b', 'b1');
  first.succeed();
  const second = await next();
  t.false(idle);
  second.succeed();
  await waiting;
  t.is(batcher.size, 0);
});

test('abandoned, a batcher refuses what a passing failure keeps from being written', async (t) => {
  const { batcher, next } = createHeld();
  const a = batcher.add('a', 'a1');
  const first = await next();
  const b = batcher.add('b', 'b1');
  batcher.abandon(new Error('it stops'));
  first.fail(new Error('away'));
  await t.throwsAsync(a, { message: 'it stops' });
  await t.throwsAsync(b, { message: 'it stops' });
  await batcher.idle();
  t.is(batcher.size, 0);
});

test('abandoned, a batcher ends its pause, tries once more, and still writes what it can', async (t) => {
  const pauses: number[] = [];
  const { batcher, next } = createHeld({ onRetry: ({ retryMs }) => pauses.push(retryMs) });
  const a = batcher.add('a', 'a1');
  for (let attempt = 1; attempt <= 6; attempt += 1) {
    (await next()).fail(new Error('away'));
    await until('the pause', () => pauses.length === attempt);
  }
  const paused = performance.now();
  batcher.abandon(new Error('it stops'));
  (await next()).succeed();
  t.is(await a, 'A1');
  t.true(performance.now() - paused < Number(pauses.at(-1)));
});

test('a batch that takes too long is halved until it does not, and doubled with each that succeeds', async (t) => {
  const keys = Array.from({ length: 16 }, (_, at) => String(at));
  const { batcher, next } = createHeld({ maxBatch: 8, onFailure: () => 'shrink' });
  const results = Promise.all(keys.map((key) => batcher.add(key, `v${key}`)));
  const tooLong = new Error('it took too long');
  const sizes: number[] = [];
  for (const succeeds of [false, false, true, true, true, true]) {
    const flush = await next();
    sizes.push(flush.values.length);
    if (succeeds) flush.succeed();
    else flush.fail(tooLong);
  }
  t.deepEqual(sizes, [8, 4, 2, 4, 8, 2]);
  t.deepEqual(
    await results,
    keys.map((key) => `V${key}`),
  );
});

test('an entry that takes too long alone is tried behind the others, alone, and they do not wait for it', async (t) => {
  const { batcher, next } = createHeld({ onFailure: () => 'shrink', merge });
  const tooLong = new Error('it took too long');
  const slow = batcher.add('slow', 's1');
  const rest = Promise.all(['a', 'b'].map((key) => batcher.add(key, key)));
  for (const expected of [['s1', 'a', 'b'], ['s1']]) {
    const flush = await next();
    t.deepEqual(flush.values, expected);
    flush.fail(tooLong);
  }
  const more = batcher.add('slow', 's2');
  for (const expected of [['a'], ['b']]) {
    const flush = await next();
    t.deepEqual(flush.values, expected);
    flush.succeed();
  }
  t.deepEqual(await rest, ['A', 'B']);
  const again = await next();
  t.deepEqual(again.values, ['s1+s2']);
  const late = batcher.add('c', 'c');
  again.fail(tooLong);
  const others = await next();
  t.deepEqual(others.values, ['c']);
  others.succeed();
  t.is(await late, 'C');
  (await next()).succeed();
  t.deepEqual(await Promise.all([slow, more]), ['S1+S2', 'S1+S2']);
});

test('without a merge a slow entry takes what came after it under its key along behind the others', async (t) => {
  const { batcher, next } = createHeld({ onFailure: () => 'shrink', maxBatch: 1 });
  const results = Promise.all([batcher.add('a', 'a1'), batcher.add('a', 'a2'), batcher.add('b', 'b1')]);
  (await next()).fail(new Error('it took too long'));
  for (const expected of ['b1', 'a1', 'a2']) {
    const flush = await next();
    t.deepEqual(flush.values, [expected]);
    flush.succeed();
  }
  t.deepEqual(await results, ['A1', 'A2', 'B1']);
});

test('where several wait for a flush that ends, the next waits for more of them; one alone waits for nobody', async (t) => {
  const { batcher, flushes, next } = createHeld({ linger: { ms: 1_000, upTo: 4 } });
  batcher.put('a', 'a');
  const alone = await next();
  batcher.put('b', 'b');
  alone.succeed();
  const second = await next();
  t.deepEqual(second.values, ['b'], 'one alone goes at once');
  batcher.put('c', 'c');
  batcher.put('d', 'd');
  second.succeed();
  await turn();
  await turn();
  t.is(flushes.length, 2, 'two wait for more');
  batcher.put('e', 'e');
  const third = await next();
  t.deepEqual(third.values, ['c', 'd', 'e']);
  for (const key of ['f', 'g', 'h', 'i']) batcher.put(key, key);
  third.succeed();
  await turn();
  await turn();
  t.is(flushes.length, 4, 'so many are enough');
  (await next()).succeed();
  await batcher.idle();
});

test('who gives up waits for no more of them', async (t) => {
  const { batcher, next } = createHeld({ linger: { ms: 60_000, upTo: 4 } });
  batcher.put('a', 'a');
  const first = await next();
  batcher.put('b', 'b');
  batcher.put('c', 'c');
  first.succeed();
  await turn();
  batcher.abandon(new Error('stops'));
  const second = await next();
  t.deepEqual(second.values, ['b', 'c']);
  second.succeed();
  await batcher.idle();
});
