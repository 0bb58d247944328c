// Owns what the README shows of the benchmark: the results of a run, and the table and the chart that are made of them.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { renderChart } from './chart.ts';
import { type ContestResult, shorten } from './contest.ts';
import { type Machine, machineSchema } from './machine.ts';
import { describeBottlenecks, tellAim, unitOf } from './report.ts';
import { judge } from './statistics.ts';

const place = (name: string) => new URL(`published/${name}`, import.meta.url);
const readme = new URL('../../README.md', import.meta.url);
const begin = '<!-- what follows is written by npm run bench -- --publish yes -->';
const end = '<!-- end of what is written -->';

const shapes = z.record(z.string(), z.object({ label: z.string(), unit: z.string() }));
const aims = z.array(
  z.object({
    figure: z.string(),
    of: z.string(),
    to: z.string().optional(),
    atLeast: z.number().optional(),
    atMost: z.number().optional(),
  }),
);
const contestants = z.array(
  z.object({ name: z.string(), rounds: z.array(z.record(z.string(), z.number())) }),
);
const publishedSchema = z.object({
  contests: z.array(
    z.object({
      machine: machineSchema,
      result: z.object({
        name: z.string(),
        title: z.string(),
        figures: shapes,
        aims,
        contestants,
        notes: z.array(z.string()),
      }),
    }),
  ),
});
export type Published = z.infer<typeof publishedSchema>;

export async function readPublished(): Promise<Published> {
  return publishedSchema.parse(JSON.parse(await readFile(place('results.json'), 'utf8')));
}

/** Puts these results in the place of older ones of the same contests. @param order of all contests there are */
export async function publish(
  machine: Machine,
  results: readonly ContestResult[],
  order: readonly string[],
): Promise<void> {
  const before = await readPublished().catch((): Published => ({ contests: [] }));
  const held = new Set(results.map(({ name }) => name));
  const contests = publishedSchema.parse({
    contests: [
      ...before.contests.filter(({ result }) => !held.has(result.name) && order.includes(result.name)),
      ...results.map((result) => ({ machine, result })),
    ].sort((one, other) => order.indexOf(one.result.name) - order.indexOf(other.result.name)),
  });
  await mkdir(place(''), { recursive: true });
  await writeFile(place('results.json'), `${JSON.stringify(contests, null, 1)}\n`);
  await writeFile(place('chart.svg'), renderChart(contests.contests.map(({ result }) => result)));
  const text = await readFile(readme, 'utf8');
  await writeFile(readme, replaceSection(text, renderSection(contests)));
}

/** Of the README: one row an aim. */
export function renderSection({ contests }: Published): string {
  const rows = contests.flatMap(({ result }) =>
    judge(result).flatMap(({ aim, measured, reached }) => {
      if (measured === undefined) return [];
      const unit = aim.to === undefined ? unitOf(result, aim) : '';
      const wanted =
        aim.atLeast === undefined ? `≤ ${shorten(aim.atMost ?? 0)}` : `≥ ${shorten(aim.atLeast)}`;
      const spread = `${shorten(measured.min)} – ${shorten(measured.max)}`;
      return [
        `| \`${result.name}\` | ${tellAim(result, aim)} | ${shorten(measured.median)}${unit} | ${spread} | ${wanted}${unit} | ${reached ? 'yes' : 'no'} |`,
      ];
    }),
  );
  const machines = new Set(
    contests.map(
      ({ machine: { processor, cores, node } }) => `${processor}, ${cores} cores, Node ${node.slice(1)}`,
    ),
  );
  const notes = contests.flatMap(({ result }) => [
    ...describeBottlenecks(result).map((line) => `- \`${result.name}\`: ${line.replace(/^ *! /, '')}`),
    ...result.notes.map((note) => `- \`${result.name}\`: ${note}`),
  ]);
  return [
    `| contest | what | median | spread | aim | reached |`,
    `|---|---|---|---|---|---|`,
    ...rows,
    '',
    `On ${[...machines].join('; ')}.`,
    ...(notes.length === 0 ? [] : ['', ...notes]),
  ].join('\n');
}

/** What is between the marks. @throws RangeError where they are missing */
export function sectionOf(text: string): string {
  const { from, to } = marksIn(text);
  return text.slice(from, to).trim();
}

function replaceSection(text: string, section: string): string {
  const { from, to } = marksIn(text);
  return `${text.slice(0, from)}\n\n${section}\n\n${text.slice(to)}`;
}

function marksIn(text: string): { from: number; to: number } {
  const [mark, to] = [text.indexOf(begin), text.indexOf(end)];
  if (mark < 0 || to < mark) throw new RangeError('README.md has no place for the results');
  return { from: mark + begin.length, to };
}
