// The command `npm run bench`: the controller beside its peers on this machine, in turns, and what the ratios are.
import { writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { readFlags } from '../../src/local/flags.ts';
import { type ContestResult, holdContest } from './contest.ts';
import { contests } from './contests.ts';
import { describeMachine } from './machine.ts';
import { publish } from './publish.ts';
import { describeResult } from './report.ts';

const names = contests.map(({ name }) => name);
const usage = `Usage: npm run bench -- [contest …] [--rounds 5] [--connections N] [--seconds S] [--json FILE] [--publish yes]

Holds contests on this machine, against a Postgres and a Redis of their own, and prints medians with their spread, and
ratios. Only ratios of one run mean anything on another machine.

  contests         ${names.join(', ')}; without one, all of them
  --rounds N       turns that each contestant has
  --connections N  orchestrators, where a contest has a number of them
  --seconds S      how long one turn is looked at, where that is a contest's to choose
  --json FILE      every figure of every round
  --publish yes    puts the results of these contests into the README, with its chart
  --help           shows this
`;

const number = z.coerce.number({ error: 'must be a number' });
const flagsSchema = z.object({
  contests: z
    .array(
      z.enum(names, {
        error: ({ input }) => `There is no contest ${String(input)}, only ${names.join(', ')}`,
      }),
    )
    .transform((named) => new Set(named)),
  rounds: number.int().min(1).max(100).default(5),
  connections: number.int().min(1).max(15_000).optional(),
  seconds: number.min(0.5).max(3_600).optional(),
  json: z.string().optional(),
  publish: z.literal('yes', { error: 'must be yes' }).optional(),
});

const flags = readFlags(
  ['rounds', 'connections', 'seconds', 'json', 'publish'],
  flagsSchema,
  usage,
  'contests',
);
if (flags !== undefined) {
  const { rounds, connections, seconds } = flags;
  const wanted = contests.filter(({ name }) => flags.contests.size === 0 || flags.contests.has(name));
  const results: ContestResult[] = [];
  const onProgress = (line: string) => console.error(line);
  for (const contest of wanted) {
    const result = await holdContest(contest, { rounds, connections, seconds, onProgress });
    results.push(result);
    console.log(`${describeResult(result)}\n`);
  }
  const machine = describeMachine();
  if (flags.json !== undefined)
    await writeFile(flags.json, `${JSON.stringify({ machine, results }, null, 2)}\n`);
  if (flags.publish !== undefined) await publish(machine, results, names);
}
