// Owns the targets beside routes and events: what is no HTTP, Engine.IO's own requests, and orchestrators' acknowledgements.
import fc from 'fast-check';
import { isDeeperThan } from '../../src/fleet/json.ts';
import { socketPath } from '../../src/socket/path.ts';
import { hostileJson, hostileText } from './hostile.ts';
import { judgeResponse, requireDiscreet } from './judgement.ts';
import { type Scene, sessionId } from './scene.ts';
import { createTarget, type Target } from './target.ts';
import { asCurl, type Request } from './wire.ts';

export const oddTargets = (scene: Scene): Target[] => [
  noHttpTarget(scene),
  engineTarget(scene),
  acknowledgementTarget(scene),
];

const startLines = [
  ...[
    'GET /health/live HTTP/1.1',
    'GET /health/live HTTP/1.0',
    'GET /health/live',
    'GET  /health/live  HTTP/1.1',
  ],
  ...[
    'GET /health/live HTTP/9.9',
    'PRI * HTTP/2.0',
    'get /health/live http/1.1',
    ' GET / HTTP/1.1',
    'GET / HTTP/1.1 x',
  ],
  ...[
    'POST /api/v1/internal/orchestrators/heartbeat HTTP/1.1',
    'CONNECT elsewhere.example:443 HTTP/1.1',
    'OPTIONS * HTTP/1.1',
  ],
  ...[
    '\u0016\u0003\u0001\u0002\u0000\u0001',
    '\u0000',
    '',
    'SSH-2.0-x',
    '$6',
    '*1',
    `GET /${'x'.repeat(20_000)} HTTP/1.1`,
  ],
  ...[
    'GET /\u0000 HTTP/1.1',
    'GET /\u00ff\u00fe HTTP/1.1',
    'GET http://[::1/ HTTP/1.1',
    'GET //../../etc HTTP/1.1',
  ],
];
const headerLines = [
  ...[
    'Host: x',
    'Host:',
    'Host: x\r\nHost: y',
    'host',
    ': x',
    ' folded: x',
    'X: a\r\n b',
    'X : y',
    'X: \u0000',
    'X: a\rb',
  ],
  ...[
    'Content-Length: 5',
    'Content-Length: -1',
    'Content-Length: +5',
    'Content-Length: 5, 5',
    'Content-Length: 0x5',
  ],
  ...['Content-Length: 5\r\nContent-Length: 6', 'Content-Length: 99999999999999999999', 'Content-Length: '],
  ...[
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: gzip, chunked',
    'Transfer-Encoding: chunked, identity',
  ],
  ...[
    'Transfer-Encoding: chunked\r\nContent-Length: 5',
    'Transfer-Encoding : chunked',
    'Transfer-Encoding: \u000bchunked',
  ],
  ...[
    'Content-Type: application/json',
    'Connection: close',
    'Connection: Upgrade\r\nUpgrade: websocket',
    'Expect: 100-continue',
  ],
  ...[`X: ${'x'.repeat(20_000)}`, 'Trailer: X', 'TE: trailers', 'Sec-WebSocket-Key: x'],
];
const endings = [
  ...[
    '',
    '\r\n',
    '\n',
    '\r\n{"a":1',
    '\r\n{"orchestrator_id":"fleet-1"}',
    '\r\n5\r\n{"a":\r\n0\r\n\r\n',
    '\r\n-1\r\n',
    '\r\nZ\r\n',
  ],
  ...[
    '\r\nffffffffffffffff\r\n',
    '\r\n5;x=y\r\n12345\r\n0\r\nX: y\r\n\r\n',
    '\r\n\r\nGET /health/live HTTP/1.1\r\nHost: x\r\n\r\n',
  ],
];

function noHttpTarget({ wire, writes, replica }: Scene): Target {
  return createTarget({
    name: '(no HTTP)',
    share: 1,
    calls: fc
      .record({
        start: fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...startLines) }, hostileText),
        lines: fc.array(fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...headerLines) }, hostileText), {
          maxLength: 4,
        }),
        lineBreak: fc.oneof(
          { weight: 9, arbitrary: fc.constant('\r\n') },
          fc.constantFrom('\n', '\r', '\r\r\n'),
        ),
        ending: fc.constantFrom(...endings),
      })
      .map(({ start, lines, lineBreak, ending }) => [start, ...lines, ending].join(lineBreak)),
    async perform(text) {
      await writes.count();
      const responses = await wire.sendText(text);
      const codes = responses.map((response) => judgeResponse(response, false));
      if (codes.includes(undefined)) writes.forget();
      else await writes.requireNone();
      return codes.length === 0 ? 'closed' : (codes[0] ?? 'accepted');
    },
    describe: (text) =>
      `${JSON.stringify(text.slice(0, 4_000))}, one byte a character, to ${replica.controller.url}`,
  });
}

