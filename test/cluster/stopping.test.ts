// A replica that stops leaves nothing behind, and its orchestrators go elsewhere.
import { once } from 'node:events';
import { connect } from 'node:net';
import test from 'ava';
import { createKeys } from '../../src/redis/keys.ts';
import { errorOf, linesOf } from '../support/answers.ts';
import { connectOrchestrator } from '../support/orchestrator.ts';
import { openProxy } from '../support/proxy.ts';
import { rowsOf } from '../support/rows.ts';
import { until } from '../support/until.ts';
import { openWorld, shippedTimeouts } from '../support/world.ts';

test.serial(
  'the orchestrators of a replica that stops are told to reconnect, and leave nothing behind',
  async (t) => {
    await using stack = new AsyncDisposableStack();
    const world = stack.adopt(await openWorld({ replicas: 2 }), (it) => it.close());
    const [a, b] = [world.replica(0), world.replica(1)];
    const keys = createKeys(world.settings.redis.prefix);
    const { nodeId } = a.controller;
    const fleet = await Promise.all(Array.from({ length: 10 }, (_, at) => a.connect(`org-${at}`)));
    const polling = await a.open({ transports: ['polling'] });
    await polling.handshake('org-polling');
    const mute = await a.open();
    const other = await b.connect('other-1');

    await a.controller.stop();

    for (const each of [...fleet, polling]) {
      const { after_ms } = await each.event('reconnect');
      t.true(Number.isInteger(after_ms) && after_ms >= 0 && after_ms <= 1_000);
      await each.closed();
    }
    await mute.closed();
    t.deepEqual(
      await world.sql("SELECT orchestrator_id FROM orchestrator_instances WHERE status = 'active'"),
      [{ orchestrator_id: 'other-1' }],
    );
    t.deepEqual(await world.sql("SELECT organization_id FROM organizations WHERE status = 'active'"), [
      { organization_id: 'other-1' },
    ]);
    t.deepEqual(await world.redis.hkeys(keys.owners), ['other-1']);
    t.deepEqual(await world.redis.zrange(keys.lastSeen, '0', '-1'), ['other-1']);
    t.deepEqual(await world.redis.keys(`{${world.settings.redis.prefix}}*${nodeId}*`), []);
    t.deepEqual(await world.redis.zrange(keys.nodes, '0', '-1'), [b.controller.nodeId]);
    const nodes = await b.api.get('/api/v1/internal/nodes');
    t.deepEqual(
      nodes.body.nodes.map((node: { node_id: string }) => node.node_id),
      [b.controller.nodeId],
    );
    t.is((await b.api.get('/api/v1/controller/orchestrators/live')).body.data.total_count, 1);
    t.is((await other.ask('i_am_alive', {})).status, 'processed');
    t.false(other.received.some((each) => each.event === 'reconnect'));
    const moved = await b.connect('org-0');
    t.is((await moved.event('handshake_ack')).node_id, b.controller.nodeId);
  },
);

test.serial('messages on their way through a replica that stops are delivered through another', async (t) => {
  await using stack = new AsyncDisposableStack();
  const world = stack.adopt(await openWorld({ replicas: 2 }), (it) => it.close());
  const [a, b] = [world.replica(0), world.replica(1)];
  const first = await a.connect('moves-1');
  const sending: Promise<{ status: number; body: { message_id: string } }>[] = [];
  const sendMany = () => {
    for (let count = 0; count < 20; count += 1)
      sending.push(
        b.api.post('/api/v1/internal/orchestrators/moves-1/send', { type: 'count', timeout_ms: 30_000 }),
      );
  };
  sendMany();
  await first.event('count');
  sendMany();
  const stopped = a.controller.stop();
  sendMany();
  await first.event('reconnect');
  const second = await b.connect('moves-1');
  sendMany();
  await stopped;

  const sent = await Promise.all(sending);
  // Between its two connections there is nobody to send to; what was taken on is delivered.
  t.true(sent.every((each) => each.status === 200 || each.status === 409));
  const accepted = sent.filter((each) => each.status === 200).map((each) => each.body.message_id);
  const received = () => {
    const all = [first, second].flatMap((each) => each.received);
    return new Set(all.filter((got) => got.event === 'count').map((got) => got.payload.message_id));
  };
  await until('every message', () => received().size >= accepted.length);
  t.deepEqual([...received()].sort(), accepted.sort());
  t.true(sent.slice(-20).every((each) => each.status === 200));
});

