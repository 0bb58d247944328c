import test from 'ava';
import { holdContest } from '../contest.ts';
import { live } from './live.ts';

test('the live list is asked for by callers of each kind, and each contestant has its figures', async (t) => {
  t.timeout(120_000);
  const onProgress = () => undefined;
  const result = await holdContest(live, { rounds: 1, connections: 40, seconds: 1, onProgress });
  t.deepEqual(
    result.contestants.map(({ name }) => name),
    ['controller, 40', 'hash each time, 40'],
  );
  for (const { name, rounds } of result.contestants) {
    const [figures = {}] = rounds;
    t.true(Number(figures.perSecond) > 0, name);
    t.true(Number(figures.plainKilobytes) > 10, name);
    t.deepEqual(
      Object.keys(figures).filter((figure) => !(figure in live.figures)),
      [],
    );
    const isOurs = name.startsWith('controller');
    t.is(Number(figures.gzipKilobytes) < Number(figures.plainKilobytes) / 2, isOurs, name);
    t.is(Number(figures.unchangedShare) > 0, isOurs, name);
  }
  t.is(result.notes.length, 1);
});
