import test from 'ava';
import { isoTime, linesOf } from '../support/answers.ts';
import type { TestOrchestrator } from '../support/orchestrator.ts';
import { rowsOf } from '../support/rows.ts';
import { asksForTokens, tokenOf } from '../support/tokens.ts';
import { until } from '../support/until.ts';
import { newTestKeys } from '../support/visitors.ts';
import { openWorld } from '../support/world.ts';

const { secret, accepted } = newTestKeys();
const { auth } = asksForTokens(...accepted);
const world = await openWorld({ settings: { auth: { ...auth, clockToleranceMs: 0 } } });
const replica = world.replica(0);
const admin = replica.as(await tokenOf(secret, 'admin'));
const bad = await tokenOf(secret, 'orchestrator', { subject: 'any', audience: 'elsewhere' });
const viewer = await tokenOf(secret, 'viewer');

test.after.always(() => world.close());

type Changes = Parameters<typeof tokenOf>[2];
const tokenFor = (subject: string, changes: Changes = {}) =>
  tokenOf(secret, 'orchestrator', { subject, ...changes });
const open = async (subject: string, changes: Changes = {}) =>
  replica.open({ token: await tokenFor(subject, changes) });
const errorsOf = (orchestrator: TestOrchestrator) =>
  orchestrator.received.filter(({ event }) => event === 'error').map(({ payload }) => payload);
const errorCount = (orchestrator: TestOrchestrator, count: number) =>
  until(`${count} errors`, () => errorsOf(orchestrator).length >= count && errorsOf(orchestrator));

// Nobody is another.

test('a handshake as an orchestrator that the token does not name is refused, and writes nothing', async (t) => {
  const impostor = await open('itself');
  impostor.socket.emit('handshake', { data: { orchestrator_id: 'somebody-else' } });
  const { message, ...error } = await impostor.event('error');
  t.deepEqual(error, { code: 'forbidden', retryable: false });
  t.is(message, 'the token of itself does not name orchestrator somebody-else');
  t.is(await impostor.closed(), 'io server disconnect');
  t.deepEqual(await rowsOf(world, 'somebody-else'), { instance: undefined, organization: undefined });
  t.deepEqual(await linesOf(admin, { event: 'forbidden', orchestrator_id: 'somebody-else' }), [
    `WARNING forbidden [C-OCS] Handshake refused: ${message}`,
  ]);
});

test('a gateway speaks for each orchestrator that its token names, and for no other', async (t) => {
  const token = await tokenFor('gateway', { orchestrators: ['behind-1', 'behind-2'] });
  const connections = await Promise.all([1, 2, 3].map(() => replica.open({ token })));
  const [one, two, three] = connections as [TestOrchestrator, TestOrchestrator, TestOrchestrator];
  t.is((await one.handshake('behind-1')).orchestrator_id, 'behind-1');
  t.is((await two.handshake('behind-2')).orchestrator_id, 'behind-2');
  three.socket.emit('handshake', { data: { orchestrator_id: 'gateway' } });
  t.is((await three.event('error')).code, 'forbidden');
  await three.closed();
  t.true(one.socket.connected && two.socket.connected);
});

test('a handshake into an organization that the token is not of is refused; so is the default one', async (t) => {
  for (const [id, hello] of [
    ['stray-1', { organization_id: 'foreign' }],
    ['stray-2', {}],
  ] as const) {
    const stray = await open(id, { organizations: ['home'] });
    stray.socket.emit('handshake', { data: { orchestrator_id: id, ...hello } });
    const { code, message } = await stray.event('error');
    t.is(code, 'forbidden');
    t.regex(message, /does not name organization (foreign|stray-2)$/);
    await stray.closed();
    t.is((await rowsOf(world, id)).instance, undefined);
  }
  t.is((await rowsOf(world, 'any', 'foreign')).organization, undefined);
  const named = await open('stray-2', { organizations: ['stray-2'] });
  t.is((await named.handshake('stray-2')).orchestrator_id, 'stray-2');
});

test('a refresh that would move it to an organization that its token is not of moves nothing', async (t) => {
  const settler = await open('settler', { organizations: ['home'] });
  await settler.handshake('settler', { organization_id: 'home' });
  settler.socket.emit('handshake', { data: { orchestrator_id: 'settler', organization_id: 'abroad' } });
  t.is((await settler.event('error')).code, 'forbidden');
  t.is((await rowsOf(world, 'settler')).instance?.organization_id, 'home');
  t.is((await rowsOf(world, 'settler', 'abroad')).organization, undefined);
  t.is((await settler.ask('i_am_alive')).status, 'processed');
  // One that names none is no move.
  t.is((await settler.handshake('settler')).orchestrator_id, 'settler');
});

test('one that is moved to an organization that its token is not of is let go, and cannot take itself back', async (t) => {
  const moved = await open('moved', { organizations: ['home'] });
  await moved.handshake('moved', { organization_id: 'home' });
  const register = (organization_id: string) =>
    admin.post('/api/v1/internal/orchestrators/register', { organization_id, orchestrator_id: 'moved' });
  await register('home');
  t.is((await moved.ask('i_am_alive')).status, 'processed');
  await register('bought-by');
  const told = { code: 'forbidden', retryable: false };
  t.deepEqual(await moved.event('error'), {
    ...told,
    message: 'the token of moved does not name the organization of orchestrator moved',
  });
  await moved.closed();
  const again = await open('moved', { organizations: ['home'] });
  again.socket.emit('handshake', { data: { orchestrator_id: 'moved', organization_id: 'home' } });
  t.deepEqual(await again.event('error'), {
    ...told,
    message: 'the token of moved does not name the organization of orchestrator moved',
  });
  await again.closed();
  t.is((await rowsOf(world, 'moved')).instance?.organization_id, 'bought-by');
});

