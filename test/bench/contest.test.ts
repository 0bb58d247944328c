import { readFile } from 'node:fs/promises';
import test from 'ava';
import { renderChart } from './chart.ts';
import { type Contest, type Figures, holdContest, shorten } from './contest.ts';
import { heartbeats } from './contests/heartbeats.ts';
import { readPublished, renderSection, sectionOf } from './publish.ts';
import { describeResult } from './report.ts';
import { judge, percentileOf, spreadOf } from './statistics.ts';

const quiet = { connections: undefined, seconds: undefined, onProgress: () => undefined };

/** Contestants whose rounds come to what is given, and the order in which they had their turns. */
function createContest(rounds: Readonly<Record<string, readonly Figures[]>>) {
  const turns: string[] = [];
  let closed = 0;
  const contest: Contest = {
    name: 'made-up',
    title: 'Figures that are known',
    figures: { perSecond: { label: 'done a second', unit: '/s' }, ms: { label: 'took', unit: 'ms' } },
    aims: [
      { figure: 'perSecond', of: 'ours', to: 'theirs', atLeast: 0.5 },
      { figure: 'ms', of: 'ours', atMost: 10 },
      { figure: 'ms', of: 'ours', to: 'nobody', atMost: 1 },
    ],
    async open({ closing, note }) {
      closing.defer(() => {
        closed += 1;
      });
      note('the same once');
      note('the same once');
      return Object.entries(rounds).map(([name, figures]) => {
        let round = 0;
        return {
          name,
          async round() {
            turns.push(name);
            round += 1;
            return figures[round - 1] ?? {};
          },
        };
      });
    },
  };
  return { contest, turns, closed: () => closed };
}

test('contestants take turns, and a ratio is the median of the rounds’ own', async (t) => {
  const { contest, turns, closed } = createContest({
    // In the second round the machine was half as fast, for both.
    ours: [
      { perSecond: 60, ms: 9 },
      { perSecond: 25, ms: 20 },
      { perSecond: 70, ms: 8 },
    ],
    theirs: [{ perSecond: 100 }, { perSecond: 50 }, { perSecond: 100 }],
  });
  const result = await holdContest(contest, { ...quiet, rounds: 3 });
  t.deepEqual(turns, ['ours', 'theirs', 'ours', 'theirs', 'ours', 'theirs']);
  t.is(closed(), 1);
  t.deepEqual(
    judge(result).map(({ measured, reached }) => ({ median: measured?.median, reached })),
    [
      { median: 0.6, reached: true },
      { median: 9, reached: true },
      { median: undefined, reached: false },
    ],
  );
  const told = describeResult(result);
  t.regex(told, /done a second +60\/s \[25 – 70\] +100\/s \[50 – 100\]/);
  t.regex(told, /✔ done a second, ours to theirs: 0\.6 \[0\.5 – 0\.7\] times \(aim: at least 0\.5\)/);
  t.regex(told, /- took, ours to nobody: not measured \(aim: /);
  t.is(told.split('note: the same once').length, 2);
});

test('an aim that is missed is told as missed, in the table and in the chart', async (t) => {
  const { contest } = createContest({ ours: [{ perSecond: 10, ms: 11 }], theirs: [{ perSecond: 100 }] });
  const result = await holdContest(contest, { ...quiet, rounds: 1 });
  t.true(judge(result).every(({ reached }) => !reached));
  t.regex(describeResult(result), /✘ done a second/);
  t.is(renderChart([result]).split('class="missed"').length - 1, 2);
});

test('a load that had no more to give is told as the bottleneck', async (t) => {
  const { contest } = createContest({
    ours: [{ perSecond: 10, driverCores: 0.99, serverCores: 0.4 }],
    theirs: [{ perSecond: 10, driverCores: 0.4, serverCores: 0.99 }],
  });
  const told = describeResult(await holdContest(contest, { ...quiet, rounds: 1 }));
  t.regex(told, /the load was the bottleneck of ours/);
  t.notRegex(told, /bottleneck of theirs/);
});

test('medians, spreads and percentiles', (t) => {
  t.deepEqual(spreadOf([9, 1, 2, 4]), { median: 3, min: 1, max: 9 });
  t.throws(() => spreadOf([]), { instanceOf: RangeError });
  t.is(percentileOf([5, 1, 3, 2, 4], 0.5), 3);
  t.is(percentileOf([], 0.99), 0);
  t.deepEqual([0.12345, 1.5, 15_230, 0].map(shorten), ['0.123', '1.5', '15,230', '0']);
});

test('heartbeats are measured for real: each contestant acknowledges, and uses processors', async (t) => {
  t.timeout(120_000);
  const result = await holdContest(heartbeats, { ...quiet, connections: 20, seconds: 1, rounds: 1 });
  t.deepEqual(
    result.contestants.map(({ name }) => name),
    ['bare Socket.IO', 'controller', 'naive'],
  );
  for (const { name, rounds } of result.contestants) {
    t.true((rounds[0]?.perSecond ?? 0) > 10, name);
    t.true((rounds[0]?.p99Ms ?? 0) >= (rounds[0]?.p50Ms ?? 1), name);
    t.true((rounds[0]?.cpuPerMillion ?? 0) > 0, name);
  }
});

test('the README and its chart show what was published, and nothing else', async (t) => {
  const published = await readPublished();
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  t.is(sectionOf(readme), renderSection(published));
  const chart = await readFile(new URL('published/chart.svg', import.meta.url), 'utf8');
  t.is(chart, renderChart(published.contests.map(({ result }) => result)));
});
