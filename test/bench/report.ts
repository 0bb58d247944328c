// Owns how results are told: a table for each contest, for a person, and what became of its aims.
import { type Aim, type ContestResult, type FigureShape, shorten } from './contest.ts';
import { judge, spreadOf } from './statistics.ts';

/** The load had a whole core, near enough: it could not have asked for more. */
const saturatedCores = 0.9;

export function describeResult(result: ContestResult): string {
  const { name, title, figures, contestants } = result;
  const table = Object.entries(figures).flatMap(([figure, shape]) => {
    const cells = contestants.map(({ rounds }) => tellSpread(valuesOf(rounds, figure), shape));
    return cells.every((cell) => cell === '') ? [] : [[shape.label, ...cells]];
  });
  return [
    `${name}: ${title}`,
    '',
    ...alignColumns([['', ...contestants.map((each) => each.name)], ...table]),
    '',
    ...describeAims(result),
    ...describeBottlenecks(result),
    ...result.notes.map((note) => `note: ${note}`),
  ].join('\n');
}

/** One line an aim: what was measured, what was wanted, and whether that is reached. */
export function describeAims(result: ContestResult): string[] {
  return judge(result).map(({ aim, measured, reached }) => {
    const unit = aim.to === undefined ? unitOf(result, aim) : ' times';
    const bound =
      aim.atLeast === undefined ? `at most ${shorten(aim.atMost ?? 0)}` : `at least ${shorten(aim.atLeast)}`;
    const told =
      measured === undefined
        ? 'not measured'
        : `${tellSpread([measured.min, measured.median, measured.max])}${unit}`;
    const mark = measured === undefined ? '-' : reached ? '✔' : '✘';
    return `  ${mark} ${tellAim(result, aim)}: ${told} (aim: ${bound})`;
  });
}

/** As it stands behind a number. */
export function unitOf({ figures }: ContestResult, { figure }: Aim): string {
  return behindNumber(figures[figure]?.unit ?? '');
}

const behindNumber = (unit: string) => (unit === '' || unit.startsWith('/') ? unit : ` ${unit}`);

/** `acknowledged a second, controller to bare Socket.IO`. */
export function tellAim({ figures }: ContestResult, { figure, of, to }: Aim): string {
  const label = figures[figure]?.label ?? figure;
  return to === undefined ? `${label}, ${of}` : `${label}, ${of} to ${to}`;
}

/** Where the load and not the server was the bottleneck, a figure says how fast the load is. */
export function describeBottlenecks({ contestants }: ContestResult): string[] {
  return contestants.flatMap(({ name, rounds }) => {
    const of = (figure: string) => valuesOf(rounds, figure);
    const [driver, server] = [of('driverCores'), of('serverCores')];
    if (driver.length === 0 || server.length === 0) return [];
    const [load, served] = [spreadOf(driver).median, spreadOf(server).median];
    if (load < saturatedCores || load < served) return [];
    return [
      `  ! the load was the bottleneck of ${name}: it took ${shorten(load)} cores, the server ${shorten(served)}`,
    ];
  });
}

function valuesOf(rounds: ContestResult['contestants'][number]['rounds'], figure: string): number[] {
  return rounds.flatMap((figures) => figures[figure] ?? []);
}

/** `median unit [least – most]`. */
function tellSpread(values: readonly number[], { unit }: Pick<FigureShape, 'unit'> = { unit: '' }): string {
  if (values.length === 0) return '';
  const { median, min, max } = spreadOf(values);
  return `${shorten(median)}${behindNumber(unit)} [${shorten(min)} – ${shorten(max)}]`;
}

function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}
