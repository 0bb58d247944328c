// The reference client against a controller that asks for tokens.
import test, { type ExecutionContext } from 'ava';
import {
  connectOrchestrator,
  type OrchestratorEvent,
  type OrchestratorOptions,
} from '../../src/local/orchestrator-client.ts';
import { asksForTokens, newSecretKey, tokenOf } from '../support/tokens.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const key = newSecretKey();
const { auth } = asksForTokens(key);
const world = await openWorld({ settings: { auth: { ...auth, clockToleranceMs: 0 } } });
test.after.always(() => world.close());

function connect(t: ExecutionContext, orchestratorId: string, token: OrchestratorOptions['token']) {
  const events: OrchestratorEvent[] = [];
  const url = world.replica(0).controller.url;
  const onEvent = (event: OrchestratorEvent) => void events.push(event);
  const orchestrator = connectOrchestrator({ url, orchestratorId, token, onEvent });
  t.teardown(orchestrator.stop);
  return { ...orchestrator, orchestrator, events };
}
/** In whole seconds, so up to one less; and a test whose token ends before it is let in is of something else. */
const lifeMs = 5_000;
const valid = (subject: string, forMs: number) =>
  tokenOf(key, 'orchestrator', { subject, expiresAtMs: Date.now() + forMs });

test('it sends its token, and renews it before it ends: one connection outlives several tokens', async (t) => {
  let asked = 0;
  const { orchestrator, events } = connect(t, 'renews', () => {
    asked += 1;
    return valid('renews', lifeMs);
  });
  await until('the third token', () => asked >= 3);
  await orchestrator.beat();
  t.is(orchestrator.state, 'connected');
  t.is(events.filter((event) => event.type === 'connected').length, 1);
  t.deepEqual(
    new Set(events.flatMap((event) => (event.type === 'complaint' ? [event.code] : []))),
    new Set(['token_expired']),
  );
});

test('with a token that is not renewed it comes back with the next', async (t) => {
  let asked = 0;
  const next = () => {
    asked += 1;
    if (asked === 2) return 'nonsense';
    return valid('late', asked === 1 ? lifeMs : 60_000);
  };
  const { orchestrator, events } = connect(t, 'late', next);
  await until(
    'the second connection',
    () => events.filter((event) => event.type === 'connected').length === 2,
  );
  t.is(orchestrator.state, 'connected');
  t.true(events.some((event) => event.type === 'complaint' && event.code === 'unauthorized'));
});

test('one that is not let in gives up, and says why', async (t) => {
  const none = connect(t, 'none', undefined);
  t.like(await none.closed, { why: 'refused', code: 'unauthorized', message: 'A token is needed' });
  const other = connect(t, 'other', () => valid('somebody-else', 60_000));
  t.like(await other.closed, { why: 'refused', code: 'forbidden' });
});

test('one whose tokens cannot be had says so, and tries again', async (t) => {
  let asked = 0;
  const { events } = connect(t, 'without', () => {
    asked += 1;
    throw new Error('no provider');
  });
  await until('the failure', () =>
    events.find((event) => event.type === 'complaint' && event.code === 'no_token'),
  );
  t.is(asked, 1);
});
