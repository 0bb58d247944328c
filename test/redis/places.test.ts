// The places of connections that are taken and given up at once, each as if it were alone.
import test from 'ava';
import { createLogs } from '../../src/log.ts';
import { openRedis } from '../../src/redis/connection.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { createPlaces } from '../../src/redis/places.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { log } = createLogs({ level: 'silent', ringLevel: 'silent', nodeId: 'none', ring: { write() {} } });
const { url, prefix } = world.settings.redis;
const redis = openRedis({ url: url ?? '', prefix, commandTimeoutMs: 5_000, log });
await redis.tried();
test.after.always(async () => {
  await redis.close();
  await world.close();
});
const keys = createKeys(prefix);
const on = (nodeId: string) => createPlaces({ redis: redis.commands, keys, nodeId });

const claimOf = (id: string, epoch: number) => ({
  epoch,
  entry: { organization_id: id, name: id, connected_at: '2026-01-01T00:00:00.000Z', metadata: { epoch } },
  lastSeenMs: epoch * 1_000,
});

test('of many claims at once each is answered for itself', async (t) => {
  const [here, there] = [on('node-here'), on('node-there')];
  t.deepEqual(await there.claim('older', claimOf('older', 1)), {
    accepted: true,
    previous: undefined,
    parked: [],
  });
  await there.claim('newer', claimOf('newer', 9));
  await world.redis.rpush(keys.parked('waited-for'), 'first', 'second');
  const told = await Promise.all(
    ['new', 'older', 'newer', 'waited-for'].map((id) => here.claim(id, claimOf(id, 5))),
  );
  t.deepEqual(told, [
    { accepted: true, previous: undefined, parked: [] },
    { accepted: true, previous: { epoch: 1, nodeId: 'node-there' }, parked: [] },
    { accepted: false, owner: { epoch: 9, nodeId: 'node-there' } },
    { accepted: true, previous: undefined, parked: ['first', 'second'] },
  ]);
  t.deepEqual(await world.redis.hkeys(keys.presence('node-there')), ['newer']);
  t.deepEqual((await world.redis.hkeys(keys.presence('node-here'))).sort(), ['new', 'older', 'waited-for']);
  t.is(await world.redis.zscore(keys.lastSeen, 'older'), '5000');
  t.is(await world.redis.exists(keys.parked('waited-for')), 0);

  const released = await Promise.all([
    here.release('new', 5),
    here.release('older', 4),
    here.release('newer', 5),
    here.release('waited-for', 5),
  ]);
  t.deepEqual(released, [true, false, false, true]);
  t.deepEqual(await world.redis.hkeys(keys.presence('node-here')), ['older']);
  t.is(await world.redis.zscore(keys.lastSeen, 'new'), null);
});

test('more than fit into one script are answered in their order', async (t) => {
  const here = on('node-many');
  const ids = Array.from({ length: 250 }, (_, at) => `many-${at}`);
  const told = await Promise.all(ids.map((id, at) => here.claim(id, claimOf(id, at + 1))));
  t.true(told.every((claim) => claim.accepted));
  const owners = await world.redis.hmget(keys.owners, ...ids);
  t.deepEqual(
    owners,
    ids.map((_, at) => `${at + 1} node-many`),
  );
});
