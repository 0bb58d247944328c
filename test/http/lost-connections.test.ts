// Connections to Postgres that the network has lost: they are noticed, given up, and not handed to the next caller.
import test from 'ava';
import { openProxy } from '../support/proxy.ts';
import { openWorld, shippedTimeouts } from '../support/world.ts';

const stack = new AsyncDisposableStack();
const postgres = stack.adopt(await openProxy(), (it) => it.close());
const world = stack.adopt(
  await openWorld({ reach: { database: postgres.through }, settings: shippedTimeouts() }),
  (it) => it.close(),
);
test.after.always(() => stack.disposeAsync());

const organizations = () => world.api.get('/api/v1/controller/organizations');
let made = 0;
const create = () => {
  made += 1;
  return world.api.post('/api/v1/controller/orchestrator-instances', { org_id: `lost-${made}`, name: 'x' });
};

for (const [what, call, good] of [
  ['reads', organizations, 200],
  ['changes', create, 201],
] as const)
  test.serial(
    `${what} that meet lost connections are 503 in time, and those after them are served`,
    async (t) => {
      const warm = await Promise.all(Array.from({ length: 20 }, call));
      t.true(warm.every(({ status }) => status === good));
      postgres.stall();

      const startedAt = performance.now();
      const met = await Promise.all(Array.from({ length: 20 }, call));
      t.true(met.some(({ status }) => status === 503));
      t.true(met.every(({ status }) => status === good || status === 503));
      // A call may wait its turn for a connection before it meets a lost one.
      t.true(performance.now() - startedAt < 8_000);

      const after = await Promise.all(Array.from({ length: 20 }, call));
      t.deepEqual(
        after.filter(({ status }) => status !== good),
        [],
      );
    },
  );