// A token ends, and with it the connection.

/** So many seconds from now, or up to one less: a token's times are whole seconds. */
const afterSeconds = (seconds: number) => (Math.floor(Date.now() / 1_000) + seconds) * 1_000;
/** A timer may be early by a little. */
const hasCome = (timeMs: number) => Date.now() + 5 >= timeMs;

test('an orchestrator is told that its token is about to expire, and its connection ends with the token', async (t) => {
  const expiresAtMs = afterSeconds(10);
  const startedAtMs = Date.now();
  const short = await open('short', { expiresAtMs });
  await short.handshake('short');
  const [notice] = await errorCount(short, 1);
  const noticedAtMs = Date.now();
  t.is((await short.ask('i_am_alive')).status, 'processed');
  t.regex(notice.message, /^the token is about to expire: renew it with refresh_token within \d s$/);
  t.deepEqual([notice.code, notice.retryable], ['token_expired', true]);
  // At half of what was left.
  t.true(noticedAtMs - startedAtMs >= (expiresAtMs - startedAtMs) / 2 - 50);
  t.true(noticedAtMs < expiresAtMs);
  t.is(await short.closed(), 'io server disconnect');
  t.true(hasCome(expiresAtMs));
  t.deepEqual(errorsOf(short).slice(1), [
    { code: 'token_expired', message: 'the token has expired', retryable: true },
  ]);
  await until(
    'the row to be inactive',
    async () => (await rowsOf(world, 'short')).instance?.status === 'inactive',
  );
});

test('one that never introduced itself ends with its token as well', async (t) => {
  const mute = await open('mute', { expiresAtMs: afterSeconds(10) });
  await mute.closed();
  t.deepEqual(
    errorsOf(mute).map(({ code }) => code),
    ['token_expired', 'token_expired'],
  );
});

test('a renewed connection outlives its first token, and beats all the while', async (t) => {
  const expiresAtMs = afterSeconds(10);
  const renewed = await open('renewed', { expiresAtMs });
  await renewed.handshake('renewed');
  await errorCount(renewed, 1);
  const nextMs = afterSeconds(600);
  const { ts, ...ack } = await renewed.ask('refresh_token', {
    token: await tokenFor('renewed', { expiresAtMs: nextMs }),
  });
  t.deepEqual(ack, { type: 'refresh_token_ack', expires_at: new Date(nextMs).toISOString() });
  t.regex(ts, isoTime);
  await until('its first token to be over', async () => {
    t.is((await renewed.ask('i_am_alive')).status, 'processed');
    return Date.now() > expiresAtMs + 200;
  });
  t.true(renewed.socket.connected);
  t.is(errorsOf(renewed).length, 1);
  t.is((await linesOf(admin, { event: 'refresh_token', orchestrator_id: 'renewed' })).length, 1);
});

test('a token that does not count renews nothing: the connection goes on to its old end', async (t) => {
  const expiresAtMs = afterSeconds(10);
  const stuck = await open('stuck', { expiresAtMs, organizations: ['stuck'] });
  await stuck.handshake('stuck');
  const tries: [string, unknown, string, boolean][] = [
    ['a bad token', bad, 'unauthorized', true],
    [
      'one for another orchestrator',
      await tokenFor('another', { organizations: ['stuck'] }),
      'forbidden',
      false,
    ],
    [
      'one of another organization',
      await tokenFor('stuck', { organizations: ['other'] }),
      'forbidden',
      false,
    ],
    ['one of another role', viewer, 'forbidden', false],
    ['none', undefined, 'invalid_payload', false],
    ['no text', 7, 'invalid_payload', false],
  ];
  for (const [what, token, code, retryable] of tries) {
    const before = stuck.received.length;
    let acknowledged = false;
    stuck.socket.emit('refresh_token', { token }, () => {
      acknowledged = true;
    });
    const error = await until(`the answer to ${what}`, () =>
      stuck.received.slice(before).find(({ payload }) => payload.code !== 'token_expired'),
    );
    t.deepEqual([error.event, error.payload.code, error.payload.retryable], ['error', code, retryable], what);
    t.is((await stuck.ask('i_am_alive')).status, 'processed');
    t.false(acknowledged, what);
  }
  t.true(Date.now() < expiresAtMs, 'too slow to see anything');
  await stuck.closed();
  t.true(hasCome(expiresAtMs));
  t.is(errorsOf(stuck).at(-1)?.message, 'the token has expired');
  const lines = await linesOf(admin, { level: 'WARNING', orchestrator_id: 'stuck' }, 4);
  t.true(lines.every((line) => line.includes('Token of stuck not renewed')));
  // Nor is one in any other line.
  const { body } = await admin.get('/api/v1/internal/logs?limit=1000');
  for (const token of [bad, viewer]) t.false(JSON.stringify(body).includes(token));
});

test('a token that is valid for longer than a timer can be set ends nothing', async (t) => {
  for (const days of [40, 3_650]) {
    const patient = await open(`patient-${days}`, { expiresAtMs: Date.now() + days * 86_400_000 });
    await patient.handshake(`patient-${days}`);
    for (let beat = 0; beat < 5; beat += 1) t.is((await patient.ask('i_am_alive')).status, 'processed');
    t.deepEqual(errorsOf(patient), []);
    t.true(patient.socket.connected);
  }
});
