// The command `npm run chaos`: every fault at random against a simulated fleet, and a table of what held.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { describeReport } from './report.ts';
import { runChaos } from './run.ts';

const usage = `npm run chaos -- [--minutes 5] [--seed N] [--orchestrators 300] [--rate 40] [--logs FOLDER]
  --rate   calls of /send a second
  --logs   where to leave what each replica wrote`;

const optionsSchema = z.object({
  minutes: z.coerce.number().positive().default(5),
  seed: z.coerce.number().int().min(0).max(0xffff_ffff).optional(),
  orchestrators: z.coerce.number().int().min(1).default(300),
  rate: z.coerce.number().positive().default(40),
  logs: z.string().optional(),
});

function readOptions() {
  const text = { type: 'string' } as const;
  const options = { minutes: text, seed: text, orchestrators: text, rate: text, logs: text };
  try {
    return optionsSchema.parse(parseArgs({ options }).values);
  } catch (error) {
    console.error(`${error instanceof z.ZodError ? z.prettifyError(error) : String(error)}\n${usage}`);
    return process.exit(2);
  }
}

const { minutes, orchestrators, rate, logs, seed = Math.floor(Math.random() * 2 ** 32) } = readOptions();
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
