// Owns waiting in tests: for a fact, with a deadline, never for time to pass.
import { setTimeout as pause } from 'node:timers/promises';

const betweenLooksMs = 5;

/**
 * Asks until the answer is neither undefined, null nor false, and returns it.
 * @throws with what was waited for and the last answer or error, when the deadline passes
 */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  withinMs = 30_000,
): Promise<Exclude<T, undefined | null | false>> {
  const deadline = performance.now() + withinMs;
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (isAnswer(answer)) return answer;
      last = answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline)
      throw new Error(`waited ${withinMs} ms for ${what}; last seen: ${describe(last)}`, { cause: last });
    // Between two looks, so that those waited for get the processor.
    await pause(betweenLooksMs);
  }
}

function isAnswer<T>(answer: T): answer is Exclude<T, undefined | null | false> {
  return answer !== undefined && answer !== null && answer !== false;
}

function describe(last: unknown): string {
  return last instanceof Error ? last.message : JSON.stringify(last);
}
