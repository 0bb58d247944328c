// Owns a cluster of real processes on stores of its own, all of which a test may stop, pause and kill.
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MikroORM } from '@mikro-orm/postgresql';
import { Redis } from 'ioredis';
import { migrate } from '../../src/database/migrate.ts';
import { openGuard } from './guarded.ts';
import { type OwnRedis, type OwnStore, openPostgres, openRedisServer } from './own-stores.ts';
import { type ReplicaProcess, startReplicaProcess } from './replica-process.ts';
import type { SettingsChanges } from './world.ts';

export interface Cluster extends AsyncDisposable {
  /** Where the stores keep their data. */
  readonly folder: string;
  readonly postgres: OwnStore;
  readonly redis: OwnRedis;
  /** Every replica that was started, those that ended too, in order. */
  readonly replicas: ReplicaProcess[];
  /** A client on Redis of the test's own. While Redis is away its commands wait. */
  readonly commands: Redis;
  /** Runs one statement, with $1, $2 in place of parameters. Rejects while Postgres is away. */
  sql(statement: string, parameters?: unknown[]): Promise<Record<string, unknown>[]>;
  /** One replica more; on the port of one that has ended, if that is wanted, or reaching a store through a proxy. */
  startReplica(options?: ReplicaOptions): Promise<ReplicaProcess>;
}

export interface ReplicaOptions {
  readonly port?: number;
  readonly env?: NodeJS.ProcessEnv;
}

export interface ClusterOptions {
  readonly replicas: number;
  /** Replaces shipped settings, a section at a time. */
  readonly config?: SettingsChanges;
  readonly env?: NodeJS.ProcessEnv;
  /** Postgres as in production: each commit is on the disk. Default false. */
  readonly durable?: boolean;
}

/** Opens stores and replicas, with the settings as they are shipped. All of it goes when it is disposed, or we end. */
export async function openCluster(options: ClusterOptions): Promise<Cluster> {
  await using opening = new AsyncDisposableStack();
  const guard = opening.adopt(openGuard(), (it) => it.close());
  const folder = await mkdtemp(join(tmpdir(), 'moolai-cluster-'));
  guard.remove(folder);
  const [postgres, redis] = await Promise.all([
    openPostgres({ folder, guard, durable: options.durable ?? false }),
    openRedisServer({ folder, guard }),
  ]);
  const orm = opening.adopt(
    await MikroORM.init({
      clientUrl: postgres.url,
      entities: [],
      discovery: { warnWhenNoEntities: false },
      pool: { min: 0, max: 4 },
    }),
    (it) => it.close(true),
  );
  const pool = await orm.driver.getConnection().getNativeClient();
  // A fault cuts connections also while nobody uses them.
  pool.on('error', () => undefined);
  // A commit is to outlive the server that is killed, if not the machine: the rest of its haste does no harm here.
  const first = await pool.connect();
  await first.query('ALTER DATABASE moolai SET synchronous_commit = on');
  // What it says holds from the next connection on.
  first.release(true);
  await migrate(postgres.url);
  const commands = opening.adopt(new Redis(redis.url, { maxRetriesPerRequest: null }), (it) =>
    it.disconnect(),
  );
  commands.on('error', () => undefined);

  const replicas: ReplicaProcess[] = [];
  async function startReplica({ port = 0, env = {} }: ReplicaOptions = {}): Promise<ReplicaProcess> {
    const replica = await startReplicaProcess(
      {
        PATH: process.env.PATH,
        HOST: '127.0.0.1',
        PORT: String(port),
        DATABASE_URL: postgres.url,
        REDIS_URL: redis.url,
        LOG_LEVEL: 'warn',
        NODE_CONFIG: JSON.stringify(options.config ?? {}),
        INDEPENDENCE_FOLDER: await mkdtemp(join(folder, 'independence-')),
        ...(process.env.NODE_COMPILE_CACHE === undefined
          ? {}
          : { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE }),
        ...options.env,
        ...env,
      },
      guard,
    );
    replicas.push(replica);
    return replica;
  }
  await Promise.all(Array.from({ length: options.replicas }, () => startReplica()));

  const open = opening.move();
  return {
    folder,
    postgres,
    redis,
    replicas,
    commands,
    sql: async (statement, parameters = []) =>
      (await pool.query<Record<string, unknown>>(statement, parameters)).rows,
    startReplica,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}
