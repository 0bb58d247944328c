// Whatever a client puts on the wire, the replica goes on serving. (An exception or a rejection that nobody handles
// fails the whole file: ava sees to that.)
import test from 'ava';
import type { TestOrchestrator } from '../support/orchestrator.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ settings: { socket: { frameLimitBytes: 65_536 } } });
test.after.always(() => world.close());
test.after('nothing of this file was an error of the controller’s', async (t) => {
  for (const level of ['ERROR', 'CRITICAL'])
    t.deepEqual((await world.api.get(`/api/v1/internal/logs?level=${level}`)).body.data.items, []);
});

const { api, open, connect } = world.replica(0);

function nested(depth: number): unknown {
  let value: unknown = [];
  for (let at = 0; at < depth; at += 1) value = [value];
  return value;
}

const payloads: [what: string, args: unknown[]][] = [
  ['nothing', []],
  ['null', [null]],
  ['true', [true]],
  ['a number', [-1e308]],
  ['a text', ['x']],
  ['an empty array', [[]]],
  ['an array', [[1, null, { a: [] }]]],
  ['a binary', [Buffer.from([0, 1, 2, 255])]],
  [
    'a binary inside',
    [{ data: Buffer.from('x'), timestamp: Buffer.from('y'), health_status: Buffer.from('z') }],
  ],
  ['an array 10,000 deep', [nested(10_000)]],
  ['an array 10,000 deep inside', [{ data: nested(10_000), health_status: nested(10_000) }]],
  ['U+0000', [{ type: '\u0000', data: '\u0000', health_status: '\u0000' }]],
  ['a lone surrogate', [{ type: '\ud800', data: '\udfff', health_status: '\ud800' }]],
  [
    '__proto__',
    [JSON.parse('{"__proto__":{"polluted":true},"data":{"__proto__":{"orchestrator_id":"proto-1"}}}')],
  ],
  ['constructor', [{ constructor: { prototype: { polluted: true } }, data: { constructor: 1 } }]],
  ['toJSON and then', [JSON.parse('{"toJSON":1,"then":"x","data":{"then":{},"toString":5,"valueOf":5}}')]],
  ['many arguments', [{}, { data: {} }, 3, 'four', null]],
  ['an acknowledgement that is a text', [{}, 'acknowledge']],
  ['an acknowledgement that is an object', [{}, { call: 1, apply: 2 }]],
];

const metadatas: [what: string, metadata: unknown][] = [
  ['U+0000 in a value', { note: 'a\u0000b' }],
  ['U+0000 in a key', { 'a\u0000b': 1 }],
  ['U+0000 in the name', { name: '\u0000' }],
  ['a lone surrogate', { note: 'a\ud800' }],
  ['a binary', { note: Buffer.from('x') }],
  ['10,000 levels', { note: nested(10_000) }],
  ['33 levels', { note: nested(33) }],
  ['an array for an object', [1, 2]],
];

async function stillServes(id: string): Promise<boolean> {
  const orchestrator = await connect(id);
  const { status } = await orchestrator.ask('i_am_alive', {});
  const sent = await api.post(`/api/v1/internal/orchestrators/${id}/send`, { type: 'hello' });
  orchestrator.close();
  return status === 'processed' && sent.status === 200;
}

/** Writes one Socket.IO packet as it stands, and the binary attachments behind it. */
function writeRaw(orchestrator: TestOrchestrator, packet: string, ...attachments: Buffer[]): void {
  const { engine } = orchestrator.socket.io;
  engine.write(packet);
  for (const attachment of attachments) engine.write(attachment);
}

/** The number by which the server knows the message that it waits for an acknowledgement of. */
function askedUnder(orchestrator: TestOrchestrator): Promise<number> {
  return new Promise((resolve) => {
    orchestrator.socket.io.on('packet', ({ id }) => {
      if (id !== undefined) resolve(id);
    });
  });
}

