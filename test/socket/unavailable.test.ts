// What an orchestrator is told over its socket while Postgres is away.
import test from 'ava';
import { linesOf } from '../support/answers.ts';
import { openProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import { openWorld, shippedTimeouts } from '../support/world.ts';

test('without Postgres a request for the configuration is told to come again, and then answered', async (t) => {
  await using stack = new AsyncDisposableStack();
  const postgres = stack.adopt(await openProxy(), (it) => it.close());
  const options = { reach: { database: postgres.through }, settings: shippedTimeouts() };
  const world = stack.adopt(await openWorld(options), (it) => it.close());
  const orchestrator = await world.replica(0).connect('asks-1');
  await orchestrator.event('provision_config');
  postgres.cut();

  orchestrator.socket.emit('provisioning_request', {});

  t.deepEqual(await orchestrator.event('error'), {
    code: 'unavailable',
    message: 'provisioning_request could not be handled',
    retryable: true,
    retry_after_ms: 1_000,
  });
  t.deepEqual(await linesOf(world.api, { orchestrator_id: 'asks-1', level: 'WARNING' }), [
    'WARNING - Event provisioning_request failed',
  ]);
  t.deepEqual(await linesOf(world.api, { level: 'ERROR' }, 0), []);

  postgres.mend();
  orchestrator.socket.emit('provisioning_request', {});
  const configs = await until('the second configuration', () => {
    const all = orchestrator.received.filter((each) => each.event === 'provision_config');
    return all.length === 2 && all;
  });
  t.like(configs[1]?.payload.data, { orchestrator_id: 'asks-1', name: 'Organization asks-1' });
  t.true(orchestrator.socket.connected);
});
