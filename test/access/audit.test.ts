import test, { type ExecutionContext } from 'ava';
import { auditedActions } from '../../src/access/audit.ts';
import type { Answer, Api } from '../support/api.ts';
import { connectAs, makePlace } from '../support/places.ts';
import { asksForTokens, tokenOf } from '../support/tokens.ts';
import { newTestKeys } from '../support/visitors.ts';
import { openWorld } from '../support/world.ts';

const keys = newTestKeys();
const world = await openWorld({ settings: asksForTokens(...keys.accepted) });
const replica = world.replica(0);
const tokens = {
  admin: await tokenOf(keys.secret, 'admin', { subject: 'ada' }),
  viewer: await tokenOf(keys.secret, 'viewer', { subject: 'vic' }),
  confined: await tokenOf(keys.secret, 'admin', { subject: 'eve', organizations: ['elsewhere'] }),
};
const admin = replica.as(tokens.admin);
const place = await makePlace(world, 'acme');
const other = await makePlace(world, 'other');
await connectAs(keys, replica, place);

test.after.always(() => world.close());

interface Line {
  level: string;
  message: string;
  source: string;
  event: string;
  orchestrator_id?: string;
  audit: Record<string, unknown>;
}
interface Call {
  as?: keyof typeof tokens;
  method: string;
  path: string;
  body?: unknown;
  requestId?: string;
}

const controller = '/api/v1/controller';
const internal = '/api/v1/internal';
let calls = 0;

