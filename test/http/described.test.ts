// Every route, and every status that it is described with: what is answered is what /openapi.json says.
import test from 'ava';
import type { Answer } from '../support/api.ts';
import { type DescribedCall, readDescription } from '../support/described.ts';
import { connectAs, makePlace } from '../support/places.ts';
import { openProxy } from '../support/proxy.ts';
import { asksForTokens, tokenOf } from '../support/tokens.ts';
import { until } from '../support/until.ts';
import { newTestKeys, type Place } from '../support/visitors.ts';
import { openWorld, shippedTimeouts } from '../support/world.ts';

interface Values {
  /** What `{id}` is, or `{file}`; the orchestrator, if not said. */
  readonly id?: 'organization' | 'message' | 'docs.css';
  readonly body?: (place: Place) => object;
}

/** One call of each route that succeeds. */
const values: Readonly<Record<string, Values>> = {
  listOrganizations: {},
  getOrganization: { id: 'organization' },
  createOrganization: { body: ({ newcomer }) => ({ org_id: newcomer, name: 'New' }) },
  listOrchestrators: {},
  listLiveOrchestrators: {},
  getLiveOrchestrator: {},
  getOrchestrator: {},
  createOrchestratorInstance: {
    body: ({ organization, newcomer }) => ({ org_id: organization, orchestrator_id: newcomer, name: 'New' }),
  },
  deleteOrchestratorInstance: {},
  getOverview: {},
  getControllerHealth: {},
  registerOrchestrator: {
    body: ({ organization, orchestrator }) => ({
      ...{ organization_id: organization, orchestrator_id: orchestrator, monitoring: true },
      ...{ internal_url: 'http://10.0.0.7:8080', image_name: 'x:1', container_id: 'c', features: ['a'] },
    }),
  },
  recordHeartbeat: { body: ({ orchestrator }) => ({ orchestrator_id: orchestrator }) },
  setIndependence: { body: () => ({ is_independent: true }) },
  getIndependence: {},
  deregisterOrchestrator: {},
  sendMessage: { body: () => ({ type: 'note', data: { a: 1 } }) },
  createMessage: {
    body: () => ({ message_type: 'monitoring', content: 'All is well', metadata: { of: 'today' } }),
  },
  listOrchestratorMessages: {},
  listMessages: {},
  decideMessage: { id: 'message', body: () => ({ status: 'accepted' }) },
  listLogs: {},
  getSocketHealth: {},
  listNodes: {},
  getLiveness: {},
  getReadiness: {},
  getHealth: {},
  getMetrics: {},
  getOpenApi: {},
  getAsyncApi: {},
  getDocs: {},
  getEventDocs: {},
  getDocsFile: { id: 'docs.css' },
};

const keys = newTestKeys();
const stack = new AsyncDisposableStack();
const postgres = stack.adopt(await openProxy(), (it) => it.close());
const redis = stack.adopt(await openProxy(), (it) => it.close());
const shipped = shippedTimeouts();
const world = stack.adopt(
  await openWorld({
    reach: { database: postgres.through, redis: redis.through },
    settings: {
      ...shipped,
      ...asksForTokens(...keys.accepted),
      // Longer than this file takes: in a new window somebody may call again.
      limits: { ...shipped.limits, windowSeconds: 3_600 },
    },
  }),
  (it) => it.close(),
);

const admin = await tokenOf(keys.secret, 'admin');
const others = [await tokenOf(keys.secret, 'viewer'), await tokenOf(keys.signing, 'orchestrator')];
const described = readDescription((await world.api.get('/openapi.json')).body);
/** The statuses that were answered so far, by operation. */
const seen = new Map<string, Set<string>>();

interface Changes {
  readonly replica?: number;
  readonly path?: string;
  readonly token?: string | undefined;
  readonly headers?: Record<string, string>;
  readonly body?: string | object;
}

