// The command `npm run chaos`: every fault at random against a simulated fleet, and a table of what held.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { readFlags } from '../../src/local/flags.ts';
import { describeReport } from './report.ts';
import { runChaos } from './run.ts';

const usage = `Usage: npm run chaos -- [--minutes 5] [--seed N] [--orchestrators 300] [--rate 40] [--logs FOLDER]

Kills, pauses and cuts off replicas, Redis and Postgres at random under a simulated fleet, and prints a table of what
held. Exits with 1 if a promise was broken.

  --minutes M        how long
  --seed N           which faults, and when (default: one at random, which is told)
  --orchestrators N  connected all the time
  --rate N           calls of /send a second
  --logs FOLDER      where to leave what each replica wrote
  --help             shows this
`;

const number = z.coerce.number({ error: 'must be a number' });
const flagsSchema = z.object({
  minutes: number.positive().default(5),
  seed: number
    .int()
    .min(0)
    .max(0xffff_ffff)
    .default(() => Math.floor(Math.random() * 2 ** 32)),
  orchestrators: number.int().min(1).default(300),
  rate: number.positive().default(40),
  logs: z.string().optional(),
});

const flags = readFlags(['minutes', 'seed', 'orchestrators', 'rate', 'logs'], flagsSchema, usage);
if (flags === undefined) process.exit();
const { minutes, seed, orchestrators, rate, logs } = flags;
// Replicas that take the place of others start in half the time.
process.env.NODE_COMPILE_CACHE ??= fileURLToPath(
  new URL('../../node_modules/.cache/moolai-controller/compiled', import.meta.url),
);
console.log(`Chaos for ${minutes} minutes with ${orchestrators} orchestrators, --seed ${seed}`);
const report = await runChaos({
  seed,
  durationMs: minutes * 60_000,
  orchestrators,
  callsPerSecond: rate,
  replicas: 3,
  config: { socket: { heartbeatIntervalMs: 2_000 } },
  durations: { pauseMs: 20_000, outageMs: 10_000 },
  backoff: { baseMs: 500, capMs: 5_000 },
  onProgress: (line) => console.log(line),
});
if (logs !== undefined) {
  await mkdir(logs, { recursive: true });
  for (const { nodeId, text } of report.outputs) await writeFile(join(logs, `${nodeId}.log`), text);
}
console.log(describeReport(report, seed));
process.exit(report.ledger.breaches.length === 0 ? 0 : 1);
