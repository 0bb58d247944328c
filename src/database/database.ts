// Owns the connection to Postgres: MikroORM for the tables, its pool for the hand-written statements.
import { type EntityManager, MikroORM } from '@mikro-orm/postgresql';
import { createAvailability, reasonOf } from '../availability.ts';
import type { Log } from '../log.ts';
import { isPassingFailure, isPostgresAway, isRace, isReadTimeout } from './failures.ts';
import { OrchestratorInstance } from './orchestrator-instances.ts';
import { OrchestratorMessage } from './orchestrator-messages.ts';
import { Organization } from './organizations.ts';

export type Row = Record<string, unknown>;
/** Runs one statement with `$1`-style parameters. @throws a DriverException of MikroORM's */
export type Query = (sql: string, parameters?: readonly unknown[]) => Promise<Row[]>;

export interface Statements {
  /** One statement in its own transaction. */
  query: Query;
  /**
   * Several statements in one transaction (READ COMMITTED); any throw rolls it back. One that lost a race (a
   * deadlock, a row that was deleted meanwhile) is run again, so `work` must have no effect outside of it.
   */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T>;
}

export interface Database extends Statements {
  /** A unit of work of its own, for one request. Only for single statements: see `transaction`. */
  fork(): EntityManager;
  /** The same for batches, which may take longer than a caller waits for an answer. */
  readonly batches: Statements;
  /** Resolves when Postgres answers. */
  ping(): Promise<void>;
  /**
   * Migrations are a step of their own. A Postgres that is away keeps nothing from starting; one without tables never
   * becomes right by itself.
   * @throws with a message for a person when Postgres answers and the tables are not there
   */
  requireSchema(): Promise<void>;
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

interface PooledClient {
  query(...parameters: unknown[]): unknown;
  end(): Promise<void>;
}

/** Runs of a transaction that loses races. */
const attempts = 4;

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
      keepAliveInitialDelayMillis: 10_000,
    },
    logger: (message) => options.log.warn({ source: 'database' }, message),
  });
  const pool = await orm.driver.getConnection().getNativeClient();
  const availability = createAvailability('Postgres', options.log);

  async function asked<T>(work: () => Promise<T>): Promise<T> {
    const askedAtMs = performance.now();
    try {
      const answer = await work();
      availability.answered(askedAtMs);
      return answer;
    } catch (error) {
      const failure = error instanceof Error ? orm.driver.convertException(error) : error;
      if (isPostgresAway(failure)) availability.failed(error);
      throw failure;
    }
  }

  // A statement that is not answered in time leaves its connection in an unknown state: nobody may be given it again.
  pool.on('connect', (client: PooledClient) => {
    client.query = new Proxy(client.query, {
      apply(target, self, parameters) {
        const reply: unknown = Reflect.apply(target, self, parameters);
        if (reply instanceof Promise)
          reply.catch((error: unknown) => {
            if (isReadTimeout(error)) client.end().catch(() => undefined);
          });
        return reply;
      },
    });
  });

  function statementsWithin(query_timeout: number): Statements {
    const queryOn =
      (client: Queryable): Query =>
      async (text, parameters = []) =>
        (await asked(() => client.query<Row>({ text, values: [...parameters], query_timeout }))).rows;

    async function once<T>(work: (query: Query) => Promise<T>): Promise<T> {
      const client = await asked(async () => await pool.connect());
      const query = queryOn(client);
      let broken: Error | undefined;
      try {
        await query('BEGIN');
        const result = await work(query);
        await query('COMMIT');
        return result;
      } catch (error) {
        await query('ROLLBACK').catch((cause: unknown) => {
          broken = cause instanceof Error ? cause : new Error(String(cause));
        });
        throw error;
      } finally {
        client.release(broken);
      }
    }

    return {
      query: queryOn(pool),
      async transaction(work) {
        for (let attempt = 1; ; attempt += 1) {
          try {
            return await once(work);
          } catch (error) {
            if (attempt >= attempts || !isRace(error)) throw error;
          }
        }
      },
    };
  }

  const statements = statementsWithin(options.readTimeoutMs);
  const { query } = statements;
  return {
    ...statements,
    fork: () => orm.em.fork(),
    batches: statementsWithin(options.statementTimeoutMs + 1_000),
    async ping() {
      await query('SELECT 1');
    },
    async requireSchema() {
      try {
        const [row] = await query("SELECT to_regclass('orchestrator_messages') IS NOT NULL AS present");
        if (row?.present === true) return;
      } catch (error) {
        if (isPassingFailure(error)) return;
        const { host } = new URL(options.url);
        throw new Error(`Postgres at ${host} (DATABASE_URL) cannot be used: ${reasonOf(error)}`);
      }
      throw new Error(
        'The database that DATABASE_URL names has no tables yet: run node src/database/migrate-command.ts with it (where npm start is used: npm run migrate)',
      );
    },
    close: () => orm.close(true),
  };
}
