// Owns what the controller asks Postgres through: the primary, and another one for reads that may lag behind it.
import { createAvailability, reasonOf } from '../availability.ts';
import type { Log } from '../log.ts';
import { isPassingFailure, refusalOf } from './failures.ts';
import { openPool, type Pool, type PoolOptions, type Source } from './pool.ts';
import { openReads } from './reads.ts';
import { describeMissing, missingMigrations } from './schema.ts';

export interface Database extends Pool {
  /**
   * Runs a read that may be a little old: from the Postgres for reads, where there is one and it answers, else from
   * this one. For what a dashboard pages through; never for what is decided by. `read` may be run twice.
   */
  lagging<T>(read: (source: Source) => Promise<T>): Promise<T>;
  /** Whether the Postgres for reads answered when it was last asked; undefined where there is none. Asks anew. */
  reads(): 'up' | 'down' | undefined;
  /** Resolves when Postgres answers and has the schema that this build needs. */
  ping(): Promise<void>;
  /** Why it cannot be used though it answers, for a person. */
  schemaFault(): string | undefined;
  /**
   * Migrations are a step of their own. A Postgres that is away keeps nothing from starting; one that lacks
   * migrations never becomes right by itself.
   * @throws with a message for a person when Postgres answers and cannot be used as it is
   */
  requireSchema(): Promise<void>;
}

export type DatabaseOptions = Omit<PoolOptions, 'variable' | 'availability' | 'onWarning'> & {
  readUrl: string | null;
  log: Log;
};

/** Opens the pools. Connects lazily: a Postgres that is down now is an error of the call that needs it, not of this. */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { log } = options;
  const onWarning = (line: string) => log.warn({ source: 'database' }, line);
  const primary = await openPool({
    ...options,
    variable: 'DATABASE_URL',
    availability: createAvailability('Postgres', log),
    onWarning,
  });
  const reads =
    options.readUrl === null ? undefined : await openReads({ ...options, url: options.readUrl, onWarning });
  const { query } = primary;
  let isSchemaThere = false;
  let fault: string | undefined;

  /** What was there once stays: migrations only go forward. */
  async function checkSchema(): Promise<void> {
    fault = undefined;
    const missing = await missingMigrations(query);
    isSchemaThere = missing.length === 0;
    fault = isSchemaThere ? undefined : `the database that DATABASE_URL names ${describeMissing(missing)}`;
    if (fault !== undefined) throw new Error(fault);
  }

  return {
    ...primary,
    lagging: (read) => (reads === undefined ? read(primary) : reads.lagging(read, primary)),
    reads: () => reads?.state(),
    async ping() {
      if (isSchemaThere) await query('SELECT 1');
      else await checkSchema();
    },
    schemaFault: () => fault,
    async requireSchema() {
      try {
        await checkSchema();
      } catch (error) {
        if (fault !== undefined)
          throw new Error(
            `${fault[0]?.toUpperCase()}${fault.slice(1)}: run node src/database/migrate-command.ts with it (where npm start is used: npm run migrate)`,
          );
        const refusal = refusalOf(error);
        if (refusal === undefined && isPassingFailure(error)) return;
        const { host } = new URL(options.url);
        const advice = refusal === undefined ? '' : `: ${refusal}`;
        throw new Error(`Postgres at ${host} (DATABASE_URL) cannot be used: ${reasonOf(error)}${advice}`);
      }
    },
    async close() {
      await reads?.close();
      await primary.close();
    },
  };
}
