// What tells of the controller itself: probes, health, figures, replicas, metrics and the description of its API.
import test from 'ava';
import { anyone } from '../../src/access/caller.ts';
import { describingRoutes } from '../../src/http/description.ts';
import { createDocsFiles } from '../../src/http/docs-files.ts';
import { dataOf, errorOf, fieldsOf, isoTime } from '../support/answers.ts';
import { valueAt } from '../support/described.ts';
import { until } from '../support/until.ts';
import { openWorld, type World } from '../support/world.ts';

let world: World;
test.before(async () => {
  world = await openWorld();
});
test.after.always(() => world.close());

const nodeId = () => world.replica(0).controller.nodeId;
const up = { database: 'up', redis: 'up', queue: 'up' };

test.serial('a running replica is alive and ready, and healthy for people', async (t) => {
  t.like(await world.api.get('/health/live'), { status: 200, body: { status: 'alive', node_id: nodeId() } });
  t.like(await world.api.get('/health/ready'), { status: 200, body: { status: 'ready', faults: [] } });
  const { status, body } = await world.api.get('/health');
  t.is(status, 200);
  t.like(body, { status: 'healthy', node_id: nodeId(), dependencies: up, faults: [] });
  t.regex(body.started_at, isoTime);
  t.regex(body.timestamp, isoTime);
});

test.serial('the dashboard is told of the health of each store', async (t) => {
  const { timestamp, ...health } = dataOf(t, await world.api.get('/api/v1/controller/health'));
  t.regex(timestamp, isoTime);
  t.deepEqual(health, { status: 'healthy', service: 'moolai-controller', dependencies: up });
});

test.serial('the administration is told how many are connected', async (t) => {
  const read = async () => fieldsOf(t, await world.api.get('/api/v1/internal/health'));
  t.deepEqual(await read(), {
    service: 'moolai-controller',
    ws: { status: 'healthy', active_connections: 0 },
  });
  const [one, two] = [await world.replica(0).connect('h-1'), await world.replica(0).connect('h-2')];
  t.is((await read()).ws.active_connections, 2);
  one.close();
  two.close();
  await until('nobody to be connected', async () => (await read()).ws.active_connections === 0);
});

test.serial('the live replicas are listed', async (t) => {
  const { nodes } = fieldsOf(t, await world.api.get('/api/v1/internal/nodes'));
  t.is(nodes.length, 1);
  const { started_at, ...node } = nodes[0];
  t.regex(started_at, isoTime);
  t.deepEqual(node, { node_id: nodeId(), connections: 0, draining: false });
  const orchestrator = await world.replica(0).connect('n-1');
  await until('the replica to tell of its connection', async () => {
    const { body } = await world.api.get('/api/v1/internal/nodes');
    return body.nodes[0].connections === 1;
  });
  orchestrator.close();
});

test('the overview counts truly', async (t) => {
  await using stack = new AsyncDisposableStack();
  const own = stack.adopt(await openWorld(), (it) => it.close());
  const read = async () => dataOf(t, await own.api.get('/api/v1/controller/overview'));
  const nothing = {
    organizations: 0,
    instances: {
      total: 0,
      by_status: { active: 0, inactive: 0, independent: 0 },
      by_health: { healthy: 0, degraded: 0, unhealthy: 0, unknown: 0 },
    },
    pending_messages: 0,
    connected: 0,
    nodes: 1,
    heartbeats_per_minute: 0,
  };
  t.deepEqual(await read(), nothing);

  const internal = '/api/v1/internal/orchestrators';
  await own.api.post('/api/v1/controller/organizations', { org_id: 'empty', name: 'Empty' });
  for (const id of ['a', 'b', 'c', 'd'])
    await own.api.post(`${internal}/register`, { organization_id: 'org', orchestrator_id: id });
  await own.replica(0).connect('a', { organization_id: 'org' });
  const b = await own.replica(0).connect('b', { organization_id: 'org' });
  for (let beat = 0; beat < 3; beat += 1) await b.ask('i_am_alive', { health_status: 'degraded' });
  await own.api.put(`${internal}/c/independence`, { is_independent: true });
  const ids: string[] = [];
  for (const content of ['1', '2', '3']) {
    const { body } = await own.api.post(`${internal}/d/messages`, { message_type: 'monitoring', content });
    ids.push(body.message_id);
  }
  await own.api.put(`/api/v1/internal/messages/${ids[0]}/status`, { status: 'accepted' });

  const counted = await until('the heartbeats to be counted', async () => {
    const overview = await read();
    return overview.heartbeats_per_minute === 3 && overview;
  });
  t.deepEqual(counted, {
    organizations: 2,
    instances: {
      total: 4,
      by_status: { active: 2, inactive: 1, independent: 1 },
      by_health: { healthy: 1, degraded: 1, unhealthy: 0, unknown: 2 },
    },
    pending_messages: 2,
    connected: 2,
    nodes: 1,
    heartbeats_per_minute: 3,
  });

  own.clock.advance(70_000);
  t.is((await read()).heartbeats_per_minute, 0, 'a minute later they count no more');
});

