// Owns the orchestrator's side of the Socket.IO contract: one orchestrator's connection to the controller, kept up.
// It stands alone (with orchestrator-wire.ts, socket.io-client and zod only), so that an orchestrator written in TypeScript can import it.
import { io, type Socket } from 'socket.io-client';
import { z } from 'zod';
import {
  type BeatAnswer,
  beatAckSchema,
  causeSchema,
  errorSchema,
  type Frame,
  frameSchema,
  handshakeAckSchema,
  provisionSchema,
  reconnectSchema,
  refusalSchema,
} from './orchestrator-wire.ts';

/** How it ended: by `stop()`, by a newer connection with our id, or by an error that a retry cannot help. */
export type Outcome = { why: 'stopped' | 'superseded' } | { why: 'refused'; code: string; message: string };

/** Everything worth showing or counting, in the order in which it happened. A `complaint` is a retryable error that
 *  leaves the connection standing. The `code` of `waiting` is the controller's own, or `unreachable`,
 *  `connection_lost`, `handshake_timeout` or `draining`. */
export type OrchestratorEvent =
  | { type: 'connecting'; attempt: number }
  | { type: 'connected'; handshakeAck: z.infer<typeof handshakeAckSchema> }
  | { type: 'provisioned'; config: z.infer<typeof provisionSchema> }
  | ({ type: 'beat' } & BeatAnswer)
  | { type: 'frame'; frame: Frame; repeat: boolean }
  | { type: 'frame_failed'; frame: Frame; error: unknown }
  | { type: 'complaint'; code: string; message: string }
  | { type: 'malformed'; event: string; detail: string }
  | { type: 'waiting'; delayMs: number; code: string; message: string }
  | { type: 'stopped'; outcome: Outcome };

export interface OrchestratorOptions {
  /** Where the controller is, `http://host:port`; a path, if any, goes before `/ws`. */
  url: string;
  orchestratorId: string;
  /** The orchestrator's own id where absent. */
  organizationId?: string | undefined;
  /** `name`, `location`, `version`, `features`, ... as the handshake carries them. */
  metadata?: Record<string, unknown> | undefined;
  /** Asked at every beat; where absent the controller takes us for healthy. */
  healthStatus?: (() => 'healthy' | 'degraded' | 'unhealthy') | undefined;
  /** Asked for a token at every connection, and whenever the one in use is about to expire. Where absent none is sent. */
  token?: (() => string | Promise<string>) | undefined;
  /** Called once for each `message_id`. What it returns, anything JSON, acknowledges the frame and its repeats.
   *  If it throws or rejects, nothing is acknowledged and a repeat is handed over again. */
  onFrame?: ((frame: Frame) => unknown) | undefined;
  /** Told of every step; must not throw. */
  onEvent?: ((event: OrchestratorEvent) => void) | undefined;
  /** In place of the interval that the controller tells. */
  heartbeatIntervalMs?: number | undefined;
  /** How long connecting, the handshake and a beat may each go unanswered before another try; default 15 000. */
  answerTimeoutMs?: number | undefined;
  /** The widest wait before the first and before any further reconnection; default 1 000 and 30 000. */
  backoff?: { baseMs: number; capMs: number } | undefined;
  /** As socket.io-client's; default websocket alone, which spares an upgrade and needs no sticky sessions. */
  transports?: ('websocket' | 'polling')[] | undefined;
  /** From 0 up to 1, like `Math.random`: all jitter comes from it. */
  random?: (() => number) | undefined;
  /** Calls back once, after so many milliseconds; returns what cancels that. */
  setTimer?: ((callback: () => void, delayMs: number) => () => void) | undefined;
}

