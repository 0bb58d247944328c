// Owns what bounds a statement at the server, so that one whose replica is gone ends all the same: as a setting of the
// session, or, where a pooler hands sessions from one to another, within each transaction.
import { isReadTimeout } from './failures.ts';

export interface Bounds {
  /** What a new connection says of itself. */
  readonly connection: Readonly<Record<string, unknown>>;
  /** How a transaction begins, in one message. */
  readonly begin: string;
  /** Whether what is asked outside of a transaction must be made one. */
  readonly wraps: boolean;
}

/**
 * @param bounds.pooler `transaction`: no connection may leave anything behind in the session, nor say at its start what
 * PgBouncer does not know
 */
export function boundsOf(bounds: { pooler: 'none' | 'transaction'; statementTimeoutMs: number }): Bounds {
  const { pooler, statementTimeoutMs } = bounds;
  const limits = {
    statement_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: statementTimeoutMs * 2,
  };
  if (pooler === 'none') return { connection: limits, begin: 'BEGIN', wraps: false };
  const sets = Object.entries(limits).map(([name, ms]) => `SET LOCAL ${name} = ${ms}`);
  return { connection: { pipeline: true }, begin: ['BEGIN', ...sets].join('; '), wraps: true };
}

export interface PooledClient {
  query(...parameters: unknown[]): unknown;
  getTransactionStatus(): string | null;
  end(): Promise<void>;
}

type Ask = (...parameters: unknown[]) => unknown;

/** To be called with every new connection of the pool. */
export function bindClient(client: PooledClient, { begin, wraps }: Bounds): void {
  client.query = new Proxy(client.query, {
    apply(target, self, parameters) {
      const ask: Ask = (...asked) => {
        const reply: unknown = Reflect.apply(target, self, asked);
        // One that is not answered in time leaves its connection in an unknown state: nobody may be given it again.
        if (reply instanceof Promise)
          reply.catch((error: unknown) => {
            if (isReadTimeout(error)) client.end().catch(() => undefined);
          });
        return reply;
      };
      const isAlone = wraps && client.getTransactionStatus() === 'I' && !begins(parameters[0]);
      return isAlone ? askAlone(ask, begin, parameters) : ask(...parameters);
    },
  });
}

/** One statement as a transaction with its bounds. All goes out at once: one way there and one back, as without. */
async function askAlone(ask: Ask, begin: string, parameters: readonly unknown[]): Promise<unknown> {
  const withinItsTime = (text: string) => ({
    text,
    query_timeout: propertyOf(parameters[0], 'query_timeout'),
  });
  const [begun, answered, committed] = await Promise.allSettled([
    ask(withinItsTime(begin)),
    ask(...parameters),
    ask(withinItsTime('COMMIT')),
  ]);
  for (const each of [begun, answered, committed]) if (each.status === 'rejected') throw each.reason;
  return answered.status === 'fulfilled' ? answered.value : undefined;
}

function begins(query: unknown): boolean {
  const text = typeof query === 'string' ? query : propertyOf(query, 'text');
  return typeof text === 'string' && /^\s*(begin|start transaction)\b/i.test(text);
}

function propertyOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
