// Owns a controller under test: replicas of its own on a database and a Redis prefix of their own.
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { MikroORM } from '@mikro-orm/postgresql';
import { Redis } from 'ioredis';
import type { Clock } from '../../src/clock.ts';
import { type Controller, startController } from '../../src/controller.ts';
import { loadSettings, type Settings } from '../../src/settings.ts';
import { type Api, createApi } from './api.ts';
import { connectOrchestrator, type TestOrchestrator } from './orchestrator.ts';
import { templateName } from './template.ts';
import { until } from './until.ts';

/** A clock that stands at the time it was made, plus what it was advanced by. */
export interface TestClock extends Clock {
  advance(ms: number): void;
}

export interface Replica {
  readonly controller: Controller;
  readonly api: Api;
  /** The same with a token. */
  as(token: string): Api;
  /** A Socket.IO client on this replica, without a handshake. */
  open(options?: { transports?: ('websocket' | 'polling')[]; token?: string }): Promise<TestOrchestrator>;
  /** Resolves when so many sockets are open on this replica, as it sees it. */
  hasOpen(sockets: number): Promise<unknown>;
  /** A Socket.IO client on this replica whose handshake is acknowledged. */
  connect(orchestratorId: string, hello?: Record<string, unknown>): Promise<TestOrchestrator>;
}

export interface World {
  readonly replicas: Replica[];
  /** The first replica. */
  readonly api: Api;
  readonly clock: TestClock;
  readonly settings: Settings;
  /** The folder of the environment files. */
  readonly folder: string;
  readonly redis: Redis;
  /** Runs one statement on the world's own database. */
  sql(statement: string, parameters?: unknown[]): Promise<Record<string, unknown>[]>;
  /** Runs one statement in a transaction that stays open, with the locks it took, until it is released. */
  hold(statement: string, parameters?: unknown[]): Promise<Held>;
  replica(at: number): Replica;
  /** One replica more, with settings of its own where `changes` says so. */
  grow(changes?: SettingsChanges): Promise<Replica>;
  close(): Promise<void>;
}

export interface Held extends AsyncDisposable {
  /** Resolves when so many statements wait, directly or behind each other, for what it holds; one, if not said. */
  awaited(statements?: number): Promise<unknown>;
  /** Runs one more statement in the transaction. */
  run(statement: string): Promise<void>;
  /** Ends the transaction. */
  release(): Promise<void>;
}

/** Replaces settings, a section at a time: `{ socket: { handshakeTimeoutMs: 50 } }`. */
export type SettingsChanges = { [Section in keyof Settings]?: Partial<Settings[Section]> };

export interface WorldOptions {
  replicas?: number;
  settings?: SettingsChanges;
  /** Changes where the replicas find a store: `{ database: proxy.through }`. The world itself goes the direct way. */
  reach?: { database?(url: string): string; redis?(url: string): string };
}

