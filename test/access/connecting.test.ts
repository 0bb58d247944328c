// Who is not let in to /ws at all, byte by byte: a client library would hang up by itself.
import test from 'ava';
import { linesOf } from '../support/answers.ts';
import { asksForTokens, newPrivateKey, newSecretKey, tokenOf } from '../support/tokens.ts';
import { until } from '../support/until.ts';
import { newTestKeys } from '../support/visitors.ts';
import { openWorld } from '../support/world.ts';

const { secret, accepted } = newTestKeys();
const world = await openWorld({ settings: asksForTokens(...accepted) });
const replica = world.replica(0);
const admin = replica.as(await tokenOf(secret, 'admin'));
const bad = await tokenOf(secret, 'orchestrator', { subject: 'any', audience: 'elsewhere' });
const viewer = await tokenOf(secret, 'viewer');
const good = await tokenOf(secret, 'orchestrator', { subject: 'any' });

test.after.always(() => world.close());

const refused: [string, { query?: string; auth?: unknown }, string][] = [
  ['no token', {}, 'unauthorized'],
  ['an empty token', { auth: { token: '' } }, 'unauthorized'],
  ['a token that is no text', { auth: { token: [good] } }, 'unauthorized'],
  ['a token for another audience', { auth: { token: bad } }, 'unauthorized'],
  ['a viewer’s token', { auth: { token: viewer } }, 'forbidden'],
  ...['token', 'access_token', 'auth'].map((name): (typeof refused)[number] => [
    `a token in the query as ${name}`,
    { query: `&${name}=${good}` },
    'unauthorized',
  ]),
  [
    'a token in the query besides that in `auth`',
    { query: `&token=${good}`, auth: { token: good } },
    'unauthorized',
  ],
];

/** Ends a poll that waits. Source: https://socket.io/docs/v4/engine-io-protocol/ */
const noop = '6';

/** As the protocol writes it: `44`, and a JSON object. */
function connectErrorOf(packet: string): unknown {
  const [, json] = /^44(\{.*\})$/s.exec(packet) ?? [];
  if (json === undefined) throw new Error(`no connect_error: ${packet}`);
  const { data } = JSON.parse(json);
  return { ...data, message: typeof data.message === 'string' && data.message !== '' };
}

for (const [what, { query = '', auth }, code] of refused) {
  const told = { code, message: true, retryable: false };
  const connect = `40${auth === undefined ? '' : JSON.stringify(auth)}`;

  test(`over a websocket ${what} is a connect_error, and the controller hangs up`, async (t) => {
    const address = `${replica.controller.url.replace('http', 'ws')}/ws?EIO=4&transport=websocket${query}`;
    const socket = new WebSocket(address);
    const packets: string[] = [];
    socket.addEventListener('message', ({ data }) => packets.push(String(data)));
    const closed = new Promise((resolve) => socket.addEventListener('close', resolve));
    await until('the opening packet', () => packets[0]?.startsWith('0{'));
    socket.send(connect);
    await closed;
    t.is(packets.length, 2);
    t.deepEqual(connectErrorOf(packets[1] ?? ''), told);
  });

  test(`over polling ${what} is a connect_error, and the controller hangs up`, async (t) => {
    const address = `${replica.controller.url}/ws?EIO=4&transport=polling${query}`;
    const opening = await (await fetch(address)).text();
    const { sid } = JSON.parse(opening.slice(1));
    t.is((await fetch(`${address}&sid=${sid}`, { method: 'POST', body: connect })).status, 200);
    // The end comes as a packet of its own, or in the same answer behind a separator.
    const packets: string[] = [];
    while (packets.at(-1) !== '1') {
      const answer = await fetch(`${address}&sid=${sid}`);
      t.is(answer.status, 200);
      packets.push(...(await answer.text()).split('\x1e').filter((packet) => packet !== noop));
    }
    t.deepEqual(connectErrorOf(packets[0] ?? ''), told);
    t.is(packets.length, 2);
    t.is((await fetch(`${address}&sid=${sid}`)).status, 400);
  });
}

// The first of this replica: those that follow it soon are counted only.
test.serial('who is turned away is told of in the log', async (t) => {
  const error = await t.throwsAsync(replica.open({ token: bad }));
  t.is(error?.message, 'The token has another aud than is asked for here');
  const lines = await linesOf(admin, { event: 'unauthorized', q: 'connection refused' });
  t.is(
    lines[0],
    'WARNING unauthorized [C-OCS] WebSocket connection refused: The token has another aud than is asked for here',
  );
});

test('while the keys cannot be fetched a connection is told to come again, and a renewal to be tried again', async (t) => {
  const [known, unknown] = [newSecretKey(), newPrivateKey('published')];
  const settings = { auth: { keys: [known], jwksUrl: `${replica.controller.url}/no-keys-here` } };
  await using stack = new AsyncDisposableStack();
  const own = stack.adopt(await openWorld({ settings }), (it) => it.close());
  const later = { code: 'unavailable', message: 'The provider of keys is not available at the moment' };
  const token = await tokenOf(unknown, 'orchestrator', { subject: 'any' });
  const error = await t.throwsAsync(own.replica(0).open({ token }));
  t.deepEqual(error !== undefined && 'data' in error && error.data, {
    ...later,
    retryable: true,
    retry_after_ms: 2_000,
  });
  const connected = await own.replica(0).open({
    token: await tokenOf(known, 'orchestrator', { subject: 'any' }),
  });
  await connected.handshake('any');
  connected.socket.emit('refresh_token', { token });
  t.deepEqual(await connected.event('error'), { ...later, retryable: true, retry_after_ms: 2_000 });
  t.is((await connected.ask('i_am_alive')).status, 'processed');
});
