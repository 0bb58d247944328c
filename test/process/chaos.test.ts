// A short, seeded run of `npm run chaos`, with leases as quick as its time is short.
import test from 'ava';
import { describeReport } from '../chaos/report.ts';
import { runChaos } from '../chaos/run.ts';

const seed = 20_261_124;

test('whatever fails, nothing acknowledged is lost and nobody is told a false word', async (t) => {
  t.timeout(170_000);
  const report = await runChaos({
    seed,
    durationMs: 25_000,
    orchestrators: 60,
    callsPerSecond: 30,
    replicas: 3,
    config: {
      socket: { heartbeatIntervalMs: 1_000 },
      presence: { leaseMs: 4_000, renewEveryMs: 1_000 },
      sweep: { everyMs: 200 },
    },
    durations: { pauseMs: 4_000, outageMs: 2_500 },
    backoff: { baseMs: 100, capMs: 1_000 },
    onProgress: (line) => t.log(line),
  });
  t.log(`npm run chaos, --seed ${seed}\n${describeReport(report, seed)}`);
  t.deepEqual(report.ledger.breaches, []);
  t.true(report.faults.size > 3);
});
