// Owns how a run of growth is told: a line for each thing that was looked at, and whether it is flat.
import { shorten } from '../contest.ts';
import { panels, type Sample } from './samples.ts';
import { judgeAll } from './verdict.ts';

export function describeGrowth(samples: readonly Sample[]): string {
  const last = samples.at(-1);
  if (last === undefined || samples.length < 4) return 'Not enough was seen to tell whether anything grows.';
  const rows = judgeAll(samples).map(({ panel, line, mean, rise, scatter, flat }) => {
    const { title, unit, atMost } = panels[panel];
    const percent = shorten(Math.abs(rise * 100));
    const rose = `${percent === '0' ? '±' : rise < 0 ? '−' : '+'}${percent}%`;
    const why = rise > atMost && flat ? ` (within what its points scatter, ${shorten(scatter * 100)}%)` : '';
    const told = flat === undefined ? 'too short a run to tell' : rose;
    return `  ${flat === undefined ? '–' : flat ? '✔' : '✘'} ${title}, ${line}: ${shorten(mean)}${unit === '' ? '' : ` ${unit}`}, ${told}${why} (flat: at most +${atMost * 100}%)`;
  });
  const reconnects = samples.reduce((sum, sample) => sum + sample.reconnects, 0);
  const faults = Object.entries(last.faults).map(([what, times]) => `${times} × ${what}`);
  return [
    `Over the second half of ${shorten(last.atSeconds / 60)} minutes, ${last.connected} orchestrators connected, ${reconnects} reconnects in all:`,
    ...rows,
    `  errors meanwhile: ${faults.length === 0 ? 'none' : faults.join(', ')}`,
  ].join('\n');
}

/** As JSON has it: what Maps hold as objects. */
export function recordOf(samples: readonly Sample[]): object {
  const told = ({ values, ...rest }: Sample) => ({
    ...rest,
    values: Object.fromEntries([...values].map(([panel, line]) => [panel, Object.fromEntries(line)])),
  });
  return { verdicts: judgeAll(samples), samples: samples.map(told) };
}
