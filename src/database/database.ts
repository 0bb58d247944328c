// Owns the connection to Postgres: MikroORM for the tables, its pool for the hand-written statements.
import { type EntityManager, MikroORM } from '@mikro-orm/postgresql';
import type { Log } from '../log.ts';
import { OrchestratorInstance } from './orchestrator-instances.ts';
import { OrchestratorMessage } from './orchestrator-messages.ts';
import { Organization } from './organizations.ts';

export type { EntityManager } from '@mikro-orm/postgresql';

export type Row = Record<string, unknown>;
/** Runs one statement with `$1`-style parameters. */
export type Query = (sql: string, parameters?: readonly unknown[]) => Promise<Row[]>;

export interface Database {
  /** A unit of work of its own, for one request. */
  fork(): EntityManager;
  /** One statement in its own transaction. */
  query: Query;
  /** Several statements in one transaction (READ COMMITTED); any throw rolls it back. */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T>;
  /** Resolves when Postgres answers. */
  ping(): Promise<void>;
  /** Whether the tables are there: migrations are a step of their own. */
  hasSchema(): Promise<boolean>;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  url: string;
  poolSize: number;
  connectTimeoutMs: number;
  /** How long a read may take, as the caller sees it. */
  readTimeoutMs: number;
  /** How long any statement may take, as the server sees it. */
  statementTimeoutMs: number;
  log: Log;
}

interface Queryable {
  query<R extends Row>(query: {
    text: string;
    values: unknown[];
    query_timeout: number;
  }): Promise<{ rows: R[] }>;
}

/** Opens a pool. Connects lazily: a Postgres that is down now is an error of the call that needs it, not of this. */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const orm = await MikroORM.init({
    clientUrl: options.url,
    entities: [Organization, OrchestratorInstance, OrchestratorMessage],
    pool: { min: 0, max: options.poolSize },
    // Or MikroORM would look for the database before anybody asks.
    ensureDatabase: false,
    driverOptions: {
      application_name: 'moolai-controller',
      connectionTimeoutMillis: options.connectTimeoutMs,
      statement_timeout: options.statementTimeoutMs,
      // The server's own bound is never heard of when the server hangs or the network is gone.
      query_timeout: options.readTimeoutMs,
      idle_in_transaction_session_timeout: options.statementTimeoutMs * 2,
      keepAlive: true,
    },
    logger: (message) => options.log.warn({ source: 'database' }, message),
  });
  const pool = await orm.driver.getConnection().getNativeClient();

  // A batch may take longer than a caller waits for a read.
  const query_timeout = options.statementTimeoutMs + 1_000;
  const queryOn =
    (client: Queryable): Query =>
    async (text, parameters = []) =>
      (await client.query<Row>({ text, values: [...parameters], query_timeout })).rows;
  const query = queryOn(pool);

  return {
    fork: () => orm.em.fork(),
    query,
    async transaction(work) {
      const client = await pool.connect();
      const queryHere = queryOn(client);
      let broken: Error | undefined;
      try {
        await queryHere('BEGIN');
        const result = await work(queryHere);
        await queryHere('COMMIT');
        return result;
      } catch (error) {
        await queryHere('ROLLBACK').catch((cause: unknown) => {
          broken = cause instanceof Error ? cause : new Error(String(cause));
        });
        throw error;
      } finally {
        client.release(broken);
      }
    },
    async ping() {
      await query('SELECT 1');
    },
    async hasSchema() {
      const [row] = await query("SELECT to_regclass('orchestrator_messages') IS NOT NULL AS present");
      return row?.present === true;
    },
    close: () => orm.close(true),
  };
}