test('a draining replica is alive but not ready, says so to the others, and REST goes on', async (t) => {
  await using stack = new AsyncDisposableStack();
  const own = stack.adopt(await openWorld(), (it) => it.close());
  await own.replica(0).controller.drain();

  t.is((await own.api.get('/health/live')).status, 200);
  const ready = await own.api.get('/health/ready');
  t.is(ready.status, 503);
  t.like(ready.body, { status: 'not ready', faults: ['this replica is draining'] });
  t.like((await own.api.get('/health')).body, { status: 'degraded', faults: ['this replica is draining'] });
  t.is(fieldsOf(t, await own.api.get('/api/v1/internal/nodes')).nodes[0].draining, true);
  dataOf(t, await own.api.post('/api/v1/controller/organizations', { org_id: 'late', name: 'Late' }), 201);
});

test('metrics are in the form that Prometheus reads, by route and not by path', async (t) => {
  await world.api.get('/api/v1/controller/organizations/some-id');
  const { status, headers, body } = await world.api.get('/metrics');

  t.is(status, 200);
  t.regex(String(headers.get('content-type')), /^text\/plain; .*version=/);
  const lines: string[] = body.split('\n').filter((line: string) => line !== '');
  for (const line of lines) t.regex(line, /^(# (HELP|TYPE) \w+ .+|\w+(\{[^{}]*\})? (\S+))$/);
  t.true(lines.some((line) => /^moolai_connections \d+$/.test(line)));
  const route = 'route="/api/v1/controller/organizations/:id",status="404"';
  t.regex(body, new RegExp(`moolai_http_request_duration_seconds_count\\{method="GET",${route}\\} [1-9]`));
  t.false(body.includes('some-id'));
});

const documented = {
  '/api/v1/controller/organizations': ['get', 'post'],
  '/api/v1/controller/organizations/{id}': ['get'],
  '/api/v1/controller/orchestrators': ['get'],
  '/api/v1/controller/orchestrators/{id}': ['get'],
  '/api/v1/controller/orchestrators/live': ['get'],
  '/api/v1/controller/orchestrators/live/{id}': ['get'],
  '/api/v1/controller/orchestrator-instances': ['post'],
  '/api/v1/controller/orchestrator-instances/{id}': ['delete'],
  '/api/v1/controller/overview': ['get'],
  '/api/v1/controller/health': ['get'],
  '/api/v1/internal/orchestrators/register': ['post'],
  '/api/v1/internal/orchestrators/heartbeat': ['post'],
  '/api/v1/internal/orchestrators/{id}/independence': ['get', 'put'],
  '/api/v1/internal/orchestrators/{id}/messages': ['get', 'post'],
  '/api/v1/internal/messages/{id}/status': ['put'],
  '/api/v1/internal/messages': ['get'],
  '/api/v1/internal/orchestrators/{id}/deregister': ['delete'],
  '/api/v1/internal/orchestrators/{id}/send': ['post'],
  '/api/v1/internal/logs': ['get'],
  '/api/v1/internal/health': ['get'],
  '/api/v1/internal/nodes': ['get'],
  '/health/live': ['get'],
  '/health/ready': ['get'],
  '/health': ['get'],
  '/metrics': ['get'],
  '/openapi.json': ['get'],
  '/asyncapi.json': ['get'],
  '/docs': ['get'],
  '/docs/events': ['get'],
  '/docs/{file}': ['get'],
};

interface Operation {
  summary: string;
  parameters: { name: string; in: string; required: boolean; schema: Record<string, unknown> }[];
  responses: Record<string, { headers?: Record<string, unknown> }>;
  requestBody?: { content: { 'application/json': { schema: { required: string[] } } } };
}

test('the API describes itself: every call of the contract and no other', async (t) => {
  const { status, body } = await world.api.get('/openapi.json');

  t.is(status, 200);
  t.regex(body.openapi, /^3\.1\./);
  const paths: Record<string, Record<string, Operation>> = body.paths;
  t.deepEqual(
    Object.fromEntries(Object.entries(paths).map(([path, calls]) => [path, Object.keys(calls).sort()])),
    documented,
  );
  for (const [path, calls] of Object.entries(paths))
    for (const [method, operation] of Object.entries(calls)) {
      t.true(operation.summary.length > 0, `${method} ${path}`);
      const inPath = operation.parameters.filter((each) => each.in === 'path').map((each) => each.name);
      t.deepEqual(
        inPath,
        [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]),
        `${method} ${path}`,
      );
      t.is(operation.requestBody !== undefined, method === 'post' || method === 'put', `${method} ${path}`);
    }
  const create = paths['/api/v1/controller/organizations']?.post;
  t.deepEqual(create?.requestBody?.content['application/json'].schema.required.sort(), ['name', 'org_id']);
  const list = paths['/api/v1/controller/orchestrators']?.get;
  t.deepEqual(list?.parameters.map((each) => each.name).sort(), [
    'organization_id',
    'page',
    'page_size',
    'status',
  ]);
  const size = list?.parameters.find((each) => each.name === 'page_size');
  t.deepEqual(size?.schema, { type: 'integer', minimum: 1, maximum: 100, default: 20 });
  t.false(size?.required);
});

test('the API says what each call answers, the closed list of error codes among it', async (t) => {
  const { paths, components } = (await world.api.get('/openapi.json')).body;
  const answersOf = (path: string, method: string) => Object.keys(paths[path][method].responses);
  const orchestrator = '/api/v1/internal/orchestrators/{id}';
  for (const [path, method, answers] of [
    ['/api/v1/controller/organizations', 'get', ['200', '304', '400', '401', '403', '429', '503']],
    [
      '/api/v1/controller/organizations',
      'post',
      ['201', '400', '401', '403', '409', '413', '415', '429', '503'],
    ],
    ['/api/v1/controller/orchestrators/live/{id}', 'get', ['200', '400', '401', '403', '404', '429', '503']],
    ['/api/v1/controller/health', 'get', ['200', '401', '403', '429']],
    [
      `${orchestrator}/send`,
      'post',
      ['200', '202', '400', '401', '403', '409', '413', '415', '429', '503', '504'],
    ],
    [`${orchestrator}/messages`, 'post', ['201', '400', '401', '403', '404', '413', '415', '429', '503']],
    ['/health/ready', 'get', ['200', '503']],
    ['/metrics', 'get', ['200']],
    ['/docs', 'get', ['200', '304', '429']],
    ['/docs/{file}', 'get', ['200', '304', '404', '429']],
  ] as const)
    t.deepEqual(answersOf(path, method), [...answers, 'default'], `${method} ${path}`);
  for (const [path, status] of [
    ['/api/v1/controller/organizations', '503'],
    ['/api/v1/controller/organizations', '429'],
    ['/docs', '429'],
  ] as const)
    t.is(
      valueAt(
        components.responses,
        `#/${paths[path].get.responses[status].$ref.split('/').at(-1)}/headers/Retry-After/$ref`,
      ),
      '#/components/headers/RetryAfter',
      `${status} ${path}`,
    );
  t.deepEqual(paths['/api/v1/internal/nodes'].get.security, [{ token: ['admin'] }]);
  t.deepEqual(paths['/metrics'].get.security, []);
  t.like(components.securitySchemes.token, { type: 'http', scheme: 'bearer' });
  const codes = components.schemas.Error.properties.code.enum;
  for (const code of ['invalid_request', 'not_found', 'rate_limited', 'unavailable', 'internal_error'])
    t.true(codes.includes(code), code);
});

test('the API can be read as a page that needs nothing from anywhere else', async (t) => {
  const { status, headers, body } = await world.api.get('/docs');
  t.is(status, 200);
  t.regex(String(headers.get('content-type')), /^text\/html/);
  for (const path of Object.keys(documented)) t.true(body.includes(path.replace(/\{(\w+)\}/g, ':$1')), path);
  t.false(/(src|href)="(https?:)?\/\//.test(body));
});

test('the process answers only reading calls', async (t) => {
  for (const path of [
    ...['/health', '/health/live', '/health/ready', '/metrics', '/openapi.json', '/asyncapi.json'],
    ...['/docs', '/docs/events', '/docs/start.js'],
  ]) {
    const answer = await world.api.post(path, {});
    errorOf(t, answer, 405, 'method_not_allowed');
    t.is(answer.headers.get('allow'), 'HEAD, GET');
  }
});

// Anybody may ask for them, and they cost more to make than any other answer.
test('what describes the API is made once', async (t) => {
  const made: string[] = [];
  const routes = describingRoutes({
    openApi: () => ({ made: made.push('openApi') }),
    asyncApi: () => ({ made: made.push('asyncApi') }),
    docs: () => `made ${made.push('docs')}`,
    eventDocs: () => `made ${made.push('eventDocs')}`,
    files: createDocsFiles(),
  });
  const answers = () =>
    Promise.all(
      routes.map((each) =>
        each.prepare({ params: { file: 'docs.css' }, query: {}, body: undefined }, anyone).answer(),
      ),
    );
  const [first, second] = [await answers(), await answers()];
  for (const [at, { body }] of first.entries()) t.is(second[at]?.body, body);
  t.deepEqual(made, ['openApi', 'asyncApi', 'docs', 'eventDocs']);
});