/** The time-outs as they are shipped, for tests of what a caller meets while a store is away. */
export function shippedTimeouts(): SettingsChanges {
  const { database, limits, redis } = loadSettings({
    env: { DATABASE_URL: required('TEST_DATABASE_URL'), REDIS_URL: required('TEST_REDIS_URL') },
  });
  const { connectTimeoutMs, readTimeoutMs, statementTimeoutMs } = database;
  const { commandTimeoutMs } = redis;
  return {
    database: { connectTimeoutMs, readTimeoutMs, statementTimeoutMs },
    redis: { commandTimeoutMs },
    limits: { patienceMs: limits.patienceMs },
  };
}

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: run the tests with npm test`);
  return value;
}

/** Opens a world. Its database is a copy of the migrated one that `npm test` prepared. */
export async function openWorld(options: WorldOptions = {}): Promise<World> {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const baseUrl = required('TEST_DATABASE_URL');
  const redisUrl = required('TEST_REDIS_URL');
  const base = await openPool(baseUrl);
  await base.execute(`CREATE DATABASE ${name} TEMPLATE ${templateName}`);
  const url = new URL(baseUrl);
  url.pathname = `/${name}`;
  const database = await openPool(url.href);
  const redis = new Redis(redisUrl);
  const folder = await mkdtemp(join(required('TEST_FOLDER'), 'world-'));
  const clock = createClock();
  const settings = withChanges(
    loadSettings({
      env: {
        NODE_ENV: 'test',
        DATABASE_URL: options.reach?.database?.(url.href) ?? url.href,
        REDIS_URL: options.reach?.redis?.(redisUrl) ?? redisUrl,
        REDIS_PREFIX: name,
        INDEPENDENCE_FOLDER: folder,
        ...(process.env.LOG_LEVEL === undefined ? {} : { LOG_LEVEL: process.env.LOG_LEVEL }),
      },
    }),
    options.settings ?? {},
  );

  const replicas: Replica[] = [];
  const orchestrators: TestOrchestrator[] = [];
  async function grow(changes: SettingsChanges = {}): Promise<Replica> {
    const controller = await startController(withChanges(settings, changes), { clock });
    const open: Replica['open'] = async (how) => {
      const orchestrator = await connectOrchestrator(controller.url, how);
      orchestrators.push(orchestrator);
      return orchestrator;
    };
    const replica: Replica = {
      controller,
      api: createApi(controller.url),
      as: (token) => createApi(controller.url, token),
      open,
      hasOpen: (sockets) =>
        until(`${sockets} open sockets`, async () => {
          const { body } = await replica.api.get('/metrics');
          return body.includes(`\nmoolai_sockets ${sockets}\n`);
        }),
      async connect(orchestratorId, hello) {
        const orchestrator = await open();
        await orchestrator.handshake(orchestratorId, hello);
        return orchestrator;
      },
    };
    replicas.push(replica);
    return replica;
  }
  for (let count = 0; count < (options.replicas ?? 1); count += 1) await grow();

  const replica = (at: number): Replica => {
    const found = replicas[at];
    if (found === undefined) throw new RangeError(`there is no replica ${at}`);
    return found;
  };

  return {
    replicas,
    api: replica(0).api,
    clock,
    settings,
    folder,
    redis,
    sql: (statement, parameters) => database.execute(statement, parameters),
    async hold(statement, parameters) {
      const { pid, run, release } = await database.begin(statement, parameters);
      const awaited = (statements = 1) =>
        until(`${statements} statements to wait for what is held`, async () => {
          const [found] = await database.execute(waitingStatements, [pid]);
          return Number(found?.count) >= statements;
        });
      return { awaited, run, release, [Symbol.asyncDispose]: release };
    },
    replica,
    grow,
    async close() {
      for (const orchestrator of orchestrators) orchestrator.close();
      await Promise.all(replicas.map((each) => each.controller.stop()));
      await database.close();
      await base.execute(`DROP DATABASE ${name} WITH (FORCE)`);
      await base.close();
      const left = await redis.keys(`{${name}}*`);
      if (left.length > 0) await redis.del(left);
      redis.disconnect();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Whoever waits for this very transaction: another test's statement may wait for something else. */
const waitingStatements = `
  WITH RECURSIVE behind (pid) AS (
    SELECT $1::int
    UNION
    SELECT waiting.pid FROM behind, pg_stat_activity waiting
    WHERE waiting.datname = current_database() AND waiting.wait_event_type = 'Lock'
      AND behind.pid = ANY (pg_blocking_pids(waiting.pid))
  )
  SELECT count(*) - 1 AS count FROM behind`;

function createClock(): TestClock {
  let ahead = 0;
  return {
    now: () => Date.now() + ahead,
    advance(ms) {
      ahead += ms;
    },
  };
}

async function openPool(url: string) {
  const orm = await MikroORM.init({ clientUrl: url, entities: [], discovery: { warnWhenNoEntities: false } });
  const pool = await orm.driver.getConnection().getNativeClient();
  return {
    execute: async (statement: string, parameters: unknown[] = []): Promise<Record<string, unknown>[]> =>
      (await pool.query<Record<string, unknown>>(statement, parameters)).rows,
    /** Runs the statement in a transaction that `release` ends; `pid` is the backend that holds it. */
    async begin(statement: string, parameters: unknown[] = []) {
      const client = await pool.connect();
      const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      await client.query('BEGIN');
      await client.query(statement, parameters);
      let open = true;
      const release = async () => {
        if (!open) return;
        open = false;
        await client.query('COMMIT');
        client.release();
      };
      const run = async (more: string) => {
        await client.query(more);
      };
      return { pid: rows[0]?.pid, run, release };
    },
    close: () => orm.close(true),
  };
}

function withChanges(settings: Settings, changes: SettingsChanges): Settings {
  const sections = Object.entries(settings).map(([section, values]) => [
    section,
    { ...values, ...Object.entries(changes).find(([name]) => name === section)?.[1] },
  ]);
  return { ...settings, ...Object.fromEntries(sections) };
}
