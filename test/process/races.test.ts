// Reconnect races, as a model: whatever the order in which sockets of one id come and go while replicas are killed and
// paused, in the end the newest connection alone counts, and every store and every replica says so.
import test from 'ava';
import fc from 'fast-check';
import { openCluster } from '../support/cluster.ts';
import { type Action, openRace, races } from '../support/race.ts';

const stopAfterMs = 30_000;

test('in the end exactly the newest connection counts, whatever raced with what', async (t) => {
  // To repeat a run: RACES_SEED and RACES_PATH as a failure prints them.
  const seed = Number(process.env.RACES_SEED ?? Date.now() % 2 ** 31);
  const path = process.env.RACES_PATH;
  t.log(`RACES_SEED=${seed}`);
  await using cluster = await openCluster({
    replicas: 3,
    config: { presence: { leaseMs: 2_000, renewEveryMs: 500 }, sweep: { everyMs: 200 } },
  });
  let run = 0;
  const steps: string[] = [];
  let underWay: Promise<void> = Promise.resolve();
  const play = async (race: readonly Action[]) => {
    run += 1;
    steps.push(...race.map((action) => action.kind));
    await using open = openRace(cluster, `race-${run}`);
    for (const action of race) await open.take(action);
    steps.push(...(await open.rest()).map((status) => `send answered ${status}`));
  };
  const whatever = fc.asyncProperty(races, (race) => {
    underWay = play(race);
    return underWay;
  });
  const details = await fc.check(whatever, {
    seed,
    ...(path === undefined ? {} : { path }),
    numRuns: 20,
    endOnFailure: true,
    interruptAfterTimeLimit: stopAfterMs,
  });
  // The race that the time limit left counts as well, and ends before the cluster does.
  if (details.interrupted) await t.notThrowsAsync(underWay, `RACES_PATH=${run - 1}`);
  else t.false(details.failed, `${details.errorInstance}\n${fc.defaultReportMessage(details)}`);
  const counts = Map.groupBy(steps, (kind) => kind)
    .entries()
    .map(([kind, all]) => `${kind} ${all.length}`);
  t.log(`${run} races: ${[...counts].join(', ')}`);
});
