// A seeded run of `npm run campaign`: whatever is sent, at whichever route and event, does no harm.
import test from 'ava';
import { describeReport } from './report.ts';
import { runCampaign, sent } from './run.ts';

const seed = 20_261_124;
const payloads = 20_000;

test('no payload breaks a promise', async (t) => {
  t.timeout(300_000);
  const report = await runCampaign({ seed, payloads, onProgress: () => undefined });
  t.log(`npm run campaign -- --payloads ${payloads} --seed ${seed}\n${describeReport(report, seed)}`);
  t.deepEqual(report.failures, []);
  t.deepEqual(report.breaches, []);
  t.true(sent(report.targets) >= payloads);
});
