// The command `npm run campaign`: hostile payloads at every route and event, and a table of what became of them.
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { readFlags } from '../../src/local/flags.ts';
import { openStores } from '../../src/local/stores.ts';
import { createTemplate } from '../support/template.ts';
import { describeReport } from './report.ts';
import { runCampaign } from './run.ts';

const usage = `Usage: npm run campaign -- [--payloads 100000] [--seed N] [--only TEXT]

Sends generated payloads, right and hostile, to every route and event of a real controller, and prints a table of what
became of them. Exits with 1 if one of them did harm, with the smallest that does.

  --payloads N  how many
  --seed N      which ones (default: one at random, which is told)
  --only TEXT   routes and events whose name contains it, such as "POST " or "ws handshake"
  --help        shows this
`;

const number = z.coerce.number({ error: 'must be a number' });
const flagsSchema = z.object({
  payloads: number.int().positive().default(100_000),
  seed: number
    .int()
    .min(0)
    .max(0xffff_ffff)
    .default(() => Math.floor(Math.random() * 2 ** 32)),
  only: z.string().optional(),
});

const flags = readFlags(['payloads', 'seed', 'only'], flagsSchema, usage);
if (flags === undefined) process.exit();
const { payloads, seed, only } = flags;
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
