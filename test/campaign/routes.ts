// Owns the routes as targets: those that the controller says it has, each with what its schemas allow and what they do not.
import fc from 'fast-check';
import { z } from 'zod';
import { hostileJson, hostileKey, hostileText } from './hostile.ts';
import { judgeResponse } from './judgement.ts';
import type { Scene } from './scene.ts';
import { type JsonSchema, valuesOf } from './schema-values.ts';
import { createTarget, type Target } from './target.ts';
import { asCurl, type Request } from './wire.ts';

const schema = z.record(z.string(), z.unknown());
const operation = z.object({
  parameters: z.array(
    z.object({ name: z.string(), in: z.enum(['path', 'query']), required: z.boolean(), schema }),
  ),
  requestBody: z.object({ content: z.object({ 'application/json': z.object({ schema }) }) }).optional(),
});
type Operation = z.output<typeof operation>;
const description = z.object({ paths: z.record(z.string(), z.record(z.string(), operation)) });

/** Every route of this controller. */
export async function routeTargets(scene: Scene): Promise<Target[]> {
  const { body } = await scene.api.get('/openapi.json');
  return Object.entries(description.parse(body).paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, each]) => routeTarget(scene, method.toUpperCase(), path, each)),
  );
}

function routeTarget(scene: Scene, method: string, path: string, operation: Operation): Target {
  const takesNothing = operation.parameters.length === 0 && operation.requestBody === undefined;
  return createTarget({
    name: `${method} ${path}`,
    share: takesNothing ? 0.3 : 1,
    calls: callsOf(scene, method, path, operation),
    perform: (request) => perform(scene, request),
    describe: (request) =>
      `${asCurl(request, scene.replica.controller.url)} # as an administrator, unless it says another`,
  });
}

async function perform({ wire, writes, authorization }: Scene, request: Request): Promise<string> {
  const reads = ['GET', 'HEAD', 'OPTIONS'].includes(request.method);
  // What must never write needs no look behind each: the one behind the round finds it.
  await writes.count();
  const isAuthorized = request.headers.some(([name]) => name === 'Authorization');
  const headers = isAuthorized ? request.headers : [...request.headers, authorization];
  const code = judgeResponse(await wire.send({ ...request, headers }), request.method === 'HEAD');
  if (code === undefined && !reads) writes.forget();
  else if (!reads) await writes.requireNone();
  return code ?? 'accepted';
}

function callsOf(scene: Scene, method: string, path: string, operation: Operation): fc.Arbitrary<Request> {
  const inPath = operation.parameters.filter((parameter) => parameter.in === 'path');
  const inQuery = operation.parameters.filter((parameter) => parameter.in === 'query');
  const bodySchema = operation.requestBody?.content['application/json'].schema;
  return fc
    .record({
      method: fc.oneof({ weight: 40, arbitrary: fc.constant(method) }, fc.constantFrom(...otherMethods)),
      segments: fc.record(
        Object.fromEntries(inPath.map(({ name, schema }) => [name, segments(scene, schema)])),
      ),
      detour: fc.oneof({ weight: 40, arbitrary: fc.constant(0) }, fc.nat({ max: detours.length - 1 })),
      query: queries(scene, inQuery),
      headers: headers,
      body: bodySchema === undefined ? strayBodies : bodies(scene, bodySchema),
    })
    .map(({ method, segments, detour, query, headers, body }) => {
      const filled = path.replaceAll(/\{(\w+)\}/g, (_, name) => String(segments[name]));
      const target = (detours[detour] ?? plain)(filled);
      return {
        method,
        target: query === '' ? target : `${target}?${query}`,
        headers: [...headers, ...(body?.headers ?? [])],
        body: body?.text,
      };
    });
}

const otherMethods = [
  'HEAD',
  'OPTIONS',
  'GET',
  'POST',
  'PUT',
  'DELETE',
  'PATCH',
  'TRACE',
  'PROPFIND',
  'get',
  'FOO',
];

const plain = (path: string) => path;
const detours: ((path: string) => string)[] = [
  plain,
  (path) => `${path}/`,
  (path) => `/${path}`,
  (path) => path.replaceAll('/', '//'),
  (path) => `/x/..${path}`,
  (path) => `/%2e%2e${path}`,
  (path) => `${path}/../../health`,
  (path) => path.toUpperCase(),
  (path) => `http://elsewhere.example${path}`,
  (path) => `${path};a=b`,
  (path) => `${path}%00`,
  (path) => `${path}%`,
  (path) => `${path}#part`,
  () => '*',
];

