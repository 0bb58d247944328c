import test from 'ava';
import { holdContest } from '../contest.ts';
import { logs } from './logs.ts';

test('the log is read and written at once and apart, and no line is lost', async (t) => {
  t.timeout(120_000);
  const onProgress = () => undefined;
  const result = await holdContest(logs, { rounds: 1, connections: undefined, seconds: 1, onProgress });
  const [both = {}, read = {}, written = {}] = result.contestants.map(({ rounds }) => rounds[0]);
  t.deepEqual([both.lost, written.lost, read.lost], [0, 0, undefined]);
  t.true(Number(both.readsPerSecond) > 0 && Number(read.readsPerSecond) > 0);
  t.true(Number(both.writtenPerSecond) > 0 && Number(written.writtenPerSecond) > 0);
  t.is(written.p99Ms, undefined);
});
