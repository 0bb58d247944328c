// Owns the story of two replicas on a Redis that fails over: who is connected, what they are sent, and what callers meet.
import type { ExecutionContext } from 'ava';
import { createLogs } from '../../src/log.ts';
import { openRedis } from '../../src/redis/connection.ts';
import type { Answer, Api } from './api.ts';
import { type BeatingFleet, startFleet } from './beating-fleet.ts';
import { type Cluster, openCluster } from './cluster.ts';
import { connectOrchestrator, type TestOrchestrator } from './orchestrator.ts';
import type { RedisPair } from './redis-pair.ts';
import type { ReplicaProcess } from './replica-process.ts';
import { until } from './until.ts';

const count = 40;
const beatEveryMs = 500;
/** A caller is told by then, whatever becomes of Redis. */
const toldWithinMs = 3_500;
const live = '/api/v1/controller/orchestrators/live';

export interface Story extends AsyncDisposable {
  readonly cluster: Cluster;
  readonly fleet: BeatingFleet;
  /** Connects one more, and says on which replica. */
  connect(nth: 0 | 1, orchestratorId: string): Promise<TestOrchestrator>;
  /** Everybody is live on both replicas, both are ready, and messages arrive by way of either. */
  isWhole(): Promise<void>;
  /**
   * Lets `happen` happen while callers go on: each is told the truth in time, or 503. Resolves once all is whole again,
   * and logs how long what was not.
   */
  through(what: string, happen: () => Promise<void>): Promise<void>;
}

