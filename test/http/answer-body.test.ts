// How an answer of REST travels: compressed for who takes it so, and not at all to who has it already.
import { once } from 'node:events';
import { connect } from 'node:net';
import { gunzipSync } from 'node:zlib';
import test from 'ava';
import { createPiece, PreparedBody } from '../../src/http/prepared-body.ts';
import { createMetrics } from '../../src/metrics.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { createPresence } from '../../src/redis/presence.ts';
import { dataOf, linesOf } from '../support/answers.ts';
import { scrape } from '../support/metrics.ts';
import { connectAs } from '../support/places.ts';
import { asksForTokens, tokenOf } from '../support/tokens.ts';
import { until } from '../support/until.ts';
import { newTestKeys } from '../support/visitors.ts';
import { openWorld } from '../support/world.ts';

const keys = newTestKeys();
const world = await openWorld({ replicas: 2, settings: asksForTokens(...keys.accepted) });
const admin = await tokenOf(keys.secret, 'admin');
const confined = await tokenOf(keys.secret, 'viewer', { organizations: ['org-1'] });
for (let at = 0; at < 30; at += 1) {
  const place = { orchestrator: `orchestrator-${at}`, organization: at % 3 === 0 ? 'org-2' : 'org-1' };
  await connectAs(keys, world.replica(at % 2), place);
}
await world.replica(0).api.request('/api/v1/internal/orchestrators/orchestrator-1/messages', {
  method: 'POST',
  headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
  body: JSON.stringify({ message_type: 'monitoring', content: 'x'.repeat(2_000) }),
});
test.after.always(() => world.close());

const live = '/api/v1/controller/orchestrators/live';
const lists = [
  live,
  `${live}?page_size=100`,
  '/api/v1/controller/orchestrators',
  '/api/v1/controller/organizations',
  '/api/v1/internal/messages',
];

/** Those of which there is much. */
const large = lists.filter((path) => !path.endsWith('organizations'));

/** Without a word on caches fetch would ask for no answer that somebody has kept. */
const ask = (path: string, headers: Record<string, string> = {}, replica = 0, token = admin) =>
  world.replica(replica).api.request(path, {
    headers: { authorization: `Bearer ${token}`, 'cache-control': 'max-age=0', ...headers },
  });

test.serial('a large answer is compressed for who takes it so, and says the same', async (t) => {
  for (const path of large) {
    const plain = await ask(path, { 'accept-encoding': 'identity' });
    const packed = await ask(path, { 'accept-encoding': 'br;q=1, gzip' });
    t.is(plain.headers.get('content-encoding'), null, path);
    t.is(packed.headers.get('content-encoding'), 'gzip', path);
    for (const answer of [plain, packed]) {
      t.regex(answer.headers.get('vary') ?? '', /Accept-Encoding/i);
      t.true(Number(answer.headers.get('content-length')) > 0, path);
    }
    t.true(Number(packed.headers.get('content-length')) < Number(plain.headers.get('content-length')) / 2);
    t.deepEqual(dataish(packed.body), dataish(plain.body));
    t.is((await ask(path, { 'accept-encoding': 'gzip;q=0' })).headers.get('content-encoding'), null);
  }
  const small = await ask('/api/v1/controller/organizations/org-1', { 'accept-encoding': 'gzip' });
  t.is(small.headers.get('content-encoding'), null);
});

/** All but when it was said. */
const dataish = ({ timestamp: _, ...rest }: Record<string, unknown>) => rest;

test.serial('an answer to HEAD has the length and the tag of the one to GET, and no body', async (t) => {
  for (const path of [live, '/api/v1/controller/orchestrators'])
    for (const encoding of ['identity', 'gzip']) {
      const headers = { authorization: `Bearer ${admin}`, 'accept-encoding': encoding };
      const { api } = world.replica(0);
      const [get, head] = [
        await api.request(path, { headers }),
        await api.request(path, { headers, method: 'HEAD' }),
      ];
      t.is(head.body, '');
      for (const name of ['etag', 'content-encoding', 'content-type'])
        t.is(head.headers.get(name), get.headers.get(name), name);
      // Its time is compressed a byte more or less well.
      const [asked, got] = [head, get].map((each) => Number(each.headers.get('content-length')));
      t.true(Number(got) > 0 && Math.abs(Number(asked) - Number(got)) < 20, `${asked} ${got}`);
    }
});

