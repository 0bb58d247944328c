// A capped stream that is kept from one read to the next: it is what Redis holds, whatever happened meanwhile.
import test, { type ExecutionContext } from 'ava';
import { followStream, isOlder } from '../../src/redis/followed-stream.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());
const size = 20;

/** Several are one entry, parted by a comma. */
const itemsOf = (id: string, text: string) =>
  text.startsWith('no') ? [] : text.split(',').map((each) => ({ id, text: each }));

function openStream(name: string) {
  const { redis } = world;
  const key = `{${world.settings.redis.prefix}}:followed:${name}`;
  const parsed: string[] = [];
  const parse = (id: string, text: string) => {
    parsed.push(text);
    return itemsOf(id, text);
  };
  const read = followStream({ redis, key, size, parse });
  return {
    key,
    read,
    parsed: () => parsed.splice(0),
    add: (text: string) => redis.xadd(key, 'MAXLEN', '=', size, '*', 'line', text),
    /** Reads, and compares it with what is read anew. */
    async check(t: ExecutionContext, what = '') {
      const got = await read();
      t.deepEqual(got, await followStream({ redis, key, size, parse: itemsOf })(), what);
      return got.map(({ text }) => text);
    },
  };
}

test('what came behind the last read is parsed, and no more; what is trimmed is gone', async (t) => {
  const { add, read, parsed, check } = openStream('behind');
  t.deepEqual(await read(), []);
  for (let at = 0; at < size; at += 1) await add(`line-${at}`);
  t.is((await check(t)).length, size);
  t.is(parsed().length, size);
  await check(t);
  t.deepEqual(parsed(), []);
  await add('line-a');
  await add('no line');
  const lines = await check(t);
  t.deepEqual(parsed(), ['line-a', 'no line']);
  t.deepEqual([lines.length, lines[0], lines.at(-1)], [size - 1, 'line-2', 'line-a']);
});

test('of entries of several the newest are told, as many as are wanted, and none of an entry that is gone', async (t) => {
  const { add, check, key } = openStream('several');
  const inAll: string[] = [];
  for (let entry = 0; entry < 15; entry += 1) {
    const items = Array.from({ length: 1 + (entry % 3) }, (_, at) => `line-${entry}-${at}`);
    inAll.push(...items);
    await add(items.join());
    t.deepEqual(await check(t, `entry ${entry}`), inAll.slice(-size));
  }
  await world.redis.xtrim(key, 'MAXLEN', 3);
  t.deepEqual(await check(t, 'trimmed'), inAll.slice(-6));
});

test('an array that was handed out stays as it is', async (t) => {
  const { add, read } = openStream('handed');
  await add('a');
  const first = await read();
  await add('b');
  t.is((await read()).length, 2);
  t.is(first.length, 1);
});

test('a stream that moved on by more than it keeps, or is another one, is read anew', async (t) => {
  const { add, check, key } = openStream('another');
  for (let at = 0; at < 5; at += 1) await add(`line-${at}`);
  await check(t, 'at first');
  for (let at = 0; at < 2 * size; at += 1) await add(`more-${at}`);
  t.is((await check(t, 'moved on')).at(-1), `more-${2 * size - 1}`);
  await world.redis.del(key);
  t.deepEqual(await check(t, 'gone'), []);
  await add('again');
  t.deepEqual(await check(t, 'back'), ['again']);
  // The same id for another line, as of a server that goes on without the newest.
  const [[id] = ['']] = await world.redis.xrange(key, '-', '+');
  await world.redis.del(key);
  await world.redis.xadd(key, id, 'line', 'other');
  t.deepEqual(await check(t, 'the same id'), ['other']);
  await world.redis.xtrim(key, 'MAXLEN', 0);
  t.deepEqual(await check(t, 'trimmed to nothing'), []);
});

test('what is no line of ours may be all that is left', async (t) => {
  const { add, check, key } = openStream('none');
  await add('a');
  await add('b');
  await check(t);
  await add('no');
  await world.redis.xtrim(key, 'MAXLEN', 1);
  t.deepEqual(await check(t), []);
  await add('c');
  t.deepEqual(await check(t), ['c']);
});

test('ids are compared as numbers', (t) => {
  t.true(isOlder('9-1', '10-0'));
  t.true(isOlder('10-9', '10-10'));
  t.false(isOlder('10-10', '10-10'));
});
