// Owns a master, its replica and three sentinels of one test.
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openGuard } from './guarded.ts';
import type { RedisPair } from './redis-pair.ts';
import { infoOf, password, type RedisProcess, startRedisProcess } from './redis-process.ts';
import { until } from './until.ts';

const masterName = 'moolai-master';
const downAfterMs = 1_000;
const failoverTimeoutMs = 5_000;

/**
 * One that did not get the processor for two seconds trusts its clock no more, and does nothing for so long.
 * Source: https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/#tilt-mode
 */
const tiltMs = 30_000;

/** All of it goes when it is disposed, or this process ends. */
export async function openRedisSentinel(): Promise<RedisPair> {
  await using opening = new AsyncDisposableStack();
  const guard = opening.adopt(openGuard(), (it) => it.close());
  const folder = await mkdtemp(join(tmpdir(), 'moolai-redis-sentinel-'));
  guard.remove(folder);
  const start = async (name: string, sentinel: boolean, lines: () => string[]) => {
    const one = await startRedisProcess({ folder, guard }, { name, sentinel, lines });
    opening.defer(() => one.client.disconnect());
    return one;
  };
  const first = await start('first', false, () => []);
  const second = await start('second', false, () => [`replicaof 127.0.0.1 ${first.port}`]);
  await until(
    'the replica to be in step',
    async () => (await infoOf(second, 'replication', 'master_link_status')) === 'up',
  );
  const sentinels = await Promise.all(
    Array.from({ length: 3 }, (_, nth) =>
      start(`sentinel-${nth}`, true, () => [
        `sentinel monitor ${masterName} 127.0.0.1 ${first.port} 2`,
        `sentinel auth-pass ${masterName} ${password}`,
        `sentinel sentinel-pass ${password}`,
        `sentinel down-after-milliseconds ${masterName} ${downAfterMs}`,
        `sentinel failover-timeout ${masterName} ${failoverTimeoutMs}`,
      ]),
    ),
  );
  // They look at who follows whom every ten seconds otherwise, and let one that is back be master for eight.
  for (const { client } of sentinels)
    await client.call('SENTINEL', 'DEBUG', 'info-period', '200', 'publish-period', '200');
  const [any] = sentinels;
  if (any === undefined) throw new Error('there is no sentinel');
  await until('the sentinels to know each other and the replica', async () => {
    const views = await Promise.all(
      sentinels.map(({ client }) => fieldsOf(client.call('SENTINEL', 'MASTER', masterName))),
    );
    return views.every((view) => view['num-slaves'] === '1' && view['num-other-sentinels'] === '2');
  });

  const pair = [first, second];
  async function masterOf({ client }: RedisProcess): Promise<RedisProcess | undefined> {
    const address = await client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', masterName);
    const port = Array.isArray(address) ? Number(address[1]) : 0;
    return pair.find((node) => node.port === port);
  }
  async function roles() {
    const master = await masterOf(any ?? first);
    const replica = pair.find((node) => node !== master);
    if (master === undefined || replica === undefined) throw new Error('there is no master');
    return { master, replica };
  }
  const untilAllSay = (master: RedisProcess) =>
    until(
      'all sentinels to know the new master',
      async () => {
        const told = await Promise.all(sentinels.map(masterOf));
        return (
          told.every((one) => one === master) && (await infoOf(master, 'replication', 'role')) === 'master'
        );
      },
      tiltMs * 2,
    );
  async function isBack(one: RedisProcess): Promise<void> {
    await until(
      'the other one to follow',
      async () => (await infoOf(one, 'replication', 'master_link_status')) === 'up',
    );
    // One that they believe to be gone they would not let take over.
    await until('the sentinels to see it follow', async () => {
      const views = await Promise.all(
        sentinels.map(async ({ client }) => {
          const told = await client.call('SENTINEL', 'REPLICAS', masterName);
          return fieldsOf(Array.isArray(told) ? told[0] : []);
        }),
      );
      return views.every((view) => view.flags === 'slave' && view['master-link-status'] === 'ok');
    });
  }
  const open = opening.move();
  return {
    url: `redis-sentinel://:${password}@127.0.0.1:${sentinels
      .map(({ port }) => port)
      .join(',127.0.0.1:')}/${masterName}?sentinel_password=${password}`,
    roles,
    async handOver() {
      const { replica } = await roles();
      let askedAt = -failoverTimeoutMs;
      // A busy machine makes them give up: they are asked again then.
      await until('the sentinels to name the replica master', async () => {
        if ((await masterOf(any)) === replica) return true;
        if (performance.now() - askedAt < failoverTimeoutMs) return false;
        if ((await any.client.call('SENTINEL', 'FAILOVER', masterName)) === 'OK') askedAt = performance.now();
        return false;
      });
      await untilAllSay(replica);
    },
    async takenOver(from) {
      const next = pair.find((node) => node !== from);
      if (next === undefined) throw new Error('there is nobody to take over');
      await untilAllSay(next);
    },
    isBack,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

/** Names and values, one behind the other. */
async function fieldsOf(reply: unknown): Promise<Record<string, string>> {
  const flat: unknown[] = await Promise.resolve(reply).then((list) => (Array.isArray(list) ? list : []));
  return Object.fromEntries(
    flat.flatMap((name, at) => (at % 2 === 0 ? [[String(name), String(flat[at + 1])] as const] : [])),
  );
}