test.serial('a stop waits for what is not yet committed, and the row ends inactive', async (t) => {
  await using stack = new AsyncDisposableStack();
  const world = stack.adopt(await openWorld({ replicas: 2 }), (it) => it.close());
  const a = world.replica(0);
  const orchestrator = await a.connect('org-1');
  world.clock.advance(1_000);
  const from = world.clock.now();
  const held = stack.use(
    await world.hold("SELECT 1 FROM orchestrator_instances WHERE orchestrator_id = 'org-1' FOR UPDATE"),
  );
  orchestrator.socket.emit('i_am_alive', {});
  await held.awaited();
  const stopped = a.controller.stop();
  await orchestrator.event('reconnect');
  await orchestrator.closed();
  t.is((await rowsOf(world, 'org-1')).instance?.status, 'active');
  await held.release();
  await stopped;
  const { instance } = await rowsOf(world, 'org-1');
  t.is(instance?.status, 'inactive');
  t.true(Date.parse(String(instance?.last_seen)) >= from);
});

test.serial('a draining replica takes no new orchestrator, and says that it drains', async (t) => {
  await using stack = new AsyncDisposableStack();
  const world = stack.adopt(await openWorld({ replicas: 2 }), (it) => it.close());
  const [a, b] = [world.replica(0), world.replica(1)];
  const early = await a.open();
  await a.controller.drain();

  for (const orchestrator of [early, await a.open()]) {
    orchestrator.socket.emit('handshake', { data: { orchestrator_id: 'late-1' } });
    t.is(typeof (await orchestrator.event('reconnect')).after_ms, 'number');
    t.is(await orchestrator.closed(), 'io server disconnect');
  }
  t.is((await rowsOf(world, 'late-1')).instance, undefined);
  const { body } = await b.api.get('/api/v1/internal/nodes');
  const draining = new Map(
    body.nodes.map((node: { node_id: string; draining: boolean }) => [node.node_id, node.draining]),
  );
  t.true(draining.get(a.controller.nodeId));
  t.false(draining.get(b.controller.nodeId));
  t.is((await a.api.get('/health/ready')).status, 503);
  t.is((await b.api.get('/health/ready')).status, 200);
  // REST goes on.
  await b.connect('late-1');
  const sent = await a.api.post('/api/v1/internal/orchestrators/late-1/send', { type: 'hello' });
  t.is(sent.body.node_id, b.controller.nodeId);
});

