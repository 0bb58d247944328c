// The command `npm run sizing`: what a fleet costs, by the number of its orchestrators, measured on this machine.
import { z } from 'zod';
import { readFlags } from '../../src/local/flags.ts';
import { describeSizing } from './sizing-report.ts';
import { measureSizing } from './sizing-run.ts';

const usage = `Usage: npm run sizing -- [--sizes 1000,2000,4000] [--replicas 2] [--seconds 60] [--windows 5]

Runs replicas as production does, on a Postgres and a Redis of their own, under fleets of these sizes that beat at the
interval they are told, and prints what each part used: with nobody connected, and for each 1,000 orchestrators more.

  --sizes LIST     orchestrators, in steps that grow
  --replicas N     replicas that share them
  --seconds S      how long each step is looked at
  --windows N      into how many windows that is divided: figures are medians of them
  --help           shows this
`;

const number = z.coerce.number({ error: 'must be a number' });
const flagsSchema = z.object({
  sizes: z
    .string()
    .default('1000,2000,4000')
    .transform((list) => list.split(',').map(Number))
    .pipe(
      z
        .array(z.int().min(1).max(15_000))
        .min(2, 'at least two: what one more costs is the difference between them')
        .refine((sizes) => sizes.every((size, at) => size > (sizes[at - 1] ?? 0)), 'must grow'),
    ),
  replicas: number.int().min(1).max(8).default(2),
  seconds: number.min(1).max(3_600).default(60),
  windows: number.int().min(1).max(100).default(5),
});

const flags = readFlags(['sizes', 'replicas', 'seconds', 'windows'], flagsSchema, usage);
if (flags !== undefined) {
  const { seconds, ...rest } = flags;
  const measured = await measureSizing({
    ...rest,
    stepMs: seconds * 1_000,
    onProgress: (line) => console.error(line),
  });
  console.log(describeSizing(measured));
}
