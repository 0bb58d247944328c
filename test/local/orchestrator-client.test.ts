// The client against a scripted controller, which does on purpose what the real one does only when in trouble.
import { createServer } from 'node:http';
import test, { type ExecutionContext } from 'ava';
import { Server, type Socket } from 'socket.io';
import {
  connectOrchestrator,
  type OrchestratorEvent,
  type OrchestratorOptions,
} from '../../src/local/orchestrator-client.ts';
import { until } from '../support/until.ts';

const handshakeAck = { type: 'handshake_ack', epoch: 1, node_id: 'scripted', heartbeat_interval_ms: 60_000 };
const beatAck = { type: 'i_am_alive_ack', status: 'processed', ts: '2026-01-01T00:00:00.000Z' };

type Acknowledge = (body: unknown) => void;
type Script = {
  onHandshake: (socket: Socket, acknowledge: Acknowledge, nth: number) => void;
  afterHandshake: (socket: Socket, nth: number) => void;
  onBeat: (acknowledge: Acknowledge, nth: number) => void;
};
const asTheContractSays: Script = {
  onHandshake: (_socket, acknowledge) => acknowledge(handshakeAck),
  afterHandshake: () => {},
  onBeat: (acknowledge) => acknowledge(beatAck),
};

/** A controller on a port of its own that departs from the contract as it is told. */
async function scriptController(t: ExecutionContext, departures: Partial<Script> = {}) {
  const script = { ...asTheContractSays, ...departures };
  const http = createServer();
  const io = new Server(http, { path: '/ws' });
  const heard = { handshakes: 0, beats: 0 };
  io.on('connection', (socket) => {
    socket.on('handshake', (_payload, acknowledge) => {
      heard.handshakes += 1;
      script.onHandshake(socket, acknowledge, heard.handshakes);
      script.afterHandshake(socket, heard.handshakes);
    });
    socket.on('i_am_alive', (_payload, acknowledge) => {
      heard.beats += 1;
      script.onBeat(acknowledge, heard.beats);
    });
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const address = http.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  t.teardown(() => io.close());
  return { url: `http://127.0.0.1:${address.port}`, heard, close: () => io.close() };
}

/** An orchestrator whose every step can be waited for. */
function connect(t: ExecutionContext, options: Partial<OrchestratorOptions> & { url: string }) {
  const events: OrchestratorEvent[] = [];
  const orchestrator = connectOrchestrator({
    orchestratorId: 'org-1',
    backoff: { baseMs: 20, capMs: 40 },
    onEvent: (event) => events.push(event),
    ...options,
  });
  t.teardown(orchestrator.stop);

  /** The nth event of a type, once it has happened. */
  function seen<T extends OrchestratorEvent['type']>(type: T, nth = 1) {
    const isOfType = (event: OrchestratorEvent): event is OrchestratorEvent & { type: T } =>
      event.type === type;
    return until(`${type} number ${nth}`, () => events.filter(isOfType)[nth - 1]);
  }
  return { ...orchestrator, orchestrator, seen };
}

function frameOf(messageId: string) {
  return { type: 'task.run', data: { n: 1 }, message_id: messageId, timestamp: '2026-01-01T00:00:00.000Z' };
}

/** Timers that run when the test says so. */
function createManualTimers() {
  const pending = new Set<{ callback: () => void; delayMs: number }>();
  return {
    setTimer(callback: () => void, delayMs: number) {
      const timer = { callback, delayMs };
      pending.add(timer);
      return () => pending.delete(timer);
    },
    fire(delayMs: number) {
      for (const timer of [...pending])
        if (timer.delayMs === delayMs && pending.delete(timer)) timer.callback();
    },
    delays: () => [...pending].map((timer) => timer.delayMs),
  };
}

test('a repeat is not handed over again, across reconnections too, but acknowledged with the first answer', async (t) => {
  const acks: unknown[] = [];
  const acknowledged = Promise.withResolvers<void>();
  const { url } = await scriptController(t, {
    afterHandshake(socket, nth) {
      socket.emit('task.run', frameOf('msg_org-1_7'), (answer: unknown) => {
        acks.push(answer);
        if (nth === 1) socket.disconnect(true);
        else acknowledged.resolve();
      });
    },
  });
  let handedOver = 0;
  const onFrame = async () => {
    handedOver += 1;
    return { answer: handedOver };
  };
  const { seen } = connect(t, { url, onFrame });
  await acknowledged.promise;
  t.deepEqual(acks, [{ answer: 1 }, { answer: 1 }]);
  t.is(handedOver, 1);
  t.false((await seen('frame', 1)).repeat);
  t.true((await seen('frame', 2)).repeat);
});

test('only the last thousand message ids are remembered', async (t) => {
  const { url } = await scriptController(t, {
    afterHandshake(socket) {
      for (let n = 0; n <= 1_000; n += 1) socket.emit('task.run', frameOf(`msg_${n}`));
      socket.emit('task.run', frameOf('msg_1000'));
      socket.emit('task.run', frameOf('msg_0'));
    },
  });
  const { seen } = connect(t, { url });
  t.true((await seen('frame', 1_002)).repeat);
  t.false((await seen('frame', 1_003)).repeat);
});

test('a frame whose handler fails is not acknowledged, and its repeat is handed over again', async (t) => {
  const answer = Promise.withResolvers<unknown>();
  const { url } = await scriptController(t, {
    afterHandshake(socket, nth) {
      socket.emit('task.run', frameOf('msg_1'), answer.resolve);
      if (nth === 1) failed.then(() => socket.disconnect(true));
    },
  });
  let calls = 0;
  const onFrame = () => {
    calls += 1;
    if (calls === 1) throw new Error('not now');
    return 'done';
  };
  const { seen } = connect(t, { url, onFrame });
  const failed = seen('frame_failed');
  t.is((await failed).frame.message_id, 'msg_1');
  t.is(await answer.promise, 'done');
});

test('a frame that is none is told and harms nothing', async (t) => {
  const { url } = await scriptController(t, {
    afterHandshake(socket) {
      socket.emit('task.run', null, 7);
      socket.emit('reconnect', { after_ms: -1 });
      socket.emit('error');
      socket.emit('task.run', frameOf('msg_1'));
    },
  });
  const { seen, orchestrator } = connect(t, { url });
  t.is((await seen('frame')).frame.message_id, 'msg_1');
  const malformed = await Promise.all([1, 2, 3].map((nth) => seen('malformed', nth)));
  t.deepEqual(
    malformed.map(({ event }) => event),
    ['task.run', 'reconnect', 'error'],
  );
  t.is(orchestrator.state, 'connected');
});

test('an unacknowledged beat is repeated, and its promise waits for the acknowledgement', async (t) => {
  const timers = createManualTimers();
  const { url, heard } = await scriptController(t, {
    onBeat: (acknowledge, nth) => nth === 3 && acknowledge(beatAck),
  });
  const { beat } = connect(t, { url, setTimer: timers.setTimer });
  const answer = beat();
  for (const nth of [1, 2]) {
    await until(`beat ${nth} to be sent`, () => heard.beats === nth);
    timers.fire(15_000);
  }
  t.is((await answer).status, 'processed');
});

test('a beat outlives its connection', async (t) => {
  const { url } = await scriptController(t, {
    afterHandshake(socket, nth) {
      if (nth === 1) socket.prependAny((event) => event === 'i_am_alive' && socket.disconnect(true));
    },
  });
  const { beat, seen } = connect(t, { url });
  t.is((await beat()).status, 'processed');
  t.is((await seen('waiting')).code, 'connection_lost');
  await seen('connected', 2);
});

test('a beat fails only when the orchestrator stops', async (t) => {
  const { url } = await scriptController(t, { onBeat: () => {} });
  const { beat, seen, stop } = connect(t, { url });
  await seen('connected');
  const pending = beat();
  stop();
  await t.throwsAsync(pending, { message: /org-1 has stopped/ });
  await t.throwsAsync(beat(), { message: /org-1 has stopped/ });
});

test('beats come at the told interval, up to a tenth early', async (t) => {
  const timers = createManualTimers();
  const { url } = await scriptController(t);
  const { seen } = connect(t, { url, setTimer: timers.setTimer, random: () => 0.5 });
  await seen('beat', 1);
  t.deepEqual(timers.delays(), [57_000]);
  timers.fire(57_000);
  await seen('beat', 2);
  t.deepEqual(timers.delays(), [57_000]);
});

test('a refused connection is tried again after a random wait whose bound doubles up to its cap', async (t) => {
  const timers = createManualTimers();
  const { url, close } = await scriptController(t);
  await close();
  const backoff = { baseMs: 1_000, capMs: 4_000 };
  for (const luck of [0, 0.5, 0.999]) {
    const { seen, stop } = connect(t, { url, backoff, random: () => luck, setTimer: timers.setTimer });
    for (const [index, bound] of [1_000, 2_000, 4_000, 4_000].entries()) {
      const { delayMs, code } = await seen('waiting', index + 1);
      t.is(delayMs, bound * luck);
      t.is(code, 'unreachable');
      timers.fire(delayMs);
    }
    stop();
    t.deepEqual(timers.delays(), []);
  }
});

test('a handshake without an answer is tried again on a new connection', async (t) => {
  const timers = createManualTimers();
  const { url, heard } = await scriptController(t, {
    onHandshake: (_socket, acknowledge, nth) => nth > 1 && acknowledge(handshakeAck),
  });
  const { seen } = connect(t, { url, setTimer: timers.setTimer });
  await until('the handshake to be sent', () => heard.handshakes === 1);
  timers.fire(15_000);
  const { code, delayMs } = await seen('waiting');
  t.is(code, 'handshake_timeout');
  timers.fire(delayMs);
  await seen('connected');
});

test('a retryable error is tried again no sooner than the controller asked, any other stops', async (t) => {
  const busy = { code: 'unavailable', message: 'store away', retryable: true, retry_after_ms: 50 };
  const { url } = await scriptController(t, {
    onHandshake(socket, acknowledge, nth) {
      if (nth === 2) acknowledge(handshakeAck);
      if (nth === 1) socket.emit('error', busy);
      else socket.emit('error', { code: 'invalid_handshake', message: 'no', retryable: false });
    },
  });
  const { seen, closed, orchestrator } = connect(t, { url });
  const { code, delayMs } = await seen('waiting');
  t.is(code, 'unavailable');
  t.true(delayMs >= 50 && delayMs < 70);
  t.deepEqual(await closed, { why: 'refused', code: 'invalid_handshake', message: 'no' });
  t.is(orchestrator.state, 'stopped');
});

test('a retryable error leaves a connection standing until the controller closes it', async (t) => {
  const silent = { code: 'silent', message: 'no heartbeat', retryable: true, retry_after_ms: 50 };
  const { url } = await scriptController(t, {
    afterHandshake(socket, nth) {
      if (nth > 1) return;
      socket.emit('error', silent);
      socket.emit('task.run', frameOf('msg_1'), () => socket.disconnect(true));
    },
    onBeat: () => {},
  });
  const { seen } = connect(t, { url });
  t.is((await seen('complaint')).code, 'silent');
  await seen('frame');
  const { code, delayMs } = await seen('waiting');
  t.is(code, 'silent');
  t.true(delayMs >= 50 && delayMs < 70);
});

test('a controller that drains is left after the time it names, and frames in hand are still acknowledged', async (t) => {
  const acknowledged = Promise.withResolvers<unknown>();
  const { url } = await scriptController(t, {
    afterHandshake(socket, nth) {
      if (nth > 1) return;
      socket.emit('task.run', frameOf('msg_1'), (answer: unknown) => {
        acknowledged.resolve(answer);
        socket.disconnect(true);
      });
      socket.emit('reconnect', { after_ms: 100 });
    },
  });
  const { seen } = connect(t, { url, onFrame: async () => (await seen('waiting')).code });
  t.is(await acknowledged.promise, 'draining');
  const { delayMs } = await seen('waiting');
  t.true(delayMs >= 100 && delayMs < 120);
  await seen('connected', 2);
});
