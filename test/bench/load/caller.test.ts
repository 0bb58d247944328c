// A caller is answered by hand, byte for byte: what it takes for an answer, and what it does not.
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import test from 'ava';
import { type Caller, openCaller } from './caller.ts';

interface Pair extends AsyncDisposable {
  readonly caller: Caller;
  /** The other end. */
  readonly socket: Socket;
  /** Resolves to the next request. */
  hear(): Promise<string>;
}

/** A caller, and how it is answered: by hand, byte for byte. */
async function openPair(): Promise<Pair> {
  const server = createServer({ noDelay: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const accepted = once(server, 'connection');
  const caller = await openCaller(`http://127.0.0.1:${address.port}`);
  const [socket]: Socket[] = await accepted;
  if (socket === undefined) throw new Error('no connection');
  socket.on('error', () => undefined);
  return {
    ...{ caller, socket, hear: async () => String((await once(socket, 'data'))[0]) },
    async [Symbol.asyncDispose]() {
      caller.close();
      socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

const head = (status: string, ...fields: string[]) => [`HTTP/1.1 ${status}`, ...fields, '', ''].join('\r\n');

test('a body is read to its end, however it is cut, and the next answer is another one', async (t) => {
  await using pair = await openPair();
  const { caller, socket } = pair;
  const first = caller.get('/list?of=all', { 'Accept-Encoding': 'gzip' });
  t.regex(
    await pair.hear(),
    /^GET \/list\?of=all HTTP\/1\.1\r\nHost: [^\r]+\r\nAccept-Encoding: gzip\r\n\r\n$/,
  );
  const text = `${head('200 OK', 'ETag: W/"one"', 'Content-Length: 1000000')}${'x'.repeat(1_000_000)}`;
  for (const [from, to] of [
    [0, 20],
    [20, 70],
    [70, 600_000],
    [600_000, text.length],
  ]) {
    await new Promise((resolve) => socket.write(text.slice(from, to), resolve));
    // What the kernel has is read in the next turn: so they do not come as one.
    await turn();
    await turn();
  }
  t.deepEqual(await first, { status: 200, tag: 'W/"one"', length: 1_000_000 });

  const second = caller.get('/list', { 'If-None-Match': 'W/"one"' });
  await pair.hear();
  socket.write(head('304 Not Modified', 'ETag: W/"one"'));
  t.deepEqual(await second, { status: 304, tag: 'W/"one"', length: 0 });

  const third = caller.get('/list');
  await pair.hear();
  socket.write(head('200 OK', 'content-length:0'));
  t.deepEqual(await third, { status: 200, tag: undefined, length: 0 });
});

test('what is posted is answered with its body', async (t) => {
  await using pair = await openPair();
  const answered = pair.caller.post('/send', '{"type":"noop"}');
  t.regex(await pair.hear(), /^POST \/send HTTP.*\r\nContent-Length: 15\r\n\r\n\{"type":"noop"\}$/s);
  pair.socket.write(`${head('200 OK', 'Content-Length: 4')}no`);
  pair.socket.write('ne');
  t.is(await answered, 'none');
});

for (const [what, answer, message] of [
  ['another status', head('503 Service Unavailable', 'Content-Length: 0'), /^answered: HTTP\/1\.1 503 /],
  ['no length', head('200 OK', 'Transfer-Encoding: chunked'), /^answered: HTTP\/1\.1 200 OK/],
  ['more than was announced', `${head('200 OK', 'Content-Length: 2')}four`, /^answered 2 bytes more/],
  ['a head without an end', 'x'.repeat(10_000), /^answered what is no answer: x+$/],
] as const)
  test(`${what} is a fault that says so`, async (t) => {
    await using pair = await openPair();
    const answered = pair.caller.get('/list');
    await pair.hear();
    pair.socket.write(answer);
    await t.throwsAsync(answered, { message });
    await t.throwsAsync(pair.caller.get('/list'), { message: 'the connection is closed' });
  });

test('a connection that is closed before the end of the answer is a fault', async (t) => {
  await using pair = await openPair();
  const answered = pair.caller.get('/list');
  await pair.hear();
  pair.socket.end(`${head('200 OK', 'Content-Length: 4')}no`);
  await t.throwsAsync(answered, { message: 'the connection was closed' });
});
