// Messages: created for an orchestrator, listed, and decided on once.
import test from 'ava';
import { listMessages } from '../../src/database/statements/message-lists.ts';
import { errorOf, fieldsOf, isoTime, linesOf } from '../support/answers.ts';
import { openWorld, type World } from '../support/world.ts';

const internal = '/api/v1/internal';
let world: World;
test.before(async () => {
  world = await openWorld();
});
test.after.always(() => world.close());

const register = (id: string) =>
  world.api.post(`${internal}/orchestrators/register`, { organization_id: id });
const messagesOf = (id: string) => `${internal}/orchestrators/${id}/messages`;
const decide = (id: string, status: unknown) =>
  world.api.put(`${internal}/messages/${id}/status`, { status });

/** Creates messages, each in a millisecond of its own, and returns their ids, oldest first. */
async function create(of: World, id: string, ...types: string[]): Promise<string[]> {
  const ids: string[] = [];
  for (const [at, message_type] of types.entries()) {
    of.clock.advance(2);
    const { body } = await of.api.post(messagesOf(id), { message_type, content: `content ${at}` });
    ids.push(body.message_id);
  }
  return ids;
}

test('a created message is pending, with 201 and one log line, and is then listed whole', async (t) => {
  await register('whole');
  const answer = await world.api.post(messagesOf('whole'), {
    message_type: 'recommendation',
    content: 'Scale up: 🚀\n"now"',
    metadata: { priority: 1, tags: ['a'] },
  });

  const { message_id, ...rest } = fieldsOf(t, answer, 201);
  t.deepEqual(rest, { orchestrator_id: 'whole', message_type: 'recommendation', status: 'pending' });
  t.regex(message_id, /^msg_whole_[0-9a-f]{32}$/);

  const { messages, ...list } = fieldsOf(t, await world.api.get(messagesOf('whole')));
  t.deepEqual(list, { orchestrator_id: 'whole', total_count: 1 });
  const { created_at, updated_at, ...message } = messages[0];
  t.regex(created_at, isoTime);
  t.is(updated_at, created_at);
  t.deepEqual(message, {
    id: message_id,
    orchestrator_id: 'whole',
    message_type: 'recommendation',
    content: 'Scale up: 🚀\n"now"',
    metadata: { priority: 1, tags: ['a'] },
    status: 'pending',
  });
  t.deepEqual(await linesOf(world.api, { orchestrator_id: 'whole', event: 'message_created' }), [
    `INFO message_created Message ${message_id} created for whole (type: recommendation)`,
  ]);
});

test('metadata that is left out or null is empty', async (t) => {
  await register('bare');
  for (const more of [{}, { metadata: null }])
    fieldsOf(
      t,
      await world.api.post(messagesOf('bare'), { message_type: 'monitoring', content: 'x', ...more }),
      201,
    );
  const { messages } = fieldsOf(t, await world.api.get(messagesOf('bare')));
  t.deepEqual(
    messages.map((message: { metadata: unknown }) => message.metadata),
    [{}, {}],
  );
});

test('what comes while a list is read is in its count and on its page, or in neither', async (t) => {
  await register('meanwhile');
  let asked = 0;
  const list = await listMessages(
    async (statement, parameters = []) => {
      const rows = await world.sql(statement, [...parameters]);
      asked += 1;
      if (asked === 1) await create(world, 'meanwhile', 'monitoring', 'recommendation');
      return rows;
    },
    {
      ...{ orchestratorId: 'meanwhile', orchestrators: undefined, organizations: undefined },
      ...{ messageType: undefined, status: undefined, before: undefined, limit: 100 },
    },
  );
  t.is(list?.totalCount, list?.messages.length);
});

test('messages made at once all have ids of their own', async (t) => {
  await register('burst');
  const answers = await Promise.all(
    Array.from({ length: 40 }, () =>
      world.api.post(messagesOf('burst'), { message_type: 'monitoring', content: 'x' }),
    ),
  );
  t.is(new Set(answers.map((answer) => fieldsOf(t, answer, 201).message_id)).size, 40);
});

test('a message for an unknown orchestrator is a 404 and is not kept', async (t) => {
  const body = { message_type: 'monitoring', content: 'x' };
  errorOf(t, await world.api.post(messagesOf('nobody'), body), 404, 'not_found');
  errorOf(t, await world.api.get(messagesOf('nobody')), 404, 'not_found');
  t.deepEqual(await world.sql("SELECT 1 FROM orchestrator_messages WHERE orchestrator_id = 'nobody'"), []);
});

