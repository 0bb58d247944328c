// Owns the order of one socket's events around its handshakes: what comes behind one waits for it, so many at most.

export interface Turnstile {
  /** Whether no handshake is under way. */
  readonly open: boolean;
  /** How many events wait behind a handshake. */
  readonly waiting: number;
  /** Resolves when the handshakes before this call are answered, or have failed. */
  pass(): Promise<void>;
  /** Answers a handshake once those before it are answered. @throws what `answer` throws */
  hold(answer: () => Promise<void>): Promise<void>;
}

export function createTurnstile(): Turnstile {
  let held: Promise<void> | undefined;
  let waiting = 0;

  async function pass(): Promise<void> {
    if (held === undefined) return;
    waiting += 1;
    await held.catch(() => undefined);
    waiting -= 1;
  }

  return {
    get open() {
      return held === undefined;
    },
    get waiting() {
      return waiting;
    },
    pass,
    hold(answer) {
      const mine: Promise<void> = pass()
        .then(answer)
        .finally(() => {
          if (held === mine) held = undefined;
        });
      held = mine;
      return mine;
    },
  };
}
