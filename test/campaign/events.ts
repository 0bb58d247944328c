// Owns the events of `/ws` as targets: those of the protocol's table, any other, and packets that are none.
import fc from 'fast-check';
import { z } from 'zod';
import { createJsonSchemas } from '../../src/fleet/json.ts';
import { createEvents, type EventName } from '../../src/socket/protocol.ts';
import type { TestOrchestrator } from '../support/orchestrator.ts';
import { hostileJson, hostileText } from './hostile.ts';
import { judgeSocketError } from './judgement.ts';
import { type Scene, sessionId } from './scene.ts';
import { type JsonSchema, valuesOf } from './schema-values.ts';
import { createTarget, type Target } from './target.ts';

/** One packet of Socket.IO's, and the binary ones behind it. Source: https://socket.io/docs/v4/socket-io-protocol/ */
interface Packet {
  readonly text: string;
  readonly attachments: readonly string[];
  /** On a connection of its own, that has not introduced itself. */
  readonly fresh: boolean;
}

const ackId = 7_000_000;
const events = createEvents(createJsonSchemas({ metadataBytes: 32_768, jsonDepth: 32 }));

/** The protocol's events, each by its schema, and what is no event. */
export function eventTargets(scene: Scene): Target[] {
  const names = Object.keys(events) as EventName[];
  return [
    ...names.map((name) =>
      target(
        scene,
        name,
        eventPackets(fc.constant(name), payloadsOf(scene, name), name === 'handshake' ? 6 : 1),
      ),
    ),
    target(scene, '(any other event)', eventPackets(otherNames, fc.jsonValue(), 1)),
    target(scene, '(no event)', oddPackets),
  ];
}

function target(scene: Scene, name: string, calls: fc.Arbitrary<Packet>): Target {
  return createTarget({
    name: `ws ${name}`,
    share: 1,
    calls,
    perform: (packet) => perform(scene, packet),
    describe: ({ text, attachments, fresh }) =>
      [
        `on /ws, ${fresh ? 'without a handshake' : `behind a handshake as ${sessionId}`}: the packet`,
        text.length <= 4_000
          ? JSON.stringify(text)
          : `${JSON.stringify(text.slice(0, 500))} of ${text.length} characters`,
        ...(attachments.length > 0 ? [`and the binary ones ${JSON.stringify(attachments)}`] : []),
      ].join(' '),
  });
}

function payloadsOf(scene: Scene, name: EventName): fc.Arbitrary<unknown> {
  const schema: JsonSchema = z.toJSONSchema(events[name], { io: 'input', unrepresentable: 'any' });
  return valuesOf(schema, scene.knownToGuests);
}

const otherNames: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(
    ...['connect', 'connect_error', 'disconnect', 'disconnecting', 'newListener', 'removeListener', 'error'],
    ...[
      'handshake_ack',
      'provision_config',
      'superseded',
      'reconnect',
      'message',
      'send',
      'Handshake',
      'i_am_alive ',
    ],
    ...[5, 0, -1, 1.5, 1e21, null, true, {}, [], ['handshake'], { handshake: 1 }],
    'x'.repeat(9_000),
  ),
  hostileText,
);

/** @param freshWeight of so many and one payloads, how many come on a connection that has not introduced itself */
function eventPackets(
  names: fc.Arbitrary<unknown>,
  payloads: fc.Arbitrary<unknown>,
  freshWeight: number,
): fc.Arbitrary<Packet> {
  const argument = hostileJson(payloads, { damaged: false });
  const anything = hostileJson(fc.jsonValue(), { damaged: false });
  const args = fc.oneof(
    { weight: 30, arbitrary: fc.tuple(argument) },
    { weight: 1, arbitrary: fc.constant([]) },
    { weight: 2, arbitrary: fc.tuple(argument, anything) },
    { weight: 1, arbitrary: fc.array(anything, { minLength: 2, maxLength: 20 }) },
  );
  const attachments = fc.oneof(
    { weight: 12, arbitrary: fc.constant<string[]>([]) },
    {
      weight: 1,
      arbitrary: fc.array(fc.constantFrom('', 'x', '\u0000\u00ff', 'x'.repeat(5_000)), { maxLength: 3 }),
    },
  );
  return fc
    .record({
      name: names,
      args,
      asked: fc.boolean(),
      attachments,
      declared: fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.constantFrom(-1, 1, 1_000_000)),
      fresh: fc.oneof({ weight: 5, arbitrary: fc.constant(freshWeight > 1) }, fc.boolean()),
    })
    .map(({ name, args, asked, attachments, declared, fresh }) => {
      const type = attachments.length === 0 ? '2' : `5${attachments.length + declared}-`;
      const binaries = attachments.map((_, num) => JSON.stringify({ _placeholder: true, num }));
      const all = [JSON.stringify(name), ...args, ...binaries];
      return { text: `${type}${asked ? ackId : ''}[${all.join(',')}]`, attachments, fresh };
    });
}

