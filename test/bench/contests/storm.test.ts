// The contests of connections are held for real, tiny: what they measure there says nothing, but that they measure.
import test from 'ava';
import { type Contest, holdContest } from '../contest.ts';
import { memory } from './memory.ts';
import { storm } from './storm.ts';

const hold = (contest: Contest) =>
  holdContest(contest, { connections: 20, seconds: 0.2, rounds: 1, onProgress: () => undefined });

test('everybody shakes hands, for the first time and again, and it is told what that took', async (t) => {
  t.timeout(120_000);
  const { contestants } = await hold(storm);
  t.deepEqual(
    contestants.map(({ name }) => name),
    ['bare Socket.IO', 'controller', 'naive'],
  );
  for (const { name, rounds } of contestants)
    for (const figure of ['perSecond', 'firstPerSecond', 'p50Ms', 'p99Ms'])
      t.true((rounds[0]?.[figure] ?? 0) > 0, `${figure} of ${name}`);
});

test('what a connection weighs is told of a fresh process', async (t) => {
  t.timeout(120_000);
  const { contestants } = await hold(memory);
  for (const { name, rounds } of contestants) {
    t.true(Number.isFinite(rounds[0]?.bytesPerConnection), name);
    t.true((rounds[0]?.emptyMegabytes ?? 0) > 20, name);
  }
});