/** The call's answer, and the lines of the audit that tell of it. */
async function audited(call: Call, api: Api = admin): Promise<{ answer: Answer; lines: Line[] }> {
  calls += 1;
  const { as = 'admin', method, path, body, requestId = `request-${calls}` } = call;
  const answer = await replica.api.request(path, {
    method,
    headers: {
      authorization: `Bearer ${tokens[as]}`,
      'x-request-id': requestId,
      'content-type': 'application/json',
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const id = answer.headers.get('x-request-id');
  const logs = await api.get(`${internal}/logs?event=audit&limit=1000`);
  const lines = logs.body.data.items.filter(({ audit }: Line) => audit.request_id === id);
  return { answer, lines };
}

/** Exactly one line tells of the call, with this outcome. */
function tells(
  t: ExecutionContext,
  { answer, lines }: { answer: Answer; lines: Line[] },
  expected: {
    sub?: string;
    role?: string;
    on?: Partial<Line>;
    action: string;
    call: string;
    outcome: string;
  } & Record<string, unknown>,
): void {
  const { on = {}, ...audit } = expected;
  t.is(lines.length, 1, JSON.stringify(answer.body));
  const [line] = lines;
  t.deepEqual(line?.audit, {
    sub: 'ada',
    role: 'admin',
    ...audit,
    request_id: answer.headers.get('x-request-id'),
  });
  t.deepEqual([line?.event, line?.source], ['audit', 'audit']);
  t.is(line?.orchestrator_id, on.orchestrator_id);
  t.is(line?.level, expected.outcome === 'forbidden' ? 'WARNING' : 'INFO');
  t.true(line?.message.includes(`: ${expected.action} `));
}

const done: Record<string, { call: Call; orchestrator?: string; about: (body: Answer['body']) => object }> = {
  'organization.create': {
    call: { method: 'POST', path: `${controller}/organizations`, body: { org_id: 'made', name: 'Made' } },
    about: () => ({ organization_id: 'made' }),
  },
  'instance.create': {
    call: {
      method: 'POST',
      path: `${controller}/orchestrator-instances`,
      body: { org_id: 'made', orchestrator_id: 'made-1', name: 'Made' },
    },
    orchestrator: 'made-1',
    about: () => ({ organization_id: 'made' }),
  },
  'instance.delete': {
    call: { method: 'DELETE', path: `${controller}/orchestrator-instances/made-1` },
    orchestrator: 'made-1',
    about: () => ({ organization_id: 'made' }),
  },
  'orchestrator.register': {
    call: {
      method: 'POST',
      path: `${internal}/orchestrators/register`,
      body: { organization_id: 'registered', database_url: 'postgres://somebody:secret@nowhere/x' },
    },
    orchestrator: 'registered',
    about: () => ({ organization_id: 'registered' }),
  },
  'orchestrator.deregister': {
    call: { method: 'DELETE', path: `${internal}/orchestrators/registered/deregister` },
    orchestrator: 'registered',
    about: () => ({ organization_id: 'registered' }),
  },
  'independence.set': {
    call: {
      method: 'PUT',
      path: `${internal}/orchestrators/${other.orchestrator}/independence`,
      body: { is_independent: true },
    },
    orchestrator: other.orchestrator,
    about: () => ({ change: 'independent' }),
  },
  'message.create': {
    call: {
      method: 'POST',
      path: `${internal}/orchestrators/${place.orchestrator}/messages`,
      body: { message_type: 'monitoring', content: 'Rest' },
    },
    orchestrator: place.orchestrator,
    about: ({ message_id }) => ({ change: 'monitoring', message_id }),
  },
  'message.decide': {
    call: {
      method: 'PUT',
      path: `${internal}/messages/${place.message}/status`,
      body: { status: 'accepted' },
    },
    orchestrator: place.orchestrator,
    about: () => ({ change: 'accepted', message_id: place.message }),
  },
  'message.send': {
    call: {
      method: 'POST',
      path: `${internal}/orchestrators/${place.orchestrator}/send`,
      body: { type: 'note', data: {} },
    },
    orchestrator: place.orchestrator,
    about: ({ message_id }) => ({ change: 'note', message_id }),
  },
};

test('every audited action is tried here', (t) => {
  t.deepEqual(Object.keys(done).sort(), [...auditedActions].sort());
});

for (const [action, { call, orchestrator, about }] of Object.entries(done))
  test.serial(`${action} is one line of the audit: who, what, on whom, with what outcome`, async (t) => {
    const found = await audited(call);
    t.true(found.answer.status < 300);
    tells(t, found, {
      action,
      call: `${call.method} ${call.path}`,
      outcome: 'done',
      ...about(found.answer.body),
      ...(orchestrator === undefined ? {} : { on: { orchestrator_id: orchestrator } }),
    });
  });

const organizations = { method: 'POST', path: `${controller}/organizations` };
const failures: [outcome: string, action: string, call: Call, about?: object, orchestrator?: string][] = [
  [
    'not_found',
    'instance.delete',
    { method: 'DELETE', path: `${controller}/orchestrator-instances/nobody` },
    {},
    'nobody',
  ],
  [
    'already_exists',
    'organization.create',
    { ...organizations, body: { org_id: other.organization, name: 'X' } },
    { organization_id: other.organization },
  ],
  ['invalid_request', 'organization.create', { ...organizations, body: { org_id: 'x', name: 7 } }],
  ['invalid_request', 'organization.create', { ...organizations, body: '{"no JSON' }],
  ['forbidden', 'organization.create', { ...organizations, as: 'viewer', body: { org_id: 'x', name: 'X' } }],
  [
    'forbidden',
    'organization.create',
    { ...organizations, as: 'confined', body: { org_id: 'x', name: 'X' } },
    { organization_id: 'x' },
  ],
  [
    'not_found',
    'orchestrator.deregister',
    { as: 'confined', method: 'DELETE', path: `${internal}/orchestrators/${other.orchestrator}/deregister` },
    {},
    other.orchestrator,
  ],
  [
    'already_decided',
    'message.decide',
    { method: 'PUT', path: `${internal}/messages/${place.message}/status`, body: { status: 'dismissed' } },
    { message_id: place.message, change: 'dismissed' },
  ],
  [
    'not_connected',
    'message.send',
    { method: 'POST', path: `${internal}/orchestrators/${other.orchestrator}/send`, body: { type: 'x' } },
    { change: 'x' },
    other.orchestrator,
  ],
];
const subjects = { admin: ['ada', 'admin'], viewer: ['vic', 'viewer'], confined: ['eve', 'admin'] } as const;

for (const [at, [outcome, action, call, about, orchestrator]] of failures.entries())
  test.serial(`${at + 1}: ${action} that is answered ${outcome} is audited so`, async (t) => {
    const found = await audited(call);
    t.is(found.answer.body.code, outcome);
    const [sub, role] = subjects[call.as ?? 'admin'];
    tells(t, found, {
      sub,
      role,
      action,
      call: `${call.method} ${call.path}`,
      outcome,
      ...about,
      ...(orchestrator === undefined ? {} : { on: { orchestrator_id: orchestrator } }),
    });
  });

test.serial('what changes nothing is not audited, nor who is nobody', async (t) => {
  t.deepEqual((await audited({ method: 'GET', path: `${controller}/organizations` })).lines, []);
  const beat = { orchestrator_id: place.orchestrator };
  const path = `${internal}/orchestrators/heartbeat`;
  t.deepEqual((await audited({ method: 'POST', path, body: beat })).lines, []);
  const answer = await replica.api.post(`${controller}/organizations`, { org_id: 'x', name: 'X' });
  t.is(answer.status, 401);
  const { body } = await admin.get(
    `${internal}/logs?event=audit&limit=1000&q=${answer.headers.get('x-request-id')}`,
  );
  t.deepEqual(body.data.items, []);
});

test('a request id that is given is kept, another kind of text is replaced', async (t) => {
  const ask = async (id?: string) => {
    const { headers } = await replica.api.request('/health/live', {
      headers: id === undefined ? {} : { 'x-request-id': id },
    });
    return headers.get('x-request-id') ?? '';
  };
  for (const id of ['a', 'trace.01_A-z', 'x'.repeat(128)]) t.is(await ask(id), id);
  const made = await Promise.all([undefined, 'a b', 'x'.repeat(129), 'a;b', '{"a":1}', 'é'].map(ask));
  for (const id of made) t.regex(id, /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/);
  t.is(new Set(made).size, made.length);
  t.regex((await admin.get('/nowhere')).headers.get('x-request-id') ?? '', /^[\da-f-]{36}$/);
});

test.serial('no line has a token in it', async (t) => {
  const { body } = await admin.get(`${internal}/logs?limit=1000`);
  for (const token of Object.values(tokens)) {
    const [, claims = '', signature = ''] = token.split('.');
    for (const part of [claims, signature]) t.false(JSON.stringify(body).includes(part));
  }
});
