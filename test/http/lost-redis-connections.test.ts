// Connections to Redis that the network has lost: each is noticed and opened anew, also those that only listen.
import test from 'ava';
import { openProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const stack = new AsyncDisposableStack();
const redis = stack.adopt(await openProxy(), (it) => it.close());
const world = stack.adopt(
  await openWorld({
    reach: { redis: redis.through },
    replicas: 2,
    settings: { redis: { commandTimeoutMs: 1_500 } },
  }),
  (it) => it.close(),
);
test.after.always(() => stack.disposeAsync());

test('messages between replicas get through again after every connection to Redis was lost', async (t) => {
  const x = await world.replica(0).connect('x');
  x.socket.on('go', (_frame: unknown, acknowledge: (body: unknown) => void) => acknowledge('taken'));
  const send = (timeoutMs: number) =>
    world.replica(1).api.post('/api/v1/internal/orchestrators/x/send', {
      type: 'go',
      ack: true,
      timeout_ms: timeoutMs,
    });
  t.is((await send(10_000)).status, 200);
  redis.stall();
  await until('an acknowledged message', async () => (await send(1_000)).status === 200, 40_000);
  t.pass();
});
