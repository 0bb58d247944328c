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
  statementTimeoutMs: number;
  log: Log;
}

/** Opens a pool. Connects lazily: a Postgres that is down now is an error of the call that needs it, not of this. */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const orm = await MikroORM.init({
    clientUrl: options.url,
    entities: [Organization, OrchestratorInstance, OrchestratorMessage],
    pool: { min: 0, max: options.poolSize },
    driverOptions: {
      application_name: 'moolai-controller',
      connectionTimeoutMillis: options.connectTimeoutMs,
      statement_timeout: options.statementTimeoutMs,
      // The server's own bound may never be heard of when the network is gone.
      query_timeout: options.statementTimeoutMs + 1_000,
      idle_in_transaction_session_timeout: options.statementTimeoutMs * 2,
      keepAlive: true,
    },
    logger: (message) => options.log.warn({ source: 'database' }, message),
  });
  const pool = await orm.driver.getConnection().getNativeClient();

  const query: Query = async (sql, parameters = []) => (await pool.query<Row>(sql, [...parameters])).rows;

  return {
    fork: () => orm.em.fork(),
    query,
    async transaction(work) {
      const client = await pool.connect();
      let broken: Error | undefined;
      try {
        await client.query('BEGIN');
        const result = await work(async (sql, parameters = []) => {
          return (await client.query<Row>(sql, [...parameters])).rows;
        });
        await client.query('COMMIT');
        return result;
      } catch (error) {
        await client.query('ROLLBACK').catch((cause: unknown) => {
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
