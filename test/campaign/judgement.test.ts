// What the campaign takes for a broken promise: it would find nothing if it took everything for right.
import test from 'ava';
import fc from 'fast-check';
import { applyChange, documentOf, raw, write } from './json-text.ts';
import { judgeResponse, judgeSocketError } from './judgement.ts';
import { valuesOf } from './schema-values.ts';
import { createTarget } from './target.ts';

const timestamp = '2026-11-24T12:00:00.000Z';
const envelope = { success: false, message: 'Message 1 does not exist', code: 'not_found', timestamp };
const response = (status: number, body: unknown, headers: Record<string, string> = {}) => ({
  status,
  headers: new Map(Object.entries({ 'content-type': 'application/json; charset=utf-8', ...headers })),
  body: JSON.stringify(body),
});
const stack = new Error('x').stack;

test('a success and a documented refusal are right', (t) => {
  t.is(judgeResponse(response(200, { at: '/src/http/route.ts:1' }), false), undefined);
  t.is(judgeResponse(response(404, envelope), false), 'not_found');
});

for (const [what, wrong] of Object.entries({
  'a 500': response(500, { ...envelope, code: 'internal_error' }),
  'a 503': response(503, { ...envelope, code: 'unavailable' }),
  'an unknown code': response(404, { ...envelope, code: 'gone' }),
  'more than the envelope': response(404, { ...envelope, detail: 1 }),
  'a plain text': response(404, envelope, { 'content-type': 'text/plain' }),
  'a header that names the server': response(404, envelope, { 'x-powered-by': 'koa' }),
  'a stack': response(404, { ...envelope, message: stack }),
  'a file': response(404, { ...envelope, message: 'no such file /root/controller/config' }),
  'a statement': response(404, { ...envelope, message: 'SELECT 1 failed' }),
  'a constraint': response(409, { ...envelope, message: 'duplicate key violates unique constraint' }),
  'a package with its version': response(404, { ...envelope, message: 'koa@3.3.0 is at fault' }),
  'the version of Node': response(404, { ...envelope, message: `running on ${process.version}` }),
}))
  test(`${what} is none`, (t) => {
    t.throws(() => judgeResponse(wrong, false));
  });

test('an error over the socket is one of the protocol’s, and none of the controller’s own', (t) => {
  const error = { code: 'invalid_payload', message: 'type: is no text', retryable: false };
  t.is(judgeSocketError(error), 'invalid_payload');
  t.throws(() => judgeSocketError({ ...error, code: 'internal' }));
  t.throws(() => judgeSocketError({ ...error, code: 'unavailable' }));
  t.throws(() => judgeSocketError({ ...error, message: stack }));
});

test('a schema with a keyword that nothing is drawn for is told', (t) => {
  t.throws(
    () => valuesOf({ type: 'string', contentEncoding: 'base64' }, { ids: () => undefined, named: {} }),
    {
      message: /contentEncoding/,
    },
  );
});

test('a document is changed as text: a key may come twice, a number may be of any size', (t) => {
  const document = documentOf({ a: 1, b: [true] });
  const value = raw('1e400');
  const changes = { at: 0, key: '__proto__', value } as const;
  t.is(write(applyChange(document, { kind: 'repeat', ...changes })), '{"a":1,"b":[true],"a":1e400}');
  t.is(write(applyChange(document, { kind: 'add', ...changes })), '{"a":1,"b":[true],"__proto__":1e400}');
  t.is(write(applyChange(document, { kind: 'drop', ...changes, at: 1 })), '{"b":[true]}');
  t.is(write(applyChange(document, { kind: 'wrap', ...changes, at: 3 })), '{"a":1,"b":[[true]]}');
});

test('the smallest payload that breaks a promise is told, and the same seed tells it again', async (t) => {
  const target = createTarget({
    name: 'numbers',
    share: 1,
    calls: fc.nat(),
    async perform(number) {
      if (number >= 1_000) throw new Error('too large');
      return 'accepted';
    },
    describe: String,
  });
  const round = { seed: 1, payloads: 100 };
  const failure = await target.run(round);
  t.like(failure, { target: 'numbers', seed: 1, error: 'too large', call: '1000' });
  t.deepEqual(await target.run(round), failure);
});