/** What stands behind Engine.IO's own refusals is not the envelope: its clients know these. */
function engineTarget({ wire, writes, replica }: Scene): Target {
  const odd = fc.oneof(
    { weight: 1, arbitrary: hostileText },
    fc.constantFrom('4', '3', 'polling', 'websocket'),
  );
  return createTarget({
    name: `HTTP ${socketPath}`,
    share: 0.5,
    calls: fc
      .record({
        method: fc.oneof(
          { weight: 6, arbitrary: fc.constant('GET') },
          fc.constantFrom('POST', 'OPTIONS', 'PUT', 'TRACE'),
        ),
        path: fc.constantFrom(socketPath, `${socketPath}/`, `${socketPath}/socket.io.js`, `${socketPath}x`),
        query: fc.record(
          {
            EIO: fc.oneof(fc.constant('4'), odd),
            transport: fc.oneof(fc.constant('polling'), odd),
            sid: odd,
            j: odd,
          },
          { requiredKeys: ['EIO', 'transport'] },
        ),
        body: fc.oneof(
          fc.constant(undefined),
          fc.constantFrom('', '40', '1', '4'.repeat(300_000)),
          hostileText,
        ),
        headers: fc.constantFrom(
          [],
          [
            ['Upgrade', 'websocket'],
            ['Connection', 'Upgrade'],
          ],
          [['Origin', 'null']],
        ) as fc.Arbitrary<Request['headers']>,
      })
      .map(({ method, path, query, body, headers }): Request => {
        const text = new URLSearchParams(
          Object.entries(query).map(([name, value]) => [name, value.toWellFormed()]),
        );
        return { method, target: `${path}?${text}`, headers, body };
      }),
    async perform(request) {
      await writes.count();
      // An upgrade that succeeds is no HTTP any more: what is sent here never is one.
      const { status, body } = await wire.send(request);
      if (status >= 500) throw new Error(`answered ${status}: ${body}`);
      requireDiscreet(body);
      const [, sid] = /"sid":"([^"]+)"/.exec(body) ?? [];
      if (sid !== undefined)
        await wire.send({
          method: 'POST',
          target: `${socketPath}?EIO=4&transport=polling&sid=${sid}`,
          headers: [['Content-Type', 'text/plain']],
          body: '1',
        });
      await writes.requireNone();
      return status < 400 ? 'accepted' : String(status);
    },
    describe: (request) => asCurl(request, replica.controller.url),
  });
}

function acknowledgementTarget({ session, writes, api }: Scene): Target {
  // Larger or deeper ones end the connection, or are none: tests of their own say so.
  const isTaken = (text: string) => {
    try {
      return text.length < 200_000 && !isDeeperThan(900, JSON.parse(text));
    } catch {
      return false;
    }
  };
  return createTarget({
    name: 'ws (acknowledgement of a message)',
    share: 0.5,
    calls: fc.array(hostileJson(fc.jsonValue(), { damaged: false }).filter(isTaken), { maxLength: 3 }),
    async perform(values) {
      const { socket } = await session();
      await writes.count();
      const onPacket = ({ id }: { id?: number }) => {
        if (id !== undefined) socket.io.engine.write(`3${id}[${values.join(',')}]`);
      };
      socket.io.on('packet', onPacket);
      try {
        const path = `/api/v1/internal/orchestrators/${sessionId}/send`;
        const { status, body } = await api.post(path, { type: 'ask', ack: true, timeout_ms: 10_000 });
        if (status !== 200 || body.type !== 'ask')
          throw new Error(`answered ${status}: ${JSON.stringify(body)}`);
      } finally {
        socket.io.off('packet', onPacket);
      }
      await writes.requireNone();
      return 'accepted';
    },
    describe: (values) => `an acknowledgement of [${values.join(',').slice(0, 4_000)}]`,
  });
}
