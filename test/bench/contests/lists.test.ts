import test from 'ava';
import { holdContest } from '../contest.ts';
import { describeResult } from '../report.ts';
import { listsOver } from './lists.ts';

test('a small contest of lists is held for real: both tell the same rows, and every list is read by an index', async (t) => {
  t.timeout(120_000);
  const contest = listsOver({ organizations: 250, orchestrators: 1_000, messages: 20_000 });
  const onProgress = (line: string) => t.log(line);
  const result = await holdContest(contest, { rounds: 1, connections: undefined, seconds: 0.05, onProgress });

  for (const { name, rounds } of result.contestants) {
    const missing = Object.keys(contest.figures).filter((figure) => rounds[0]?.[figure] === undefined);
    t.deepEqual(missing, [], name);
  }
  t.is(result.notes.length, 8);
  for (const note of result.notes) {
    t.regex(note, /Index (?:Only )?Scan on /);
    t.notRegex(note, /Seq Scan/);
  }
  t.true(describeResult(result).includes('messages, page 1,000'));
});
