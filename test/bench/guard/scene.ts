// Owns where work is counted: replicas whose every byte to the stores, to orchestrators and to callers passes a proxy.
import { type Cluster, openCluster } from '../../support/cluster.ts';
import { openProxy, type StoreProxy } from '../../support/proxy.ts';
import type { ReplicaProcess } from '../../support/replica-process.ts';

export interface Door {
  readonly replica: ReplicaProcess;
  /** What orchestrators connect through, and what callers call through. */
  readonly orchestrators: StoreProxy;
  readonly callers: StoreProxy;
  readonly orchestratorsUrl: string;
  readonly callersUrl: string;
}

export interface Scene {
  readonly cluster: Cluster;
  readonly doors: readonly [Door, Door];
  readonly postgres: StoreProxy;
  readonly redis: StoreProxy;
}

/** What replicas do by the clock, and would be counted with whatever is going on: as good as never. */
const neverMs = 3_600_000;
/** What a limit of a rate costs is counted; none is reached. */
const unreached = 1_000_000;
const config = {
  presence: { leaseMs: neverMs, renewEveryMs: neverMs / 2 },
  sweep: { everyMs: neverMs },
  socket: {
    connectionsPerSecond: 20_000,
    pendingHandshakes: 2_000,
    eventsPerSecond: 20_000,
    // As long as `http.idleTimeoutMs` allows.
    pingIntervalMs: 55_000,
  },
  limits: { requestsPerAddress: unreached, requestsPerCaller: unreached, handshakesPerAddress: unreached },
};

/** Two replicas with the settings that are shipped, but for those above. */
export async function openScene(closing: AsyncDisposableStack): Promise<Scene> {
  const cluster = closing.use(await openCluster({ replicas: 0, config }));
  await countStatements(cluster);
  const proxy = async () => closing.adopt(await openProxy(), (it) => it.close());
  const [postgres, redis] = await Promise.all([proxy(), proxy()]);
  const env = {
    DATABASE_URL: postgres.through(cluster.postgres.url),
    REDIS_URL: redis.through(cluster.redis.url),
  };
  async function openDoor(): Promise<Door> {
    const [replica, orchestrators, callers] = await Promise.all([
      cluster.startReplica({ env }),
      proxy(),
      proxy(),
    ]);
    const through = (each: StoreProxy) => each.through(replica.url).replace(/\/$/, '');
    return {
      ...{ replica, orchestrators, callers },
      orchestratorsUrl: through(orchestrators),
      callersUrl: through(callers),
    };
  }
  return { cluster, doors: await Promise.all([openDoor(), openDoor()]), postgres, redis };
}

/** Only a Postgres that has loaded it at its start counts statements. */
async function countStatements({ sql, postgres }: Cluster): Promise<void> {
  await sql("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'");
  // It would write when it likes.
  await sql('ALTER SYSTEM SET autovacuum = off');
  await sql('CHECKPOINT');
  await postgres.kill();
  await postgres.start();
  await sql('CREATE EXTENSION pg_stat_statements');
}
