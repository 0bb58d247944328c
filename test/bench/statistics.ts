// Owns what many rounds come to: medians, spreads, ratios, and whether an aim is reached.
import type { Aim, ContestResult, Figures } from './contest.ts';

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** @throws RangeError for no values */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((one, other) => one - other);
  const [min] = sorted;
  const max = sorted.at(-1);
  if (min === undefined || max === undefined) throw new RangeError('no values');
  const middle = sorted.length / 2;
  const median = ((sorted[Math.ceil(middle) - 1] ?? min) + (sorted[Math.floor(middle)] ?? max)) / 2;
  return { median, min, max };
}

/** The value below which this share of them lies, by the nearest rank; 0 for none. */
export function percentileOf(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
}

export interface Judged {
  readonly aim: Aim;
  /** Undefined where nobody measured it: with other flags, for instance. */
  readonly measured: Spread | undefined;
  readonly reached: boolean;
}

export function judge(result: ContestResult): Judged[] {
  return result.aims.map((aim) => {
    const values = valuesOf(result, aim);
    const measured = values.length === 0 ? undefined : spreadOf(values);
    const { atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY } = aim;
    const reached = measured !== undefined && measured.median >= atLeast && measured.median <= atMost;
    return { aim, measured, reached };
  });
}

function valuesOf(result: ContestResult, { figure, of, to }: Aim): number[] {
  const rounds = roundsOf(result, of);
  const others = to === undefined ? undefined : roundsOf(result, to);
  return rounds.flatMap((figures, at) => {
    const value = figures[figure];
    const other = others === undefined ? 1 : others[at]?.[figure];
    return value === undefined || other === undefined ? [] : [value / other];
  });
}

function roundsOf({ contestants }: ContestResult, wanted: string): readonly Figures[] {
  return contestants.find(({ name }) => name === wanted)?.rounds ?? [];
}
