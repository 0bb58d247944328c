// One dear read for many who ask.
import test from 'ava';
import { shareRead } from '../src/shared-read.ts';

/** A read that ends when it is told to. */
function openReads() {
  const reads: PromiseWithResolvers<string>[] = [];
  const read = shareRead(() => {
    const mine = Promise.withResolvers<string>();
    reads.push(mine);
    return mine.promise;
  });
  return { reads, read };
}
const turn = () => new Promise(setImmediate);

test('those who ask while one is under way share the next, and are told nothing older', async (t) => {
  const { reads, read } = openReads();
  const first = read();
  await turn();
  const later = Array.from({ length: 100 }, () => read());
  await turn();
  t.is(reads.length, 1);
  reads[0]?.resolve('old');
  t.is(await first, 'old');
  await turn();
  t.is(reads.length, 2);
  const last = read();
  reads[1]?.resolve('new');
  t.deepEqual(new Set(await Promise.all(later)), new Set(['new']));
  await turn();
  reads[2]?.resolve('newest');
  t.is(await last, 'newest');
  t.is(reads.length, 3);
});

test('a failure is told to those who shared it, and to nobody else', async (t) => {
  const { reads, read } = openReads();
  const both = [read(), read()];
  await turn();
  const after = read();
  reads[0]?.reject(new Error('away'));
  for (const each of both) await t.throwsAsync(each, { message: 'away' });
  await turn();
  reads[1]?.resolve('back');
  t.is(await after, 'back');
});
