// Owns waiting for the database: until it answers, for what is to migrate it, and until it has its schema, for what may
// start only once another process has migrated.
import { setTimeout as pause } from 'node:timers/promises';
import { reasonOf } from '../availability.ts';
import { openPool, type Query } from './pool.ts';
import { describeMissing, missingMigrations } from './schema.ts';

const lookEveryMs = 500;
const tellEveryMs = 5_000;

export interface Wait {
  readonly withinMs: number;
  /** Told what is waited for, at once and about every five seconds. */
  tell(line: string): void;
}

/**
 * Resolves once the database answers.
 * @throws with a message for a person when that is not so within `withinMs`
 */
export function waitForDatabase(databaseUrl: string, wait: Wait): Promise<void> {
  return waitUntil(databaseUrl, wait, async (query) => {
    await query('SELECT 1');
    return undefined;
  });
}

/**
 * Resolves once the database has every migration that this build knows.
 * @throws with a message for a person when that is not so within `withinMs`
 */
export function waitForSchema(databaseUrl: string, wait: Wait): Promise<void> {
  return waitUntil(databaseUrl, wait, async (query) => {
    const missing = await missingMigrations(query);
    return missing.length === 0 ? undefined : `it ${describeMissing(missing)}`;
  });
}

/**
 * Whatever is wrong is waited for, as it may be put right meanwhile.
 * @param look says what is still missing, or throws why it cannot know
 */
async function waitUntil(
  databaseUrl: string,
  wait: Wait,
  look: (query: Query) => Promise<string | undefined>,
): Promise<void> {
  const { withinMs, tell } = wait;
  const startedAtMs = performance.now();
  const leftMs = () => withinMs - (performance.now() - startedAtMs);
  const pool = await openPool({
    url: databaseUrl,
    variable: 'DATABASE_URL',
    availability: { failed: () => undefined, answered: () => undefined },
    // Right with a pooler and without.
    pooler: 'transaction',
    poolSize: 1,
    connectTimeoutMs: 2_000,
    readTimeoutMs: 2_000,
    statementTimeoutMs: 2_000,
    onWarning: () => undefined,
  });
  const lookOnce = async (): Promise<string | undefined> => {
    try {
      return await look(pool.query);
    } catch (error) {
      return reasonOf(error);
    }
  };
  try {
    for (let toldAtMs = Number.NEGATIVE_INFINITY; ; ) {
      const fault = await lookOnce();
      if (fault === undefined) return;
      if (leftMs() <= 0) throw new Error(`not within ${withinMs / 1_000} s: ${fault}`);
      if (performance.now() - toldAtMs >= tellEveryMs) {
        toldAtMs = performance.now();
        tell(`Waiting for the database at ${new URL(databaseUrl).host}: ${fault}`);
      }
      await pause(Math.min(lookEveryMs, Math.max(leftMs(), 0)));
    }
  } finally {
    await pool.close();
  }
}
