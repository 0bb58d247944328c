// The command `npm run campaign`: hostile payloads at every route and event, and a table of what became of them.
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { openStores } from '../../src/local/stores.ts';
import { createTemplate } from '../support/template.ts';
import { describeReport } from './report.ts';
import { runCampaign } from './run.ts';

const usage = `npm run campaign -- [--payloads 100000] [--seed N] [--only TEXT]
  --only   routes and events whose name contains it, such as "POST " or "ws handshake"`;

const optionsSchema = z.object({
  payloads: z.coerce.number().int().positive().default(100_000),
  seed: z.coerce.number().int().min(0).max(0xffff_ffff).optional(),
  only: z.string().optional(),
});

function readOptions() {
  const text = { type: 'string' } as const;
  try {
    return optionsSchema.parse(parseArgs({ options: { payloads: text, seed: text, only: text } }).values);
  } catch (error) {
    console.error(`${error instanceof z.ZodError ? z.prettifyError(error) : String(error)}\n${usage}`);
    return process.exit(2);
  }
}

const { payloads, only, seed = Math.floor(Math.random() * 2 ** 32) } = readOptions();
const folder = await mkdtemp(join(tmpdir(), 'moolai-campaign-'));
await chmod(folder, 0o755);
const stores = await openStores({ folder, durable: false, onProgress: (line) => console.log(line) });
let sound = false;
try {
  await createTemplate(stores.databaseUrl);
  process.env.TEST_DATABASE_URL = stores.databaseUrl;
  process.env.TEST_REDIS_URL = stores.redisUrl;
  process.env.TEST_FOLDER = folder;
  console.log(`A campaign of ${payloads} payloads, --seed ${seed}`);
  const report = await runCampaign({ seed, payloads, only, onProgress: (line) => console.log(line) });
  console.log(describeReport(report, seed));
  sound = report.failures.length === 0 && report.breaches.length === 0;
} finally {
  await stores.close();
  await rm(folder, { recursive: true, force: true });
}
process.exit(sound ? 0 : 1);
