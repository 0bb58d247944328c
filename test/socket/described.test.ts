// Every event of `/ws`, both ways: what is sent, acknowledged and told is what /asyncapi.json says.
import test, { type ExecutionContext } from 'ava';
import { socketErrorCodes } from '../../src/socket/protocol.ts';
import { createValidator } from '../support/described.ts';
import type { TestOrchestrator } from '../support/orchestrator.ts';
import { asksForTokens, tokenOf } from '../support/tokens.ts';
import { until } from '../support/until.ts';
import { newTestKeys } from '../support/visitors.ts';
import { openWorld } from '../support/world.ts';

const { secret, accepted } = newTestKeys();
const { auth } = asksForTokens(...accepted);
const world = await openWorld({ settings: { auth: { ...auth, clockToleranceMs: 0 } } });
const replica = world.replica(0);
const admin = replica.as(await tokenOf(secret, 'admin'));
const { body: document } = await replica.api.get('/asyncapi.json');
const validate = createValidator(document);
const names = Object.keys(document.components.messages);
/** The messages that went over the wire, one way or the other. */
const seen = new Set<string>();
test.after.always(() => world.close());

const tokenFor = (subject: string, changes: Parameters<typeof tokenOf>[2] = {}) =>
  tokenOf(secret, 'orchestrator', { subject, ...changes });

/** What is wrong with a payload by the description of its message. */
function faultsOf(name: string, payload: unknown): string[] {
  seen.add(name);
  return validate(`#/components/messages/${name}/payload`, payload).map((fault) => `${name}: ${fault}`);
}

/** An orchestrator of whose every event, sent or received, is noted what is wrong with it. */
async function open(id: string, token?: string): Promise<{ it: TestOrchestrator; faults: string[] }> {
  const it = await replica.open({ token: token ?? (await tokenFor(id)) });
  const faults: string[] = [];
  it.socket.onAny((event: string, payload: unknown) =>
    faults.push(...faultsOf(names.includes(event) ? event : 'delivered', payload)),
  );
  it.socket.onAnyOutgoing((event: string, payload: unknown) => {
    if (names.includes(event)) faults.push(...faultsOf(event, payload));
  });
  return { it, faults };
}

async function asked(
  t: ExecutionContext,
  it: TestOrchestrator,
  event: string,
  payload: object,
  reply: string,
) {
  t.deepEqual(document.operations[event].reply.messages, [
    { $ref: `#/channels/orchestrator/messages/${reply}` },
  ]);
  t.deepEqual(faultsOf(reply, await it.ask(event, payload)), []);
}

test('a conversation is as described from its handshake to its end', async (t) => {
  const { it, faults } = await open('talker');
  const metadata = { name: 'Talker', features: ['a'], hostname: 'h' };
  await asked(t, it, 'handshake', { data: { orchestrator_id: 'talker', metadata } }, 'handshake_ack');
  await it.event('handshake_ack');
  await it.event('provision_config');
  await asked(t, it, 'i_am_alive', { health_status: 'degraded', timestamp: 1 }, 'i_am_alive_ack');
  await admin.put('/api/v1/internal/orchestrators/talker/independence', { is_independent: true });
  await asked(t, it, 'i_am_alive', {}, 'i_am_alive_ack');
  it.socket.emit('provisioning_request', {});
  await until('it again', () => it.received.filter(({ event }) => event === 'provision_config').length === 2);
  await asked(t, it, 'refresh_token', { token: await tokenFor('talker') }, 'refresh_token_ack');

  it.socket.on('reload', (_payload, acknowledge) => {
    t.deepEqual(faultsOf('delivered_ack', ['any', 1, null]), []);
    acknowledge(['any', 1, null]);
  });
  const sent = await admin.post('/api/v1/internal/orchestrators/talker/send', { type: 'reload', ack: true });
  t.deepEqual(sent.body.ack, ['any', 1, null]);
  t.is((await it.event('reload')).message_id, sent.body.message_id);

  const { it: newer, faults: others } = await open('talker');
  await newer.handshake('talker');
  await it.event('superseded');
  t.deepEqual(faults, []);
  t.deepEqual(others, []);
});

test('what is refused is told as described', async (t) => {
  const { it, faults } = await open('wrong');
  const codes = () => it.received.filter(({ event }) => event === 'error').map(({ payload }) => payload.code);
  it.socket.emit('i_am_alive', {});
  await until('it', () => codes().includes('handshake_required'));
  await it.handshake('wrong');
  it.socket.emit('unheard-of', {});
  it.socket.emit('refresh_token', { token: 7 });
  it.socket.emit('refresh_token', { token: 'none' });
  it.socket.emit('handshake', { data: { orchestrator_id: 'other' } });
  await until('all of them', () =>
    ['unknown_event', 'invalid_payload', 'unauthorized', 'identity_mismatch'].every((code) =>
      codes().includes(code),
    ),
  );
  await admin.delete('/api/v1/internal/orchestrators/wrong/deregister');
  await it.closed();
  t.is(codes().at(-1), 'deregistered');
  // Its own slip is none of the controller's.
  t.deepEqual(faults, ['refresh_token: /token must be string {"type":"string"}']);
});

test('a connection is refused as described', async (t) => {
  const refusal: { message: string; data?: unknown } = await t.throwsAsync(
    replica.open({ token: await tokenOf(secret, 'viewer') }),
  );
  t.deepEqual(faultsOf('connect_error', { message: refusal.message, data: refusal.data }), []);
});

test('a replica that drains asks as described', async (t) => {
  const other = await world.grow();
  const it = await other.open({ token: await tokenFor('leaver') });
  await it.handshake('leaver');
  await other.controller.stop();
  t.deepEqual(faultsOf('reconnect', await it.event('reconnect')), []);
});

test('a handshake that is not valid is one by the description as well', async (t) => {
  for (const wrong of [
    {},
    { data: {} },
    { data: { orchestrator_id: '-x' } },
    { data: { orchestrator_id: 7 } },
  ]) {
    t.true(validate('#/components/messages/handshake/payload', wrong).length > 0);
    const { it } = await open('any');
    it.socket.emit('handshake', wrong);
    t.is((await it.event('error')).code, 'invalid_handshake');
  }
});

test.serial('every code has its meaning', (t) => {
  t.deepEqual(
    Object.keys(document.components.messages.error['x-codes']).sort(),
    [...socketErrorCodes].sort(),
  );
  const answered = new Set(
    Object.values<{ 'x-error-codes'?: string[] }>(document.operations).flatMap(
      (each) => each['x-error-codes'] ?? [],
    ),
  );
  for (const code of ['invalid_handshake', 'busy', 'too_many_heartbeats', 'forbidden'])
    t.true(answered.has(code), code);
});

test.after('every message that is described was seen', (t) => {
  t.deepEqual([...seen].sort(), names.sort());
});
