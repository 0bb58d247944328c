import test, { type ExecutionContext } from 'ava';
import { dataOf, errorOf, fieldsOf } from '../support/answers.ts';
import type { Answer } from '../support/api.ts';
import { connectAs, digestOf, makePlace } from '../support/places.ts';
import { asksForTokens, tokenOf } from '../support/tokens.ts';
import { until } from '../support/until.ts';
import {
  type Expectations,
  elsewhere,
  expectations,
  intrudersOf,
  membersOf,
  newTestKeys,
  type Outcome,
  type Place,
  type Refusal,
  type Visitor,
} from '../support/visitors.ts';
import { openWorld } from '../support/world.ts';

// Who may do what, by hand: the columns are viewer, operator, admin, an orchestrator of its own, an orchestrator of
// another's, and whoever of these may if it is confined to another organization. A number is the status of a success.
const [no, gone] = ['forbidden', 'not_found'] as const;
const table: Record<string, Line> = {
  'GET /api/v1/controller/organizations': line(200, 200, 200, no, no, 200),
  'GET /api/v1/controller/organizations/{id}': line(200, 200, 200, no, no, gone, { id: 'organization' }),
  'POST /api/v1/controller/organizations': line(no, 201, 201, no, no, no, {
    body: ({ newcomer }) => ({ org_id: newcomer, name: 'New' }),
  }),
  'GET /api/v1/controller/orchestrators': line(200, 200, 200, no, no, 200),
  'GET /api/v1/controller/orchestrators/{id}': line(200, 200, 200, no, no, gone),
  'GET /api/v1/controller/orchestrators/live': line(200, 200, 200, no, no, 200),
  'GET /api/v1/controller/orchestrators/live/{id}': line(200, 200, 200, no, no, gone),
  'POST /api/v1/controller/orchestrator-instances': line(no, 201, 201, no, no, no, {
    body: ({ organization, newcomer }) => ({ org_id: organization, orchestrator_id: newcomer, name: 'New' }),
  }),
  'DELETE /api/v1/controller/orchestrator-instances/{id}': line(no, 200, 200, no, no, gone),
  'GET /api/v1/controller/overview': line(200, 200, 200, no, no, 200),
  'GET /api/v1/controller/health': line(200, 200, 200, no, no, 200),

  'POST /api/v1/internal/orchestrators/register': line(no, no, 200, no, no, no, {
    body: ({ organization, orchestrator }) => ({
      organization_id: organization,
      orchestrator_id: orchestrator,
      name: 'Renamed',
    }),
  }),
  'POST /api/v1/internal/orchestrators/heartbeat': line(no, no, 200, 200, no, gone, {
    body: ({ orchestrator }) => ({ orchestrator_id: orchestrator, health_status: 'degraded' }),
  }),
  'GET /api/v1/internal/orchestrators/{id}/independence': line(no, no, 200, 200, no, gone),
  'PUT /api/v1/internal/orchestrators/{id}/independence': line(no, no, 200, no, no, gone, {
    body: () => ({ is_independent: true }),
  }),
  'DELETE /api/v1/internal/orchestrators/{id}/deregister': line(no, no, 200, no, no, gone),
  'GET /api/v1/internal/orchestrators/{id}/messages': line(no, no, 200, 200, no, gone),
  'POST /api/v1/internal/orchestrators/{id}/messages': line(no, no, 201, no, no, gone, {
    body: () => ({ message_type: 'monitoring', content: 'of somebody' }),
  }),
  'GET /api/v1/internal/messages': line(no, no, 200, no, no, 200),
  'PUT /api/v1/internal/messages/{id}/status': line(no, no, 200, 200, gone, gone, {
    id: 'message',
    body: () => ({ status: 'accepted' }),
  }),
  'POST /api/v1/internal/orchestrators/{id}/send': line(no, no, 200, no, no, 'not_connected', {
    body: () => ({ type: 'note', data: { sent: sends.length } }),
    isSend: true,
  }),
  'GET /api/v1/internal/logs': line(no, no, 200, no, no, 200),
  'GET /api/v1/internal/health': line(no, no, 200, no, no, 200),
  'GET /api/v1/internal/nodes': line(no, no, 200, no, no, 200),

  'GET /health': open(),
  'GET /health/live': open(),
  'GET /health/ready': open(),
  'GET /metrics': open(),
  'GET /openapi.json': open(),
  'GET /asyncapi.json': open(),
  'GET /docs': open(),
  'GET /docs/events': open(),
  'GET /docs/{file}': open({ id: 'start.js' }),
};

interface Line extends Expectations {
  /** What `{id}` in the path is, or `{file}`; the orchestrator, if not said. */
  readonly id?: 'organization' | 'message' | 'start.js';
  readonly isOpen?: boolean;
  readonly isSend?: boolean;
  body?(place: Place): object;
}

function line(...[viewer, operator, admin, self, other, foreign, call]: LineArguments): Line {
  return { ...expectations(viewer, operator, admin, self, other, foreign), ...call };
}
type LineArguments = [...Parameters<typeof expectations>, call?: Omit<Partial<Line>, keyof Expectations>];
/** Without a token, and whatever the token. */
function open(more: Pick<Line, 'id'> = {}): Line {
  return line(200, 200, 200, 200, 200, 200, { isOpen: true, ...more });
}

const statusOf: Record<Refusal, number> = {
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  already_exists: 409,
  not_connected: 409,
  handshake_required: 0,
};

