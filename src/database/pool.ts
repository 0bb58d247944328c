// Owns one pool of connections to a Postgres: MikroORM for the tables, plain statements beside it.
import { hash } from 'node:crypto';
import { type EntityManager, MikroORM } from '@mikro-orm/postgresql';
import type { Availability } from '../availability.ts';
import { connectionParameters } from './address.ts';
import { bindClient, boundsOf, type PooledClient } from './bounds.ts';
import { isPostgresAway, isRace } from './failures.ts';
import { OrchestratorInstance } from './orchestrator-instances.ts';
import { OrchestratorMessage } from './orchestrator-messages.ts';
import { Organization } from './organizations.ts';

export type Row = Record<string, unknown>;
/**
 * Runs one statement with `$1`-style parameters.
 * @param how.prepared each connection keeps its plan, where no pooler is between: for texts of which there are few
 * @throws a DriverException of MikroORM's
 */
export type Query = (
  sql: string,
  parameters?: readonly unknown[],
  how?: { readonly prepared: boolean },
) => Promise<Row[]>;

export interface Statements {
  /** One statement in its own transaction. */
  query: Query;
  /**
   * Several statements in one transaction (READ COMMITTED); any throw rolls it back. One that lost a race (a
   * deadlock, a row that was deleted meanwhile) is run again, so `work` must have no effect outside of it.
   */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T>;
}

/** What reads alone need. */
export interface Source {
  /** A unit of work of its own, for one request. Only for single statements: see `transaction`. */
  fork(): EntityManager;
  query: Query;
}

export interface Pool extends Statements, Source {
  /** The same for batches, which may take longer than a caller waits for an answer. */
  readonly batches: Statements;
  close(): Promise<void>;
}

export interface PoolOptions {
  url: string;
  /** The variable that gave it, for messages to a person. */
  variable: string;
  /** Told whether it answers, at each statement but those of MikroORM's. */
  availability: Availability;
  /** `transaction`: PgBouncer in that mode, or another pooler, is between. */
  pooler: 'none' | 'transaction';
  poolSize: number;
  connectTimeoutMs: number;
  /** How long a read may take, as the caller sees it. */
  readTimeoutMs: number;
  /** How long any statement may take, as the server sees it. */
  statementTimeoutMs: number;
  /** Told what MikroORM has to say, of connections that were lost while nobody used them. */
  onWarning(line: string): void;
}

interface Queryable {
  query<R extends Row>(query: {
    text: string;
    values: unknown[];
    query_timeout: number;
    name?: string;
  }): Promise<{ rows: R[]; command: string }>;
}

/** Runs of a transaction that loses races. */
const attempts = 4;

/** Opens a pool. Connects lazily: a Postgres that is down now is an error of the call that needs it, not of this. */
export async function openPool(options: PoolOptions): Promise<Pool> {
  const { availability } = options;
  const bounds = boundsOf(options);
  const orm = await MikroORM.init({
    clientUrl: options.url,
    entities: [Organization, OrchestratorInstance, OrchestratorMessage],
    pool: { min: 0, max: options.poolSize },
    // Or MikroORM would look for the database before anybody asks.
    ensureDatabase: false,
    driverOptions: {
      application_name: 'moolai-controller',
      ...connectionParameters(options.url, options.variable),
      ...bounds.connection,
      connectionTimeoutMillis: options.connectTimeoutMs,
      // The server's own bound is never heard of when the server hangs or the network is gone.
      query_timeout: options.readTimeoutMs,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
    },
    logger: options.onWarning,
  });
  const pool = await orm.driver.getConnection().getNativeClient();
  pool.on('connect', (client: PooledClient) => bindClient(client, bounds));

  /** What work of Postgres's throws, as MikroORM's; that it is away is told. */
  async function tried<T>(work: () => Promise<T>): Promise<T> {
    const askedAtMs = performance.now();
    try {
      return await work();
    } catch (error) {
      const failure = error instanceof Error ? orm.driver.convertException(error) : error;
      if (isPostgresAway(failure)) availability.failed(error, askedAtMs);
      throw failure;
    }
  }

  /** A connection that lies idle in the pool is no answer: it may have died, and nobody noticed yet. */
  const connected = () => tried(async () => await pool.connect());

  async function asked<T>(work: () => Promise<T>): Promise<T> {
    const askedAtMs = performance.now();
    const answer = await tried(work);
    availability.answered(askedAtMs);
    return answer;
  }

  /** What the connection is to be released with: one on which something failed is not given to the next. */
  const asError = (cause: unknown) => (cause instanceof Error ? cause : new Error(String(cause)));

  function statementsWithin(query_timeout: number): Statements {
    const ask = (client: Queryable, text: string, parameters: readonly unknown[] = [], isPrepared = false) =>
      asked(() =>
        client.query<Row>({
          ...{ text, values: [...parameters], query_timeout },
          ...(isPrepared && !bounds.wraps ? { name: hash('sha1', text).slice(0, 8) } : {}),
        }),
      );
    const queryOn =
      (client: Queryable): Query =>
      async (text, parameters, how) =>
        (await ask(client, text, parameters, how?.prepared)).rows;

    const query: Query = async (text, parameters, how) => {
      const client = await connected();
      let broken: Error | undefined;
      try {
        return await queryOn(client)(text, parameters, how);
      } catch (error) {
        broken = asError(error);
        throw error;
      } finally {
        client.release(broken);
      }
    };

    async function once<T>(work: (query: Query) => Promise<T>): Promise<T> {
      const client = await connected();
      const query = queryOn(client);
      let broken: Error | undefined;
      try {
        await query(bounds.begin);
        const result = await work(query);
        // What Postgres answers where a statement had failed, and `work` kept it to itself.
        if ((await ask(client, 'COMMIT')).command === 'ROLLBACK')
          throw new Error('Postgres rolled back a transaction in which a statement had failed');
        return result;
      } catch (error) {
        await query('ROLLBACK').catch((cause: unknown) => {
          broken = asError(cause);
        });
        throw error;
      } finally {
        client.release(broken);
      }
    }

    return {
      query,
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

  return {
    ...statementsWithin(options.readTimeoutMs),
    fork: () => orm.em.fork(),
    batches: statementsWithin(options.statementTimeoutMs + 1_000),
    async close() {
      await orm.close(true);
      // MikroORM leaves alone what it has not used itself.
      if (!pool.ending) await pool.end();
    },
  };
}