for (const [at, [what, args]] of payloads.entries()) {
  test(`${what} is no handshake`, async (t) => {
    const orchestrator = await open();
    orchestrator.socket.emit('handshake', ...args);
    t.like(await orchestrator.event('error'), { code: 'invalid_handshake', retryable: false });
    t.is(await orchestrator.closed(), 'io server disconnect');
    t.is(Reflect.get({}, 'polluted'), undefined);
  });

  test(`${what} with i_am_alive, provisioning_request or no event of ours does no harm`, async (t) => {
    const id = `hostile-${at}`;
    const orchestrator = await connect(id);
    for (const event of ['i_am_alive', 'provisioning_request', 'handshake_ack', 'send'])
      orchestrator.socket.emit(event, ...args);
    t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed');
    const codes = orchestrator.received
      .filter((each) => each.event === 'error')
      .map((each) => each.payload.code);
    t.deepEqual(
      codes.filter((code) => code === 'unknown_event'),
      ['unknown_event', 'unknown_event'],
    );
    t.true(codes.every((code) => code === 'unknown_event' || code === 'invalid_payload'));
    t.is(Reflect.get({}, 'polluted'), undefined);
  });
}

for (const [what, metadata] of metadatas)
  test(`metadata with ${what} is a bad handshake`, async (t) => {
    const orchestrator = await open();
    orchestrator.socket.emit('handshake', { data: { orchestrator_id: 'meta-1', metadata } });
    const error = await orchestrator.event('error');
    t.is(error.code, 'invalid_handshake');
    t.true(error.message.includes('data.metadata'));
    t.is(await orchestrator.closed(), 'io server disconnect');
    t.is((await api.get('/api/v1/controller/orchestrators/meta-1')).status, 404);
  });

test('metadata named like properties of the language are data like any other', async (t) => {
  const metadata = JSON.parse(
    '{"constructor":{"prototype":1},"toString":"x","hasOwnProperty":[],"then":{},"inner":{"__proto__":{"polluted":true}}}',
  );
  const orchestrator = await connect('words-1', { metadata });
  const shown = await api.get('/api/v1/controller/orchestrators/words-1');
  t.deepEqual(JSON.stringify(shown.body.data.metadata.inner), '{"__proto__":{"polluted":true}}');
  t.is(shown.body.data.metadata.toString, 'x');
  t.is(Reflect.get({}, 'polluted'), undefined);
  t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed');
});

test('events named like properties of the language are unknown events', async (t) => {
  const orchestrator = await connect('names-1');
  const names = [
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    'valueOf',
    'error',
    'message',
    '',
    'x'.repeat(9_000),
  ];
  for (const name of names) writeRaw(orchestrator, `2${JSON.stringify([name, {}])}`);
  writeRaw(orchestrator, '2[5,{}]');
  writeRaw(orchestrator, '21["toString",{}]');
  const errors = await until('an error for each', () => {
    const all = orchestrator.received.filter((each) => each.event === 'error');
    return all.length === names.length + 2 && all;
  });
  for (const { payload } of errors) {
    t.like(payload, { code: 'unknown_event', retryable: false });
    t.true(payload.message.length < 200);
  }
  t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed');
});

for (const [what, packet, ...attachments] of [
  ['no JSON', '2{'],
  ['an event that is no array', '2{"a":1}'],
  ['an event without a name', '2[]'],
  ['an event whose name is an object', '2[{}]'],
  ['a reserved event', '2["disconnecting"]'],
  ['a packet type that does not exist', '9["x"]'],
  ['an acknowledgement that nobody asked for', '3999["x"]'],
  ['an acknowledgement number that is too large', '299999999999999999999999["i_am_alive",{}]'],
  ['another namespace', '2/admin,["x"]'],
  ['a binary event whose attachment is missing', '51-["i_am_alive",{"_placeholder":true,"num":0}]'],
  [
    'a binary event with a placeholder out of range',
    '51-["i_am_alive",{"_placeholder":true,"num":7}]',
    Buffer.from('x'),
  ],
  ['a binary event of a million attachments', '51000000-["i_am_alive",{}]'],
  [
    'a binary event that is deep',
    `51-["i_am_alive",${'['.repeat(9_000)}{"_placeholder":true,"num":0}${']'.repeat(9_000)}]`,
    Buffer.from('x'),
  ],
  ['a frame that is too large', `2["i_am_alive","${'x'.repeat(70_000)}"]`],
  ['binary out of the blue', '2["i_am_alive"]', Buffer.from('x'), Buffer.from('y')],
] as [string, string, ...Buffer[]][])
  test(`${what} costs at the most the connection it came on`, async (t) => {
    const id = `raw-${what.replaceAll(/[^a-z]/g, '-')}`;
    const orchestrator = await connect(id);
    writeRaw(orchestrator, packet, ...attachments);
    t.true(await stillServes(`${id}-beside`));
    t.true(await stillServes(id));
  });

