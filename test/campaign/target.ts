// Owns one target of the campaign: payloads for it, what became of each, and the smallest that broke a promise.
import fc from 'fast-check';

export interface Failure {
  readonly target: string;
  readonly seed: number;
  readonly error: string;
  /** The smallest failing call, for a person to repeat. */
  readonly call: string;
}

export interface Target {
  readonly name: string;
  /** How many payloads it gets in comparison to others. */
  readonly share: number;
  /** What became of the payloads so far: `accepted`, or the code of the refusal. */
  readonly outcomes: ReadonlyMap<string, number>;
  /**
   * Sends so many payloads, one after the other, until one breaks a promise: then ever smaller ones that break it too.
   * @param round.afterEach called behind each payload; what it throws is that payload's fault
   */
  run(round: { seed: number; payloads: number; afterEach?(): Promise<void> }): Promise<Failure | undefined>;
}

/** How long a smaller payload is looked for; what is left then counts as harmless. */
const shrinkWithinMs = 30_000;

export function createTarget<C>(options: {
  name: string;
  share: number;
  calls: fc.Arbitrary<C>;
  /** Sends one. @throws when a promise is broken */
  perform(call: C): Promise<string>;
  describe(call: C): string;
}): Target {
  const outcomes = new Map<string, number>();
  return {
    name: options.name,
    share: options.share,
    outcomes,
    async run({ seed, payloads, afterEach }) {
      let failedAt: number | undefined;
      const property = fc.asyncProperty(options.calls, async (call) => {
        if (failedAt !== undefined && performance.now() - failedAt > shrinkWithinMs) return;
        try {
          const outcome = await options.perform(call);
          await afterEach?.();
          if (failedAt === undefined) outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        } catch (error) {
          failedAt ??= performance.now();
          throw error;
        }
      });
      const details = await fc.check(property, { seed, numRuns: payloads });
      if (!details.failed || details.counterexample === null) return undefined;
      const { errorInstance, counterexample } = details;
      return {
        target: options.name,
        seed,
        error: errorInstance instanceof Error ? errorInstance.message : String(errorInstance),
        call: options.describe(counterexample[0]),
      };
    },
  };
}