test('every fault of a new message is reported at once', async (t) => {
  const body = { message_type: 'alert', content: '', metadata: ['a'] };
  errorOf(t, await world.api.post(messagesOf('_'), body), 400, 'invalid_request', [
    'params.id',
    'body.message_type',
    'body.content',
    'body.metadata',
  ]);
});

test('the messages of one orchestrator are listed newest first, filtered, and continued by `before`', async (t) => {
  await register('listed');
  const types = ['monitoring', 'recommendation', 'monitoring', 'recommendation', 'monitoring'];
  const ids = await create(world, 'listed', ...types);
  const newestFirst = [...ids].reverse();
  fieldsOf(t, await decide(String(ids[0]), 'accepted'));
  fieldsOf(t, await decide(String(ids[1]), 'dismissed'));
  const list = async (query: string) => {
    const { messages, total_count } = fieldsOf(t, await world.api.get(messagesOf('listed') + query));
    return [messages.map((message: { id: string }) => message.id), total_count];
  };

  t.deepEqual(await list(''), [newestFirst, 5]);
  t.deepEqual(await list('?limit=2'), [newestFirst.slice(0, 2), 5]);
  t.deepEqual(await list(`?limit=2&before=${newestFirst[1]}`), [newestFirst.slice(2, 4), 5]);
  t.deepEqual(await list(`?limit=2&before=${newestFirst[3]}`), [newestFirst.slice(4), 5]);
  t.deepEqual(await list(`?before=${ids[0]}`), [[], 5]);
  t.deepEqual(await list('?message_type=recommendation'), [[ids[3], ids[1]], 2]);
  t.deepEqual(await list('?status=pending'), [newestFirst.slice(0, 3), 3]);
  t.deepEqual(await list('?status=accepted'), [[ids[0]], 1]);
  t.deepEqual(await list('?status=dismissed&message_type=monitoring'), [[], 0]);
  t.deepEqual(await list(`?message_type=monitoring&before=${ids[4]}`), [[ids[2], ids[0]], 3]);
});

test('`before` leaves out nothing of the same millisecond', async (t) => {
  await register('same');
  const rows = Array.from({ length: 7 }, (_, at) => `msg_same_${String(at).padStart(32, '0')}`);
  await world.sql(
    `INSERT INTO orchestrator_messages (id, orchestrator_id, message_type, content, created_at)
     SELECT id, 'same', 'monitoring', 'x', '2026-01-01' FROM unnest($1::text[]) AS id`,
    [rows],
  );
  const seen: string[] = [];
  for (let before = ''; ; before = `&before=${seen.at(-1)}`) {
    const { messages } = fieldsOf(t, await world.api.get(`${messagesOf('same')}?limit=3${before}`));
    if (messages.length === 0) break;
    for (const { id } of messages) seen.push(id);
  }
  t.deepEqual(seen, [...rows].reverse());
});

test('a limit is 1 to 1000, by default 100', async (t) => {
  await register('many');
  await world.sql(
    `INSERT INTO orchestrator_messages (id, orchestrator_id, message_type, content)
     SELECT 'msg_many_' || n, 'many', 'monitoring', 'x' FROM generate_series(1, 1001) AS n`,
  );
  const count = async (query: string) => {
    const { messages, total_count } = fieldsOf(t, await world.api.get(messagesOf('many') + query));
    return [messages.length, total_count];
  };
  t.deepEqual(await count(''), [100, 1001]);
  t.deepEqual(await count('?limit=1'), [1, 1001]);
  t.deepEqual(await count('?limit=1000'), [1000, 1001]);
  for (const limit of ['0', '1001', '-1', '2.5', 'all', ''])
    errorOf(t, await world.api.get(`${messagesOf('many')}?limit=${limit}`), 400, 'invalid_request', [
      'query.limit',
    ]);
});

test('every fault of a list’s query is reported at once', async (t) => {
  const query = 'message_type=alert&status=open&limit=0&before=a%20b';
  const faults = ['query.message_type', 'query.status', 'query.limit', 'query.before'];
  errorOf(t, await world.api.get(`${messagesOf('_')}?${query}`), 400, 'invalid_request', [
    'params.id',
    ...faults,
  ]);
  errorOf(t, await world.api.get(`${internal}/messages?${query}&orchestrator_id=_`), 400, 'invalid_request', [
    'query.orchestrator_id',
    ...faults,
  ]);
});

test('a `before` that is no message is a 400', async (t) => {
  await register('before');
  for (const path of [messagesOf('before'), `${internal}/messages`])
    errorOf(t, await world.api.get(`${path}?before=msg_before_0`), 400, 'invalid_request', ['query.before']);
});