test.serial(
  'who names what it has is told that it has that, through whichever replica, and not once it has changed',
  async (t) => {
    for (const path of lists) {
      const first = await ask(path);
      const tag = String(first.headers.get('etag'));
      t.is(first.headers.get('cache-control'), 'private, no-cache', path);
      const again = await ask(path, { 'if-none-match': tag }, 1);
      t.deepEqual([again.status, again.body], [304, ''], path);
      t.is(again.headers.get('etag'), tag);
      t.is((await ask(path, { 'if-none-match': `W/"other", ${tag}` })).status, 304);
      t.is((await ask(path, { 'if-none-match': 'W/"other"' })).status, 200);
    }
  },
);

test.serial('a heartbeat, and whoever comes or goes, makes the list another one', async (t) => {
  const tags = new Set<string>();
  const tagNow = async () => String((await ask(`${live}?organization_id=org-9`)).headers.get('etag'));
  tags.add(await tagNow());
  const coming = await connectAs(keys, world.replica(0), {
    orchestrator: 'coming',
    organization: 'org-9',
  });
  tags.add(await tagNow());
  world.clock.advance(1_000);
  await coming.ask('i_am_alive', {});
  tags.add(
    await until('the heartbeat to be shown', async () => {
      const tag = await tagNow();
      return !tags.has(tag) && tag;
    }),
  );
  t.is(tags.size, 3);
  const all = await ask(live);
  coming.close();
  await until('it to be gone', async () => (await ask(live)).headers.get('etag') !== all.headers.get('etag'));
});

test.serial('who is confined has a list and a tag of its own', async (t) => {
  const all = await ask(live);
  const own = await ask(live, {}, 0, confined);
  const shown: Record<string, { organization_id: string }> = dataOf(t, own).orchestrators;
  const expected = Object.entries<{ organization_id: string }>(dataOf(t, all).orchestrators).filter(
    ([, each]) => each.organization_id === 'org-1',
  );
  t.deepEqual(shown, Object.fromEntries(expected));
  t.is(Object.keys(shown).length, 20);
  const other = { 'if-none-match': String(all.headers.get('etag')) };
  t.is((await ask(live, other, 0, confined)).status, 200);
});

test.serial('what is put together from compressed pieces is what a whole would be', async (t) => {
  for (const sizes of [
    [],
    [0],
    [1, 40_000, 3],
    Array.from({ length: 70 }, (_, at) => (at * 7_919) % 30_000),
  ]) {
    const texts = sizes.map((size, at) => `é${String.fromCharCode(65 + (at % 26)).repeat(size)}`);
    const body = new PreparedBody({ before: '{"a":[', behind: ']}' }, texts.map(createPiece), 'W/"x"');
    const whole = Buffer.from(`{"a":[${texts.join()}]}`);
    t.true(gunzipSync(body.gzip).equals(whole));
    t.is(body.length, whole.length);
    t.true(Buffer.concat(await body.stream().toArray()).equals(whole));
  }
});

test.serial('who hangs up in the middle of an answer is no fault to be told of', async (t) => {
  const { controller, api, as } = world.replica(0);
  const presence = createPresence({
    ...{ redis: world.redis, keys: createKeys(world.settings.redis.prefix), nodeId: controller.nodeId },
    ...{ liveNodes: async () => [], now: () => Date.now(), metrics: createMetrics() },
  });
  for (let at = 0; at < 30; at += 1)
    await presence.claim(`large-${at}`, {
      ...{ epoch: 1, lastSeenMs: 1 },
      entry: { organization_id: 'o', name: 'x'.repeat(300_000), connected_at: '', metadata: {} },
    });
  const { hostname, port } = new URL(controller.url);
  const socket = connect(Number(port), hostname);
  socket.write(`GET ${live} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nAuthorization: Bearer ${admin}\r\n\r\n`);
  await once(socket, 'data');
  socket.destroy();
  await until('the call to be over', async () => (await scrape(api)).value('moolai_http_calls') === 1);
  t.deepEqual(await linesOf(as(admin), { q: 'could not be sent' }, 0), []);
});
