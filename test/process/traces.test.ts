// One trace leads from the call through the queue to the orchestrator and back, across replicas; it is off by default.
import test from 'ava';
import { type Cluster, openCluster } from '../support/cluster.ts';
import { type CollectedSpan, openCollector } from '../support/collector.ts';
import { connectOrchestrator } from '../support/orchestrator.ts';
import { until } from '../support/until.ts';

const secret = 'exporters-own-secret';
const stack = new AsyncDisposableStack();
let cluster: Cluster;
test.before(async (t) => {
  t.timeout(120_000);
  cluster = stack.use(await openCluster({ replicas: 0 }));
});
test.after.always(() => stack.disposeAsync());

const tracingTo = (url: string, delayMs = 50) => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: url,
  OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
  OTEL_EXPORTER_OTLP_HEADERS: `authorization=Bearer%20${secret}`,
  OTEL_BSP_SCHEDULE_DELAY: String(delayMs),
  LOG_LEVEL: 'info',
});
const send = '/api/v1/internal/orchestrators/traced/send';
const asJson = (body: object, headers: Record<string, string> = {}): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(body),
});
/** Says on its standard output which packages of OpenTelemetry's SDK a process loads. */
const tellLoads = `--import=data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module';
  registerHooks({ resolve(specifier, context, next) {
    if (/^@opentelemetry\\/(sdk|exporter|resources)/.test(specifier)) console.log('LOADS ' + specifier);
    return next(specifier, context);
  } });`)}`;

test.serial('a send through A to an orchestrator on B is one trace, under the caller’s own', async (t) => {
  await using collector = await openCollector();
  const [a, b] = await Promise.all([
    cluster.startReplica({ env: { ...tracingTo(collector.url), NODE_OPTIONS: tellLoads } }),
    cluster.startReplica({ env: { ...tracingTo(collector.url), OTEL_SERVICE_NAME: 'controller-b' } }),
  ]);
  const orchestrator = await connectOrchestrator(b.url);
  orchestrator.socket.on('note', (_frame, acknowledge) => acknowledge?.('seen'));
  await orchestrator.handshake('traced');
  await orchestrator.ask('i_am_alive', {});
  await a.api.post('/api/v1/internal/orchestrators/heartbeat', { orchestrator_id: 'traced' });

  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const above = 'b7ad6b7169203331';
  const traceparent = `00-${traceId}-${above}-01`;
  const answer = await a.api.request(send, asJson({ type: 'note', ack: true }, { traceparent }));
  t.is(answer.body.ack, 'seen');
  t.true(a.output().includes('LOADS @opentelemetry/sdk-trace-base'), 'as the last of these tests looks for');
  await until('four spans', () => collector.spans.length >= 4);

  const byName = new Map(collector.spans.map((span) => [span.name, span]));
  const chain = [
    { name: 'POST /api/v1/internal/orchestrators/:id/send', kind: 'server', from: a.nodeId },
    { name: 'send outbound', kind: 'producer', from: a.nodeId },
    { name: 'process outbound', kind: 'consumer', from: b.nodeId },
    { name: 'emit', kind: 'client', from: b.nodeId },
  ];
  t.deepEqual(
    [...byName.keys()].sort(),
    chain.map(({ name }) => name).sort(),
    'heartbeats and probes have none',
  );
  let parent: string | undefined = above;
  for (const { name, kind, from } of chain) {
    const span: CollectedSpan | undefined = byName.get(name);
    t.like(span, { traceId, parentSpanId: parent, kind }, name);
    t.is(span?.resource['service.instance.id'], from, name);
    parent = span?.spanId;
  }
  t.like(byName.get(chain[0]?.name ?? '')?.attributes, {
    'http.request.method': 'POST',
    'http.route': '/api/v1/internal/orchestrators/:id/send',
    'http.response.status_code': 200,
  });
  const { message_id } = answer.body;
  t.like(byName.get('send outbound')?.attributes, {
    'messaging.system': 'bullmq',
    'messaging.destination.name': `outbound.${b.nodeId}`,
    'messaging.message.id': message_id,
  });
  t.like(byName.get('process outbound')?.attributes, { 'moolai.message.outcome': 'emitted' });
  t.like(byName.get('emit')?.attributes, { 'moolai.message.outcome': 'acknowledged' });
  t.is(byName.get('send outbound')?.resource['service.name'], 'moolai-controller');
  t.is(byName.get('emit')?.resource['service.name'], 'controller-b');
  t.true(collector.requests.every(({ path }) => path === '/v1/traces'));
  t.true(collector.requests.every(({ headers }) => headers.authorization === `Bearer ${secret}`));

  for (const line of ['"event":"audit"', 'Sent message to orchestrator traced'])
    await until(`its trace in the line of ${line}`, () =>
      a
        .output()
        .split('\n')
        .some((each) => each.includes(`"trace_id":"${traceId}"`) && each.includes(line)),
    );

  // Who is not sampled is not told of, anywhere.
  const before = collector.spans.length;
  const unsampled = `00-${'1'.repeat(32)}-${'2'.repeat(16)}-00`;
  await a.api.request(send, asJson({ type: 'note' }, { traceparent: unsampled }));
  // One without a trace begins one; what is received without being acknowledged is told as well. So is an error.
  await a.api.request(send, asJson({ type: 'note' }, { traceparent: 'nonsense' }));
  await a.api.request('/api/v1/internal/orchestrators/nobody/send', asJson({ type: 'note' }));
  const more = await until(
    'six more',
    () => collector.spans.length >= before + 6 && collector.spans.slice(before),
  );
  t.is(more.length, 6);
  t.is(new Set(more.map((span) => span.traceId)).size, 2);
  t.is(more.find(({ name }) => name === 'emit')?.attributes['moolai.message.outcome'], 'received');
  t.true(more.some(({ attributes }) => attributes['error.type'] === 'not_connected'));
  t.false(more.some((span) => span.traceId === '1'.repeat(32)));

  // A message that comes again is taken again, and emitted once; its step ends with its time.
  const unheard = collector.spans.length;
  await a.api.request(send, asJson({ type: 'unanswered', ack: true, timeout_ms: 2_500 }));
  const again = await until('the emission to be given up, and all to be told', () => {
    const since = collector.spans.slice(unheard);
    const count = (kind: string) => since.filter((span) => span.kind === kind).length;
    return count('client') > 0 && count('consumer') > 1 && count('server') > 0 && since;
  });
  const named = (name: string) => again.filter((span) => span.name === name);
  t.is(named('emit').length, 1);
  t.is(named('emit')[0]?.attributes['error.type'], 'timeout');
  t.is(named('process outbound').length, 2);
  t.like(again.find(({ kind }) => kind === 'server')?.attributes, {
    'http.response.status_code': 504,
    'error.type': '504',
  });

  orchestrator.close();
  for (const replica of [a, b]) {
    t.is((await replica.stop()).code, 0);
    t.false(replica.output().includes(secret));
  }
});

test.serial('a stop sends what is not yet sent, as protobuf by default', async (t) => {
  await using collector = await openCollector();
  const { OTEL_EXPORTER_OTLP_PROTOCOL: _json, ...env } = tracingTo(collector.url, 60_000);
  const replica = await cluster.startReplica({ env });
  const traceId = 'abcdef0123456789abcdef0123456789';
  await replica.api.request('/api/v1/internal/nodes', {
    headers: { traceparent: `00-${traceId}-${'1'.repeat(16)}-01` },
  });
  // As anybody may send.
  t.is((await replica.api.get(`/${'y'.repeat(8_000)}`)).status, 404);
  t.is(collector.requests.length, 0);
  t.is((await replica.stop()).code, 0);
  t.is(collector.requests.length, 1);
  t.is(collector.requests[0]?.headers['content-type'], 'application/x-protobuf');
  t.true(collector.requests[0]?.body.includes(Buffer.from(traceId, 'hex')));
  t.true(collector.requests[0]?.body.includes('y'.repeat(500)));
  t.false(collector.requests[0]?.body.includes('y'.repeat(1_000)));
});

test.serial(
  'a collector that is away, or never answers, harms nobody and is told without its credentials',
  async (t) => {
    await using silent = await openCollector({ answers: false });
    const env = { ...tracingTo(silent.url), OTEL_EXPORTER_OTLP_TIMEOUT: '300', LOG_LEVEL: 'warn' };
    const [away, hung] = await Promise.all([
      cluster.startReplica({ env: { ...env, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' } }),
      cluster.startReplica({ env }),
    ]);
    for (const replica of [away, hung]) {
      const calls = async () => {
        for (let call = 0; call < 5; call += 1)
          t.is((await replica.api.get('/api/v1/internal/nodes')).status, 200);
      };
      await calls();
      await until('it to be told', () => replica.output().includes('Traces are not taken'));
      await calls();
      t.is((await replica.api.get('/health/ready')).status, 200);
      const { code, ms } = await replica.stop();
      t.is(code, 0);
      t.true(ms < 10_000);
      t.is(replica.output().match(/Traces are not taken/g)?.length, 1, 'once in a while');
      t.false(replica.output().includes(secret));
    }
  },
);

test.serial(
  'by default nothing of the SDK is loaded, nobody is connected to, and it can be turned off',
  async (t) => {
    await using collector = await openCollector();
    const traced = { ...tracingTo(collector.url), NODE_OPTIONS: tellLoads };
    const replicas = await Promise.all([
      cluster.startReplica({ env: { NODE_OPTIONS: tellLoads } }),
      cluster.startReplica({ env: { ...traced, OTEL_SDK_DISABLED: 'true' } }),
      cluster.startReplica({ env: { ...traced, OTEL_TRACES_EXPORTER: 'none' } }),
      cluster.startReplica({ env: { ...tracingTo(collector.url), OTEL_TRACES_SAMPLER: 'always_off' } }),
    ]);
    const misread = await cluster.startReplica({
      env: { ...traced, OTEL_EXPORTER_OTLP_ENDPOINT: `//someone:${secret}@127.0.0.1:1` },
    });
    replicas.push(misread);
    for (const replica of replicas) t.is((await replica.api.get('/api/v1/internal/nodes')).status, 200);
    await Promise.all(replicas.map((replica) => replica.stop()));
    t.regex(misread.output(), /OTEL_EXPORTER_OTLP_ENDPOINT must be an http or https URL: nothing is traced/);
    t.false(misread.output().includes(secret));
    for (const replica of replicas) t.false(replica.output().includes('LOADS'));
    t.is(collector.connections, 0);
  },
);
