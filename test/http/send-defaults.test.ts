// What `/send` does when a call says no more than the type.
import test from 'ava';
import { Queue } from 'bullmq';
import { createKeys } from '../../src/redis/keys.ts';
import { fieldsOf } from '../support/answers.ts';
import { until } from '../support/until.ts';
import { openWorld, type World } from '../support/world.ts';

let world: World;
test.before(async () => {
  world = await openWorld();
});
test.after.always(() => world.close());

test('a message of a type alone is waited for, ten seconds long, without an acknowledgement or data', async (t) => {
  await using stack = new AsyncDisposableStack();
  const { nodeId } = world.replica(0).controller;
  const queue = stack.adopt(
    new Queue(`outbound.${nodeId}`, {
      connection: world.redis,
      prefix: createKeys(world.settings.redis.prefix).queues,
      skipVersionCheck: true,
    }),
    (it) => it.close(),
  );
  const orchestrator = await world.replica(0).connect('bare-1');
  await queue.pause();

  const sending = world.api.post('/api/v1/internal/orchestrators/bare-1/send', { type: 'bare' });
  const [job] = await until('the message to be queued', async () => {
    const jobs = await queue.getJobs(['wait']);
    return jobs.length === 1 && jobs;
  });
  const { message_id, timestamp, deadline, epoch, ...frame } = job?.data ?? {};
  t.deepEqual(frame, { orchestrator_id: 'bare-1', type: 'bare', data: null, ack: false, sender: nodeId });
  t.is(deadline - Date.parse(timestamp), 10_000);
  t.is(epoch, (await orchestrator.event('handshake_ack')).epoch);

  await queue.resume();
  t.deepEqual(fieldsOf(t, await sending), {
    message_id,
    orchestrator_id: 'bare-1',
    type: 'bare',
    node_id: nodeId,
  });
  t.deepEqual(await orchestrator.event('bare'), { type: 'bare', data: null, message_id, timestamp });
});

test('the defaults are in the description of the API', async (t) => {
  const { body } = await world.api.get('/openapi.json');
  const { schema } =
    body.paths['/api/v1/internal/orchestrators/{id}/send'].post.requestBody.content['application/json'];
  t.deepEqual(schema.required, ['type']);
  t.like(schema.properties, {
    wait: { type: 'boolean', default: true },
    ack: { type: 'boolean', default: false },
    timeout_ms: { type: 'integer', minimum: 100, maximum: 30_000, default: 10_000 },
  });
});
