import test from 'ava';
import { holdContest } from '../contest.ts';
import { start } from './start.ts';

test('npm start is timed from nothing and with its data, and is gone each time before the next', async (t) => {
  t.timeout(120_000);
  const lines: string[] = [];
  const { contestants } = await holdContest(start, {
    ...{ rounds: 1, connections: undefined, seconds: undefined },
    onProgress: (line) => lines.push(line),
  });
  t.deepEqual(
    contestants.map(({ name }) => name),
    ['first start', 'second start'],
  );
  for (const { rounds } of contestants) t.true((rounds[0]?.seconds ?? 0) > 0.1);
  t.is(lines.length, 3);
});
