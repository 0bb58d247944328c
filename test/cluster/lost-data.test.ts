// Behind a loss of Redis's data nobody is called away before every replica has told who is connected to it.
import test from 'ava';
import { createKeys } from '../../src/redis/keys.ts';
import { errorOf } from '../support/answers.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

test('while Redis is empty, and while one replica has not registered anew, absence is not told', async (t) => {
  await using stack = new AsyncDisposableStack();
  const world = stack.adopt(await openWorld(), (it) => it.close());
  const a = world.replica(0);
  const late = await world.grow({ presence: { leaseMs: 15_000, renewEveryMs: 3_000 } });
  await a.connect('early-1');
  const orchestrator = await late.connect('late-1');
  const { nodes, born } = createKeys(world.settings.redis.prefix);
  await until('the late replica to have just renewed', async () => {
    const ends = await world.redis.zscore(nodes, late.controller.nodeId);
    return Number(ends) - Date.now() > 14_500;
  });
  await world.redis.del(await world.redis.keys(`{${world.settings.redis.prefix}}*`));

  const looks: { live: number; sent: number }[] = [];
  await until('every replica to have registered anew', async () => {
    const [live, sent] = await Promise.all([
      a.api.get('/api/v1/controller/orchestrators/live'),
      a.api.post('/api/v1/internal/orchestrators/late-1/send', { type: 'note', wait: false }),
    ]);
    looks.push({ live: live.status, sent: sent.status });
    if (live.status === 200) t.is(live.body.data.total_count, 2);
    else errorOf(t, live, 503, 'unavailable');
    if (sent.status !== 202) errorOf(t, sent, 503, 'unavailable');
    return live.status === 200;
  });

  t.true(looks.some((each) => each.live === 503 && each.sent === 503));
  t.is(await world.redis.exists(born), 1);
  t.true(orchestrator.socket.connected);
  errorOf(
    t,
    await a.api.post('/api/v1/internal/orchestrators/nobody/send', { type: 'note' }),
    409,
    'not_connected',
  );
});