const keys = newTestKeys();
const world = await openWorld({ settings: asksForTokens(...keys.accepted) });
const replica = world.replica(0);
const admin = replica.as(await tokenOf(keys.secret, 'admin'));
/** The marks of the messages that somebody was allowed to send. */
const sends: number[] = [];

/** In every id of what a caller that is confined to another organization must not be told of. */
const marker = 'acme-secret';
// What no call may touch unless it is allowed to.
const place = await makePlace(world, marker);
const standing = await connectAs(keys, replica, place);
const stranger = await connectAs(keys, replica, { orchestrator: elsewhere, organization: elsewhere });

const { body: described } = await world.api.get('/openapi.json');
const routes = Object.entries<object>(described.paths).flatMap(([path, operations]) =>
  Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
);

test.after.always(() => world.close());

test('the table has every route of the controller, and no other', (t) => {
  t.deepEqual(Object.keys(table).sort(), routes.sort());
});

test.serial('lists and logs do tell of an organization to those who see it', async (t) => {
  const lists = Object.entries(table).filter(
    ([route, { foreign, isOpen }]) => route.startsWith('GET') && foreign === 200 && isOpen !== true,
  );
  const silent: string[] = [];
  for (const [route] of lists) {
    const { body } = await admin.get(route.slice(4));
    if (!JSON.stringify(body).includes(marker)) silent.push(route.slice(4));
  }
  // Those have figures alone.
  t.deepEqual(silent.sort(), [
    '/api/v1/controller/health',
    '/api/v1/controller/overview',
    '/api/v1/internal/health',
    '/api/v1/internal/nodes',
  ]);
});

const visitors = [...membersOf(keys), ...intrudersOf(keys, 'admin')];
let places = 0;

for (const route of routes)
  test.serial(`${route} answers each caller as its role says`, async (t) => {
    const rule = table[route];
    if (rule === undefined) return t.fail('the table says nothing of it');
    for (const visitor of visitors) {
      const expected = rule.isOpen === true ? 200 : visitor.expects(rule);
      const outcome = await t.try(`${route} as ${visitor.name}`, (tt) =>
        visit(tt, route, rule, visitor, expected),
      );
      outcome.commit();
    }
    return undefined;
  });

async function visit(
  t: ExecutionContext,
  route: string,
  rule: Line,
  visitor: Visitor,
  expected: Outcome,
): Promise<void> {
  const [method = '', template = ''] = route.split(' ');
  const allowed = typeof expected === 'number';
  const changes = method !== 'GET' && rule.isSend !== true && allowed;
  places += 1;
  // What a caller changes is its own; what it must not change is what everybody must not.
  const at = changes ? await makePlace(world, `${marker}-${places}`) : place;
  const before = {
    rows: await digestOf(world),
    events: [standing, stranger].map((each) => each.received.length),
  };
  const { id = 'orchestrator' } = rule;
  const path = template.replace(/\{\w+\}/, id === 'start.js' ? id : at[id]);
  const token = await visitor.token(at);
  const answer = await replica.api.request(path, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(rule.body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(rule.body === undefined ? {} : { body: JSON.stringify(rule.body(at)) }),
  });
  t.is(answer.status, typeof expected === 'number' ? expected : statusOf[expected], `as ${visitor.name}`);
  if (typeof expected === 'number') {
    succeeded(t, template, answer, expected);
    if (method === 'GET') conceals(t, answer, rule, visitor);
    if (rule.isSend === true) sends.push(sends.length);
  } else {
    errorOf(t, answer, statusOf[expected], expected);
    t.is(
      answer.headers.get('www-authenticate')?.startsWith('Bearer'),
      statusOf[expected] < 404 ? true : undefined,
    );
  }
  t.is(
    (await digestOf(world)) !== before.rows,
    changes,
    changes ? 'nothing was changed' : 'rows were changed',
  );
  if (rule.isSend !== true || !allowed)
    t.deepEqual(
      [standing, stranger].map((each) => each.received.length),
      before.events,
      'an event reached an orchestrator',
    );
}

function succeeded(t: ExecutionContext, template: string, answer: Answer, status: number): void {
  if (template.startsWith('/api/v1/controller')) dataOf(t, answer, status);
  else if (template.startsWith('/api/v1/internal')) fieldsOf(t, answer, status);
  else t.is(answer.status, status);
}

/** What is of another organization is in no answer; an admin of the whole fleet shows that it would be. */
function conceals(t: ExecutionContext, answer: Answer, rule: Line, visitor: Visitor): void {
  const tells = JSON.stringify(answer.body).includes(marker);
  if (visitor.isForeign || rule.isOpen === true) t.false(tells, JSON.stringify(answer.body));
}

test.serial('what was sent by those who may has arrived, and nothing else has', async (t) => {
  const notes = () => standing.received.filter(({ event }) => event === 'note');
  await until('all notes', () => notes().length >= sends.length);
  t.deepEqual(
    notes().map(({ payload }) => payload.data.sent),
    sends,
  );
  t.true(sends.length > 0);
  for (const each of [standing, stranger]) {
    t.true(each.socket.connected);
    t.deepEqual(
      each.received.map(({ event }) => event).filter((event) => event !== 'note'),
      ['handshake_ack', 'provision_config'],
    );
  }
});

test('what is no route by its very letters is refused as well', async (t) => {
  for (const path of ['/api/v1/internal/logs', '/api/v1/controller/organizations']) {
    t.is((await world.api.request(path, { method: 'HEAD' })).status, 401);
    for (const written of [`${path}/`, path.toUpperCase(), path.replace('/v1/', '/%76%31/')])
      t.true([401, 404].includes((await world.api.get(written)).status), written);
  }
});