test('the messages of all orchestrators are listed newest first, with the same filters', async (t) => {
  await using stack = new AsyncDisposableStack();
  const own = stack.adopt(await openWorld(), (it) => it.close());
  const list = async (query: string) => {
    const { messages, total_count, ...rest } = fieldsOf(t, await own.api.get(`${internal}/messages${query}`));
    t.deepEqual(rest, {});
    return [messages.map((message: { id: string }) => message.id), total_count];
  };
  t.deepEqual(await list(''), [[], 0]);
  for (const id of ['b', 'a'])
    await own.api.post(`${internal}/orchestrators/register`, { organization_id: id });
  const [b1] = await create(own, 'b', 'monitoring');
  const [a1, a2] = await create(own, 'a', 'recommendation', 'monitoring');
  const [b2] = await create(own, 'b', 'recommendation');
  await own.api.put(`${internal}/messages/${a1}/status`, { status: 'accepted' });

  t.deepEqual(await list(''), [[b2, a2, a1, b1], 4]);
  t.deepEqual(await list('?orchestrator_id=a'), [[a2, a1], 2]);
  t.deepEqual(await list('?orchestrator_id=nobody'), [[], 0]);
  t.deepEqual(await list('?message_type=monitoring'), [[a2, b1], 2]);
  t.deepEqual(await list('?status=accepted'), [[a1], 1]);
  t.deepEqual(await list('?status=pending&orchestrator_id=b&message_type=recommendation'), [[b2], 1]);
  t.deepEqual(await list(`?limit=2&before=${b2}`), [[a2, a1], 4]);
  t.deepEqual(await list(`?orchestrator_id=b&before=${a2}`), [[b1], 2]);
  const { messages } = (await own.api.get(`${internal}/messages?orchestrator_id=a`)).body;
  t.deepEqual(messages, (await own.api.get(messagesOf('a'))).body.messages);
});

test('a message is decided once; the same decision again is fine, the other is a 409', async (t) => {
  await register('decided');
  const [first, second] = await create(world, 'decided', 'monitoring', 'recommendation');
  for (const [id, status, other] of [
    [String(first), 'accepted', 'dismissed'],
    [String(second), 'dismissed', 'accepted'],
  ] as const) {
    world.clock.advance(10);
    const answer = fieldsOf(t, await decide(id, status));
    t.deepEqual(answer, { message_id: id, status, orchestrator_id: 'decided' });
    const listed = async () =>
      (await world.api.get(messagesOf('decided'))).body.messages.find(
        (message: { id: string }) => message.id === id,
      );
    const decided = await listed();
    t.is(decided.status, status);
    t.true(decided.updated_at > decided.created_at);

    t.deepEqual(fieldsOf(t, await decide(id, status)), answer);
    errorOf(t, await decide(id, other), 409, 'already_decided');
    t.deepEqual(await listed(), decided);
  }
  t.deepEqual(await linesOf(world.api, { orchestrator_id: 'decided', event: 'message_decided' }, 2), [
    `INFO message_decided Message ${first} status updated to 'accepted'`,
    `INFO message_decided Message ${second} status updated to 'dismissed'`,
  ]);
});

test('of two different decisions at once exactly one counts', async (t) => {
  await register('contested');
  const [id] = await create(world, 'contested', 'monitoring');
  const wanted = Array.from({ length: 10 }, (_, at) => (at % 2 === 0 ? 'accepted' : 'dismissed'));
  const answers = await Promise.all(wanted.map((status) => decide(String(id), status)));

  const [row] = await world.sql('SELECT status FROM orchestrator_messages WHERE id = $1', [id]);
  for (const [at, answer] of answers.entries())
    if (wanted[at] === row?.status) fieldsOf(t, answer);
    else errorOf(t, answer, 409, 'already_decided');
  t.is((await linesOf(world.api, { orchestrator_id: 'contested', event: 'message_decided' })).length, 1);
});

test('a decision on an unknown message is a 404; one that is none is a 400', async (t) => {
  await register('undecided');
  const [id] = await create(world, 'undecided', 'monitoring');
  errorOf(t, await decide('msg_undecided_0', 'accepted'), 404, 'not_found');
  errorOf(t, await decide('a%20b', 'open'), 400, 'invalid_request', ['params.id', 'body.status']);
  for (const status of ['pending', 'ACCEPTED', '', null, 1, ['accepted']])
    errorOf(t, await decide(String(id), status), 400, 'invalid_request', ['body.status']);
  const [row] = await world.sql('SELECT status FROM orchestrator_messages WHERE id = $1', [id]);
  t.is(row?.status, 'pending');
});