test.serial('what a replica that died left is cleared by another: presence and rows', async (t) => {
  await using stack = new AsyncDisposableStack();
  const world = stack.adopt(
    await openWorld({ settings: { presence: { leaseMs: 1_000, renewEveryMs: 200 } } }),
    (it) => it.close(),
  );
  const keys = createKeys(world.settings.redis.prefix);
  // A replica that was there and is no more, as Redis and Postgres would have it.
  await world.sql(
    "INSERT INTO organizations (organization_id, name, status) VALUES ('dead-1', 'x', 'active')",
  );
  await world.sql(
    `INSERT INTO orchestrator_instances
       (orchestrator_id, organization_id, name, status, health_status, connection_epoch, node_id, last_seen)
     VALUES ('dead-1', 'dead-1', 'x', 'active', 'healthy', 4, 'node-dead', now())`,
  );
  const entry = {
    organization_id: 'dead-1',
    name: 'x',
    connected_at: new Date().toISOString(),
    metadata: {},
  };
  // At once: a sweep in between would find half of it.
  await world.redis
    .multi()
    .zadd(keys.nodes, Date.now() - 1, 'node-dead')
    .hset(keys.owners, 'dead-1', '4 node-dead')
    .hset(keys.presence('node-dead'), 'dead-1', JSON.stringify(entry))
    .exec();
  t.is((await world.api.get('/api/v1/controller/orchestrators/live/dead-1')).status, 404);

  await until('the row to be inactive', async () => {
    return (await rowsOf(world, 'dead-1')).instance?.status === 'inactive';
  });
  t.is((await rowsOf(world, 'dead-1')).organization?.status, 'inactive');
  await until('its presence to be gone', async () => !(await world.redis.hexists(keys.owners, 'dead-1')));
  t.deepEqual(await world.redis.keys(`{${world.settings.redis.prefix}}*node-dead*`), []);
  t.deepEqual(await linesOf(world.api, { orchestrator_id: 'dead-1', event: 'disconnect' }, 2), [
    'INFO disconnect [C-OCS] Orchestrator dead-1 disconnected',
    'INFO disconnect [C-OCS] Cleaned up connection for dead-1',
  ]);
});

test.serial('a replica whose Redis is away stops all the same, and soon', async (t) => {
  await using stack = new AsyncDisposableStack();
  const proxy = stack.adopt(await openProxy(), (it) => it.close());
  const world = stack.adopt(
    await openWorld({ reach: { redis: proxy.through }, settings: shippedTimeouts() }),
    (it) => it.close(),
  );
  const orchestrator = await world.replica(0).connect('org-1');
  proxy.cut();
  const startedAt = performance.now();

  await world.replica(0).controller.stop();

  t.true(performance.now() - startedAt < 15_000);
  t.is(typeof (await orchestrator.event('reconnect')).after_ms, 'number');
  t.like((await rowsOf(world, 'org-1')).instance, { status: 'inactive' });
});

test.serial(
  'a replica starts while both stores are away, says what is missing, and serves once they are there',
  async (t) => {
    await using stack = new AsyncDisposableStack();
    const postgres = stack.adopt(await openProxy(), (it) => it.close());
    const redis = stack.adopt(await openProxy(), (it) => it.close());
    const reach = { database: postgres.through, redis: redis.through };
    const world = stack.adopt(await openWorld({ reach, settings: shippedTimeouts() }), (it) => it.close());
    postgres.cut();
    redis.cut();

    const { controller, api, connect } = await world.grow();

    const faults = await controller.faults();
    for (const fault of ['Postgres does not answer', 'Redis does not answer', 'the lease is not held'])
      t.true(faults.includes(fault), faults.join());
    postgres.mend();
    redis.mend();
    await until('it to be ready', async () => (await api.get('/health/ready')).status === 200);
    t.is((await (await connect('late-1')).ask('i_am_alive', {})).status, 'processed');
  },
);

test.serial('a stop answers the calls in hand, however long their orchestrator takes', async (t) => {
  await using stack = new AsyncDisposableStack();
  const world = stack.adopt(await openWorld({ replicas: 2 }), (it) => it.close());
  const [a, b] = [world.replica(0), world.replica(1)];
  const orchestrator = await a.connect('slow-1');
  const asked = new Promise<(answer: string) => void>((resolve) => {
    orchestrator.socket.on('ask', (_frame, acknowledge) => resolve(acknowledge));
  });
  const sending = b.api.post('/api/v1/internal/orchestrators/slow-1/send', {
    type: 'ask',
    ack: true,
    timeout_ms: 30_000,
  });
  const acknowledge = await asked;
  const stopped = b.controller.stop();
  const refused = await until('B to take no call any more', () =>
    b.api.get('/health/live').then(
      () => undefined,
      (error: Error) => error,
    ),
  );
  t.truthy(refused);
  acknowledge('done');

  const sent = await sending;
  t.is(sent.status, 200);
  t.is(sent.body.ack, 'done');
  t.is(sent.headers.get('connection'), 'close');
  await stopped;
});