/** Never a line break as it stands: it would end the line of the request, and leave the peer waiting for more. */
const asBytes = (text: string) => Buffer.from(text.replaceAll(/[\r\n]/g, '')).toString('latin1');
const percent = (text: string) =>
  [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
const encoded = (text: string) => encodeURIComponent(text.toWellFormed());
const encodings: ((text: string) => string)[] = [
  encoded,
  percent,
  (text) => encoded(encoded(text)),
  (text) => percent(percent(text)),
  asBytes,
  (text) => `${encoded(text)}%`,
  (text) => `%c0%ae${encoded(text)}`,
  (text) => `%ed%a0%80${encoded(text)}`,
];
const encodedText = (texts: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(texts, fc.oneof(fc.constant(0), fc.nat({ max: encodings.length - 1 })))
    .map(([text, how]) => (encodings[how] ?? encoded)(text));

function segments(scene: Scene, schema: JsonSchema): fc.Arbitrary<string> {
  const right = valuesOf(schema, scene.known).map((value) => encoded(String(value)));
  return fc.oneof(
    { withCrossShrink: true },
    { weight: 3, arbitrary: right },
    { weight: 1, arbitrary: encodedText(hostileText) },
  );
}

function queries(scene: Scene, parameters: Operation['parameters']): fc.Arbitrary<string> {
  const names = parameters.map(({ name }) => name);
  const right = fc
    .record(Object.fromEntries(parameters.map(({ name, schema }) => [name, valuesOf(schema, scene.known)])), {
      requiredKeys: [],
    })
    .map((values) => Object.entries(values).map(([name, value]) => `${name}=${encoded(String(value))}`));
  const name =
    names.length === 0
      ? encodedText(hostileKey)
      : fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...names) }, encodedText(hostileKey));
  const odd = fc
    .tuple(name, fc.constantFrom('=', '=', '=', '[]=', '[a]=', ''), encodedText(hostileText))
    .map(([key, sign, value]) => `${key}${sign}${value}`);
  const many = fc.constantFrom('a=1&'.repeat(2_000), '&'.repeat(2_000), `page=${'9'.repeat(3_000)}`);
  const oddOnes = fc.oneof(
    { weight: names.length === 0 ? 1 : 6, arbitrary: fc.array(odd, { minLength: 1, maxLength: 3 }) },
    { weight: 1, arbitrary: many.map((text) => [text]) },
  );
  return fc
    .oneof(
      { withCrossShrink: true },
      { weight: names.length === 0 ? 12 : 5, arbitrary: fc.tuple(right, fc.constant([])) },
      { weight: 6, arbitrary: fc.tuple(right, oddOnes) },
    )
    .map(([some, others]) => [...some, ...others].join('&'));
}

const oddHeaders: Request['headers'][] = [
  [['Accept', 'text/html']],
  [['Accept', '*/*;q=nonsense,,,']],
  [['Accept-Encoding', 'gzip;q=9, \u00ff']],
  [['Accept-Language', 'x'.repeat(5_000)]],
  [['Cookie', 'a=b; '.repeat(500)]],
  [['X-Forwarded-For', '::ffff:1.2.3.4, ../../x']],
  [['X-Forwarded-Host', 'elsewhere.example']],
  [['X-HTTP-Method-Override', 'DELETE']],
  [['X-Request-Id', '\u00ff\u00fe']],
  [['If-None-Match', '*']],
  [['If-Modified-Since', 'yesterday']],
  [['Range', 'bytes=5-1']],
  [['Origin', 'null']],
  [['Origin', 'https://elsewhere.example']],
  [
    ['Origin', 'https://elsewhere.example'],
    ['Access-Control-Request-Method', 'DELETE'],
  ],
  [['Expect', '100-continue']],
  [['Expect', 'the-unexpected']],
  [
    ['Upgrade', 'websocket'],
    ['Connection', 'Upgrade'],
  ],
  [
    ['Upgrade', 'h2c'],
    ['Connection', 'Upgrade, HTTP2-Settings'],
    ['HTTP2-Settings', 'x'],
  ],
  [['Connection', 'close']],
  [['Host', '']],
  [['Host', 'elsewhere.example:99999']],
  [
    ['Host', 'a'],
    ['Host', 'b'],
  ],
  [['Host', '[::1']],
  [['Authorization', 'Bearer a.b.c']],
  [['Authorization', 'Bearer eyJhbGciOiJub25lIn0.e30.']],
  [['Authorization', 'Basic \u00ff']],
  [['Authorization', '']],
  [['X-Large', 'x'.repeat(20_000)]],
  [['X-Control', 'a\u0001b']],
  [['X Name', 'x']],
  [
    ['__proto__', 'x'],
    ['constructor', 'x'],
  ],
  Array.from({ length: 200 }, (_, at) => [`X-${at}`, 'x'] as const),
];

const headers: fc.Arbitrary<Request['headers']> = fc.oneof(
  { withCrossShrink: true },
  { weight: 12, arbitrary: fc.constant([]) },
  { weight: 1, arbitrary: fc.constantFrom(...oddHeaders) },
);

interface Body {
  readonly text: string;
  readonly headers: Request['headers'];
}

const contentTypes = [
  ...[
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/xml',
  ],
  ...[
    'application/json; charset=utf-16',
    'application/json; charset=iso-8859-1',
    'application/json; charset="',
  ],
  ...['application/json; charset=utf-8; charset=utf-16', 'application/json;;', 'application/vnd.api+json'],
  ...['APPLICATION/JSON', 'application/json, text/plain', 'json', '', '/', '\u00ff', 'application/__proto__'],
];
const bodyHeaders: fc.Arbitrary<Request['headers']> = fc.oneof(
  { withCrossShrink: true },
  { weight: 20, arbitrary: fc.constant([['Content-Type', 'application/json']] as const) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(...contentTypes).map((type) => [['Content-Type', type]] as const),
  },
  { weight: 1, arbitrary: fc.constant([]) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('gzip', 'deflate', 'br', 'zstd', 'identity', 'nonsense', 'gzip, gzip').map(
      (coding) =>
        [
          ['Content-Type', 'application/json'],
          ['Content-Encoding', coding],
        ] as const,
    ),
  },
);

function bodies(scene: Scene, schema: JsonSchema): fc.Arbitrary<Body | undefined> {
  const texts = hostileJson(valuesOf(schema, scene.known), { damaged: true });
  return fc.oneof(
    { weight: 40, arbitrary: fc.record({ text: texts, headers: bodyHeaders }) },
    { weight: 1, arbitrary: fc.constant(undefined) },
  );
}

/** A body where none is asked for. */
const strayBodies: fc.Arbitrary<Body | undefined> = fc.oneof(
  { withCrossShrink: true },
  { weight: 12, arbitrary: fc.constant(undefined) },
  {
    weight: 1,
    arbitrary: fc.record({ text: hostileJson(fc.jsonValue(), { damaged: true }), headers: bodyHeaders }),
  },
);
