// Owns a contest: contestants that do the same work in turns, round after round, and what is to come of it.

/** What one contestant's round came to, by the names of the contest's figures. */
export type Figures = Readonly<Record<string, number>>;

export interface Contestant {
  readonly name: string;
  /** Does the work once. A figure that a contestant has none of is left out. */
  round(): Promise<Figures>;
}

export interface FigureShape {
  /** What it is, for a person: `acknowledged a second`. */
  readonly label: string;
  readonly unit: string;
}

/**
 * What a figure of one contestant should be: compared with another's of the same round, or in itself. A ratio is the
 * median of the rounds' ratios.
 */
export interface Aim {
  readonly figure: string;
  readonly of: string;
  /** Compared with whom; absent for the figure itself. */
  readonly to?: string | undefined;
  readonly atLeast?: number | undefined;
  readonly atMost?: number | undefined;
}

/** What may be said on the command line. Each contest has its own idea of what is not said. */
export interface BenchOptions {
  readonly connections: number | undefined;
  /** How long one round looks at its contestant. */
  readonly seconds: number | undefined;
  readonly onProgress: (line: string) => void;
}

/** What a contest needs while it lasts; all of it goes with `closing`, last in first out. */
export interface Stage extends BenchOptions {
  readonly closing: AsyncDisposableStack;
  /** Something that the reader of the table should know, as the plan of a query. */
  note(text: string): void;
}

export interface Contest {
  /** As the command line names it. */
  readonly name: string;
  readonly title: string;
  readonly figures: Readonly<Record<string, FigureShape>>;
  readonly aims: readonly Aim[];
  /** Brings everybody up, warmed, in the order in which they take turns. */
  open(stage: Stage): Promise<readonly Contestant[]>;
}

export interface ContestResult {
  readonly name: string;
  readonly title: string;
  readonly figures: Readonly<Record<string, FigureShape>>;
  readonly aims: readonly Aim[];
  readonly contestants: readonly { readonly name: string; readonly rounds: readonly Figures[] }[];
  readonly notes: readonly string[];
}

/** A B A B: what the machine does meanwhile happens to all of them alike. */
export async function holdContest(
  contest: Contest,
  options: BenchOptions & { readonly rounds: number },
): Promise<ContestResult> {
  const { onProgress, rounds } = options;
  await using closing = new AsyncDisposableStack();
  const notes = new Set<string>();
  onProgress(`${contest.name}: bringing everybody up…`);
  const contestants = await contest.open({ ...options, closing, note: (text) => void notes.add(text) });
  const results = contestants.map(({ name }) => ({ name, rounds: [] as Figures[] }));
  for (let round = 1; round <= rounds; round += 1) {
    for (const [at, contestant] of contestants.entries()) {
      const figures = await contestant.round();
      results[at]?.rounds.push(figures);
      const told = Object.entries(figures).map(([name, value]) => `${name} ${shorten(value)}`);
      onProgress(`${contest.name}: round ${round} of ${rounds}, ${contestant.name}: ${told.join(', ')}`);
    }
  }
  const { name, title, figures, aims } = contest;
  return { name, title, figures, aims, contestants: results, notes: [...notes] };
}

/** Three digits that count, for a person. */
export function shorten(value: number): string {
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value) || 1)));
  return Number(value.toFixed(Math.min(digits, 6))).toLocaleString('en-US', { maximumFractionDigits: 6 });
}
