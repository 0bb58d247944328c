// The command `npm run growth`: whether anything grows while a fleet beats, comes and goes, and is sent messages.
import { writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { readFlags } from '../../src/local/flags.ts';
import { drawGrowth } from './growth/chart.ts';
import { describeGrowth, recordOf } from './growth/report.ts';
import { runGrowth } from './growth/run.ts';
import { judgeAll } from './growth/verdict.ts';
import { describeMachine } from './machine.ts';

const usage = `Usage: npm run growth -- [--minutes 15] [--orchestrators 5000] [--churn 50] [--sends 100]

Runs replicas on a Postgres and a Redis of their own, under a fleet that beats as it is told, reconnects and is sent
messages, and says of memory, Redis, tables and latencies whether they are flat over the second half of the time.
Ctrl-C ends it early, with what was seen until then. Exits with 1 if something grows.

  --minutes M        how long
  --orchestrators N  connected all the time
  --replicas N       that they share (default: 2)
  --churn N          reconnects a second
  --sends N          calls of /send a second
  --every S          seconds from one look to the next (default: so that there are 180, at least 1, at most 5)
  --json FILE        every figure of every look
  --svg FILE         a chart
  --help             shows this
`;

const number = z.coerce.number({ error: 'must be a number' });
const flagsSchema = z.object({
  minutes: number.min(0.1).max(1_440).default(15),
  orchestrators: number.int().min(1).max(15_000).default(5_000),
  replicas: number.int().min(1).max(8).default(2),
  churn: number.min(0).max(1_000).default(50),
  sends: number.min(0).max(5_000).default(100),
  every: number.min(0.2).max(3_600).optional(),
  json: z.string().optional(),
  svg: z.string().optional(),
});

const flags = readFlags(
  ['minutes', 'orchestrators', 'replicas', 'churn', 'sends', 'every', 'json', 'svg'],
  flagsSchema,
  usage,
);
if (flags !== undefined) {
  const { minutes, every, json, svg, ...rest } = flags;
  const seconds = minutes * 60;
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort());
  const samples = await runGrowth({
    ...rest,
    seconds,
    everySeconds: every ?? Math.min(5, Math.max(1, seconds / 180)),
    onProgress: (line) => console.error(line),
    signal: stopping.signal,
  });
  console.log(describeGrowth(samples));
  if (json !== undefined)
    await writeFile(
      json,
      `${JSON.stringify({ machine: describeMachine(), ...rest, ...recordOf(samples) }, null, 2)}\n`,
    );
  if (svg !== undefined) await writeFile(svg, drawGrowth(samples));
  process.exitCode = judgeAll(samples).every(({ flat }) => flat !== false) ? 0 : 1;
}