test('who leaves the namespace leaves the connection', async (t) => {
  const orchestrator = await connect('leaving-1');
  writeRaw(orchestrator, '1');
  t.is(await orchestrator.closed(), 'transport close');
  const stranger = await open();
  writeRaw(stranger, '1');
  writeRaw(stranger, '0');
  t.is(await stranger.closed(), 'transport close');
});

test('a frame over the limit closes the connection, and one below it does not', async (t) => {
  const orchestrator = await connect('large-1');
  orchestrator.socket.emit('i_am_alive', { type: 'x'.repeat(60_000) });
  t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed');
  orchestrator.socket.emit('i_am_alive', { type: 'x'.repeat(70_000) });
  t.is(await orchestrator.closed(), 'transport close');
});

for (const [what, answer] of [
  ['nothing', []],
  ['null', [null]],
  ['a text', ['x']],
  ['several values', [1, 2, 3]],
  ['U+0000', ['\u0000']],
  ['a binary', [Buffer.from('x')]],
  ['a binary inside', [{ deep: [Buffer.from('x')] }]],
  ['an array nearly a thousand deep', [nested(999)]],
  ['a lone surrogate', ['\ud800']],
] as [string, unknown[]][])
  test(`${what} may be an orchestrator’s acknowledgement of a message`, async (t) => {
    const id = `answers-${what.replaceAll(/[^a-z]/g, '-')}`;
    const orchestrator = await connect(id);
    orchestrator.socket.on('ask', (_payload, acknowledge) => acknowledge(...answer));
    const sent = await api.post(`/api/v1/internal/orchestrators/${id}/send`, { type: 'ask', ack: true });
    t.is(sent.status, 200);
    t.deepEqual(JSON.stringify(sent.body.ack), JSON.stringify(answer[0] ?? null));
    t.true(await stillServes(id));
  });

for (const [at, depth] of [1_001, 9_000, 30_000].entries())
  test(`an acknowledgement ${depth} deep is one that never came`, async (t) => {
    const id = `untold-${at}`;
    const orchestrator = await connect(id);
    const asked = askedUnder(orchestrator);
    orchestrator.socket.on('ask', async () => {
      const deep = `${'['.repeat(depth)}{"_placeholder":true,"num":0}${']'.repeat(depth)}`;
      writeRaw(orchestrator, `61-${await asked}[${deep}]`, Buffer.from('x'));
    });
    const message = { type: 'ask', ack: true, timeout_ms: 2_000 };
    t.is((await api.post(`/api/v1/internal/orchestrators/${id}/send`, message)).status, 504);
    t.true(await stillServes(id));
  });

test('an acknowledgement given twice counts once', async (t) => {
  const orchestrator = await connect('twice-1');
  const asked = askedUnder(orchestrator);
  orchestrator.socket.on('ask', async (_payload, acknowledge) => {
    const id = await asked;
    acknowledge('first');
    writeRaw(orchestrator, `3${id}["second"]`);
    writeRaw(orchestrator, `3${id}["third"]`);
  });
  const sent = await api.post('/api/v1/internal/orchestrators/twice-1/send', { type: 'ask', ack: true });
  t.is(sent.body.ack, 'first');
  t.true(await stillServes('twice-1'));
});
