// The contest of sends is held for real, tiny: what it measures there says nothing, but that it measures.
import test from 'ava';
import { holdContest } from '../contest.ts';
import { send } from './send.ts';

test('sends are answered behind their arrival, whoever brings them, and counted', async (t) => {
  t.timeout(120_000);
  const options = { connections: 4, seconds: 1, rounds: 1, onProgress: () => undefined };
  const result = await holdContest(send, options);
  t.deepEqual(
    result.contestants.map(({ name }) => name),
    ['1', '4'].flatMap((inFlight) =>
      ['controller', 'adapter', 'BullMQ'].map((who) => `${who}, ${inFlight} in flight`),
    ),
  );
  for (const { name, rounds } of result.contestants)
    for (const figure of ['perSecond', 'p50Ms', 'p99Ms'])
      t.true((rounds[0]?.[figure] ?? 0) > 0, `${figure} of ${name}`);
});
