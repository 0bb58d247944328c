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
  return new OrderedTurnstile();
}

/** A class, as the others of a connection's parts: its methods are there once, and not once for each of thousands. */
class OrderedTurnstile implements Turnstile {
  #held: Promise<void> | undefined;
  #waiting = 0;

  get open(): boolean {
    return this.#held === undefined;
  }

  get waiting(): number {
    return this.#waiting;
  }

  async pass(): Promise<void> {
    if (this.#held === undefined) return;
    this.#waiting += 1;
    await this.#held.catch(() => undefined);
    this.#waiting -= 1;
  }

  hold(answer: () => Promise<void>): Promise<void> {
    const mine = this.#held === undefined ? answer() : this.pass().then(answer);
    this.#held = mine;
    const done = () => {
      if (this.#held === mine) this.#held = undefined;
    };
    mine.then(done, done);
    return mine;
  }
}
