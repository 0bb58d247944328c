import test, { type ExecutionContext } from 'ava';
import { createJsonSchemas } from '../../src/fleet/json.ts';
import { createEvents, type SocketError } from '../../src/socket/protocol.ts';
import type { TestOrchestrator } from '../support/orchestrator.ts';
import { connectAs, digestOf, makePlace } from '../support/places.ts';
import { asksForTokens } from '../support/tokens.ts';
import { until } from '../support/until.ts';
import {
  type Expectations,
  intrudersOf,
  expectations as line,
  membersOf,
  newTestKeys,
  type Outcome,
  type Place,
  type Visitor,
} from '../support/visitors.ts';
import { openWorld } from '../support/world.ts';

// What each caller gets on /ws, by hand: the columns are viewer, operator, admin, an orchestrator that says to be itself,
// one that says to be another, and one that says to be of an organization that its token is not of. 200 is a success.
const no = 'forbidden';
const early = 'handshake_required';
const table: Record<string, Expectations> = {
  connect: line(no, no, no, 200, 200, 200),
  handshake: line(no, no, no, 200, no, no),
  i_am_alive: line(no, no, no, 200, early, early),
  provisioning_request: line(no, no, no, 200, early, early),
  refresh_token: line(no, no, no, 200, early, early),
};

const payloads: Record<string, (at: Place, token: string | undefined) => object> = {
  handshake: ({ orchestrator, organization }) => ({
    data: { orchestrator_id: orchestrator, organization_id: organization, metadata: { name: 'Renamed' } },
  }),
  i_am_alive: ({ orchestrator }) => ({ orchestrator_id: orchestrator, health_status: 'degraded' }),
  provisioning_request: ({ orchestrator }) => ({ orchestrator_id: orchestrator }),
  refresh_token: (_, token) => ({ token }),
};

const keys = newTestKeys();
const world = await openWorld({ settings: asksForTokens(...keys.accepted) });
const replica = world.replica(0);
const place = await makePlace(world, 'acme');
const standing = await connectAs(keys, replica, place);
const events = Object.keys(createEvents(createJsonSchemas(world.settings.limits)));
let places = 0;

test.after.always(() => world.close());

test('the table has every event of the protocol, and no other', (t) => {
  t.deepEqual(Object.keys(table).sort(), ['connect', ...events].sort());
});

const visitors = [...membersOf(keys), ...intrudersOf(keys, 'orchestrator')];

for (const event of ['connect', ...events])
  test.serial(`${event} answers each caller as its role says`, async (t) => {
    const rule = table[event];
    if (rule === undefined) return t.fail('the table says nothing of it');
    for (const visitor of visitors) {
      const attempt = await t.try(`${event} as ${visitor.name}`, (tt) =>
        visit(tt, event, visitor, visitor.expects(rule)),
      );
      attempt.commit();
    }
    return undefined;
  });

async function visit(t: ExecutionContext, event: string, visitor: Visitor, expected: Outcome): Promise<void> {
  const isAllowed = expected === 200 && event !== 'connect';
  places += 1;
  // Who is allowed to be an orchestrator would take the place of the one that must not be touched.
  const at = isAllowed ? await makePlace(world, `acme-${places}`) : place;
  const [before, received] = [await digestOf(world), standing.received.length];
  const token = await visitor.token(at);
  const entered = await replica.open({ ...(token === undefined ? {} : { token }) }).catch(refusalOf);
  if ('code' in entered) t.is<Outcome | SocketError['code'], Outcome>(entered.code, expected);
  else if (event === 'connect') t.is(expected, 200);
  else {
    if (isAllowed && event !== 'handshake') {
      await entered.handshake(at.orchestrator, { organization_id: at.organization });
      await entered.event('provision_config');
    }
    t.is(await answerTo(entered, event, payloads[event]?.(at, token)), expected);
  }
  t.is(
    (await digestOf(world)) !== before,
    isAllowed,
    isAllowed ? 'nothing was changed' : 'rows were changed',
  );
  t.is(standing.received.length, received, 'an event reached the orchestrator');
  t.true(standing.socket.connected);
}

/** What a connection is refused with, in the protocol's words. */
function refusalOf(error: unknown): SocketError {
  if (error instanceof Error && 'data' in error) return error.data as SocketError;
  throw error;
}

/** 200 once it is answered as a success is, or the code of the error. */
async function answerTo(orchestrator: TestOrchestrator, event: string, payload: unknown): Promise<Outcome> {
  const { received, socket } = orchestrator;
  const [from, answer] = [received.length, event === 'provisioning_request' ? 'provision_config' : undefined];
  let isAcknowledged = false;
  socket.emit(event, payload, () => {
    isAcknowledged = true;
  });
  return until(`an answer to ${event}`, () => {
    const since = received.slice(from);
    const error = since.find((each) => each.event === 'error');
    if (error !== undefined) return error.payload.code;
    return (answer === undefined ? isAcknowledged : since.some((each) => each.event === answer)) && 200;
  });
}

test.serial('the orchestrator in whose name all of them came was not touched', async (t) => {
  t.deepEqual(
    standing.received.map(({ event }) => event),
    ['handshake_ack', 'provision_config'],
  );
  t.is((await standing.ask('i_am_alive', {})).status, 'processed');
});
