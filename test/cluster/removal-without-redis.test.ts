// A Redis that is away keeps no orchestrator from being removed.
import test from 'ava';
import { createKeys } from '../../src/redis/keys.ts';
import { fieldsOf } from '../support/answers.ts';
import { openProxy } from '../support/proxy.ts';
import { rowsOf } from '../support/rows.ts';
import { until } from '../support/until.ts';
import { openWorld, shippedTimeouts } from '../support/world.ts';

test('without Redis deregistering deletes the rows and closes the socket; presence ends when Redis is back', async (t) => {
  await using stack = new AsyncDisposableStack();
  const redis = stack.adopt(await openProxy(), (it) => it.close());
  const options = { reach: { redis: redis.through }, settings: shippedTimeouts() };
  const world = stack.adopt(await openWorld(options), (it) => it.close());
  const { owners } = createKeys(world.settings.redis.prefix);
  const orchestrator = await world.replica(0).connect('gone-1');
  const stays = await world.replica(0).connect('stays-1');
  redis.cut();

  const answer = await world.api.delete('/api/v1/internal/orchestrators/gone-1/deregister');

  t.deepEqual(fieldsOf(t, answer), {
    orchestrator_id: 'gone-1',
    deleted: { messages: 0, instances: 1, organizations: 1 },
  });
  t.deepEqual(await rowsOf(world, 'gone-1'), { instance: undefined, organization: undefined });
  t.like(await orchestrator.event('error'), { code: 'deregistered', retryable: false });
  t.is(await orchestrator.closed(), 'io server disconnect');
  t.is(await world.redis.hexists(owners, 'gone-1'), 1, 'Redis was not told');

  redis.mend();
  await until('its presence to end', async () => (await world.redis.hexists(owners, 'gone-1')) === 0);
  t.is((await world.api.get('/api/v1/controller/orchestrators/live/gone-1')).status, 404);
  t.is((await stays.ask('i_am_alive', {})).status, 'processed');
});