export interface Orchestrator {
  /** `waiting` is between two connections. */
  readonly state: 'connecting' | 'connected' | 'waiting' | 'stopped';
  /** Resolves, never rejects, when there will be no further connection. */
  readonly closed: Promise<Outcome>;
  /** Sends a beat now, or as soon as connected. Resolves only with the controller's acknowledgement of a beat sent
   *  after this call, however many repeats or connections that takes; rejects only when the orchestrator stops. */
  beat(): Promise<BeatAnswer>;
  /** Asks for another `provision_config`, told as the event `provisioned`. Does nothing while not connected. */
  requestProvisioning(): void;
  /** Closes the connection and every timer, for good. */
  stop(): void;
}

type Acknowledge = (body: unknown) => void;
const rememberedFrames = 1_000;

/**
 * Connects to the controller and stays connected until `stop()`, `superseded` or an error that a retry cannot help.
 * Every connection begins with a handshake of its own; then it beats at once and at the controller's interval, up to
 * a tenth early so that a fleet does not beat in step. A lost, refused or unanswered connection is tried again after
 * what the controller asked for, if it did, plus a random wait below `min(capMs, baseMs * 2 ** attempt)` ("full
 * jitter", AWS Architecture Blog, "Exponential Backoff And Jitter"); an acknowledged beat sets `attempt` back to 0.
 * Throws a TypeError if `url` is none.
 */