test.serial('a stop that may take no longer answers the calls in hand that they cannot be', async (t) => {
  await using stack = new AsyncDisposableStack();
  const world = stack.adopt(await openWorld(), (it) => it.close());
  const hasty = await world.grow({ shutdown: { deadlineMs: 300 } });
  const orchestrator = await world.replica(0).connect('mute-1');
  const message = { type: 'ask', ack: true, timeout_ms: 30_000 };
  const sending = hasty.api.post('/api/v1/internal/orchestrators/mute-1/send', message);
  await orchestrator.event('ask');
  await hasty.controller.stop();
  errorOf(t, await sending, 503, 'unavailable');
});

test.serial('a stop that may take no longer answers also a call that Redis has not taken yet', async (t) => {
  await using stack = new AsyncDisposableStack();
  const proxy = stack.adopt(await openProxy(), (it) => it.close());
  const settings = { redis: { commandTimeoutMs: 1_500 }, shutdown: { deadlineMs: 300 } };
  const world = stack.adopt(await openWorld({ reach: { redis: proxy.through }, settings }), (it) =>
    it.close(),
  );
  const { api, controller, connect } = world.replica(0);
  await connect('stalled-1');
  proxy.stall();
  const sending = api.post('/api/v1/internal/orchestrators/stalled-1/send', {
    type: 'ask',
    timeout_ms: 30_000,
  });
  await controller.stop();
  errorOf(t, await sending, 503, 'unavailable');
});

test.serial('a call that is sent slowly does not hold the stop', async (t) => {
  await using stack = new AsyncDisposableStack();
  const world = stack.adopt(await openWorld({ replicas: 2 }), (it) => it.close());
  const { controller } = world.replica(1);
  const { port, hostname } = new URL(controller.url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(
    'POST /api/v1/controller/organizations HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n' +
      'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{',
  );
  const [answer] = await once(socket, 'data');
  t.regex(String(answer), /^HTTP\/1\.1 100 Continue/, 'the call is under way');
  const startedAt = performance.now();

  await controller.stop();

  t.true(performance.now() - startedAt < 5_000);
  const nodes = await world.api.get('/api/v1/internal/nodes');
  t.is(nodes.body.total_count, 1);
});

for (const port of ['url', 'processUrl'] as const)
  test.serial(`one that begins calls and says no more does not hold the stop: ${port}`, async (t) => {
    await using stack = new AsyncDisposableStack();
    const world = stack.adopt(
      await openWorld({ replicas: 2, settings: { http: { processPort: 0 } } }),
      (it) => it.close(),
    );
    const { controller } = world.replica(1);
    const url = new URL(controller[port]);
    for (const half of [
      'GET /health HTTP/1.1\r\nHost: local',
      'POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{',
    ]) {
      const socket = connect(Number(url.port), url.hostname);
      stack.defer(() => void socket.destroy());
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      socket.write(half);
    }
    // It has come in behind them.
    t.is((await fetch(`${controller[port]}/nothing`)).status, 404);
    const startedAt = performance.now();

    await controller.stop();

    t.true(performance.now() - startedAt < 5_000);
    const nodes = await world.api.get('/api/v1/internal/nodes');
    t.is(nodes.body.total_count, 1, 'what it leaves is handed over');
  });

test.serial('a peer that reads nothing does not hold the stop', async (t) => {
  await using stack = new AsyncDisposableStack();
  const network = stack.adopt(await openProxy(), (it) => it.close());
  const world = stack.adopt(await openWorld({ replicas: 2 }), (it) => it.close());
  const { controller } = world.replica(1);
  const orchestrator = await connectOrchestrator(network.through(controller.url));
  stack.defer(() => orchestrator.close());
  await orchestrator.handshake('deaf-1');
  network.stall();
  const startedAt = performance.now();

  await controller.stop();

  t.true(performance.now() - startedAt < 10_000);
  t.is((await rowsOf(world, 'deaf-1')).instance?.status, 'inactive');
});
