// A replica emits a frame only in its time, and only while it may speak for its sockets.
import test from 'ava';
import { createArrivals, type Emit } from '../../src/fleet/arrivals.ts';
import { createLogs } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import type { Frame } from '../../src/queue/frame.ts';
import type { Outcome } from '../../src/queue/outcomes.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { createLease, type Lease } from '../../src/redis/lease.ts';
import { noTracing } from '../../src/tracing.ts';
import { until } from '../support/until.ts';
import { openWorld, type World } from '../support/world.ts';

let world: World;
test.before(async () => {
  world = await openWorld();
});
test.after.always(() => world.close());

const { log } = createLogs({ level: 'silent', ringLevel: 'silent', nodeId: 'node-x', ring: { write() {} } });

/** A lease in the world's Redis that is taken once and not renewed. */
async function takeLease(nodeId: string, leaseMs: number): Promise<Lease> {
  const lease = createLease({
    redis: world.redis,
    keys: createKeys(world.settings.redis.prefix),
    nodeId,
    startedAt: new Date().toISOString(),
    leaseMs,
    renewEveryMs: 86_400_000,
    async onRegained() {},
    metrics: createMetrics(),
    log,
  });
  await lease.start();
  return lease;
}

/** Arrivals on a socket that takes every frame; what becomes of each is noted. */
function openArrivals(lease: Lease, settled: () => Promise<void> = async () => undefined) {
  const emitted: string[] = [];
  const sentOn: string[] = [];
  const told: Outcome[] = [];
  const unasked = () => {
    throw new Error('nobody asks this here');
  };
  const emit: Emit = (frame, heard) => {
    emitted.push(frame.message_id);
    heard.received();
    return true;
  };
  const arrivals = createArrivals({
    socketOf: () => emit,
    settled,
    outcomes: { report: async (_sender, outcome) => void told.push(outcome), close: unasked },
    delivery: {
      sendOn: async (frame) => void sentOn.push(frame.message_id),
      send: unasked,
      settle: unasked,
      abandon: unasked,
    },
    lease,
    clock: world.clock,
    nodeId: 'node-x',
    metrics: createMetrics(),
    tracing: noTracing,
    log,
  });
  return { arrivals, emit, emitted, sentOn, told };
}

const frameOf = (id: string, timeoutMs: number): Frame => ({
  message_id: `msg_${id}`,
  orchestrator_id: id,
  type: 'note',
  data: null,
  timestamp: new Date(world.clock.now()).toISOString(),
  deadline: world.clock.now() + timeoutMs,
  ack: false,
  sender: 'node-y',
  epoch: 1,
  after: null,
});

test('a frame in its time is emitted while the lease is held, and its sender is told', async (t) => {
  const lease = await takeLease('node-held', 600_000);
  t.teardown(() => lease.end());
  const { arrivals, emitted, sentOn, told } = openArrivals(lease);

  await arrivals.handle(frameOf('held-1', 60_000));

  t.deepEqual([emitted, sentOn], [['msg_held-1'], []]);
  t.deepEqual(told, [{ kind: 'received', message_id: 'msg_held-1', node_id: 'node-x' }]);
});

test('a frame that arrives for a replica whose lease has lapsed is sent on, not emitted', async (t) => {
  const lease = await takeLease('node-lapsed', 50);
  t.teardown(() => lease.end());
  await until('the lease to lapse', () => !lease.held());
  const { arrivals, emit, emitted, sentOn, told } = openArrivals(lease);

  await arrivals.handle(frameOf('lapsed-1', 60_000));
  // One that waited for the very session that is at hand is no exception.
  await arrivals.receive([frameOf('lapsed-2', 60_000)], emit);

  t.deepEqual([emitted, sentOn, told], [[], ['msg_lapsed-1', 'msg_lapsed-2'], []]);
});

test('a frame whose time is up while a handshake settles is dropped: neither emitted nor sent on', async (t) => {
  const lease = await takeLease('node-settles', 600_000);
  t.teardown(() => lease.end());
  const handshake = Promise.withResolvers<void>();
  const { arrivals, emitted, sentOn, told } = openArrivals(lease, () => handshake.promise);

  const handled = arrivals.handle(frameOf('late-1', 5_000));
  world.clock.advance(5_001);
  handshake.resolve();
  await handled;

  t.deepEqual([emitted, sentOn, told], [[], [], []]);
});
