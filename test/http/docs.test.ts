// The pages that show what can be called and heard, and the files that they need.
import { request } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import test from 'ava';
import { errorOf } from '../support/answers.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { api, controller } = world.replica(0);
const files = ['docs.css', 'start.js', 'swagger-ui.css', 'swagger-ui-bundle.js'];
test.after.always(() => world.close());

interface Raw {
  readonly headers: Readonly<Record<string, unknown>>;
  readonly status: number | undefined;
  readonly bytes: Buffer;
}

/** As it comes: what fetch gets is unpacked already, and its paths are put in order. */
function ask(path: string, method = 'GET', headers: Record<string, string> = {}): Promise<Raw> {
  const { promise, resolve, reject } = Promise.withResolvers<Raw>();
  const { hostname, port } = new URL(controller.url);
  request({ hostname, port, path, method, headers, agent: false }, (response) => {
    buffer(response).then(
      (bytes) => resolve({ headers: response.headers, status: response.statusCode, bytes }),
      reject,
    );
  })
    .on('error', reject)
    .end();
  return promise;
}

for (const page of ['/docs', '/docs/events'])
  test(`${page} runs and shows nothing but the files beside it, and may load nothing from elsewhere`, async (t) => {
    const { headers, body } = await api.get(page);
    t.is(
      headers.get('content-security-policy'),
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; " +
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    t.notRegex(body, /<style|<iframe|\sstyle=|\son\w+=|<script>|(src|href)="(https?:)?\/\//);
    const needed = [...body.matchAll(/<(?:script|link)[^>]* (?:src|href)="(\/[^"]+)"/g)].map(
      ([, path]) => path,
    );
    t.true(needed.length > 0);
    for (const path of needed) t.is((await api.get(path)).status, 200, path);
    const linked = [...body.matchAll(/<a href="(\/[^"#]+)"/g)].map(([, path]) => path);
    t.true(linked.includes('/openapi.json') && linked.includes('/asyncapi.json'));
    for (const path of linked) t.is((await api.get(path)).status, 200, path);
  });

test('only the pages may run anything', async (t) => {
  for (const path of ['/openapi.json', '/asyncapi.json', '/health', ...files.map((name) => `/docs/${name}`)])
    t.false((await api.get(path)).headers.get('content-security-policy')?.includes('self'), path);
});

test('the page of the events names every one of them, its fields, and every code of an error', async (t) => {
  const { body } = await api.get('/docs/events');
  const { body: document } = await api.get('/asyncapi.json');
  for (const name of Object.keys(document.components.messages))
    t.true(body.includes(`<code>${name}</code>`), name);
  for (const field of [
    'data.orchestrator_id',
    'data.metadata.features',
    'heartbeat_interval_ms',
    'retry_after_ms',
  ])
    t.true(body.includes(`<code>${field}</code>`), field);
  t.regex(body, /data\.metadata\.features<\/code><\/td><td>object \| array \| null</);
  for (const code of document.components.schemas.SocketError.properties.code.enum)
    t.true(body.includes(`<tr id="code-${code}">`), code);
  const ids = [...body.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
  t.is(new Set(ids).size, ids.length);
  for (const [, id] of body.matchAll(/href="#([^"]+)"/g)) t.true(ids.includes(id), id);
});

test('each file has its type, is compressed for who takes it so, and is the same either way', async (t) => {
  for (const name of files) {
    const plain = await ask(`/docs/${name}`);
    const packed = await ask(`/docs/${name}`, 'GET', { 'accept-encoding': 'br;q=1, gzip' });
    const type = name.endsWith('.css') ? 'text/css; charset=utf-8' : 'text/javascript; charset=utf-8';
    for (const { status, headers } of [plain, packed]) {
      t.is(status, 200);
      t.like(headers, { 'content-type': type, 'cache-control': 'no-cache', vary: 'Accept-Encoding' });
    }
    t.is(plain.headers['content-encoding'], undefined);
    t.is(packed.headers['content-encoding'], 'gzip');
    t.true(packed.bytes.length < plain.bytes.length);
    t.true(gunzipSync(packed.bytes).equals(plain.bytes), name);
    t.is(packed.headers.etag, plain.headers.etag);
  }
});

test('HEAD is answered as GET is, without the body', async (t) => {
  for (const path of [
    '/openapi.json',
    '/asyncapi.json',
    '/docs',
    '/docs/events',
    ...files.map((it) => `/docs/${it}`),
  ]) {
    const [get, head] = [await ask(path), await ask(path, 'HEAD')];
    t.is(head.status, 200, path);
    t.is(head.bytes.length, 0);
    for (const name of ['content-type', 'content-length', 'etag', 'content-security-policy'])
      t.is(head.headers[name], get.headers[name], `${path}: ${name}`);
  }
});

test('what a client has already is not sent again, and what has changed is', async (t) => {
  for (const path of ['/openapi.json', '/docs', '/docs/swagger-ui-bundle.js']) {
    const { etag } = (await ask(path)).headers;
    for (const known of [String(etag), `"other", ${etag}`]) {
      const { status, bytes } = await ask(path, 'GET', { 'if-none-match': known });
      t.deepEqual([status, bytes.length], [304, 0], path);
    }
    t.is((await ask(path, 'GET', { 'if-none-match': 'W/"other"' })).status, 200);
  }
});

test('an answer that has no tag is always sent', async (t) => {
  const { status } = await ask('/api/v1/controller/overview', 'GET', { 'if-none-match': '*' });
  t.is(status, 200);
});

test('no other file can be had', async (t) => {
  for (const path of [
    ...['/docs/package.json', '/docs/swagger-ui.js', '/docs/swagger-ui-bundle.js.map', '/docs/constructor'],
    ...[
      '/docs/..%2f..%2fpackage.json',
      '/docs/%2e%2e%2fpackage.json',
      '/docs/..%5cpackage.json',
      '/docs/%00',
    ],
    ...['/docs/%2fetc%2fpasswd', '/docs/docs.css%00', '/docs/Docs.css%20'],
  ])
    errorOf(t, await api.get(path), 404, 'not_found');
  for (const path of ['/docs/../package.json', '/docs/x/../../package.json', '/docs/./package.json'])
    t.is((await ask(path)).status, 404, path);
});
