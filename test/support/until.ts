// Owns waiting in tests: for a fact, with a deadline, never for time to pass.
import { setTimeout as pause } from 'node:timers/promises';

const firstPauseMs = 5;
const longestPauseMs = 50;

/**
 * Asks until the answer is neither undefined, null, false nor 0, and returns it.
 * @throws with what was waited for and the last answer or error, when the deadline passes
 */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  withinMs = 30_000,
): Promise<Exclude<T, undefined | null | false | 0>> {
  const deadline = performance.now() + withinMs;
  let last: unknown;
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 1.2, longestPauseMs)) {
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
    await pause(pauseMs);
  }
}

function isAnswer<T>(answer: T): answer is Exclude<T, undefined | null | false | 0> {
  return answer !== undefined && answer !== null && answer !== false && answer !== 0;
}

function describe(last: unknown): string {
  return last instanceof Error ? last.message : JSON.stringify(last);
}