export function connectOrchestrator(options: OrchestratorOptions): Orchestrator {
  const { orchestratorId, random = Math.random, setTimer = startTimer, answerTimeoutMs = 15_000 } = options;
  const { transports = ['websocket'], backoff = { baseMs: 1_000, capMs: 30_000 } } = options;
  const { origin, pathname } = new URL(options.url);
  const tell = options.onEvent ?? (() => {});
  const closed = Promise.withResolvers<Outcome>();
  const answers = new Map<string, Promise<unknown>>();
  let state: Orchestrator['state'] = 'connecting';
  let socket: Socket | undefined;
  /** The connection that the controller asked us to leave: it counts until the next one does. */
  let leaving: Socket | undefined;
  let sentToken: string | undefined;
  let attempt = 0;
  let complaint: z.infer<typeof errorSchema> | undefined;
  // One beat is under way at a time. All that are asked for meanwhile share the next, so that memory stays bounded
  // and none is credited with the acknowledgement of an older one. Both outlive a connection.
  let beatUnderWay: PromiseWithResolvers<BeatAnswer> | undefined;
  let beatWanted: PromiseWithResolvers<BeatAnswer> | undefined;
  let beatStartedAtMs = 0;
  let cancelConnect = () => {};
  let cancelDeadline = () => {};
  let cancelPulse = () => {};
  let cancelRepeat = () => {};

  function connect() {
    discard();
    state = 'connecting';
    const path = `${pathname.replace(/\/$/, '')}/ws`;
    // A socket for each connection: no buffer, acknowledgement or session of the last one can leak into the next.
    const fresh = io(origin, { path, transports, forceNew: true, reconnection: false, auth: authenticate });
    socket = fresh;
    fresh.on('connect', () => shakeHands(fresh));
    fresh.on('connect_error', (error) => {
      const refusal = refusalSchema.safeParse(error).data?.data;
      if (refusal !== undefined) return heed(refusal);
      const cause = causeSchema.safeParse(error).data?.description.message;
      retry('unreachable', cause ? `${error.message}: ${cause}` : error.message);
    });
    // Whoever closed it, the controller included: socket.io-client would not come back after that by itself.
    fresh.on('disconnect', (reason) => {
      const { code = 'connection_lost', message = reason, retry_after_ms } = complaint ?? {};
      retry(code, message, retry_after_ms);
    });
    fresh.onAny((event: string, ...received: unknown[]) => receive(event, received));
    expectAnswer('unreachable', 'no connection');
    tell({ type: 'connecting', attempt });
  }

  function authenticate(send: (auth: object) => void) {
    if (options.token === undefined) return send({});
    withToken((token) => {
      sentToken = token;
      send({ token });
    });
  }

  function renewToken() {
    const renewing = socket;
    withToken((token) => {
      // To send the one that is about to end would only put off its end by nothing.
      if (token === sentToken) return;
      sentToken = token;
      renewing?.emit('refresh_token', { token });
    });
  }

  function withToken(use: (token: string) => void) {
    Promise.try(() => options.token?.())
      .then((token) => token !== undefined && use(token))
      .catch((error: unknown) => tell({ type: 'complaint', code: 'no_token', message: String(error) }));
  }

  function shakeHands(fresh: Socket) {
    const { organizationId: organization_id, metadata } = options;
    const data = { orchestrator_id: orchestratorId, organization_id, metadata };
    const handshake = { type: 'handshake', data, timestamp: new Date().toISOString() };
    expectAnswer('handshake_timeout', 'handshake not acknowledged');
    // If the answer is malformed the deadline stays: an `error` event that says more may be right behind.
    fresh.emit('handshake', handshake, (body: unknown) =>
      read(handshakeAckSchema, 'handshake_ack', body, (handshakeAck) => {
        if (state !== 'connecting') return;
        cancelDeadline();
        release();
        state = 'connected';
        if (beatUnderWay) sendBeat();
        pulse(options.heartbeatIntervalMs ?? handshakeAck.heartbeat_interval_ms);
        tell({ type: 'connected', handshakeAck });
      }),
    );
  }

  /** Early rather than late, so that jitter never looks like a missed beat. */
  function pulse(intervalMs: number) {
    void beat();
    cancelPulse = setTimer(() => pulse(intervalMs), intervalMs * (1 - random() / 10));
  }

  function beat() {
    beatWanted ??= Promise.withResolvers<BeatAnswer>();
    const { promise, reject } = beatWanted;
    promise.catch(() => {}); // whoever awaits it sees the failure; if nobody does, the process must not end of it
    if (state === 'stopped') reject(new Error(`${orchestratorId} has stopped`));
    else if (!beatUnderWay) sendBeat();
    return promise;
  }

  function sendBeat() {
    if (state !== 'connected') return;
    if (!beatUnderWay) {
      beatStartedAtMs = performance.now();
      beatUnderWay = beatWanted;
      beatWanted = undefined;
    }
    const current = beatUnderWay;
    const health_status = options.healthStatus?.();
    const alive = { type: 'i_am_alive', timestamp: new Date().toISOString(), health_status };
    cancelRepeat = setTimer(sendBeat, answerTimeoutMs);
    socket?.emit('i_am_alive', alive, (body: unknown) =>
      read(beatAckSchema, 'i_am_alive_ack', body, (ack) => {
        if (current !== beatUnderWay) return;
        const answer = { ...ack, latencyMs: performance.now() - beatStartedAtMs };
        cancelRepeat();
        beatUnderWay = undefined;
        complaint = undefined;
        attempt = 0;
        current?.resolve(answer);
        tell({ type: 'beat', ...answer });
        if (beatWanted) sendBeat();
      }),
    );
  }

  function receive(event: string, received: unknown[]) {
    const [payload] = received;
    const acknowledge = received.find((value): value is Acknowledge => typeof value === 'function');
    switch (event) {
      case 'handshake_ack': // the acknowledgement said the same
        return;
      case 'superseded': // coming back would throw out the newer one, and it us, for ever
        return finish({ why: 'superseded' });
      case 'reconnect':
        return read(reconnectSchema, event, payload, (asked) => move(asked.after_ms));
      case 'error':
        return read(errorSchema, event, payload, heed);
      case 'provision_config':
        return read(provisionSchema, event, payload, (config) => tell({ type: 'provisioned', config }));
      default:
        return read(frameSchema, event, payload, (frame) => take(frame, acknowledge));
    }
  }

  function heed(error: z.infer<typeof errorSchema>) {
    const { code, message, retryable, retry_after_ms } = error;
    if (!retryable) return finish({ why: 'refused', code, message });
    if (state === 'connecting') {
      if (retry_after_ms === undefined) return retry(code, message);
      // The controller knows when there is room for us, and tells everybody another time.
      discard();
      return connectIn(retry_after_ms + random() * backoff.baseMs, code, message);
    }
    if (code === 'token_expired') renewToken();
    // Leaving would make an outage of the stores a storm of handshakes: the controller closes what cannot stay.
    complaint = error;
    tell({ type: 'complaint', code, message });
  }

  function read<T>(schema: z.ZodType<T>, event: string, payload: unknown, use: (data: T) => void) {
    const { success, data, error } = schema.safeParse(payload);
    if (success) use(data);
    else tell({ type: 'malformed', event, detail: z.prettifyError(error) });
  }

  function take(frame: Frame, acknowledge: Acknowledge = () => {}) {
    const known = answers.get(frame.message_id);
    tell({ type: 'frame', frame, repeat: known !== undefined });
    const answer = known ?? Promise.try(() => options.onFrame?.(frame));
    answers.set(frame.message_id, answer);
    for (const id of answers.keys().take(Math.max(0, answers.size - rememberedFrames))) answers.delete(id);
    answer
      .then((value) => acknowledge(value ?? null))
      .catch((error: unknown) => {
        answers.delete(frame.message_id);
        tell({ type: 'frame_failed', frame, error });
      });
  }

  function expectAnswer(code: string, silence: string) {
    cancelDeadline();
    cancelDeadline = setTimer(() => retry(code, `${silence} within ${answerTimeoutMs} ms`), answerTimeoutMs);
  }

  /** Connects anew while the old connection goes on: what is sent to us meanwhile arrives. */
  function move(afterMs: number) {
    // One that was not welcomed yet is no connection to keep; one that is being left already still is.
    if (state === 'connected') keepOld();
    discard();
    // The controller has spread those it asked: nothing is to be added.
    connectIn(afterMs, 'draining', 'the controller asked to reconnect');
  }

  function keepOld() {
    release();
    leaving = socket;
    socket = undefined;
    leaving?.removeAllListeners().offAny();
    leaving?.onAny((event: string, ...received: unknown[]) => {
      // What it says of itself is of no interest any more.
      if (!['superseded', 'reconnect', 'error', 'provision_config'].includes(event)) receive(event, received);
    });
  }

  function release() {
    leaving?.offAny().disconnect();
    leaving = undefined;
  }

  function retry(code: string, message: string, notBeforeMs = 0) {
    discard();
    connectLater(code, message, notBeforeMs);
  }

  function connectLater(code: string, message: string, notBeforeMs: number) {
    const jitterMs = random() * Math.min(backoff.capMs, backoff.baseMs * 2 ** attempt);
    attempt += 1;
    connectIn(notBeforeMs + jitterMs, code, message);
  }

  function connectIn(delayMs: number, code: string, message: string) {
    cancelDeadline();
    cancelConnect();
    cancelConnect = setTimer(connect, delayMs);
    state = 'waiting';
    tell({ type: 'waiting', delayMs, code, message });
  }

  function discard() {
    complaint = undefined;
    for (const cancel of [cancelDeadline, cancelPulse, cancelRepeat]) cancel();
    socket?.offAny().removeAllListeners().disconnect();
    socket = undefined;
  }

  function finish(outcome: Outcome) {
    if (state === 'stopped') return;
    state = 'stopped';
    discard();
    release();
    cancelConnect();
    for (const beat of [beatUnderWay, beatWanted]) beat?.reject(new Error(`${orchestratorId} has stopped`));
    closed.resolve(outcome);
    tell({ type: 'stopped', outcome });
  }

  connect();
  return {
    get state() {
      return state;
    },
    closed: closed.promise,
    beat,
    requestProvisioning: () => void socket?.volatile.emit('provisioning_request', {}),
    stop: () => finish({ why: 'stopped' }),
  };
}

function startTimer(callback: () => void, delayMs: number) {
  const timer = setTimeout(callback, delayMs);
  return () => clearTimeout(timer);
}
