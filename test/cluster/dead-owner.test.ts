// A message whose owner died is delivered through the new one if the orchestrator comes back in time, and never late.
import test, { type ExecutionContext } from 'ava';
import { Queue } from 'bullmq';
import { createKeys } from '../../src/redis/keys.ts';
import { errorOf, fieldsOf, linesOf } from '../support/answers.ts';
import type { TestOrchestrator } from '../support/orchestrator.ts';
import { rowsOf } from '../support/rows.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

// Who is dead is told to Redis: it is no lease that has to run out, and the living one's outlasts a busy machine.
const world = await openWorld({ settings: { presence: { leaseMs: 3_000, renewEveryMs: 200 } } });
test.after.always(() => world.close());

const { api, connect, controller } = world.replica(0);
const keys = createKeys(world.settings.redis.prefix);

interface DeadReplica {
  nodeId: string;
  /** Its keys in Redis, those of its queue among them. */
  keysLeft(): Promise<string[]>;
  /** Its lease runs out. Until then the others cannot know that it is dead. */
  lapse(): Promise<void>;
  /** Resolves when the live replica has cleared what it left. */
  buried(): Promise<void>;
}

/** A replica that died just now with this orchestrator connected, as Redis and Postgres would have it. */
async function plantDeadReplica(orchestratorId: string): Promise<DeadReplica> {
  const nodeId = `node-dead-${orchestratorId}`;
  await world.sql("INSERT INTO organizations (organization_id, name, status) VALUES ($1, 'x', 'active')", [
    orchestratorId,
  ]);
  const [row] = await world.sql(
    `INSERT INTO orchestrator_instances
       (orchestrator_id, organization_id, name, status, health_status, connection_epoch, node_id, last_seen)
     VALUES ($1, $1, 'x', 'active', 'healthy', nextval('connection_epochs'), $2, now())
     RETURNING connection_epoch`,
    [orchestratorId, nodeId],
  );
  const startedAt = new Date().toISOString();
  const entry = { organization_id: orchestratorId, name: 'x', connected_at: startedAt, metadata: {} };
  await world.redis
    .multi()
    .hset(keys.node(nodeId), 'started_at', startedAt, 'draining', 0)
    .hset(keys.presence(nodeId), orchestratorId, JSON.stringify(entry))
    .hset(keys.owners, orchestratorId, `${row?.connection_epoch} ${nodeId}`)
    .zadd(keys.lastSeen, Date.now(), orchestratorId)
    .zadd(keys.nodes, Date.now() + 60_000, nodeId)
    .exec();
  const keysLeft = () => world.redis.keys(`{${world.settings.redis.prefix}}*${nodeId}*`);
  return {
    nodeId,
    keysLeft,
    async lapse() {
      await world.redis.zadd(keys.nodes, Date.now() - 1, nodeId);
    },
    async buried() {
      await until(`nothing of ${nodeId} to be left`, async () => {
        const [left, lease, owner] = await Promise.all([
          keysLeft(),
          world.redis.zscore(keys.nodes, nodeId),
          world.redis.hget(keys.owners, orchestratorId),
        ]);
        return left.length === 0 && lease === null && !owner?.endsWith(` ${nodeId}`);
      });
    },
  };
}

const send = (id: string, body: object) => api.post(`/api/v1/internal/orchestrators/${id}/send`, body);

/** The frame stands in the dead replica's queue, where nobody takes it. */
const queued = (dead: DeadReplica) =>
  until('the message to be queued', async () =>
    (await dead.keysLeft()).some((key) => key.endsWith(`:outbound.${dead.nodeId}:wait`)),
  );

const liveQueue = new Queue(`outbound.${controller.nodeId}`, {
  connection: world.redis,
  prefix: keys.queues,
  skipVersionCheck: true,
});
test.after.always(() => liveQueue.close());

/** The ids of the notes received, once whatever is on its way is there as well. */
async function notesOf(t: ExecutionContext, orchestrator: TestOrchestrator, id: string): Promise<string[]> {
  // What is sent on from a dead replica's queue may stand aside for a moment before it is taken.
  await until(`nothing for ${id} to be queued`, async () => {
    const jobs = await liveQueue.getJobs(['delayed', 'wait', 'active']);
    return !jobs.flatMap((job) => job.data).some((frame) => frame.orchestrator_id === id);
  });
  t.is((await send(id, { type: 'marker' })).status, 200);
  await orchestrator.event('marker');
  return orchestrator.received.filter((each) => each.event === 'note').map((each) => each.payload.message_id);
}

