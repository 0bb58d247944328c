// Owns the verdict on a line over time: flat, or by how much it grows.
import { type Panel, type PanelName, panelNames, panels, type Sample } from './samples.ts';

export interface Line {
  readonly name: string;
  /** Seconds, and the value then. */
  readonly points: readonly (readonly [atSeconds: number, value: number])[];
}

export interface Verdict {
  readonly panel: PanelName;
  readonly line: string;
  /** Of the second half of the run. */
  readonly mean: number;
  /** By how much of the mean it rose in that half; less than 0 where it fell. */
  readonly rise: number;
  /** So much of the mean is within what its points scatter. */
  readonly scatter: number;
  /** Undefined where the run was too short to tell. */
  readonly flat: boolean | undefined;
}

/** A full collection of the heap, or a vacuum, falls into each. */
const stretchSeconds = 90;
const fewestStretches = 4;

export function linesOf(samples: readonly Sample[], panel: PanelName): Line[] {
  const names = new Set(samples.flatMap(({ values }) => [...(values.get(panel)?.keys() ?? [])]));
  return [...names].map((name) => ({
    name,
    points: samples.flatMap(({ atSeconds, values }) => {
      const value = values.get(panel)?.get(name);
      return value === undefined ? [] : [[atSeconds, value] as const];
    }),
  }));
}

export function judgeAll(samples: readonly Sample[]): Verdict[] {
  return panelNames.flatMap((panel) =>
    linesOf(samples, panel).map((line) => ({ panel, line: line.name, ...judgeLine(line, panels[panel]) })),
  );
}

/**
 * Ordinary least squares over the second half: the first is for caches to fill and for pages to be split.
 * A rise that is less than twice its own standard error is no rise.
 */
export function judgeLine(
  { points }: Line,
  { atMost, ofAtLeast, lows = false }: Pick<Panel, 'atMost' | 'ofAtLeast' | 'lows'>,
): Pick<Verdict, 'mean' | 'rise' | 'scatter' | 'flat'> {
  const last = points.at(-1)?.[0] ?? 0;
  const looked = points.filter(([at]) => at >= last / 2);
  const whole = lows ? lowsOf(looked) : looked;
  const tooShort = lows && whole.length < fewestStretches;
  const half = tooShort ? looked : whole;
  const [meanAt, mean] = [meanOf(half.map(([at]) => at)), meanOf(half.map(([, value]) => value))];
  const spread = sumOf(half.map(([at]) => (at - meanAt) ** 2));
  const slope = spread === 0 ? 0 : sumOf(half.map(([at, value]) => (at - meanAt) * (value - mean))) / spread;
  const residuals = sumOf(half.map(([at, value]) => (value - mean - slope * (at - meanAt)) ** 2));
  const slopeError = half.length > 2 && spread > 0 ? Math.sqrt(residuals / (half.length - 2) / spread) : 0;
  const perMean = last / 2 / Math.max(Math.abs(mean), ofAtLeast);
  const [rise, scatter] = [slope * perMean, 2 * slopeError * perMean];
  return { mean, rise, scatter, flat: tooShort ? undefined : rise <= atMost || rise <= scatter };
}

/** The least of each stretch that was seen whole. */
function lowsOf(points: Line['points']): Line['points'] {
  const last = points.at(-1)?.[0] ?? 0;
  // Counted from the end, so that what the run came to is among them.
  const stretches = Map.groupBy(points, ([at]) => Math.floor((last - at) / stretchSeconds));
  const whole = Math.floor((last - (points[0]?.[0] ?? last)) / stretchSeconds);
  return [...stretches].flatMap(([nth, stretch]) =>
    nth < whole ? stretch.toSorted(([, one], [, other]) => one - other).slice(0, 1) : [],
  );
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

function meanOf(values: readonly number[]): number {
  return values.length === 0 ? 0 : sumOf(values) / values.length;
}
