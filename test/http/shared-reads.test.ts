// What is dear to read from Redis is read once for many who ask at the same moment.
import test from 'ava';
import { createKeys } from '../../src/redis/keys.ts';
import { dataOf, fieldsOf } from '../support/answers.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());
const { api, connect } = world.replica(0);
const callers = 40;

/** So many lines that a read of them takes longer than a call to arrive. */
test.before(async () => {
  const {
    redis: { prefix },
    logs,
  } = world.settings;
  const line = JSON.stringify({
    ...{ timestamp: new Date().toISOString(), level: 'DEBUG', message: 'x'.repeat(200) },
    ...{ source: 'test', node_id: 'node-x' },
  });
  const filling = world.redis.pipeline();
  for (let count = 0; count < logs.ringSize; count += 1)
    filling.xadd(createKeys(prefix).logs, '*', 'line', line);
  await filling.exec();
});

/** How often the world's replica sent this command for this key, until the marker, while `work` went on. */
async function countOf(command: string, key: string, work: () => Promise<unknown>): Promise<number> {
  const monitor = await world.redis.monitor();
  let seen = 0;
  let done = false;
  monitor.on('monitor', (_at: string, [name, first = '']: string[]) => {
    if (name?.toLowerCase() === command && first.startsWith(`{${world.settings.redis.prefix}}`))
      seen += first.includes(key) ? 1 : 0;
    done ||= name?.toLowerCase() === 'echo' && first === world.settings.redis.prefix;
  });
  await work();
  await world.redis.echo(world.settings.redis.prefix);
  await until('all commands to be told', () => done);
  monitor.disconnect();
  return seen;
}

for (const [what, path, command, key] of [
  ['the log', '/api/v1/internal/logs?limit=1', 'xrevrange', 'logs'],
  ['who is connected', '/api/v1/controller/orchestrators/live', 'hgetall', 'presence'],
] as const)
  test.serial(
    `${what} is read a few times for many who ask at once, and not from before they asked`,
    async (t) => {
      await connect(`known-${command}`);
      const seen = await countOf(command, key, async () => {
        const answers = await Promise.all(Array.from({ length: callers }, () => api.get(path)));
        t.true(answers.every(({ status }) => status === 200));
      });
      t.true(seen >= 1 && seen <= (callers * 3) / 4, `${seen} reads for ${callers} callers`);
      const reading = Array.from({ length: callers }, () => api.get(path));
      await connect(`new-${command}`);
      if (command === 'hgetall') t.true(`new-${command}` in dataOf(t, await api.get(path)).orchestrators);
      else {
        const { data } = fieldsOf(t, await api.get(`${path}&orchestrator_id=new-${command}`));
        t.true(data.total > 0);
      }
      await Promise.all(reading);
    },
  );
