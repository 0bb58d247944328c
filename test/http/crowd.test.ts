// More than one replica may hold at once: of connections, and of messages that nobody has answered for.
import { once } from 'node:events';
import test from 'ava';
import { errorOf, fieldsOf, linesOf } from '../support/answers.ts';
import { connectRaw, readAnswer } from '../support/raw.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

test('connections beyond the bound are closed at once, and said so; those that are there go on', async (t) => {
  await using stack = new AsyncDisposableStack();
  const world = stack.adopt(await openWorld({ settings: { http: { maxConnections: 3 } } }), (it) =>
    it.close(),
  );
  const { controller, api } = world.replica(0);
  const first = await connectRaw(controller.url);
  const others = [await connectRaw(controller.url), await connectRaw(controller.url)];
  const refused = await connectRaw(controller.url);
  await once(refused.resume(), 'close');
  first.write('GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  t.is((await readAnswer(first)).status, 'HTTP/1.1 200 OK');
  for (const each of others) each.destroy();
  await until('room', async () => (await api.get('/health/live').catch(() => undefined))?.status === 200);
  const [line] = await linesOf(api, { event: 'full' });
  t.is(line, 'WARNING full More than 3 connections: new ones are closed');
});

test('messages beyond what may be unanswered are a 503, until some are answered', async (t) => {
  await using stack = new AsyncDisposableStack();
  const settings = { delivery: { unansweredBytes: 4_096 } };
  const world = stack.adopt(await openWorld({ settings }), (it) => it.close());
  const path = '/api/v1/internal/orchestrators/busy/send';
  const orchestrator = await world.replica(0).connect('busy');
  const asked = Promise.withResolvers<(answer: unknown) => void>();
  orchestrator.socket.on('ask', (_frame, acknowledge) => asked.resolve(acknowledge));
  const data = 'x'.repeat(3_000);
  const waiting = world.api.post(path, { type: 'ask', data, ack: true });
  const acknowledge = await asked.promise;

  for (const wait of [true, false]) {
    const refused = await world.api.post(path, { type: 'note', data, wait });
    errorOf(t, refused, 503, 'unavailable');
    t.is(refused.headers.get('retry-after'), '2');
  }
  // One that is small enough has room.
  t.is((await world.api.post(path, { type: 'note' })).status, 200);

  acknowledge('done');
  t.is(fieldsOf(t, await waiting).ack, 'done');
  t.is((await world.api.post(path, { type: 'note', data })).status, 200);
  const notes = orchestrator.received.filter(({ event }) => event === 'note');
  t.deepEqual(
    notes.map(({ payload }) => payload.data?.length ?? 0),
    [0, 3_000],
  );
});