async function call(each: DescribedCall, place: Place, changes: Changes = {}): Promise<Answer> {
  const { id = 'orchestrator', body: bodyOf } = values[each.operationId] ?? {};
  const filled = each.path.replace(/\{\w+\}/, id === 'docs.css' ? id : place[id]);
  const body = changes.body ?? bodyOf?.(place);
  const token = 'token' in changes ? changes.token : each.needsToken ? admin : undefined;
  return world.replica(changes.replica ?? 0).api.request(changes.path ?? filled, {
    method: each.method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...changes.headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
}

/** What is wrong with the answer, if it is not of this status or not as it is described. */
function judge(each: DescribedCall, status: number, answer: Answer): string[] {
  seen.set(each.operationId, (seen.get(each.operationId) ?? new Set()).add(String(answer.status)));
  const name = `${each.operationId} answered ${answer.status}`;
  if (answer.status !== status)
    return [`${name}, not ${status}: ${JSON.stringify(answer.body).slice(0, 300)}`];
  return described.faultsOf(each, answer).map((fault) => `${name}: ${fault}`);
}

const saying = (status: number) =>
  described.calls.filter(({ statuses }) => statuses.includes(String(status)));
const called = (operationId: string) => {
  const found = described.calls.find((each) => each.operationId === operationId);
  if (found === undefined) throw new Error(`there is no ${operationId}`);
  return found;
};
const nowhere: Place = {
  ...{ organization: 'nowhere', orchestrator: 'nobody', message: 'msg_nobody-1', newcomer: 'nobody-new' },
};
const place = await makePlace(world, 'stays');
const standing = await connectAs(keys, world.replica(0), place);

test.after.always(() => stack.disposeAsync());

test('there is a call here for every route, and for no other', (t) => {
  t.deepEqual(Object.keys(values).sort(), described.calls.map(({ operationId }) => operationId).sort());
});

test.serial('every route answers its success as described', async (t) => {
  const before = [...described.calls].sort((one, other) => order(one) - order(other));
  for (const [at, each] of before.entries()) {
    const own = await makePlace(world, `place-${at}`);
    // Only who is connected is live, or can be sent to.
    if (each.operationId === 'getLiveOrchestrator' || each.operationId === 'sendMessage')
      await connectAs(keys, world.replica(0), own);
    const [status = 0] = each.statuses.map(Number).filter((one) => one < 300);
    t.deepEqual(judge(each, status, await call(each, own)), []);
  }
});

/** What shows rows comes behind what makes them, so that there is something to show. */
const order = ({ method }: DescribedCall) => ['PUT', 'POST', 'DELETE', 'GET'].indexOf(method);

test.serial('what is behind the first answer is as described too', async (t) => {
  const list = async (operationId: string, query: string) =>
    judge(
      called(operationId),
      200,
      await call(called(operationId), place, { path: `${called(operationId).path}?${query}` }),
    );
  const full = { ...nowhere, orchestrator: 'full', organization: 'full' };
  const metadata = { name: 'Full', location: 'Oslo', features: { a: [1] }, hostname: 'h' };
  const token = await tokenOf(keys.signing, 'orchestrator', { subject: 'full' });
  const orchestrator = await world.replica(0).open({ token });
  await orchestrator.handshake('full', { metadata });
  t.deepEqual(judge(called('getOrchestrator'), 200, await call(called('getOrchestrator'), full)), []);
  t.deepEqual(await list('listOrchestrators', 'page=2&page_size=2&status=inactive'), []);
  t.deepEqual(await list('listLiveOrchestrators', 'page=1&page_size=1'), []);
  t.deepEqual(await list('listLogs', 'event=audit'), []);
  t.deepEqual(await list('listLogs', 'limit=1000'), []);
  t.deepEqual(await list('listMessages', 'status=accepted'), []);
  const beat = called('recordHeartbeat');
  t.deepEqual(judge(called('setIndependence'), 200, await call(called('setIndependence'), full)), []);
  t.deepEqual(judge(beat, 200, await call(beat, full)), [], 'of an independent one');
  t.deepEqual(judge(called('getIndependence'), 200, await call(called('getIndependence'), full)), []);
  const confined = await tokenOf(keys.secret, 'admin', { organizations: ['full'] });
  t.deepEqual(
    judge(called('getOverview'), 200, await call(called('getOverview'), full, { token: confined })),
    [],
  );
});

test.serial('every way that /send can end is as described', async (t) => {
  const send = called('sendMessage');
  const body = (more: object) => ({ body: { type: 'note', ...more } });
  standing.socket.on('answered', (_payload, acknowledge) => acknowledge({ any: ['JSON', 1, null] }));
  t.deepEqual(judge(send, 202, await call(send, place, body({ wait: false }))), []);
  const acknowledged = await call(send, place, { body: { type: 'answered', ack: true } });
  t.deepEqual(judge(send, 200, acknowledged), []);
  t.deepEqual(acknowledged.body.ack, { any: ['JSON', 1, null] });
  t.deepEqual(judge(send, 504, await call(send, place, body({ ack: true, timeout_ms: 100 }))), []);
  t.deepEqual(judge(send, 409, await call(send, nowhere)), []);
});

test.serial('what is there already, or decided otherwise, is a 409 as described', async (t) => {
  const confined = await tokenOf(keys.secret, 'admin', { organizations: ['another'] });
  const taken = { ...place, newcomer: place.orchestrator };
  for (const [operationId, changes] of [
    ['createOrganization', { body: { org_id: place.organization, name: 'Again' } }],
    ['createOrchestratorInstance', {}],
    [
      'registerOrchestrator',
      { token: confined, body: { organization_id: 'another', orchestrator_id: place.orchestrator } },
    ],
  ] as const)
    t.deepEqual(judge(called(operationId), 409, await call(called(operationId), taken, changes)), []);
  const decide = called('decideMessage');
  await call(decide, place);
  t.deepEqual(judge(decide, 409, await call(decide, place, { body: { status: 'dismissed' } })), []);
});

test.serial('a client that has it is told so', async (t) => {
  t.is(saying(304).length, 11);
  for (const each of saying(304)) {
    // A line of the log may come between two calls.
    const second = await until(`a 304 of ${each.operationId}`, async () => {
      const first = await call(each, place);
      // Without a word on caches fetch would ask for no answer that somebody has kept.
      const headers = { 'if-none-match': String(first.headers.get('etag')), 'cache-control': 'max-age=0' };
      const answer = await call(each, place, { headers });
      return answer.status === 304 && answer;
    });
    t.deepEqual(judge(each, 304, second), []);
    t.is(second.body, '');
  }
});

test.serial('every refusal is as described', async (t) => {
  const faults: string[] = [];
  for (const each of saying(401))
    faults.push(...judge(each, 401, await call(each, place, { token: undefined })));
  for (const each of saying(403)) {
    const answers = await Promise.all(others.map((token) => call(each, place, { token })));
    const refused = answers.find(({ status }) => status === 403);
    faults.push(
      ...(refused === undefined ? [`nobody is refused ${each.operationId}`] : judge(each, 403, refused)),
    );
  }
  for (const each of saying(400)) {
    const [first] = each.parameters;
    const wrong =
      first?.in === 'path'
        ? { path: each.path.replace(/\{\w+\}/, '%20') }
        : each.takesBody
          ? { body: {} }
          : { path: `${each.path}?${first?.name}=1&${first?.name}=1` };
    faults.push(...judge(each, 400, await call(each, place, wrong)));
  }
  for (const each of saying(404)) {
    const changes = each.operationId === 'getDocsFile' ? { path: '/docs/package.json' } : {};
    faults.push(...judge(each, 404, await call(each, nowhere, changes)));
  }
  for (const each of saying(413)) {
    const body = JSON.stringify({ name: 'x'.repeat(world.settings.http.bodyLimitBytes) });
    faults.push(...judge(each, 413, await call(each, place, { body })));
  }
  for (const each of saying(415))
    faults.push(...judge(each, 415, await call(each, place, { headers: { 'content-type': 'text/plain' } })));
  t.deepEqual(faults, []);
});

test.serial('a method that there is not, and what no route foresees, is as described', async (t) => {
  const each = called('createOrganization');
  const answer = await world.api.request(each.path, { method: 'DELETE' });
  t.is(answer.status, 405);
  t.deepEqual(described.faultsOf(each, answer), []);
  t.deepEqual(
    described.faultsOf(each, { ...answer, body: { ...answer.body, code: 'unheard_of' } }).length,
    1,
  );
});

test.serial('who calls too often is answered as described', async (t) => {
  // Whom Redis has not counted in time may pass.
  await world.grow({ limits: { ...world.settings.limits, requestsPerAddress: 1, patienceMs: 10_000 } });
  const faults: string[] = [];
  for (const each of saying(429)) faults.push(...judge(each, 429, await call(each, place, { replica: 1 })));
  t.deepEqual(faults, []);
});

test.serial('without its stores every route that needs one says so as described', async (t) => {
  for (const store of [postgres, redis]) {
    store.cut();
    t.teardown(store.mend);
  }
  const faults = await Promise.all(
    saying(503).map(async (each) => judge(each, 503, await call(each, place))),
  );
  t.deepEqual(faults.flat(), []);
});

test.serial('every status that is described was seen, and no other', (t) => {
  for (const { operationId, statuses } of described.calls)
    t.deepEqual(
      [...(seen.get(operationId) ?? [])].sort(),
      statuses.filter((status) => status !== 'default').sort(),
      operationId,
    );
});