const oddPackets: fc.Arbitrary<Packet> = fc.record({
  text: fc.oneof(
    fc.constantFrom(
      ...[
        '',
        '2',
        '2{',
        '2{"a":1}',
        '2[]',
        '2[{}]',
        '2["disconnecting"]',
        '9["x"]',
        '3999["x"]',
        '3["x"]',
        '-1',
        'x',
      ],
      ...[
        '299999999999999999999999["x",{}]',
        '2/admin,["x"]',
        '0',
        '0/admin,',
        '0{"token":"x"}',
        '1',
        '1/x,',
      ],
      ...[
        '4{"message":"x"}',
        '4"x"',
        '51-["i_am_alive",{"_placeholder":true,"num":0}]',
        '5-["x"]',
        '51["x"]',
      ],
      ...[
        '51000000-["i_am_alive",{}]',
        '6-1[]',
        '61-7[{"_placeholder":true,"num":0}]',
        '2["i_am_alive"',
        '2"i_am_alive"',
      ],
      ...[`51-["i_am_alive",${'['.repeat(9_000)}{"_placeholder":true,"num":0}${']'.repeat(9_000)}]`],
      ...['2\u0000["i_am_alive"]', '2["i_am_alive"]\u0000', '2["__proto__",{}]', `2${'['.repeat(50_000)}`],
    ),
    fc.tuple(fc.nat({ max: 12 }), hostileText).map(([type, text]) => `${type}${text}`),
    hostileText,
  ),
  attachments: fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, fc.array(hostileText, { maxLength: 2 })),
  fresh: fc.boolean(),
});

/** What a disconnect writes of an orchestrator that is alone in its organization: a row in each table. */
const rowsOfDisconnect = 2;
const answerWithinMs = 10_000;
let barriers = 0;

async function perform(scene: Scene, packet: Packet): Promise<string> {
  const on = packet.fresh ? await scene.open() : await scene.session();
  try {
    return await exchange(scene, packet, on);
  } finally {
    if (packet.fresh) on.close();
    on.received.length = 0;
  }
}

async function exchange({ writes, ended }: Scene, packet: Packet, on: TestOrchestrator): Promise<string> {
  const before = await writes.count();
  on.received.length = 0;
  writeTo(on, packet);
  // An event that does not exist is answered behind all that came before it.
  barriers += 1;
  const barrier = `barrier-${barriers}`;
  on.socket.io.engine.write(`2["${barrier}"]`);
  const isBarrier = (payload: { message?: unknown }) => String(payload?.message).includes(barrier);
  const errors = () => on.received.filter(({ event }) => event === 'error').map(({ payload }) => payload);
  await answered(on, () => errors().some(isBarrier));

  const [code] = errors()
    .filter((payload) => !isBarrier(payload))
    .map(judgeSocketError);
  const welcomed = on.received.find(({ event }) => event === 'handshake_ack')?.payload;
  if (welcomed !== undefined && packet.fresh) {
    on.close();
    await ended(welcomed.orchestrator_id);
  }
  if (welcomed !== undefined) {
    writes.forget();
    return 'accepted';
  }
  if (!on.socket.connected) {
    if (!packet.fresh) {
      await ended(sessionId);
      writes.forget();
      const written = (await writes.count()) - before;
      if (written !== rowsOfDisconnect)
        throw new Error(`a packet that ended its connection wrote ${written} rows`);
    } else await writes.requireNone();
    return code ?? 'closed';
  }
  if (code === undefined && !packet.fresh) {
    // Behind it nothing that was accepted is still to be written.
    await on.ask('i_am_alive', {});
    writes.forget();
    return 'accepted';
  }
  await writes.requireNone();
  return code ?? 'ignored';
}

/** Resolves once there is what is looked for, or the connection has ended. */
async function answered({ socket }: TestOrchestrator, there: () => boolean): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const late = setTimeout(() => reject(new Error(`no answer within ${answerWithinMs} ms`)), answerWithinMs);
  const look = () => {
    if (!socket.connected || there()) resolve();
  };
  socket.on('error', look);
  socket.on('disconnect', look);
  look();
  await promise.finally(() => {
    clearTimeout(late);
    socket.off('error', look);
    socket.off('disconnect', look);
  });
}

function writeTo({ socket }: TestOrchestrator, { text, attachments }: Packet): void {
  const { engine } = socket.io;
  engine.write(text);
  for (const attachment of attachments) engine.write(Buffer.from(attachment, 'latin1'));
}
