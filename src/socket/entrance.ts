// Owns the steps that a request takes before Engine.IO looks at it: all of them are one middleware of it.
import type { IncomingMessage, ServerResponse } from 'node:http';

/**
 * Goes on by calling `next`, or answers in the place of all behind it.
 * @param response Engine.IO's own for an upgrade, which has little of one of HTTP's
 */
export type Step = (request: IncomingMessage, response: ServerResponse, next: () => void) => void;

/** For Engine.IO's `use`: it waits for each middleware with promises, of which every connection would hold several. */
export function inTurn(steps: readonly Step[]): Step {
  return (request, response, entered) => {
    function take(at: number): void {
      const step = steps[at];
      if (step === undefined) entered();
      else step(request, response, () => take(at + 1));
    }
    take(0);
  };
}
