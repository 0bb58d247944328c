// Owns how a run is told at its end: one table, and the first breaches of each kind.
import { slackMs } from './ledger.ts';
import type { ChaosReport } from './run.ts';

const shownBreaches = 5;

export function describeReport({ ledger, faults, recoveriesMs }: ChaosReport, seed: number): string {
  const breaches = Map.groupBy(ledger.breaches, (breach) => breach.kind);
  const broken = (kind: string) => breaches.get(kind)?.length ?? 0;
  const answered = (...answers: (number | 'nothing')[]) =>
    ledger.calls.filter((call) => call.answer !== undefined && answers.includes(call.answer));
  const received = ledger.calls.filter((call) => call.arrivals.length > 0);
  /** @param share of the values that are no greater: 0.5 is the median, 1 the maximum */
  const inSeconds = (all: readonly number[], share: number) => {
    const ms = all.toSorted((one, other) => one - other)[Math.max(0, Math.ceil(all.length * share) - 1)];
    return ms === undefined ? '-' : `${(ms / 1_000).toFixed(1)} s`;
  };
  const table: [string, string | number][] = [
    ['seed', seed],
    ['faults survived', [...faults.values()].reduce((sum, count) => sum + count, 0)],
    ...[...faults].toSorted().map(([kind, count]): [string, number] => [`  ${kind}`, count]),
    ['heartbeats acknowledged', ledger.count.beats],
    ['heartbeats lost', broken('acknowledged heartbeat lost')],
    ['frames sent', ledger.calls.length],
    ['  delivered (200)', answered(200).length],
    ['  queued (202)', answered(202).length],
    ['  expired (504)', answered(504).length],
    ['  refused (409)', answered(409).length],
    ['    though connected all the while', ledger.count.mistaken],
    ['  unavailable (503)', answered(503).length],
    ['    within, p50', inSeconds(ledger.refusalsMs, 0.5)],
    ['    within, max', inSeconds(ledger.refusalsMs, 1)],
    ['  unanswered: replica dead or paused', answered('nothing').length],
    ['frames received', received.length],
    ['  of those called expired', received.filter((call) => call.answer === 504).length],
    ['frames repeated', ledger.count.repeats],
    [
      'frames falsely reported',
      broken('told delivered, never received') + broken('acknowledgement of another'),
    ],
    [`frames later than their deadline (by more than ${slackMs} ms)`, broken('arrived after its deadline')],
    ['frames handled twice', broken('handled twice')],
    ['frames out of order', broken('out of order')],
    ['time to recover, p50', inSeconds(recoveriesMs, 0.5)],
    ['time to recover, max', inSeconds(recoveriesMs, 1)],
    ['invariants broken', ledger.breaches.length],
  ];
  const width = Math.max(...table.map(([name]) => name.length));
  const rows = table.map(([name, value]) => `${name.padEnd(width)}  ${String(value).padStart(8)}`);
  const firsts = [...breaches].flatMap(([kind, all]) => [
    `✘ ${kind}: ${all.length}`,
    ...all.slice(0, shownBreaches).map(({ detail }) => `    ${detail}`),
  ]);
  return [...rows, ...firsts].join('\n');
}