test('a message that waits for a dead owner is emitted once by the new one, and its sender told', async (t) => {
  const dead = await plantDeadReplica('waits-1');
  const sending = send('waits-1', { type: 'note', timeout_ms: 30_000 });
  await queued(dead);

  const orchestrator = await connect('waits-1');

  const { message_id, ...rest } = fieldsOf(t, await sending);
  t.deepEqual(rest, { orchestrator_id: 'waits-1', type: 'note', node_id: controller.nodeId });
  t.is((await orchestrator.event('note')).message_id, message_id);
  // The dead replica's queue still holds it: what is found there is not emitted again.
  await dead.lapse();
  await dead.buried();
  t.deepEqual(await notesOf(t, orchestrator, 'waits-1'), [message_id]);
});

test('a message that nobody waits for is kept beyond its owner’s burial, for who comes back in time', async (t) => {
  const dead = await plantDeadReplica('kept-1');
  const { message_id } = fieldsOf(
    t,
    await send('kept-1', { type: 'note', wait: false, timeout_ms: 30_000 }),
    202,
  );
  await queued(dead);
  await dead.lapse();
  await dead.buried();

  const orchestrator = await connect('kept-1');

  t.is((await orchestrator.event('note')).message_id, message_id);
  t.deepEqual(await notesOf(t, orchestrator, 'kept-1'), [message_id]);
});

test('a message that nobody waits for reaches who comes back before its owner’s lease has run out', async (t) => {
  const dead = await plantDeadReplica('early-1');
  const { message_id } = fieldsOf(
    t,
    await send('early-1', { type: 'note', wait: false, timeout_ms: 30_000 }),
    202,
  );
  const orchestrator = await connect('early-1');
  t.is((await orchestrator.event('note')).message_id, message_id);
  await dead.lapse();
  await dead.buried();
  t.deepEqual(await notesOf(t, orchestrator, 'early-1'), [message_id]);
});

test('a message whose owner died is delivered though the replica that sent it is gone as well', async (t) => {
  const dead = await plantDeadReplica('orphan-1');
  const sender = await world.grow();
  const sent = await sender.api.post('/api/v1/internal/orchestrators/orphan-1/send', {
    type: 'note',
    wait: false,
    timeout_ms: 30_000,
  });
  const { message_id } = fieldsOf(t, sent, 202);
  // Nobody follows it any more: it is in the dead replica's queue and nowhere else.
  await sender.controller.stop();
  await dead.lapse();
  await dead.buried();

  const orchestrator = await connect('orphan-1');

  t.is((await orchestrator.event('note')).message_id, message_id);
  t.deepEqual(await notesOf(t, orchestrator, 'orphan-1'), [message_id]);
});

test('a message whose owner died is a time-out when nobody comes back, and is not delivered later', async (t) => {
  const dead = await plantDeadReplica('late-1');
  const sending = send('late-1', { type: 'note', timeout_ms: 2_000 });
  await queued(dead);

  errorOf(t, await sending, 504, 'delivery_timeout');

  const orchestrator = await connect('late-1');
  // It stands in the dead replica's queue to the last: who empties that must see that its time is up.
  await queued(dead);
  await dead.lapse();
  await dead.buried();
  t.deepEqual(await notesOf(t, orchestrator, 'late-1'), []);
});

test('the orchestrators of a dead replica are logged as disconnected and cleaned up', async (t) => {
  const dead = await plantDeadReplica('swept-1');
  await dead.lapse();

  await until('its row to be inactive', async () => {
    return (await rowsOf(world, 'swept-1')).instance?.status === 'inactive';
  });
  t.deepEqual(await linesOf(world.api, { orchestrator_id: 'swept-1', event: 'disconnect' }, 2), [
    'INFO disconnect [C-OCS] Orchestrator swept-1 disconnected',
    'INFO disconnect [C-OCS] Cleaned up connection for swept-1',
  ]);
  await dead.buried();
  t.is((await rowsOf(world, 'swept-1')).organization?.status, 'inactive');
});
