import test from 'ava';
import { drawGrowth } from './growth/chart.ts';
import { describeGrowth } from './growth/report.ts';
import { runGrowth } from './growth/run.ts';
import { panelNames, panels } from './growth/samples.ts';
import { judgeLine, linesOf } from './growth/verdict.ts';

const bounds = { atMost: 0.1, ofAtLeast: 1 };
const line = (value: (at: number) => number) => ({
  name: 'a line',
  points: Array.from({ length: 101 }, (_, at) => [at, value(at)] as const),
});

test('what rises by more than its bound over the second half grows, however it came to the middle', (t) => {
  const { flat, rise, mean } = judgeLine(
    line((at) => 100 + Math.max(0, at - 50)),
    bounds,
  );
  t.false(flat);
  t.is(Math.round(mean), 125);
  t.is(rise.toFixed(2), '0.40');
  t.true(
    judgeLine(
      line((at) => Math.min(at, 50)),
      bounds,
    ).flat,
  );
  t.true(
    judgeLine(
      line((at) => 100 - at),
      bounds,
    ).flat,
  );
});

test('a rise within what the points scatter is none, and the same rise without it is one', (t) => {
  const rising = (at: number) => 100 + at * 0.3;
  t.false(judgeLine(line(rising), bounds).flat);
  t.true(
    judgeLine(
      line((at) => rising(at) + (at % 2 === 0 ? 90 : -90)),
      bounds,
    ).flat,
  );
});

test('of what is cleaned up now and then the lows count, and they take their time to show', (t) => {
  const minutes = (count: number, value: (at: number) => number) => ({
    name: 'a line',
    points: Array.from({ length: count * 12 }, (_, nth) => [nth * 5, value(nth * 5)] as const),
  });
  // Teeth of 70 seconds, each higher than the one before.
  const saw = (at: number) => 100 + (at % 70) * (1 + at / 100);
  t.false(judgeLine(minutes(15, saw), bounds).flat);
  t.true(judgeLine(minutes(15, saw), { ...bounds, lows: true }).flat);
  t.false(
    judgeLine(
      minutes(15, (at) => saw(at) + at),
      { ...bounds, lows: true },
    ).flat,
  );
  t.is(judgeLine(minutes(2, saw), { ...bounds, lows: true }).flat, undefined);
});

test('a rise of next to nothing is compared with what would matter', (t) => {
  const tiny = line((at) => at / 1_000);
  t.true(judgeLine(tiny, bounds).flat);
  t.false(judgeLine(tiny, { ...bounds, ofAtLeast: 0.01 }).flat);
});

test('a small fleet that comes and goes is watched for real, until it is asked to end: each thing looked at is told and drawn', async (t) => {
  t.timeout(120_000);
  const stopping = new AbortController();
  let seen = 0;
  const samples = await runGrowth({
    ...{ seconds: 600, everySeconds: 0.25, orchestrators: 40, replicas: 2, churn: 20, sends: 40 },
    onProgress: () => undefined,
    onSample() {
      seen += 1;
      if (seen === 8) stopping.abort();
    },
    signal: stopping.signal,
  });
  t.is(samples.length, 8);
  t.deepEqual(samples.at(-1)?.faults, {});
  t.true(samples.reduce((sum, { reconnects }) => sum + reconnects, 0) >= 20);
  for (const panel of ['heap', 'resident', 'redis', 'keys', 'tables', 'sends', 'beats'] as const)
    for (const { name, points } of linesOf(samples, panel))
      t.true(
        points.some(([, value]) => value > 0),
        `${panel}, ${name}`,
      );
  t.deepEqual(
    linesOf(samples, 'dead').map(({ name }) => name),
    ['orchestrator_instances', 'orchestrator_message_counts', 'orchestrator_messages', 'organizations'],
  );
  const [report, chart] = [describeGrowth(samples), drawGrowth(samples)];
  for (const panel of panelNames) {
    t.true(report.includes(panels[panel].title), panel);
    t.true(chart.includes(panels[panel].title), panel);
  }
  t.regex(report, /\n {2}errors meanwhile: none$/);
  t.notRegex(report, /[−+]0%/);
  t.notRegex(chart, /NaN|undefined|Infinity/);
});

test('of too few looks nothing is said', (t) => {
  t.regex(describeGrowth([]), /Not enough was seen/);
});