export async function openStory(t: ExecutionContext, redis: RedisPair): Promise<Story> {
  await using opening = new AsyncDisposableStack();
  const cluster = opening.use(await openCluster({ replicas: 2, env: { REDIS_URL: redis.url } }));
  const fleet = opening.use(
    await startFleet({
      urls: cluster.replicas.map(({ url }) => url),
      count,
      prefix: 'org-',
      organizations: 10,
      everyMs: beatEveryMs,
    }),
  );
  await until('the first heartbeats', async () => (await fleet.report()).acknowledged > count);
  /** Beside the fleet, by id. */
  const others = new Map<string, TestOrchestrator>();
  opening.defer(() => {
    for (const each of others.values()) each.close();
  });

  const replica = (nth: number): ReplicaProcess => {
    const found = cluster.replicas[nth];
    if (found === undefined) throw new RangeError(`there is no replica ${nth}`);
    return found;
  };
  const send = (via: ReplicaProcess, id: string) =>
    via.api.post(`/api/v1/internal/orchestrators/${id}/send`, {
      type: 'hello',
      ack: true,
      timeout_ms: 10_000,
    });
  const expected = () => count + others.size;

  async function connect(nth: 0 | 1, orchestratorId: string): Promise<TestOrchestrator> {
    const orchestrator = await connectOrchestrator(replica(nth).url);
    orchestrator.socket.onAny((event: string, ...args: unknown[]) => {
      const acknowledge = args.at(-1);
      if (typeof acknowledge === 'function') acknowledge(event);
    });
    await orchestrator.handshake(orchestratorId);
    others.set(orchestratorId, orchestrator);
    return orchestrator;
  }

  async function isWhole(): Promise<void> {
    for (const { api } of cluster.replicas) {
      await until('everybody to be live', async () => {
        const { status, body } = await api.get(live);
        return status === 200 && body.data.total_count === expected();
      });
      await isReady(api);
    }
    for (const via of cluster.replicas)
      for (const id of ['org-0', 'org-1', ...others.keys()]) {
        const sent = await send(via, id);
        t.is(sent.status, 200, JSON.stringify(sent.body));
        t.is(sent.body.ack, 'hello');
      }
    const report = await fleet.report();
    t.is(report.connected, count);
    t.is(report.lost, 0);
    t.deepEqual(report.errors, {});
    t.true([...others.values()].every(({ socket }) => socket.connected));
    t.deepEqual(await lostBeats(), []);
  }

  /** Heartbeats that were acknowledged and are not in Postgres. */
  async function lostBeats(): Promise<unknown[]> {
    const { orchestrators } = await fleet.report();
    return cluster.sql(
      `SELECT a.id, a.ms, i.last_seen FROM unnest($1::text[], $2::float8[]) AS a (id, ms)
       LEFT JOIN orchestrator_instances i ON i.orchestrator_id = a.id
       WHERE i.last_seen IS NULL OR i.last_seen < to_timestamp(a.ms / 1000)`,
      [orchestrators.map(([id]) => id), orchestrators.map(([, , ms]) => ms)],
    );
  }

  async function through(what: string, happen: () => Promise<void>): Promise<void> {
    const looks: { of: 'live' | 'send'; from: number; to: number; status: number }[] = [];
    const wrong = new Set<string>();
    let ends = false;
    let oldestBeatMs = 0;
    const acknowledgedBefore = (await fleet.report()).acknowledged;

    async function look(
      kind: 'live' | 'send',
      ask: () => Promise<Answer>,
      isRight: (answer: Answer) => boolean,
    ) {
      while (!ends) {
        const from = performance.now();
        const answer = await ask();
        looks.push({ of: kind, from, to: performance.now(), status: answer.status });
        if (answer.status === 503 ? answer.body.code !== 'unavailable' : !isRight(answer))
          wrong.add(`${kind}: ${answer.status} ${JSON.stringify(answer.body).slice(0, 200)}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    const isLive = ({ status, body }: Answer) => status === 200 && body.data.total_count === expected();
    // Neither can it be told not to be connected, nor a frame be lost on the way.
    const isSent = ({ status, body }: Answer) => status === 200 && body.ack === 'hello';
    const sentTo = ['org-0', 'org-1', ...others.keys()];
    const looking = cluster.replicas.flatMap((via) => [
      look('live', () => via.api.get(live), isLive),
      ...sentTo.map((id) => look('send', () => send(via, id), isSent)),
    ]);
    async function watchBeats(): Promise<void> {
      while (!ends) {
        oldestBeatMs = Math.max(oldestBeatMs, (await fleet.report()).oldestWaitingMs);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
    looking.push(watchBeats());

    const begunAt = performance.now();
    try {
      await happen();
      const happenedAt = performance.now();
      await until('each kind of call to be answered again', () =>
        (['live', 'send'] as const).every((kind) =>
          looks.slice(-50).some((each) => each.of === kind && each.status === 200 && each.from > happenedAt),
        ),
      );
      for (const { api } of cluster.replicas) await isReady(api);
    } finally {
      ends = true;
      await Promise.all(looking);
    }
    const acknowledged = (await fleet.report()).acknowledged - acknowledgedBefore;
    for (const kind of ['live', 'send'] as const) {
      const own = looks.filter((each) => each.of === kind);
      const failed = own.filter((each) => each.status !== 200);
      const lastedMs = Math.max(begunAt, ...failed.map((each) => each.to)) - begunAt;
      const slowestMs = Math.max(...own.map((each) => each.to - each.from));
      const slowestFaultMs = Math.max(0, ...failed.map((each) => each.to - each.from));
      t.log(
        `${what}: ${kind} ${own.length - failed.length} right, ${failed.length} refused with 503, the last ${Math.round(lastedMs)} ms after the first moment; slowest answer ${Math.round(slowestMs)} ms, slowest 503 ${Math.round(slowestFaultMs)} ms`,
      );
      // Who waits for an orchestrator has said so; who asks for facts is told in time.
      if (kind === 'live') t.true(slowestMs < toldWithinMs, `live took ${slowestMs} ms`);
    }
    t.log(
      `${what}: ${acknowledged} heartbeats acknowledged meanwhile, the oldest after ${Math.round(oldestBeatMs)} ms`,
    );
    t.deepEqual([...wrong], []);
    t.true(acknowledged > 0);
    t.true(oldestBeatMs < 3_500, `a heartbeat has waited for ${oldestBeatMs} ms`);
    await isWhole();
  }

  const open = opening.move();
  return { cluster, fleet, connect, isWhole, through, [Symbol.asyncDispose]: () => open.disposeAsync() };
}

function isReady(api: Api): Promise<boolean> {
  return until('readiness', async () => {
    const { status, body } = await api.get('/health/ready');
    if (status !== 200) throw new Error(JSON.stringify(body));
    return true;
  });
}

/** All that two replicas do for each other by way of Redis, and that a failover, asked for or forced, takes none of it. */
export async function tellStory(t: ExecutionContext, redis: RedisPair): Promise<void> {
  await using story = await openStory(t, redis);
  const { cluster, connect, isWhole, through } = story;
  const [a, b] = cluster.replicas;
  if (a === undefined || b === undefined) throw new Error('there are no two replicas');
  await isWhole();

  // The newest connection wins, on whichever replica it is.
  const older = await connect(0, 'rival');
  const newer = await connect(1, 'rival');
  t.is((await older.event('superseded')).by_node, b.nodeId);
  await older.closed();
  t.true(newer.socket.connected);
  for (const { api } of cluster.replicas)
    t.is((await api.get(live)).body.data.orchestrators.rival.node_id, b.nodeId);

  // Independence that A is told of is kept by B.
  const path = '/api/v1/internal/orchestrators/rival/independence';
  t.is((await a.api.put(path, { is_independent: true })).status, 200);
  t.is((await newer.ask('i_am_alive', { orchestrator_id: 'rival' })).status, 'ignored');
  t.is((await a.api.put(path, { is_independent: false })).status, 200);
  t.is((await newer.ask('i_am_alive', { orchestrator_id: 'rival' })).status, 'processed');

  const former = (await redis.roles()).master;
  await through('a failover in good order', async () => {
    await redis.handOver();
    await redis.isBack(former);
  });
  const moved = await connect(0, 'rival');
  t.is((await newer.event('superseded')).by_node, a.nodeId);
  t.true(moved.socket.connected);

  const silent = (await redis.roles()).master;
  await through('the master stands still', async () => {
    silent.pause();
    await redis.takenOver(silent);
  });
  silent.resume();
  await redis.isBack(silent);

  // What the master was told last does not reach the one that takes its place.
  const { master, replica } = await redis.roles();
  replica.pause();
  // Else it would find it in its socket.
  await master.client.call('CLIENT', 'KILL', 'TYPE', 'replica');
  await connect(0, 'late-0');
  await connect(1, 'late-1');
  await through('the master killed', async () => {
    await master.kill();
    replica.resume();
    await redis.takenOver(master);
  });

  if (redis.moveSlot !== undefined)
    await through('the slot moved to another master', () => redis.moveSlot?.() ?? Promise.resolve());

  // The replicas still tell each other, and one of them sweeps.
  await connect(1, 'rival');
  t.is((await moved.event('superseded')).by_node, b.nodeId);
  const { log } = createLogs({
    level: 'silent',
    ringLevel: 'silent',
    nodeId: 'node-x',
    ring: { write() {} },
  });
  const own = openRedis({ url: redis.url, prefix: 'moolai', commandTimeoutMs: 5_000, log });
  await own.tried();
  const from = Date.now();
  await until('a sweep', async () => {
    const [, at] = await own.commands.zrevrange('{moolai}:queues:sweep:completed', 0, 0, 'WITHSCORES');
    return Number(at) > from;
  });
  await own.close();
}
