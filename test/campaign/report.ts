// Owns how a run is told at its end: what became of the payloads, target by target, and each failure to repeat.
import { type CampaignReport, inMiB, sent } from './run.ts';

export function describeReport(
  { targets, failures, breaches, heap, durationMs }: CampaignReport,
  seed: number,
): string {
  const rows = targets.map(({ name, outcomes }) => {
    const codes = [...outcomes]
      .filter(([code]) => code !== 'accepted')
      .toSorted(([, one], [, other]) => other - one);
    const accepted = outcomes.get('accepted') ?? 0;
    const all = [...outcomes.values()].reduce((sum, count) => sum + count, 0);
    return [name, String(all), String(accepted), codes.map(([code, count]) => `${code} ${count}`).join(', ')];
  });
  const table = [
    ['payloads at', 'sent', 'accepted', 'refused'],
    ...rows,
    ['together', String(sent(targets)), '', ''],
  ];
  const width = Math.max(...table.map(([name = '']) => name.length));
  const lines = table.map(
    ([name = '', all = '', accepted = '', refused]) =>
      `${name.padEnd(width)}  ${all.padStart(6)}  ${accepted.padStart(8)}  ${refused}`,
  );
  return [
    ...lines,
    `seed ${seed}, ${(durationMs / 1_000).toFixed(0)} s, heap ${inMiB(heap.beforeBytes)} before, ${inMiB(heap.afterBytes)} after`,
    ...failures.map(
      ({ target, error, call, seed: own }) =>
        `✘ ${target} (seed of the run ${seed}, of these payloads ${own})\n    ${error}\n    ${call}`,
    ),
    ...breaches.map((breach) => `✘ ${breach}`),
  ].join('\n');
}
